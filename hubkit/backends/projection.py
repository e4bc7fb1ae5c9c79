"""The linear layer that makes a model's embeddings shorter, in the files of sentence-transformers.

A model folder has one where it holds modules.json, 1_Pooling/config.json, 2_Dense/config.json and
2_Dense/model.safetensors, as SentenceTransformer saves and loads them (read from the source of its
versions 3 to 5): a Transformer, Pooling over its tokens, and Dense without an activation.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from hubkit.errors import ModelError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Matrix = NDArray[np.float32]

MODULES = "modules.json"
POOLING, DENSE = "1_Pooling", "2_Dense"
DENSE_WEIGHTS = f"{DENSE}/model.safetensors"
FILES = (MODULES, f"{POOLING}/config.json", f"{DENSE}/config.json", DENSE_WEIGHTS)
# What a session gives beside last_hidden_state; sentence-transformers' and optimum's name for it.
EMBEDDING = "sentence_embedding"

PoolingName = Literal["mean", "cls"]
_TYPES = "sentence_transformers.models"
_MODES: dict[PoolingName, str] = {
    "mean": "pooling_mode_mean_tokens",
    "cls": "pooling_mode_cls_token",
}
_OTHER_MODES = (
    "pooling_mode_max_tokens",
    "pooling_mode_mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens",
    "pooling_mode_lasttoken",
)


@dataclass(frozen=True)
class Projection:
    """pooled · weightᵀ + bias. `weight`: float32[dimensions, width], `bias`: as long as
    `dimensions`."""

    pooling: PoolingName
    weight: Matrix
    bias: Matrix

    @property
    def dimensions(self) -> int:
        return int(self.weight.shape[0])

    @property
    def width(self) -> int:
        return int(self.weight.shape[1])

    def applied(self, states: Matrix, mask: NDArray[np.int64]) -> Matrix:
        """The embeddings, float32[batch, dimensions], of float32[batch, tokens, width] and the mask
        of the tokens that are no padding, int64[batch, tokens]."""
        if self.pooling == "cls":
            pooled = states[:, 0]
        else:
            kept = mask[..., None].astype("float32")
            pooled = (states * kept).sum(1) / kept.sum(1).clip(min=1)
        found: Matrix = (pooled @ self.weight.T + self.bias).astype("float32")
        return found


def has_projection(folder: Path) -> bool:
    """Whether a model folder has a projection: the one rule of what gives `sentence_embedding`."""
    return (folder / MODULES).is_file()


def projection_of(folder: Path) -> Projection | None:
    """The projection of a model folder; None where it has none. Raises ModelError where its files
    are not those of one."""
    if not has_projection(folder):
        return None
    from safetensors.numpy import load_file

    try:
        pooling = json.loads((folder / POOLING / "config.json").read_text(encoding="utf-8"))
        dense = json.loads((folder / DENSE / "config.json").read_text(encoding="utf-8"))
        tensors = load_file(folder / DENSE_WEIGHTS)
        weight, bias = tensors["linear.weight"], tensors["linear.bias"]
        modes = [name for name, key in _MODES.items() if pooling[key]]
        plain = dense["activation_function"].endswith(".Identity") and len(modes) == 1
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(
            f"the projection of {folder.name} cannot be read: {error}",
            hint=f"It needs {', '.join(FILES)}, as sentence-transformers saves them.",
        ) from error
    if not plain or any(pooling.get(key) for key in _OTHER_MODES):
        raise ModelError(
            f"the pooling or the layer after it in {folder.name} is of a kind that is not known",
            hint="It has to be the mean over the tokens or the first token, then a linear layer.",
        )
    return Projection(modes[0], weight.astype("float32"), bias.astype("float32"))


def write_projection(projection: Projection, folder: Path) -> None:
    """Add the files of a projection to a model folder; equal ones in equal bytes."""
    from safetensors.numpy import save_file

    modules = [("", "Transformer"), (POOLING, "Pooling"), (DENSE, "Dense")]
    _write_json(
        folder / MODULES,
        [
            {"idx": at, "name": str(at), "path": path, "type": f"{_TYPES}.{kind}"}
            for at, (path, kind) in enumerate(modules)
        ],
    )
    for name in (POOLING, DENSE):
        (folder / name).mkdir()
    _write_json(
        folder / POOLING / "config.json",
        {
            "word_embedding_dimension": projection.width,
            **{key: name == projection.pooling for name, key in _MODES.items()},
            **dict.fromkeys(_OTHER_MODES, False),
            "include_prompt": True,
        },
    )
    _write_json(
        folder / DENSE / "config.json",
        {
            "in_features": projection.width,
            "out_features": projection.dimensions,
            "bias": True,
            "activation_function": "torch.nn.modules.linear.Identity",
        },
    )
    tensors = {"linear.weight": projection.weight, "linear.bias": projection.bias}
    save_file(tensors, folder / DENSE_WEIGHTS, metadata={"format": "pt"})


def copy_projection(source: Path, target: Path) -> None:
    """Copy the files of a projection, where `source` has one, into another model folder."""
    if not has_projection(source):
        return
    for name in FILES:
        (target / name).parent.mkdir(exist_ok=True)
        shutil.copyfile(source / name, target / name)


def _write_json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")
