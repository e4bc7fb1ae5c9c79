"""Weights that are only there as a PyTorch pickle, as safetensors."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import TYPE_CHECKING

from hubkit.errors import ModelError

if TYPE_CHECKING:
    from torch import Tensor


def save_as_safetensors(folder: Path, names: list[str], model_id: str) -> None:
    """Write model.safetensors from the pickled state dicts `names` in a model folder.

    Nothing but tensors is unpickled. Raises ModelError where a pickle holds more than that, or
    lacks weights of the model.
    """
    import transformers

    weights: dict[str, Tensor] = {}
    for name in names:
        weights |= _load(folder / name, model_id)
    # Through the model's own class, which knows shared tensors and the old names of some.
    config = transformers.AutoConfig.from_pretrained(folder)
    name = next(iter(config.architectures or ()), "")
    usual = transformers.AutoModelForSequenceClassification
    model, told = getattr(transformers, name, usual).from_pretrained(
        None,
        config=config,
        state_dict=weights,
        output_loading_info=True,
    )
    if told["missing_keys"]:
        raise ModelError(
            f"the weights of {model_id} lack {sorted(told['missing_keys'])[0]}",
            hint="Its repository is not whole: choose another revision of it.",
        )
    written = folder / "written"
    model.save_pretrained(written, safe_serialization=True, max_shard_size="100GB")
    (written / "model.safetensors").rename(folder / "model.safetensors")
    for path in written.iterdir():
        path.unlink()
    written.rmdir()


def _load(path: Path, model_id: str) -> dict[str, Tensor]:
    import torch

    try:
        found: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
        raise ModelError(
            f"{path.name} of {model_id} cannot be read, or holds more than weights",
            hint="Choose a revision with model.safetensors, or convert it where you trust it.",
        ) from error
    return found
