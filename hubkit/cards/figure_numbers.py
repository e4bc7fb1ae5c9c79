"""Taking the numbers of a card's figures from its report, without drawing anything."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from hubkit.cards.entry import Entry, entry_of
from hubkit.cards.figure_data import (
    AccuracyLatency,
    BinPoint,
    Drop,
    FigureData,
    Latency,
    LatencyLine,
    LatencyPoint,
    Model,
    ModelPoint,
    ReliabilityDiagram,
    ReliabilityPanel,
    SizeBar,
    Sizes,
    SliceDrops,
    Slices,
)
from hubkit.cards.figure_labels import drawable_names
from hubkit.cards.layout import published_variants
from hubkit.recipe import Recipe
from hubkit.records import Paired, Report, Scores

MOST_SLICES = 14  # in one figure; the rest is in the table


@dataclass(frozen=True)
class _Shown:
    """The models of a card: what is published, then the FP32 models, ONNX first."""

    published: tuple[Entry, ...]
    baselines: tuple[Entry, ...]

    @property
    def all(self) -> tuple[Entry, ...]:
        return (*self.published, *self.baselines)


def _shown(report: Report, recipe: Recipe) -> _Shown:
    published = published_variants(recipe, report).values()
    fp32 = sorted((v for v in report.variants if v.precision == "fp32"), key=lambda v: v.format)
    return _Shown(
        tuple(entry_of(variant, recipe, report) for variant in published),
        tuple(entry_of(variant, recipe, report) for variant in fp32),
    )


def _model(entry: Entry) -> Model:
    return Model(entry.label, entry.variant.format, entry.variant.precision)


def figure_data(report: Report, recipe: Recipe) -> tuple[FigureData, ...]:
    """The numbers of every figure that this report has data for, in the order of the card."""
    shown = _shown(report, recipe)
    found = (
        _accuracy_latency(shown, recipe.gates.metric),
        _latency(shown),
        _sizes(shown),
        _reliability(shown, report),
        _slices(shown, report, recipe.gates.metric),
    )
    return tuple(data for data in found if data is not None)


def _grid(shown: _Shown) -> tuple[tuple[int, int], ...]:
    points = (p for entry in shown.all if entry.timing for p in entry.timing.points)
    return tuple(sorted({(p.batch_size, p.input_length) for p in points}))


def _accuracy_latency(shown: _Shown, metric: str) -> AccuracyLatency | None:
    grid = _grid(shown)
    if not grid:
        return None
    points, confidence = [], 0.0
    for entry in shown.all:
        score, timing = entry.metric(metric), entry.point(*grid[0])
        if score and timing:
            confidence = score.confidence
            low, high = score.interval.low, score.interval.high
            points.append(ModelPoint(_model(entry), score.value, low, high, timing.p50_ms))
    # One model alone is compared with nothing.
    if len(points) < 2:
        return None
    return AccuracyLatency(metric, confidence, *grid[0], tuple(points))


def _latency(shown: _Shown) -> Latency | None:
    grid = _grid(shown)
    if len(grid) < 2:  # one point is in the figure before already
        return None
    lines = []
    for entry in shown.all:
        timings = ((at, entry.point(*at)) for at in grid)
        points = tuple(LatencyPoint(*at, timing.p50_ms) for at, timing in timings if timing)
        if points:
            lines.append(LatencyLine(_model(entry), points))
    batch_sizes, input_lengths = ({point[axis] for point in grid} for axis in (0, 1))
    return Latency(tuple(sorted(batch_sizes)), tuple(sorted(input_lengths)), tuple(lines))


def _sizes(shown: _Shown) -> Sizes | None:
    bars = tuple(SizeBar(_model(entry), entry.variant.size_bytes) for entry in shown.all)
    return Sizes(bars) if len(bars) > 1 else None


def _reference(shown: _Shown) -> tuple[Entry, ...]:
    """The FP32 model of the card's table of scores: the first that a published one names."""
    named = {e.scores.paired.baseline for e in shown.published if e.scores and e.scores.paired}
    chosen = [base for base in shown.baselines if base.variant.name in named]
    return tuple((chosen or list(shown.baselines))[:1])


def _reliability(shown: _Shown, report: Report) -> ReliabilityDiagram | None:
    found = {one.variant: one for one in report.analyses.reliability} if report.analyses else {}
    panels = []
    for entry in (*shown.published, *_reference(shown)):
        one = found.get(entry.variant.name)
        bins = tuple(
            BinPoint(b.low, b.high, b.count, b.confidence, b.accuracy)
            for b in (one.bins if one else ())
            if b.count and b.confidence is not None and b.accuracy is not None
        )
        if one and bins:
            low, high = one.ece_interval.low, one.ece_interval.high
            panels.append(ReliabilityPanel(_model(entry), one.units, one.ece, low, high, bins))
    return ReliabilityDiagram(tuple(panels)) if panels else None


def _slices(shown: _Shown, report: Report, metric: str) -> Slices | None:
    slices = report.analyses.slices if report.analyses else ()
    labels = drawable_names(tuple(one.name for one in slices))
    measured = []
    for number, (one, label) in enumerate(zip(slices, labels, strict=True), 1):
        by_name = {scores.variant: scores for scores in one.scores}
        if drops := _drops(shown, by_name.get):
            own = one.metric or metric
            what = (number, one.name, label, one.kind, one.definition)
            measured.append(SliceDrops(*what, one.rows, own, drops))
    if not measured:
        return None
    worst = sorted(measured, key=lambda one: -max(drop.loss for drop in one.drops))
    kept = sorted(worst[:MOST_SLICES], key=lambda one: one.number)
    every = _drops(shown, report.scores_of)
    rows = report.dataset.eval_rows
    whole = SliceDrops(0, "", "all rows", "all", "", rows, metric, every) if every else None
    scores = (m for entry in shown.published if (m := entry.metric(metric)))
    confidence = next((m.confidence for m in scores), 0.95)
    return Slices(metric, confidence, len(measured), whole, tuple(kept))


def _drops(shown: _Shown, scores_of: Callable[[str], Scores | None]) -> tuple[Drop, ...]:
    def paired_of(entry: Entry) -> Paired | None:
        scores = scores_of(entry.variant.name)
        return scores.paired if scores else None

    return tuple(
        Drop(_model(entry), paired.loss, paired.loss_interval.low, paired.loss_interval.high)
        for entry in shown.published
        if (paired := paired_of(entry))
    )
