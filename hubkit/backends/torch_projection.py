"""A PyTorch Transformer with its projection on top, on whatever device it is moved to."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from hubkit.backends.projection import EMBEDDING, LEAST_LENGTH, Projection, projection_of

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module

# The attribute of the module below that holds the Transformer.
INSIDE = "transformer_below"


def with_projection(model: Module, folder: Path) -> Module:
    """The model, or where its folder has a projection a module around it, in eval mode, that gives
    `sentence_embedding` float32[batch, dimensions] beside what the model gives."""
    found = projection_of(folder)
    return model if found is None else _around(model, found)


def _around(model: Module, projection: Projection) -> Module:
    import torch
    from torch import nn

    class Embedder(nn.Module):  # type: ignore[misc] # torch is not typed here
        """`forward` takes what the Transformer takes, by name."""

        def __init__(self) -> None:
            super().__init__()
            self.transformer_below = model
            self.linear: Module | None = None
            if projection.weight is not None:
                self.linear = nn.Linear(projection.width, projection.dimensions)
                with torch.no_grad():
                    self.linear.weight.copy_(torch.from_numpy(projection.weight))
                    self.linear.bias.copy_(torch.from_numpy(projection.bias))
            self.activation = getattr(nn, projection.activation)()

        def forward(self, **inputs: Tensor) -> dict[str, Tensor]:
            # A traced model gives a plain dict, others a ModelOutput, which is a mapping too.
            found = dict(self.transformer_below(**inputs))
            states = found["last_hidden_state"]
            if projection.pooling == "cls":
                pooled = states[:, 0]
            else:
                mask = inputs["attention_mask"].unsqueeze(-1).to(states.dtype)
                pooled = (states * mask).sum(1) / mask.sum(1).clamp(min=1)
            if self.linear is not None:
                pooled = self.activation(self.linear(pooled))
            if projection.normalized:
                pooled = nn.functional.normalize(pooled, dim=-1, eps=LEAST_LENGTH)
            found[EMBEDDING] = pooled
            return found

    return Embedder().eval()
