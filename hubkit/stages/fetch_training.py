"""The rows that a base is fine-tuned on, or its projection fitted to, in the store: none of them is
evaluated on."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

from pydantic import Field

from hubkit.errors import DataError
from hubkit.recipe import DatasetSpec, TaskName
from hubkit.records import Artifact, Record, Source
from hubkit.stage import Context, stage
from hubkit.stages.dataset_columns import Rows, Words
from hubkit.stages.dataset_labels import LabelMap
from hubkit.stages.dataset_rows import Wish, read_splits
from hubkit.stages.fetch_dataset import Picked, write_rows
from hubkit.stages.resolve import digest_of_data
from hubkit.tasks import task_for

TRAINING = "training"


class FetchTrainingInput(Record):
    """`path`: of a local dataset, whose digest is in `source`; None: from the Hub. `samples` rows
    of `split` are drawn with the seed; None: all. `model_labels`: in the order of their ids."""

    source: Source
    spec: DatasetSpec
    split: str
    task: TaskName
    labels: dict[str, str] = Field(default_factory=dict)
    model_labels: tuple[str, ...]
    samples: int | None = None
    seed: int
    path: str | None = None


class TrainingRows(Record):
    """`artifact` holds training.parquet, in the form of eval.parquet. `overlapping` rows were left
    out because the evaluation split has their text too, be it in other spacing or case; `unusable`
    ones because they have no text or a value that the recipe maps to no label."""

    artifact: Artifact
    split: str
    rows: int
    rows_available: int
    overlapping: int
    unusable: int


@stage(
    "fetch-training",
    version=2,
    kind="heavy",
    takes=FetchTrainingInput,
    gives=TrainingRows,
    tools=("datasets", "pyarrow"),
    unkeyed=("path",),
)
def fetch_training(given: FetchTrainingInput, ctx: Context) -> TrainingRows:
    """The rows of the split that can be trained on, in its order, less those of the evaluation
    split.

    Raises DataError where none is left, a label has none, or the dataset does not hold what the
    recipe says.
    """
    ctx.progress("reading the training rows", 0, 0)
    reference = task_for(given.task).reference
    path = Path(given.path) if given.path is not None else None
    if path is not None and digest_of_data(path) != given.source.sha:
        raise DataError(
            f"the dataset {given.source.id} was changed after it was looked at",
            hint="Run the same command again.",
        )
    wish = Wish(given.spec, reference, [given.split, given.spec.eval_split])
    training, evaluation = read_splits(given.source, wish, path, ctx)
    label_map = LabelMap(given.labels, given.model_labels)
    known: Sequence[int | list[int] | None]
    if reference == "none":
        known = [0] * len(training)
    elif reference == "word-labels":
        known = label_map.strict_word_ids(training, given.spec.path)
    else:
        known = label_map.ids(training)
    texts, seen = training.texts(), set(map(_plain, evaluation.texts()))
    usable = [n for n, text in enumerate(texts) if None not in text and known[n] is not None]
    own = [n for n in usable if _plain(texts[n]) not in seen]
    numbers = own
    if given.samples is not None and given.samples < len(own):
        numbers = sorted(random.Random(given.seed).sample(own, given.samples))
    references = [found for n in numbers if (found := known[n]) is not None]
    _refuse_too_little(training, references, given)
    folder = ctx.scratch / "training"
    folder.mkdir()
    picked = Picked(training, numbers, None if reference == "none" else references)
    write_rows(picked, reference, folder / f"{TRAINING}.parquet")
    return TrainingRows(
        artifact=ctx.store.adopt(folder),
        split=given.split,
        rows=len(numbers),
        rows_available=len(training),
        overlapping=len(usable) - len(own),
        unusable=len(training) - len(usable),
    )


def _plain(texts: tuple[str | Words | None, ...]) -> tuple[str | None, ...]:
    """A row's texts less spacing and case, in which copies of a row may differ."""
    return tuple(
        None
        if text is None
        else " ".join(text if isinstance(text, tuple) else text.split()).casefold()
        for text in texts
    )


def _refuse_too_little(
    training: Rows, references: Sequence[int | list[int]], given: FetchTrainingInput
) -> None:
    where = f"split {training.split} of dataset {given.spec.path}"
    if not references:
        key = "project" if given.task == "feature-extraction" else "finetune"
        raise DataError(
            f"{where} has no row to train on that is not in the evaluation split too",
            hint=f"Set base.{key}.split in the recipe to another split, such as train.",
        )
    for number, label in enumerate(given.model_labels):
        # Of tags some are rare: a model learns the others without them.
        if number not in references and given.task == "text-classification":
            raise DataError(
                f'{where} has no row with the label "{label}" to train on',
                hint="Train on more rows (base.finetune.samples), or on another split.",
            )
