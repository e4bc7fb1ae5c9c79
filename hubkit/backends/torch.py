"""PyTorch: the FP32 baseline as transformers loads it."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import TYPE_CHECKING

from hubkit.backends.quiet import quiet
from hubkit.errors import ModelError

if TYPE_CHECKING:
    from torch.nn import Module
    from transformers import PreTrainedModel

    from hubkit.backends.base import Arrays, Logits

_MODEL_INPUTS = ("input_ids", "attention_mask", "token_type_ids")


def load_classifier(folder: Path, *, attention: str | None = None) -> PreTrainedModel:
    """The FP32 sequence classifier of a folder's config.json and model.safetensors, in eval mode.

    `attention`: transformers' attn_implementation, its own choice where None. Raises ModelError
    where the weights lack a part of it (transformers would fill it with random numbers), or it is
    no sequence classifier.
    """
    with quiet():
        from transformers import AutoModelForSequenceClassification

        try:
            model, found = AutoModelForSequenceClassification.from_pretrained(
                folder,
                local_files_only=True,
                use_safetensors=True,
                trust_remote_code=False,
                output_loading_info=True,
                **({"attn_implementation": attention} if attention else {}),
            )
        except (OSError, ValueError, RuntimeError) as error:
            raise ModelError(
                f"transformers cannot load {folder.name} as a sequence classifier: {error}",
                hint="It needs config.json and model.safetensors of a fine-tuned classifier.",
            ) from error
    missing = sorted(found["missing_keys"])
    if missing:
        raise ModelError(
            f"model.safetensors has no weights for {', '.join(missing[:4])}: the model is not"
            " fine-tuned for sequence classification",
            hint="Name the fine-tuned model, not the one that it was made from.",
        )
    loaded: PreTrainedModel = model.float().eval()
    return loaded


class TorchSession:
    """A loaded PyTorch classifier."""

    def __init__(self, model: Module, input_names: tuple[str, ...]) -> None:
        self._model: Module | None = model
        self.input_names = input_names

    def run(self, arrays: Arrays) -> Logits:
        """Logits float32[batch, labels]; arrays that the model does not take are left out."""
        import torch

        if self._model is None:
            raise ModelError("the model was closed")
        try:
            inputs = {name: torch.from_numpy(arrays[name]) for name in self.input_names}
        except KeyError as missing:
            raise ModelError(
                f"the model takes {', '.join(self.input_names)}, but {missing} was not given"
            ) from missing
        with torch.inference_mode():
            # A traced model gives a plain dict, others a ModelOutput: both have the key.
            logits: Logits = self._model(**inputs)["logits"].numpy()
        return logits

    def close(self) -> None:
        """Free the model."""
        self._model = None


def input_names(model: Module) -> tuple[str, ...]:
    """Those of the usual inputs that a model's forward takes."""
    taken = inspect.signature(model.forward).parameters
    return tuple(name for name in _MODEL_INPUTS if name in taken)


class TorchRuntime:
    """Loads FP32 model folders of transformers."""

    def load(self, folder: Path, model_file: str, *, threads: int) -> TorchSession:
        """The model in eval mode, run without gradients. `threads` holds for this process."""
        import torch

        torch.set_num_threads(threads)
        model = load_classifier(folder)
        return TorchSession(model, input_names(model))


runtime = TorchRuntime()
