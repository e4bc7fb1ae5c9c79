"""Layers taken out of a model, by the names that its own architecture has for them."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hubkit.backends.projection import (
    DENSE_WEIGHTS,
    MODULES,
    copy_projection,
    files_of_projection,
)
from hubkit.errors import ModelError
from hubkit.nearest import did_you_mean
from hubkit.recipe import Prune
from hubkit.recipe_build import kept_layers
from hubkit.records import BaseModelInfo, Pruned, Record
from hubkit.stage import Context, stage
from hubkit.stages.fetch_model import parameters_of
from hubkit.stages.model_files import CONFIG, SAFE, SAFE_INDEX

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor


@dataclass(frozen=True)
class _Layers:
    """How an architecture calls its layers: the key of config.json that counts them, and what
    stands before a layer's number in the names of its weights."""

    count: str
    stem: str


_LIKE_BERT = _Layers("num_hidden_layers", "encoder.layer")
# model_type of config.json -> its layers.
_ARCHITECTURES = {
    "bert": _LIKE_BERT,  # MiniLM is one
    "distilbert": _Layers("n_layers", "transformer.layer"),
    "roberta": _LIKE_BERT,
    "xlm-roberta": _LIKE_BERT,
    "camembert": _LIKE_BERT,
    "electra": _LIKE_BERT,
    "mpnet": _LIKE_BERT,
    "deberta-v2": _LIKE_BERT,
}
# Why there is nothing to take out of others.
_NO_LAYERS = {"albert": "its layers are one and the same set of weights"}


class PruneInput(Record):
    """The model, and which layers of it stay."""

    base: BaseModelInfo
    plan: Prune


class PrunedModel(Record):
    """A model with fewer layers."""

    base: BaseModelInfo
    done: Pruned


@stage(
    "prune",
    version=1,
    kind="heavy",
    takes=PruneInput,
    gives=PrunedModel,
    tools=("safetensors", "torch"),
)
def prune(given: PruneInput, ctx: Context) -> PrunedModel:
    """The model with the layers of the plan alone, numbered anew from 0; every weight that stays,
    the head's too, is the base's bit for bit.

    Raises ModelError for an architecture whose layers are not known here, for a layer that the
    model does not have, and where nothing would go.
    """
    from safetensors.torch import load_file, save_file

    source = ctx.store.path(given.base.artifact)
    config = json.loads((source / CONFIG).read_text(encoding="utf-8"))
    layers, before = layers_of(config, given.base.model_type)
    kept = kept_layers(given.plan.layers, before)
    fault = fault_of(kept, before)
    if fault:
        raise ModelError(
            f"base.prune.layers: {fault}", hint="List fewer layers, of those that it has."
        )
    ctx.progress("taking layers out", 0, 0)
    tensors: dict[str, Tensor] = {}
    for path in sorted(source.glob("*.safetensors")):
        tensors.update(load_file(path))
    folder = ctx.scratch / "pruned"
    folder.mkdir()
    for path in sorted(source.iterdir()):
        if path.suffix == ".safetensors" or path.name in (SAFE_INDEX, CONFIG, MODULES):
            continue
        if path.is_file():
            shutil.copyfile(path, folder / path.name)
    copy_projection(source, folder)
    config[layers.count] = len(kept)
    if isinstance(config.get("pruned_heads"), dict):  # layer -> attention heads that it lacks
        lacking = config["pruned_heads"]
        found = {at: lacking.get(str(layer)) for at, layer in enumerate(kept)}
        config["pruned_heads"] = {str(at): heads for at, heads in found.items() if heads}
    text = json.dumps(config, indent=2, sort_keys=True, ensure_ascii=False)
    (folder / CONFIG).write_text(text + "\n", encoding="utf-8")
    save_file(_renumbered(tensors, layers, kept), folder / SAFE, metadata={"format": "pt"})
    weights = [folder / SAFE, *(folder / name for name in _dense(folder))]
    parameters = sum(map(parameters_of, weights))
    size = sum(path.stat().st_size for path in weights)
    base = given.base.model_copy(
        update={
            "artifact": ctx.store.adopt(folder),
            "num_parameters": parameters,
            "weights_bytes": size,
        }
    )
    return PrunedModel(
        base=base,
        done=Pruned(
            layers_kept=kept,
            layers_before=before,
            num_parameters_before=given.base.num_parameters,
        ),
    )


def _dense(folder: Path) -> list[str]:
    return [name for name in files_of_projection(folder) if name == DENSE_WEIGHTS]


def layers_of(config: dict[str, object], model_type: str) -> tuple[_Layers, int]:
    """The layers of an architecture and how many a configuration has. Raises ModelError for one
    that is not known here, or that does not say."""
    layers = _ARCHITECTURES.get(model_type)
    if layers is None:
        why = f": {_NO_LAYERS[model_type]}" if model_type in _NO_LAYERS else ""
        near = "" if why else did_you_mean(model_type, list(_ARCHITECTURES))
        raise ModelError(
            f"layers of the architecture {model_type or '(none named)'} cannot be taken out"
            f"{why}{near}",
            hint=f"Prune one of {', '.join(_ARCHITECTURES)}, or leave base.prune out.",
        )
    count = config.get(layers.count)
    if not isinstance(count, int):
        raise ModelError(
            f"config.json does not say how many layers the model has ({layers.count})",
            hint="Save the model again with save_pretrained.",
        )
    return layers, count


def fault_of(kept: tuple[int, ...], count: int) -> str | None:
    """What is wrong with keeping these layers of `count`: one that is not there, or nothing that
    goes."""
    for layer in kept:
        if layer >= count:
            return f"there is no layer {layer}: the model has {count}, 0 to {count - 1}"
    if len(kept) == count:
        return f"nothing is taken out: the model has {count} layer{'s' if count > 1 else ''}"
    return None


def _renumbered(
    tensors: dict[str, Tensor], layers: _Layers, kept: tuple[int, ...]
) -> dict[str, Tensor]:
    """Less the layers that go. Raises ModelError where a layer that stays has no weights."""
    pattern = re.compile(rf"((?:^|.*\.){re.escape(layers.stem)}\.)(\d+)(\..*)")
    place = {layer: at for at, layer in enumerate(kept)}
    found: dict[str, Tensor] = {}
    seen = set()
    for name, tensor in tensors.items():
        match = pattern.fullmatch(name)
        if match is None:
            found[name] = tensor
        elif (layer := int(match[2])) in place:
            seen.add(layer)
            found[f"{match[1]}{place[layer]}{match[3]}"] = tensor.contiguous()
    missing = [layer for layer in kept if layer not in seen]
    if missing:
        raise ModelError(
            f"the weights of layer {missing[0]} are not in the model's files",
            hint="Its repository is not whole: choose another revision of it.",
        )
    return found
