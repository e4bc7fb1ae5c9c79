"""report: everything that was measured, put together as results.json, and as rows for a table."""

from __future__ import annotations

import json
from collections import Counter

from hubkit.cards import numbers
from hubkit.cards.entry import Entry, entry_of
from hubkit.cards.layout import label_of, metric_title
from hubkit.recipe import Recipe
from hubkit.records import (
    Analyses,
    BaseModelInfo,
    Dataset,
    Encoded,
    Failed,
    Format,
    Interval,
    Record,
    Report,
    Sample,
    Scores,
    Selection,
    SweepOrigin,
    Timings,
    TuneOrigin,
    Variant,
)
from hubkit.stage import Context, stage


class ReportInput(Record):
    """The parts of a report; `variants` in the order in which tables show them."""

    recipe: Recipe
    base: BaseModelInfo
    dataset: Dataset
    encoded: Encoded
    variants: tuple[Variant, ...]
    scores: tuple[Scores, ...]
    timings: Timings | None = None
    selection: Selection | None = None
    openvino_selection: Selection | None = None
    samples: tuple[Sample, ...] = ()
    made_up_samples: bool = False
    failures: tuple[Failed, ...] = ()
    sweep: SweepOrigin | None = None
    tuned: TuneOrigin | None = None
    analyses: Analyses | None = None


class SummaryRow(Record):
    """One variant for a table. None: not measured, or does not apply (`flips` of a baseline)."""

    variant: str
    label: str  # "ONNX INT8"
    format: Format
    size_mb: float  # of the weights file, 10^6 bytes
    metric: str
    value: float | None
    interval: Interval | None
    flips: int | None
    batch_size: int | None  # of the smallest point that was timed
    input_length: int | None
    p50_ms: float | None
    speedup: float | None  # median latency of ONNX FP32 divided by this one's
    published_as: str | None  # its file in the repository


def _check(given: ReportInput) -> None:
    names = Counter(variant.name for variant in given.variants)
    twice = [name for name, n in names.items() if n > 1]
    timed = [timing.variant for timing in (given.timings.timings if given.timings else ())]
    selections = [one for one in (given.selection, given.openvino_selection) if one]
    judged = [c.variant for one in selections for c in one.candidates]
    measured = {*(scores.variant for scores in given.scores), *timed, *judged}
    unknown = measured - names.keys()
    if twice or unknown:  # a fault of the caller, not of the user
        raise ValueError(
            f"variants given twice: {twice}; measured but not given: {sorted(unknown)}"
        )


@stage("report", version=1, kind="pure", takes=ReportInput, gives=Report)
def report(given: ReportInput, ctx: Context) -> Report:
    """The report of a publication. Times are in `timings`, and in what `selection` made of them."""
    _check(given)
    return Report(
        recipe=given.recipe.name,
        task=given.recipe.task,
        base=given.base,
        dataset=given.dataset,
        encoded=given.encoded,
        variants=given.variants,
        scores=given.scores,
        timings=given.timings,
        selection=given.selection,
        openvino_selection=given.openvino_selection,
        samples=given.samples,
        made_up_samples=given.made_up_samples,
        failures=given.failures,
        sweep=given.sweep,
        tuned=given.tuned,
        analyses=given.analyses,
    )


def record_json(record: Record) -> str:
    """A record as a file: sorted keys, one value a line, equal bytes for equal records."""
    return value_json(record.model_dump(mode="json", by_alias=True))


def value_json(value: object) -> str:
    """A plain value as a file, in the form of `record_json`."""
    return json.dumps(value, sort_keys=True, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _smallest_point(report: Report) -> tuple[int, int] | None:
    timings = report.timings.timings if report.timings else ()
    points = {(p.batch_size, p.input_length) for timing in timings for p in timing.points}
    return min(points, default=None)


def _row(
    entry: Entry, metric: str, baseline: Entry | None, point: tuple[int, int] | None
) -> SummaryRow:
    measured = entry.metric(metric)
    timing = entry.point(*point) if point else None
    paired = entry.scores.paired if entry.scores else None
    return SummaryRow(
        variant=entry.variant.name,
        label=label_of(entry.variant),
        format=entry.variant.format,
        size_mb=entry.variant.size_bytes / 1e6,
        metric=metric,
        value=measured.value if measured else None,
        interval=measured.interval if measured else None,
        flips=paired.flips if paired else None,
        batch_size=point[0] if point else None,
        input_length=point[1] if point else None,
        p50_ms=timing.p50_ms if timing else None,
        speedup=entry.faster_than(baseline, *point) if point else None,
        published_as=entry.file,
    )


def summary_rows(report: Report, recipe: Recipe) -> tuple[SummaryRow, ...]:
    """A row for every variant of the report, in its order, with the metric of the recipe's gate."""
    entries = [entry_of(variant, recipe, report) for variant in report.variants]
    fp32 = (e for e in entries if e.variant.precision == "fp32" and e.variant.format == "onnx")
    baseline = next(fp32, None)
    point = _smallest_point(report)
    return tuple(_row(entry, recipe.gates.metric, baseline, point) for entry in entries)


def summary_header(rows: tuple[SummaryRow, ...]) -> tuple[str, ...]:
    """The titles over `summary_cells`: Speed is against ONNX FP32, milliseconds are the median."""
    metric = metric_title(rows[0].metric) if rows else "Metric"
    point = f"{rows[0].batch_size}×{rows[0].input_length} " if rows and rows[0].batch_size else ""
    return ("Variant", "MB", metric, "Flips", f"{point}ms", "Speed", "In repo")


def summary_cells(row: SummaryRow) -> tuple[str, ...]:
    """A row's cells as text, short enough for a terminal of 80 columns."""
    value = numbers.score(row.value)
    spread = f" ({numbers.interval(row.interval)})" if row.interval else ""
    return (
        row.variant,
        numbers.megabytes(row.size_mb * 1e6),
        f"{value}{spread}",
        "–" if row.flips is None else numbers.count(row.flips),
        "–" if row.p50_ms is None else numbers.milliseconds(row.p50_ms),
        "–" if row.speedup is None else numbers.ratio(row.speedup),
        row.format if row.published_as else "–",
    )
