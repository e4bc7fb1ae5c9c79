"""The closed formula for what a Transformer encoder multiplies.

Source: Vaswani et al., Attention Is All You Need (2017), sections 3.2 and 3.3: in each layer four
projections of d × d (queries, keys, values, output), a feed-forward network of d × f and f × d, and
for each token a product with every key and a sum over every value, which are d each, whatever the
number of heads.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

# Model types whose encoder is just that, and the keys of their config.json.
_KEYS = ("hidden_size", "intermediate_size", "num_hidden_layers")
_PLAIN = {
    "distilbert": ("dim", "hidden_dim", "n_layers"),
    **{
        name: _KEYS
        for name in ("bert", "roberta", "xlm-roberta", "camembert", "electra", "mpnet", "albert")
    },
}


@dataclass(frozen=True)
class Encoder:
    """`width`: d of the hidden states; `inner`: f of the feed-forward network."""

    layers: int
    width: int
    inner: int

    @property
    def weights(self) -> int:
        """Numbers in the matrices: as many multiply-accumulates are done for each token."""
        return self.layers * (4 * self.width**2 + 2 * self.width * self.inner)

    def macs(self, length: int, batch: int = 1, *, attention: bool = True) -> int:
        """Multiply-accumulates of all products for `batch` sentences of `length` tokens.

        `attention`: with those of queries and keys, and of what comes of them and values.
        """
        products = 2 * self.layers * length * self.width if attention else 0
        return batch * length * (self.weights + products)


def encoder_of(folder: Path) -> Encoder | None:
    """The sizes in a folder's config.json; None for a model that the formula does not hold for."""
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    keys = _PLAIN.get(config.get("model_type", "")) if isinstance(config, dict) else None
    if keys is None or not all(isinstance(config.get(key), int) for key in keys):
        return None
    width, inner, layers = (int(config[key]) for key in keys)
    return Encoder(layers, width, inner)
