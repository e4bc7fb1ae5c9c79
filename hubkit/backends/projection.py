"""What makes a model's embedding of the states of its tokens, in the files of
sentence-transformers.

A model folder has it where it holds modules.json and 1_Pooling/config.json, as SentenceTransformer
saves and loads them (read from the source of its versions 3 to 5): a Transformer, Pooling over its
tokens, then perhaps a Dense layer (2_Dense/config.json, 2_Dense/model.safetensors), a linear one
with an activation, and perhaps Normalize.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Matrix = NDArray[np.float32]

MODULES = "modules.json"
POOLING, DENSE, NORMALIZE = "1_Pooling", "2_Dense", "Normalize"
DENSE_WEIGHTS = f"{DENSE}/model.safetensors"
FILES = (MODULES, f"{POOLING}/config.json", f"{DENSE}/config.json", DENSE_WEIGHTS)
# What a session gives beside last_hidden_state; sentence-transformers' and optimum's name for it.
EMBEDDING = "sentence_embedding"

PoolingName = Literal["mean", "cls"]
Activation = Literal["Identity", "Tanh", "ReLU", "Sigmoid", "GELU"]
# By torch's name for the class: what Dense's config.json has, and what is left of it elsewhere.
ACTIVATIONS: dict[Activation, str] = {
    "Identity": "torch.nn.modules.linear.Identity",
    "Tanh": "torch.nn.modules.activation.Tanh",
    "ReLU": "torch.nn.modules.activation.ReLU",
    "Sigmoid": "torch.nn.modules.activation.Sigmoid",
    "GELU": "torch.nn.modules.activation.GELU",
}
# A vector is divided by its length, or by this where that is less: torch's normalize().
LEAST_LENGTH = 1e-12
_TYPES = "sentence_transformers.models"
MODES: dict[PoolingName, str] = {
    "mean": "pooling_mode_mean_tokens",
    "cls": "pooling_mode_cls_token",
}
OTHER_MODES = (
    "pooling_mode_max_tokens",
    "pooling_mode_mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens",
    "pooling_mode_lasttoken",
)


@dataclass(frozen=True)
class Projection:
    """activation(pooled · weightᵀ + bias), and where `normalized` of length 1. `weight`:
    float32[dimensions, width], `bias`: as long as `dimensions`; None: there is no such layer, and
    an embedding is the pooled state, `pooled_width` numbers."""

    pooling: PoolingName
    weight: Matrix | None
    bias: Matrix | None
    activation: Activation = "Identity"
    normalized: bool = False
    pooled_width: int = 0

    @property
    def dimensions(self) -> int:
        return self.pooled_width if self.weight is None else int(self.weight.shape[0])

    @property
    def plain(self) -> bool:
        """Whether it is the mean over the tokens, which is taken of a model that says nothing."""
        return self.weight is None and self.pooling == "mean" and not self.normalized

    @property
    def width(self) -> int:
        return self.pooled_width if self.weight is None else int(self.weight.shape[1])

    def applied(self, states: Matrix, mask: NDArray[np.int64]) -> Matrix:
        """The embeddings, float32[batch, dimensions], of float32[batch, tokens, width] and the mask
        of the tokens that are no padding, int64[batch, tokens]."""
        if self.pooling == "cls":
            pooled = states[:, 0]
        else:
            kept = mask[..., None].astype("float32")
            pooled = (states * kept).sum(1) / kept.sum(1).clip(min=1)
        found: Matrix = pooled.astype("float32")
        if self.weight is not None and self.bias is not None:
            found = _activated((pooled @ self.weight.T + self.bias).astype("float32"), self)
        if self.normalized:
            length = (found**2).sum(-1, keepdims=True) ** 0.5
            found = (found / length.clip(min=LEAST_LENGTH)).astype("float32")
        return found


def _activated(values: Matrix, projection: Projection) -> Matrix:
    import numpy as np

    found: Matrix = values
    if projection.activation == "Tanh":
        found = np.tanh(values)
    elif projection.activation == "ReLU":
        found = np.maximum(values, 0)
    elif projection.activation == "Sigmoid":
        found = (1 / (1 + np.exp(-values))).astype("float32")
    elif projection.activation == "GELU":
        from scipy.special import erf

        found = (values * 0.5 * (1 + erf(values / np.sqrt(2)))).astype("float32")
    return found


def has_projection(folder: Path) -> bool:
    """Whether a model folder has a projection: the one rule of what gives `sentence_embedding`."""
    return (folder / MODULES).is_file()


def projection_of(folder: Path) -> Projection | None:
    """The projection of a model folder; None where it has none. Raises ModelError where its files
    are not those of one."""
    if not has_projection(folder):
        return None
    from hubkit.backends.embedding_modules import read_projection

    return read_projection(folder, f"the model folder {folder.name}")


def write_projection(projection: Projection, folder: Path) -> None:
    """Add the files of a projection to a model folder; equal ones in equal bytes."""
    kinds = [("", "Transformer"), (POOLING, "Pooling")]
    kinds += [(DENSE, "Dense")] if projection.weight is not None else []
    if projection.normalized:
        kinds.append((f"{len(kinds)}_{NORMALIZE}", NORMALIZE))
    _write_json(
        folder / MODULES,
        [
            {"idx": at, "name": str(at), "path": path, "type": f"{_TYPES}.{kind}"}
            for at, (path, kind) in enumerate(kinds)
        ],
    )
    (folder / POOLING).mkdir()
    _write_json(
        folder / POOLING / "config.json",
        {
            "word_embedding_dimension": projection.width,
            **{key: name == projection.pooling for name, key in MODES.items()},
            **dict.fromkeys(OTHER_MODES, False),
            "include_prompt": True,
        },
    )
    if projection.weight is not None:
        _write_dense(projection, folder / DENSE)


def _write_dense(projection: Projection, folder: Path) -> None:
    from safetensors.numpy import save_file

    folder.mkdir()
    _write_json(
        folder / "config.json",
        {
            "in_features": projection.width,
            "out_features": projection.dimensions,
            "bias": True,
            "activation_function": ACTIVATIONS[projection.activation],
        },
    )
    assert projection.weight is not None
    assert projection.bias is not None
    tensors = {"linear.weight": projection.weight, "linear.bias": projection.bias}
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def files_of_projection(folder: Path) -> list[str]:
    """Those of FILES that a model folder has; none where it has no projection."""
    return [name for name in FILES if has_projection(folder) and (folder / name).is_file()]


def copy_projection(source: Path, target: Path) -> None:
    """Copy the files of a projection, where `source` has one, into another model folder."""
    for name in files_of_projection(source):
        (target / name).parent.mkdir(exist_ok=True)
        shutil.copyfile(source / name, target / name)


def _write_json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")
