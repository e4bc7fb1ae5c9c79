"""PyTorch: the FP32 baseline as transformers loads it."""

from __future__ import annotations

import inspect
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hubkit.backends.quiet import quiet
from hubkit.backends.torch_projection import INSIDE, with_projection
from hubkit.errors import ModelError

if TYPE_CHECKING:
    from torch.nn import Module
    from transformers import PreTrainedModel

    from hubkit.backends.base import Arrays, Outputs

_MODEL_INPUTS = ("input_ids", "attention_mask", "token_type_ids")


@dataclass(frozen=True)
class Head:
    """What is on top of a Transformer: `suffix` of the names of its classes (BertForTokenClassif…,
    AutoModelForTokenClassif…, INCModelForTokenClassif…), its task, and its name in words."""

    suffix: str
    task: str
    words: str

    @property
    def auto_class(self) -> str:
        """The name of transformers' Auto class for it."""
        return f"AutoModel{self.suffix}"


_HEADS = (
    Head("ForSequenceClassification", "text-classification", "sequence classifier"),
    Head("ForTokenClassification", "token-classification", "token classifier"),
    Head("ForQuestionAnswering", "question-answering", "model for question answering"),
)
_NO_HEAD = Head("", "feature-extraction", "model without a head")


def head_of(folder: Path) -> Head:
    """The head of a model folder, by `architectures` in its config.json; of any class that is not
    known here the Transformer alone is used, without its head.

    Raises ModelError where there is no config.json that can be read.
    """
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        names = config.get("architectures") or [""]
    except (OSError, ValueError, AttributeError) as error:
        raise ModelError(
            f"transformers cannot load {folder.name}: its config.json cannot be read ({error})",
            hint="It needs config.json and model.safetensors of a fine-tuned model.",
        ) from error
    return next((head for head in _HEADS if str(names[0]).endswith(head.suffix)), _NO_HEAD)


def load_model(folder: Path, *, attention: str | None = None) -> PreTrainedModel:
    """The FP32 model of a folder's config.json and model.safetensors, in eval mode, of the class
    that its config.json names.

    `attention`: transformers' attn_implementation, its own choice where None. Raises ModelError
    where the weights lack a part of it (transformers would fill it with random numbers), or it is
    no such model. Without a head a pooler that the weights lack is all zeros: its output is not
    used.
    """
    head = head_of(folder)
    with quiet():
        import transformers

        try:
            model, found = getattr(transformers, head.auto_class).from_pretrained(
                folder,
                local_files_only=True,
                use_safetensors=True,
                trust_remote_code=False,
                output_loading_info=True,
                **({"attn_implementation": attention} if attention else {}),
            )
        except (OSError, ValueError, RuntimeError) as error:
            raise ModelError(
                f"transformers cannot load {folder.name} as a {head.words}: {error}",
                hint=f"It needs config.json and model.safetensors of a fine-tuned {head.words}.",
            ) from error
    missing = sorted(found["missing_keys"])
    if head is _NO_HEAD:
        _zero(model, [name for name in missing if _is_pooler(name)])
        missing = [name for name in missing if not _is_pooler(name)]
    if missing:
        raise ModelError(
            f"model.safetensors has no weights for {', '.join(missing[:4])}: the model is no"
            f" fine-tuned {head.words}",
            hint="Name the fine-tuned model, not the one that it was made from.",
        )
    loaded: PreTrainedModel = model.float().eval()
    return loaded


def _is_pooler(name: str) -> bool:
    return name.startswith("pooler.") or ".pooler." in name


def _zero(model: Module, names: Sequence[str]) -> None:
    # Random numbers would make each load, and what is quantized and exported of it, another.
    import torch

    with torch.no_grad():
        for name in names:
            model.get_parameter(name).zero_()


class TorchSession:
    """A loaded PyTorch model."""

    def __init__(self, model: Module, input_names: tuple[str, ...]) -> None:
        self._model: Module | None = model
        self.input_names = input_names

    def run(self, arrays: Arrays) -> Outputs:
        """All outputs as float32, by name; arrays that the model does not take are left out."""
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
            # A traced model gives a plain dict, others a ModelOutput, which is a mapping too.
            found = self._model(**inputs)
            return {
                name: tensor.float().numpy()
                for name, tensor in found.items()
                if isinstance(tensor, torch.Tensor)
            }

    def close(self) -> None:
        """Free the model."""
        self._model = None


def load_network(folder: Path, *, attention: str | None = None) -> Module:
    """`load_model`, with the projection on top that the folder has, if any: its outputs have
    `sentence_embedding` then."""
    return with_projection(load_model(folder, attention=attention), folder)


def input_names(model: Module) -> tuple[str, ...]:
    """Those of the usual inputs that a model's forward takes, or that of the Transformer below a
    projection."""
    taken = inspect.signature(getattr(model, INSIDE, model).forward).parameters
    return tuple(name for name in _MODEL_INPUTS if name in taken)


class TorchRuntime:
    """Loads FP32 model folders of transformers."""

    def load(self, folder: Path, model_file: str, *, threads: int) -> TorchSession:
        """The model in eval mode, run without gradients. `threads` holds for this process."""
        import torch

        torch.set_num_threads(threads)
        model = load_network(folder)
        return TorchSession(model, input_names(model))


runtime = TorchRuntime()
