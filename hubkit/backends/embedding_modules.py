"""The modules of a sentence-transformers model, read as what makes its embeddings.

Each has to be one that hubkit computes as well: a module that was passed over would leave other
embeddings than the model's own, and nothing would tell.
"""

from __future__ import annotations

import json
import pickle
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from hubkit.backends.projection import (
    ACTIVATIONS,
    MODES,
    MODULES,
    OTHER_MODES,
    Activation,
    PoolingName,
    Projection,
)
from hubkit.errors import ModelError

if TYPE_CHECKING:
    from torch import Tensor

    from hubkit.backends.projection import Matrix

_SHAPES = (
    ("Transformer", "Pooling"),
    ("Transformer", "Pooling", "Normalize"),
    ("Transformer", "Pooling", "Dense"),
    ("Transformer", "Pooling", "Dense", "Normalize"),
)
_KNOWN = "Transformer, Pooling, then perhaps Dense, then perhaps Normalize"
_OWN_CURE = (
    "Name another base, or a local copy of it without modules.json: its embedding is then the mean"
    " over the tokens."
)
# Newer configurations name the mode in one word.
_WORDS: dict[str, PoolingName] = {"mean": "mean", "cls": "cls"}
_ENDS = ("input", "output")
_SAFE, _PICKLED = "model.safetensors", "pytorch_model.bin"


@dataclass(frozen=True)
class Module:
    """One line of modules.json: the class's own name, and the folder of its files."""

    kind: str
    path: str


def read_modules(path: Path, who: str) -> tuple[Module, ...]:
    """The modules that a modules.json names, in order. `who`: the model, for a message.

    Raises ModelError where it is no such file, or has what hubkit does not compute.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        modules = tuple(_module(one) for one in sorted(found, key=lambda one: int(one["idx"])))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise _unreadable(who, error) from error
    kinds = tuple(module.kind for module in modules)
    if kinds not in _SHAPES or modules[0].path not in ("", "."):
        odd = [kind for kind in kinds if kind not in _SHAPES[-1]]
        what = f"the module {odd[0]}" if odd else f"the modules {', '.join(kinds) or 'none'}"
        raise ModelError(
            f"{who} makes its embeddings with {what}, by its {MODULES}, and hubkit knows {_KNOWN},"
            " with the Transformer's files at the root",
            hint=_OWN_CURE,
        )
    return modules


def _module(one: Mapping[str, object]) -> Module:
    name, path = str(one["type"]), str(one["path"])
    if not name.startswith("sentence_transformers."):
        return Module(name, path)  # code of the model's own
    if ".." in PurePosixPath(path).parts or path.startswith("/") or "\\" in path:
        raise ValueError(f"{path!r} is no folder beside it")
    return Module(name.rpartition(".")[2], path)


def files_of_modules(modules: Collection[Module], present: Collection[str]) -> list[str]:
    """The files of those modules among the names that a model has, sorted."""
    wanted = {MODULES}
    for module in modules:
        if module.kind in ("Pooling", "Dense"):
            wanted.add(f"{module.path}/config.json")
        if module.kind == "Dense":
            weights = (f"{module.path}/{name}" for name in (_SAFE, _PICKLED))
            wanted |= {next((name for name in weights if name in present), "")}
    return sorted(wanted & set(present))


def read_projection(folder: Path, who: str) -> Projection:
    """What the modules of a folder make of the states of the tokens. `who`: the model, for a
    message. Raises ModelError where hubkit does not compute that, or files are missing."""
    modules = {one.kind: one.path for one in read_modules(folder / MODULES, who)}
    try:
        pooling = json.loads((folder / modules["Pooling"] / "config.json").read_text("utf-8"))
        pooled = _pooling(pooling, who)
        width = int(pooling.get("embedding_dimension") or pooling["word_embedding_dimension"])
        normalized = "Normalize" in modules
        if "Dense" not in modules:
            return Projection(pooled, None, None, normalized=normalized, pooled_width=width)
        dense = json.loads((folder / modules["Dense"] / "config.json").read_text("utf-8"))
        activation = _activation(dense, who)
        weight, bias = _weights(folder / modules["Dense"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise _unreadable(who, error) from error
    if weight.shape != (dense["out_features"], width) or bias.shape != weight.shape[:1]:
        raise _unreadable(who, f"Dense is {list(weight.shape)}, on {width} numbers")
    return Projection(pooled, weight, bias, activation, normalized)


def _pooling(config: Mapping[str, object], who: str) -> PoolingName:
    named = config.get("pooling_mode")
    if isinstance(named, str):
        modes, others = [_WORDS[named]] if named in _WORDS else [], [named]
    else:
        modes = [name for name, key in MODES.items() if config.get(key)]
        others = [key for key in OTHER_MODES if config.get(key)]
    if len(modes) != 1 or (others and named is None):
        said = ", ".join([*modes, *(one.removeprefix("pooling_mode_") for one in others)])
        raise ModelError(
            f"{who} pools its tokens in a way that is not known here ({said or 'none'}): it has to"
            " be the mean over the tokens, or the first token",
            hint=_OWN_CURE,
        )
    return modes[0]


def _activation(config: Mapping[str, object], who: str) -> Activation:
    # Another input or output than the embedding is what newer versions can name.
    names = {str(config.get(f"module_{one}_name") or "sentence_embedding") for one in _ENDS}
    function = str(config["activation_function"])
    known = {full.rpartition(".")[2]: name for name, full in ACTIVATIONS.items()}
    found = known.get(function.rpartition(".")[2]) if function.startswith("torch.nn.") else None
    if found is None or names != {"sentence_embedding"}:
        raise ModelError(
            f"the Dense layer of {who} is of a kind that is not known here ({function}):"
            f" it has to be followed by {', '.join(ACTIVATIONS)}",
            hint=_OWN_CURE,
        )
    return found


def _weights(folder: Path) -> tuple[Matrix, Matrix]:
    """weight float32[out, in] and bias float32[out], zeros where the layer has none."""
    import numpy as np

    if (folder / _SAFE).is_file():
        from safetensors.torch import load_file

        tensors = load_file(folder / _SAFE)
    else:
        tensors = _unpickled(folder / _PICKLED)
    weight: Matrix = tensors["linear.weight"].float().numpy()
    bias = tensors.get("linear.bias")
    return weight, np.zeros(len(weight), np.float32) if bias is None else bias.float().numpy()


def _unpickled(path: Path) -> dict[str, Tensor]:
    """The tensors of a state dict: nothing else is unpickled."""
    import torch

    try:
        found: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
        raise ValueError(f"{path.name} is damaged, or holds more than weights") from error
    return found


def _unreadable(who: str, why: object) -> ModelError:
    return ModelError(
        f"what makes the embeddings of {who} cannot be read ({MODULES}): {why}",
        hint="It needs modules.json and the files of the modules that it names, as"
        " sentence-transformers saves them: copy or download them again.",
    )
