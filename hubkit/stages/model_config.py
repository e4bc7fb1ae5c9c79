"""What a model's config.json says: its task, labels and limits."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from hubkit.errors import ModelError
from hubkit.recipe import TaskName
from hubkit.tasks import task_for

# Ends of Transformers' class names -> the task that such a head is for; the longest match counts.
_HEADS = {
    "ForSequenceClassification": "text-classification",
    "ForTokenClassification": "token-classification",
    "ForQuestionAnswering": "question-answering",
    "ForMultipleChoice": "multiple-choice",
    "ForMaskedLM": "fill-mask",
    "ForPreTraining": "pre-training",
    "ForCausalLM": "text-generation",
    "LMHeadModel": "text-generation",
    "ForConditionalGeneration": "text-to-text generation",
    "ForImageClassification": "image-classification",
    "ForAudioClassification": "audio-classification",
    "ForCTC": "automatic-speech-recognition",
    "Model": "feature-extraction (it has no head)",
}
# Their first position is pad_token_id + 1, so that many entries of the table are never reached.
_SHIFTED_POSITIONS = frozenset({"roberta", "xlm-roberta", "xlm-roberta-xl", "camembert", "mpnet"})
_POSITIONS = ("max_position_embeddings", "n_positions", "max_seq_len")
_USUAL_POSITIONS = 512  # for models whose positions are relative and have no end


@dataclass(frozen=True)
class ModelConfig:
    """`origin`: the sentence that hubkit writes into the configuration of a model it builds."""

    architecture: str
    model_type: str
    labels: tuple[str, ...]
    max_positions: int
    origin: str | None


def read_config(path: Path, model_id: str, task: TaskName) -> ModelConfig:
    """The configuration of a model that is for `task` and needs no code of its own.

    Any model extracts features; its labels are those of its head where the task has labels, else
    there are none. Raises ModelError for a model of another task, naming it.
    """
    config = _load(path, model_id)
    _refuse_code(config, model_id)
    architecture = _architecture(config, model_id, task)
    has_labels = task_for(task).reference in ("label", "word-labels")
    origin = config.get("hubkit_origin")
    return ModelConfig(
        architecture=architecture,
        model_type=str(config.get("model_type", "")),
        labels=_labels(config, model_id) if has_labels else (),
        max_positions=positions_of(config),
        origin=origin if isinstance(origin, str) else None,
    )


def read_any_config(path: Path, model_id: str, task: TaskName) -> ModelConfig:
    """The configuration of a model that is yet to be fine-tuned for `task`: labels are there only
    where it has a head for that task with two of them or more.

    Raises ModelError for a model that needs code of its own, or does not say what it is.
    """
    config = _load(path, model_id)
    _refuse_code(config, model_id)
    found = config.get("architectures")
    named = isinstance(found, list) and found and isinstance(found[0], str)
    architecture = str(found[0]) if isinstance(found, list) and named else ""
    model_type = config.get("model_type")
    if not isinstance(model_type, str) or not model_type:
        raise ModelError(
            f"config.json of {model_id} does not say what it is (model_type)",
            hint="Save the model with save_pretrained.",
        )
    labels: tuple[str, ...] = ()
    kind = config.get("problem_type")
    if task_of(architecture) == task and kind in (None, "single_label_classification"):
        with suppress(ModelError):  # one output, or no labels: the head is replaced
            labels = _labels(config, model_id)
    origin = config.get("hubkit_origin")
    return ModelConfig(
        architecture=architecture,
        model_type=model_type,
        labels=labels,
        max_positions=positions_of(config),
        origin=origin if isinstance(origin, str) else None,
    )


def without_head(architecture: str) -> str:
    """The class of the Transformer below a head: DistilBertModel of DistilBertForMaskedLM."""
    return re.sub(r"(For[A-Z]\w*|LMHeadModel)$", "Model", architecture)


def task_of(architecture: str) -> str | None:
    """The task that a Transformers class is for, by its name; None for an unknown one."""
    ends = [end for end in _HEADS if architecture.endswith(end)]
    return _HEADS[max(ends, key=len)] if ends else None


def _load(path: Path, model_id: str) -> dict[str, object]:
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ModelError(
            f"config.json of {model_id} is not JSON: {error}",
            hint="Save the model again with save_pretrained.",
        ) from error
    if not isinstance(config, dict):
        raise ModelError(
            f"config.json of {model_id} is no JSON object",
            hint="Save the model again with save_pretrained.",
        )
    return config


def _refuse_code(config: dict[str, object], model_id: str) -> None:
    if config.get("auto_map"):
        raise ModelError(
            f"{model_id} needs Python code from its own repository, and hubkit runs none",
            hint="Choose a model whose architecture is part of Transformers.",
        )


def _architecture(config: dict[str, object], model_id: str, task: TaskName) -> str:
    found = config.get("architectures")
    if not isinstance(found, list) or not found or not isinstance(found[0], str):
        raise ModelError(
            f"config.json of {model_id} does not say what it is (architectures)",
            hint="Save the model with save_pretrained from its AutoModelFor… class.",
        )
    architecture: str = found[0]
    if task == "feature-extraction":
        return architecture
    is_for = task_of(architecture)
    if is_for != task:
        raise ModelError(
            f"{model_id} is a model for {is_for or 'another task'} ({architecture}), and the"
            f" recipe's task is {task}",
            hint=f"Set base in the recipe to a model fine-tuned for {task}, or change task.",
        )
    kind = config.get("problem_type") if task == "text-classification" else None
    if kind not in (None, "single_label_classification"):
        raise ModelError(
            f"{model_id} gives no single label (problem_type {kind} in its config.json)",
            hint="Set base in the recipe to a model that gives each text one of its labels.",
        )
    return architecture


def _labels(config: dict[str, object], model_id: str) -> tuple[str, ...]:
    """id2label in the order of the ids; Transformers' LABEL_0, LABEL_1 where there is none."""
    names = config.get("id2label")
    if names is None:
        count = config.get("num_labels", 2)
        names = {str(i): f"LABEL_{i}" for i in range(count if isinstance(count, int) else 2)}
    if not isinstance(names, dict) or set(names) != {str(i) for i in range(len(names))}:
        raise ModelError(
            f"id2label in config.json of {model_id} does not number its labels from 0",
            hint="Correct id2label and label2id in its config.json.",
        )
    if len(names) < 2:
        raise ModelError(
            f"{model_id} has one output: it is a regression or scores pairs, and gives no label",
            hint="Set base in the recipe to a model with two labels or more.",
        )
    return tuple(str(names[str(i)]) for i in range(len(names)))


def positions_of(config: dict[str, object]) -> int:
    """The longest sequence that a model of that config.json takes."""
    found = next((v for k in _POSITIONS if isinstance(v := config.get(k), int) and v > 0), None)
    if found is None:
        return _USUAL_POSITIONS
    padding = config.get("pad_token_id")
    if config.get("model_type") in _SHIFTED_POSITIONS:
        return found - (padding + 1 if isinstance(padding, int) else 2)
    return found
