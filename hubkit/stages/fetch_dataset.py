"""The rows a recipe evaluates on and calibrates with, in the store."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hubkit.errors import DataError
from hubkit.recipe import DatasetSpec
from hubkit.records import Dataset, Record, Source
from hubkit.stage import Context, stage
from hubkit.stages.dataset_labels import LabelMap
from hubkit.stages.dataset_rows import Rows, read_splits
from hubkit.stages.resolve import digest_of_data

EVAL, CALIBRATION = "eval.parquet", "calibration.parquet"
UNMAPPED = -1  # label of a calibration row whose value the recipe does not map: it is not needed
_SAMPLE_SEED = 13


class FetchDatasetInput(Record):
    """`path`: of a local dataset, whose digest is in `source`; None: from the Hub.

    `samples` limits the evaluation rows (None: all); `calibration_rows` is the largest number that
    a variant needs, 0 for none.
    """

    source: Source
    spec: DatasetSpec
    labels: dict[str, str]
    model_labels: tuple[str, ...]
    samples: int | None = None
    calibration_rows: int = 0
    calibration_seed: int = 13
    path: str | None = None


@dataclass(frozen=True)
class _Picked:
    """Some rows of a split and the label ids of these rows, in the order of `numbers`."""

    rows: Rows
    numbers: Sequence[int]
    labels: Sequence[int]


@stage(
    "fetch-dataset",
    version=1,
    kind="heavy",
    takes=FetchDatasetInput,
    gives=Dataset,
    tools=("datasets", "pyarrow"),
    unkeyed=("path",),
)
def fetch_dataset(given: FetchDatasetInput, ctx: Context) -> Dataset:
    """eval.parquet, in the order of its split, and calibration.parquet, drawn with the seed.

    A limit on the evaluation rows takes a seeded sample, so that a split sorted by label keeps all
    of them. Calibration rows never occur in the evaluation split. Raises DataError where the
    dataset does not hold what the recipe says, HubError where the Hub does not give it.
    """
    ctx.progress("reading the dataset", 0, 0)
    evaluation, calibration = _splits(given, ctx)
    label_map = LabelMap(given.labels, given.model_labels)
    _refuse_missing_text(evaluation, given.spec.path)
    labels = label_map.strict_ids(evaluation, given.spec.path)
    numbers = _limited(len(evaluation), given.samples)
    folder = ctx.scratch / "rows"
    folder.mkdir()
    _write(_Picked(evaluation, numbers, [labels[n] for n in numbers]), folder / EVAL)
    drawn: list[int] = []
    if calibration is not None:
        drawn = _draw(evaluation, calibration, given)
        ids = label_map.ids(calibration)
        found = [UNMAPPED if (label := ids[n]) is None else label for n in drawn]
        _write(_Picked(calibration, drawn, found), folder / CALIBRATION)
    used = [labels[n] for n in numbers]
    return Dataset(
        artifact=ctx.store.adopt(folder),
        eval_rows=len(numbers),
        eval_rows_available=len(evaluation),
        calibration_rows=len(drawn),
        label_counts={name: used.count(i) for i, name in enumerate(given.model_labels)},
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
    evaluation, *rest = read_splits(given.source, given.spec, path, names, ctx)
    return evaluation, rest[0] if rest else None


def _limited(rows: int, samples: int | None) -> Sequence[int]:
    if samples is None or samples >= rows:
        return range(rows)
    return sorted(random.Random(_SAMPLE_SEED).sample(range(rows), samples))


def _texts(rows: Rows) -> list[tuple[str | None, str | None]]:
    second = rows.secondary if rows.secondary is not None else [None] * len(rows)
    return list(zip(rows.primary, second, strict=True))


def _whole(rows: Rows, number: int) -> bool:
    return rows.primary[number] is not None and (
        rows.secondary is None or rows.secondary[number] is not None
    )


def _refuse_missing_text(rows: Rows, dataset: str) -> None:
    missing = [number for number in range(len(rows)) if not _whole(rows, number)]
    if missing:
        raise DataError(
            f"split {rows.split} of dataset {dataset} has {len(missing):,} rows without text"
            f" (null), first in row {missing[0]}",
            hint="Set dataset.data_keys in the recipe to columns without nulls, or fill them.",
        )


def _draw(evaluation: Rows, calibration: Rows, given: FetchDatasetInput) -> list[int]:
    """Row numbers of the calibration split in the order drawn; the first n of them serve a variant
    that needs n. Fewer than wanted where the split has no more."""
    seen = set(_texts(evaluation))
    texts = _texts(calibration)
    usable = [n for n in range(len(texts)) if _whole(calibration, n) and texts[n] not in seen]
    if not usable:
        raise DataError(
            f"split {calibration.split} of dataset {given.spec.path} has no row to calibrate with"
            " that is not in the evaluation split too",
            hint="Set dataset.calibration_split in the recipe to another split, such as train.",
        )
    wanted = min(given.calibration_rows, len(usable))
    return random.Random(given.calibration_seed).sample(usable, wanted)


def _write(picked: _Picked, path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows, numbers = picked.rows, picked.numbers
    columns = {"primary": pa.array([rows.primary[n] for n in numbers], pa.string())}
    if rows.secondary is not None:
        columns["secondary"] = pa.array([rows.secondary[n] for n in numbers], pa.string())
    columns["label"] = pa.array(picked.labels, pa.int64())
    pq.write_table(pa.table(columns), path)
