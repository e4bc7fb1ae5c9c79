"""The rows a recipe evaluates on and calibrates with, in the store."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import Field

from hubkit.errors import DataError
from hubkit.recipe import DatasetSpec, TaskName
from hubkit.records import Dataset, Record, Source
from hubkit.stage import Context, stage
from hubkit.stages.dataset_columns import Rows
from hubkit.stages.dataset_labels import LabelMap, answers_of
from hubkit.stages.dataset_rows import Wish, read_splits
from hubkit.stages.resolve import digest_of_data
from hubkit.stages.split_rows import GROUP
from hubkit.tasks import task_for
from hubkit.tasks.base import Reference

EVAL, CALIBRATION = "eval.parquet", "calibration.parquet"
UNMAPPED = -1  # label of a calibration row whose value the recipe does not map: it is not needed
_SAMPLE_SEED = 13


class FetchDatasetInput(Record):
    """`path`: of a local dataset, whose digest is in `source`; None: from the Hub.

    `samples` limits the evaluation rows (None: all); `calibration_rows` is the largest number that
    a variant needs, 0 for none. `group_columns` are kept beside the evaluation rows.
    """

    source: Source
    spec: DatasetSpec
    task: TaskName = "text-classification"
    labels: dict[str, str] = Field(default_factory=dict)
    model_labels: tuple[str, ...] = ()
    samples: int | None = None
    calibration_rows: int = 0
    calibration_seed: int = 13
    group_columns: tuple[str, ...] = ()
    path: str | None = None


References = Sequence[int | list[int] | list[str]]


@dataclass(frozen=True)
class Picked:
    """Some rows of a split, and the reference of each row in the order of `numbers`: a label id,
    the label ids of its words, or its answers; None where they are not stored."""

    rows: Rows
    numbers: Sequence[int]
    references: References | None


@stage(
    "fetch-dataset",
    version=2,
    kind="heavy",
    takes=FetchDatasetInput,
    gives=Dataset,
    tools=("datasets", "pyarrow"),
    unkeyed=("path",),
)
def fetch_dataset(given: FetchDatasetInput, ctx: Context) -> Dataset:
    """eval.parquet, in the order of its split, with the group columns as text, and
    calibration.parquet, drawn with the seed.

    A limit on the evaluation rows takes a seeded sample, so that a split sorted by label keeps all
    of them. Calibration rows never occur in the evaluation split. Raises DataError where the
    dataset does not hold what the recipe says, HubError where the Hub does not give it.
    """
    ctx.progress("reading the dataset", 0, 0)
    evaluation, calibration = _splits(given, ctx)
    label_map = LabelMap(given.labels, given.model_labels)
    _refuse_missing_text(evaluation, given.spec.path)
    references = _references(evaluation, given, label_map)
    numbers = _limited(len(evaluation), given.samples)
    folder = ctx.scratch / "rows"
    folder.mkdir()
    reference = task_for(given.task).reference
    picked = Picked(evaluation, numbers, _some(references, numbers))
    write_rows(picked, reference, folder / EVAL)
    drawn: list[int] = []
    if calibration is not None:
        drawn = _draw(evaluation, calibration, given)
        unused = _unused_labels(calibration, drawn, given, label_map)
        write_rows(Picked(calibration, drawn, unused), reference, folder / CALIBRATION)
    return Dataset(
        artifact=ctx.store.adopt(folder),
        eval_rows=len(numbers),
        eval_rows_available=len(evaluation),
        calibration_rows=len(drawn),
        label_counts=_counts(picked.references, given.model_labels),
        partial=len(numbers) < len(evaluation),
    )


def _splits(given: FetchDatasetInput, ctx: Context) -> tuple[Rows, Rows | None]:
    path = Path(given.path) if given.path is not None else None
    if path is not None and digest_of_data(path) != given.source.sha:
        raise DataError(
            f"the dataset {given.source.id} was changed after it was looked at",
            hint="Run the same command again.",
        )
    names = [given.spec.eval_split]
    if given.calibration_rows:
        names.append(given.spec.calibration_split)
    wish = Wish(given.spec, task_for(given.task).reference, names, given.group_columns)
    evaluation, *rest = read_splits(given.source, wish, path, ctx)
    return evaluation, rest[0] if rest else None


def _limited(rows: int, samples: int | None) -> Sequence[int]:
    if samples is None or samples >= rows:
        return range(rows)
    return sorted(random.Random(_SAMPLE_SEED).sample(range(rows), samples))


def _references(rows: Rows, given: FetchDatasetInput, labels: LabelMap) -> References | None:
    reference = task_for(given.task).reference
    if reference == "label":
        return labels.strict_ids(rows, given.spec.path)
    if reference == "word-labels":
        return labels.strict_word_ids(rows, given.spec.path)
    return answers_of(rows, given.spec.path) if reference == "answers" else None


def _some(references: References | None, numbers: Sequence[int]) -> References | None:
    return None if references is None else [references[n] for n in numbers]


def _unused_labels(
    rows: Rows, drawn: Sequence[int], given: FetchDatasetInput, labels: LabelMap
) -> list[int] | None:
    """Calibration looks at no reference; of the tasks that store one a row, what there is."""
    if task_for(given.task).reference != "label":
        return None
    ids = labels.ids(rows)
    return [UNMAPPED if (label := ids[n]) is None else label for n in drawn]


def _counts(references: References | None, labels: Sequence[str]) -> dict[str, int]:
    """Label -> rows that have it, or words; nothing where there are no labels."""
    each = (one if isinstance(one, list) else [one] for one in references or ())
    found = Counter(value for values in each for value in values)
    return {name: found[number] for number, name in enumerate(labels)}


def _refuse_missing_text(rows: Rows, dataset: str) -> None:
    missing = [number for number, texts in enumerate(rows.texts()) if None in texts]
    if missing:
        raise DataError(
            f"split {rows.split} of dataset {dataset} has {len(missing):,} rows without text"
            f" (null), first in row {missing[0]}",
            hint="Set dataset.data_keys in the recipe to columns without nulls, or fill them.",
        )


def _draw(evaluation: Rows, calibration: Rows, given: FetchDatasetInput) -> list[int]:
    """Row numbers of the calibration split in the order drawn; the first n of them serve a variant
    that needs n. Fewer than wanted where the split has no more."""
    seen = set(evaluation.texts())
    texts = calibration.texts()
    usable = [n for n, text in enumerate(texts) if None not in text and text not in seen]
    if not usable:
        raise DataError(
            f"split {calibration.split} of dataset {given.spec.path} has no row to calibrate with"
            " that is not in the evaluation split too",
            hint="Set dataset.calibration_split in the recipe to another split, such as train.",
        )
    wanted = min(given.calibration_rows, len(usable))
    return random.Random(given.calibration_seed).sample(usable, wanted)


def write_rows(picked: Picked, reference: Reference, path: Path) -> None:
    """Write a split as Parquet, in the form that records.Dataset tells of."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    texts = pa.list_(pa.string())
    text = texts if reference == "word-labels" else pa.string()
    columns = {
        role: pa.array([values[n] for n in picked.numbers], text)
        for role, values in picked.rows.columns.items()
    }
    if picked.references is not None:
        name = "answers" if reference == "answers" else "label"
        lists = {"word-labels": pa.list_(pa.int64()), "answers": texts}
        columns[name] = pa.array(picked.references, lists.get(reference, pa.int64()))
    for column, groups in picked.rows.groups.items():
        columns[GROUP + column] = pa.array([groups[n] for n in picked.numbers], pa.string())
    pq.write_table(pa.table(columns), path)
