"""A base trained on the recipe's dataset: a head for its labels, and all weights fitted to them."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from hubkit.backends.quiet import quiet
from hubkit.backends.training import NO_LABEL, Trained, TrainingSet, diverged, train
from hubkit.errors import DataError, ModelError
from hubkit.keys import digest_of_value
from hubkit.lock import tool_versions
from hubkit.recipe import Finetune, TaskName
from hubkit.records import BaseModelInfo, Finetuned, Record
from hubkit.stage import Context, stage
from hubkit.stages.fetch_model import parameters_of
from hubkit.stages.fetch_training import TRAINING, TrainingRows
from hubkit.stages.model_files import CONFIG, SAFE, SAFE_INDEX
from hubkit.stages.split_rows import read_rows
from hubkit.tasks import task_for

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel

    from hubkit.tasks.base import Encoding

_TOOLS = ("accelerate", "numpy", "safetensors", "tokenizers", "torch", "transformers")
_OLD_SECONDS = 7 * 24 * 3600


class FinetuneInput(Record):
    """The model, the rows and how to train. `labels`: of the model that comes out, in the order of
    their ids; the head of a base with just these is kept."""

    base: BaseModelInfo
    rows: TrainingRows
    plan: Finetune
    task: TaskName
    labels: tuple[str, ...]


class FinetunedModel(Record):
    """A model that answers the recipe's task."""

    base: BaseModelInfo
    done: Finetuned


@stage(
    "finetune",
    version=1,
    kind="heavy",
    takes=FinetuneInput,
    gives=FinetunedModel,
    tools=_TOOLS,
)
def finetune(given: FinetuneInput, ctx: Context) -> FinetunedModel:
    """The base trained with transformers' Trainer on the rows; tokenizer files stay as they are.

    Where a run of the same input was killed it goes on from its last checkpoint, to the same
    weights. Raises ModelError for a base that no such head can be put on, for one that takes fewer
    tokens than the plan has, and where the weights did not stay finite.
    """
    source = ctx.store.path(given.base.artifact)
    _refuse_long_rows(given)
    kept = given.base.labels == given.labels
    ctx.progress("loading the model", 0, 0)
    with quiet():
        model = _loaded(source, given) if kept else _with_new_head(source, given)
    rows = _training_set(given, ctx, takes_types=_takes_types(model.config))
    if not rows.input_ids:
        raise DataError(
            f"no row of the split {given.rows.split} has a word to train on",
            hint="Raise base.finetune.max_length, or train on another split.",
        )
    with _checkpoints(given, ctx.store.root) as folder:
        trained = train(model, rows, given.plan, folder, ctx.progress)
        _refuse_infinite(model)
        target = ctx.scratch / "finetuned"
        _save(model, source, target)
        size = (target / SAFE).stat().st_size
        base = given.base.model_copy(
            update={
                "num_parameters": parameters_of(target / SAFE),
                "artifact": ctx.store.adopt(target),
                "architecture": type(model).__name__,
                "labels": given.labels,
                "weights_bytes": size,
            }
        )
    return FinetunedModel(base=base, done=_done(given, trained, len(rows.input_ids), kept=kept))


def _done(given: FinetuneInput, trained: Trained, used: int, *, kept: bool) -> Finetuned:
    plan, rows = given.plan, given.rows
    return Finetuned(
        split=rows.split,
        rows=used,
        rows_available=rows.rows_available,
        overlapping=rows.overlapping,
        unusable=rows.unusable + rows.rows - used,
        head="kept" if kept else "new",
        epochs=plan.epochs,
        learning_rate=plan.learning_rate,
        batch_size=plan.batch_size,
        max_length=plan.max_length,
        warmup_ratio=plan.warmup_ratio,
        weight_decay=plan.weight_decay,
        seed=plan.seed,
        steps=trained.steps,
        loss=trained.loss,
    )


def _refuse_long_rows(given: FinetuneInput) -> None:
    longest = given.base.max_positions
    if given.plan.max_length > longest:
        raise ModelError(
            f"base.finetune.max_length: {given.plan.max_length} tokens, and the model takes at most"
            f" {longest}",
            hint=f"Set base.finetune.max_length to {longest} or less.",
        )


def _loaded(source: Path, given: FinetuneInput) -> PreTrainedModel:
    """The base with its own head, in 32 bits."""
    import torch
    import transformers

    loader = getattr(transformers, task_for(given.task).classes.torch)
    model: PreTrainedModel
    model, told = loader.from_pretrained(
        source, local_files_only=True, torch_dtype=torch.float32, output_loading_info=True
    )
    _refuse_missing(told["missing_keys"])
    return model


def _with_new_head(source: Path, given: FinetuneInput) -> PreTrainedModel:
    """The Transformer of the base below a seeded head for the labels; no other head's weights."""
    import torch
    import transformers
    from transformers import AutoConfig, AutoModel

    config = AutoConfig.from_pretrained(source, local_files_only=True)
    config.id2label = dict(enumerate(given.labels))
    config.label2id = {name: number for number, name in enumerate(given.labels)}
    config.problem_type = None
    loader = getattr(transformers, task_for(given.task).classes.torch)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(given.plan.seed)
        try:
            below, told = AutoModel.from_pretrained(
                source, local_files_only=True, torch_dtype=torch.float32, output_loading_info=True
            )
            model: PreTrainedModel = loader.from_config(config, torch_dtype=torch.float32)
        except ValueError as error:  # an architecture that has no such head
            raise ModelError(
                f"no head for {given.task} can be put on the architecture {given.base.model_type}",
                hint="Set base to a model of another architecture, such as bert.",
            ) from error
    _refuse_missing([name for name in told["missing_keys"] if not name.startswith("pooler.")])
    # A pooler below that the head does not look at stays out.
    left = model.base_model.load_state_dict(below.state_dict(), strict=False)
    assert not left.missing_keys
    return model


def _refuse_missing(names: Sequence[str]) -> None:
    """transformers makes up weights that are not there."""
    if names:
        raise ModelError(
            f"the base has no weights for {names[0]}",
            hint="Its repository is not whole, or its config.json is of another model.",
        )


def _takes_types(config: PretrainedConfig) -> bool:
    return int(getattr(config, "type_vocab_size", 0)) > 0


def _training_set(given: FinetuneInput, ctx: Context, *, takes_types: bool) -> TrainingSet:
    rows = read_rows(ctx.store.path(given.rows.artifact), TRAINING)
    task, folder = task_for(given.task), ctx.store.path(given.base.artifact)
    ctx.progress("tokenizing", 0, 0)
    made = task.encode(rows, folder, max_length=given.plan.max_length)
    has_types = takes_types and "token_type_ids" in made.input_names
    types = made.token_types if has_types else None
    if task.reference != "word-labels":
        return TrainingSet(made.ids, types, made.arrays["labels"].tolist(), made.pad_id)
    labels = token_labels(made)
    # The loss of a batch without any label would be no number.
    able = [row for row, one in enumerate(labels) if set(one) != {NO_LABEL}]
    return TrainingSet(
        [made.ids[row] for row in able],
        [types[row] for row in able] if types else None,
        [labels[row] for row in able],
        made.pad_id,
    )


def token_labels(made: Encoding) -> list[list[int]]:
    """A label for each token: that of the word which it is the first token of, else none."""
    offsets, positions = made.arrays["word_offsets"], made.arrays["word_positions"]
    found = []
    for row, ids in enumerate(made.ids):
        words = range(int(offsets[row]), int(offsets[row + 1]))
        labels = [NO_LABEL] * len(ids)
        for word in words:
            labels[int(positions[word])] = int(made.arrays["labels"][word])
        found.append(labels)
    return found


@contextmanager
def _checkpoints(given: FinetuneInput, root: Path) -> Iterator[Path]:
    """The folder of this very run's checkpoints, which ends with the run; after a kill, and where
    something about the machine stopped it, it stays. The store gives a run to one process only."""
    parent = root / "checkpoints"
    parent.mkdir(exist_ok=True)
    for old in parent.iterdir():  # of recipes that have changed since
        if old.is_dir() and time.time() - old.stat().st_mtime > _OLD_SECONDS:
            shutil.rmtree(old, ignore_errors=True)
    key = digest_of_value({"given": given.model_dump(mode="json"), "tools": tool_versions(_TOOLS)})
    folder = parent / key
    folder.mkdir(exist_ok=True)
    try:
        yield folder
    except ModelError:  # it would end so again
        shutil.rmtree(folder)
        raise
    shutil.rmtree(folder)


def _refuse_infinite(model: PreTrainedModel) -> None:
    if not all(bool(weight.isfinite().all()) for weight in model.parameters()):
        raise diverged("in the last step")


def _save(model: PreTrainedModel, source: Path, target: Path) -> None:
    """A model folder: the tokenizer's files are those of the base, byte for byte."""
    model.save_pretrained(target, safe_serialization=True, max_shard_size="1TB")
    for path in sorted(source.iterdir()):
        if path.suffix != ".safetensors" and path.name not in (CONFIG, SAFE_INDEX):
            shutil.copyfile(path, target / path.name)
    config = json.loads((target / CONFIG).read_text(encoding="utf-8"))
    config.pop("_name_or_path", None)  # a path of this machine
    text = json.dumps(config, indent=2, sort_keys=True, ensure_ascii=False)
    (target / CONFIG).write_text(text + "\n", encoding="utf-8")
    kept = {p.name for p in source.iterdir()} | {CONFIG, SAFE}
    for path in target.iterdir():
        if path.name not in kept:  # of generation, which no classifier does
            path.unlink()
