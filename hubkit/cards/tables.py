"""The cells of a card's tables, formatted. The template has the titles, and finds them by `key`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

from hubkit.cards.entry import Entry
from hubkit.cards.numbers import Numbers
from hubkit.records import Candidate, Paired, Report, Selection, TimingPoint

NOTHING = "–"  # does not apply here, which is not the same as not measured


@dataclass(frozen=True)
class Line:
    """A line of a table; `key` says what it is about."""

    key: str
    cells: tuple[str, ...]


@dataclass(frozen=True)
class SpeedTable:
    """The timings of one model, a line for each batch size and input length."""

    label: str
    lines: tuple[Line, ...]


@dataclass(frozen=True)
class Spread:
    """How far the rounds of a benchmark differ: (largest - smallest) / mean of the rounds' means of
    one model at one point, the median and the largest over all points, as text."""

    median: str
    largest: str
    large: bool  # so large that the machine was not alone


@dataclass(frozen=True)
class CandidateLine:
    """One variant before the gate. `reason`: the gate's own words, in English, for one that
    was not compared with FP32."""

    variant: str
    size_mb: str
    flips: str
    latency_ms: str
    loss: str  # relative, with its interval
    passes: bool
    compared: bool
    undecided: bool  # the limit lies within the interval
    selected: bool
    reason: str
    worse: str | None = None  # "larger" or "slower" than FP32


def _paired_lines(numbers: Numbers) -> dict[str, Callable[[Paired], str]]:
    return {
        "flips": lambda paired: numbers.count(paired.flips),
        "now_right": lambda paired: numbers.count(paired.now_right),
        "now_wrong": lambda paired: numbers.count(paired.now_wrong),
        "mcnemar_p": lambda paired: numbers.probability(paired.mcnemar_p),
        "loss": lambda paired: numbers.signed(paired.loss),
        "loss_interval": lambda paired: numbers.difference(paired.loss_interval),
        "max_abs_logit_diff": lambda paired: numbers.logit(paired.max_abs_logit_diff),
        "mean_abs_logit_diff": lambda paired: numbers.logit(paired.mean_abs_logit_diff),
    }


def _paired_cell(
    entry: Entry, reference: Entry | None, show: Callable[[Paired], str], not_measured: str
) -> str:
    if reference and entry.variant.name == reference.variant.name:
        return NOTHING
    paired = entry.scores.paired if entry.scores else None
    return show(paired) if paired else not_measured


def score_lines(
    columns: tuple[Entry, ...],
    reference: Entry | None,
    metrics: tuple[str, ...],
    numbers: Numbers,
) -> tuple[Line, ...]:
    """Metrics, then `size_mb`, then what changed against FP32; a cell for each of `columns`."""
    lines = [
        Line(name, tuple(numbers.measured(entry.metric(name)) for entry in columns))
        for name in metrics
    ]
    sizes = tuple(numbers.megabytes(entry.variant.size_bytes) for entry in columns)
    lines.append(Line("size_mb", sizes))
    for key, show in _paired_lines(numbers).items():
        cells = (_paired_cell(entry, reference, show, numbers.not_measured) for entry in columns)
        lines.append(Line(key, tuple(cells)))
    return tuple(lines)


def _timing_cells(point: TimingPoint | None, numbers: Numbers) -> tuple[str, ...]:
    if point is None:
        return (numbers.not_measured,) * 5
    latencies = (point.mean_ms, point.p50_ms, point.p90_ms, point.p99_ms)
    return (*map(numbers.milliseconds, latencies), numbers.per_second(point.throughput_per_s))


def latency_lines(
    entries: tuple[Entry, ...],
    baseline: Entry | None,
    grid: tuple[tuple[int, int], ...],
    numbers: Numbers,
) -> tuple[Line, ...]:
    """Median latency in ms of each of `entries`, and how many times as fast as `baseline` it is."""
    lines = []
    for point in grid:
        cells = []
        for entry in entries:
            timing = entry.point(*point)
            cell = numbers.milliseconds(timing.p50_ms if timing else None)
            faster = entry.faster_than(baseline, *point)
            own = baseline is not None and entry.variant.name == baseline.variant.name
            cells.append(cell if faster is None or own else f"{cell} ({numbers.ratio(faster)})")
        lines.append(Line(numbers.point(point), tuple(cells)))
    return tuple(lines)


def speed_tables(
    entries: tuple[Entry, ...],
    baselines: tuple[Entry, ...],
    grid: tuple[tuple[int, int], ...],
    numbers: Numbers,
) -> tuple[SpeedTable, ...]:
    """For each model that was timed: mean, p50, p90, p99 in ms, sequences a second, and the median
    latency of each of `baselines` divided by its own."""
    return tuple(
        SpeedTable(
            entry.label,
            tuple(
                Line(numbers.point(point), (*_timing_cells(entry.point(*point), numbers), *faster))
                for point in grid
                for faster in [[numbers.ratio(entry.faster_than(b, *point)) for b in baselines]]
            ),
        )
        for entry in entries
        if entry.timing
    )


def _loss(candidate: Candidate, numbers: Numbers) -> str:
    loss, interval = candidate.relative_loss, candidate.loss_interval
    if loss is None or interval is None:
        return NOTHING
    low, high = numbers.loss_share(interval.low), numbers.loss_share(interval.high)
    return numbers.together(f"{numbers.loss_share(loss)} ({low} … {high})")


def _undecided(candidate: Candidate, limit: float) -> bool:
    interval = candidate.loss_interval
    return interval is not None and interval.low <= limit < interval.high


def candidate_lines(
    report: Report, selection: Selection | None, numbers: Numbers
) -> tuple[CandidateLine, ...]:
    """Every variant that stood before the gate in a selection, as it was decided."""
    if selection is None:
        return ()
    lines = []
    for candidate in selection.candidates:
        scores = report.scores_of(candidate.variant)
        paired = scores.paired if scores else None
        lines.append(
            CandidateLine(
                variant=candidate.variant,
                size_mb=numbers.megabytes(report.variant(candidate.variant).size_bytes),
                flips=numbers.count(paired.flips if paired else None),
                latency_ms=numbers.milliseconds(candidate.mean_ms),
                loss=_loss(candidate, numbers),
                passes=candidate.passes,
                compared=candidate.loss_interval is not None,
                undecided=_undecided(candidate, selection.max_relative_loss),
                selected=candidate.variant == selection.selected,
                reason=candidate.reason,
                worse=candidate.worse,
            )
        )
    return tuple(lines)


def _yes_no(value: bool | None) -> str:
    return NOTHING if value is None else "yes" if value else "no"


def _smoothing(alpha: float | str | None, numbers: Numbers) -> str:
    if alpha is None or isinstance(alpha, str):
        return alpha or NOTHING
    return numbers.decimal(alpha, 3)


def setting_lines(entries: tuple[Entry, ...], numbers: Numbers) -> tuple[Line, ...]:
    """How each model was quantized; lines that say nothing about any of them are left out."""
    columns = []
    mixed = any(entry.variant.precision == "fp16" for entry in entries)
    for entry in entries:
        it = entry.variant
        half = it.precision == "fp16"  # no operator and no activation of it is quantized
        # In the order that results.json has them in, which a reader makes the card again from.
        matched = sorted(it.nodes_excluded.items())
        excluded = ", ".join(f"{name}: {numbers.count(n)}" for name, n in matched)
        columns.append(
            {
                "variant": it.name,
                "precision": it.precision.upper() if mixed else NOTHING,
                "approach": NOTHING if half else it.approach,
                "operators": NOTHING if half else ", ".join(it.operators_to_quantize) or NOTHING,
                "per_channel": _yes_no(it.per_channel),
                "reduce_range": _yes_no(it.reduce_range),
                "nodes_quantized": NOTHING
                if half or it.nodes_quantized is None
                else numbers.count(it.nodes_quantized),
                "nodes_excluded": excluded or NOTHING,
                "opset": NOTHING if it.opset is None else str(it.opset),
                "smoothing": _smoothing(it.smoothing, numbers),
            }
        )
    keys = columns[0].keys() if columns else ()
    lines = (Line(key, tuple(column[key] for column in columns)) for key in keys)
    return tuple(line for line in lines if set(line.cells) != {NOTHING})


# Rounds on a machine that does nothing else differ by less.
_LARGE_SPREAD = 0.15


def round_spread(report: Report, numbers: Numbers) -> Spread | None:
    """How far the rounds differ; None where there are no two rounds to compare."""
    timings = report.timings.timings if report.timings else ()
    rounds = [p.round_means_ms for t in timings for p in t.points if len(p.round_means_ms) > 1]
    if not rounds:
        return None
    spreads = [(max(one) - min(one)) * len(one) / sum(one) for one in rounds]
    middle, largest = median(spreads), max(spreads)
    # In whole per cent: how two or three rounds differ is itself not known better.
    return Spread(
        numbers.percent(round(middle, 2)),
        numbers.percent(round(largest, 2)),
        large=middle > _LARGE_SPREAD,
    )
