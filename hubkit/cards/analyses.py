"""The quantitative analyses of a report, as a template shows them: raw values, no words."""

from __future__ import annotations

from dataclasses import dataclass, replace

from hubkit.analysis_records import Reliability, SliceKind, SliceResult
from hubkit.cards.entry import Entry, entry_of
from hubkit.cards.layout import published_variants
from hubkit.recipe import Recipe
from hubkit.recipe_tasks import TASK_KEYS
from hubkit.records import Interval, Metric, Report, Scores
from hubkit.statistics import holm

_ROUNDING = 1e-12


@dataclass(frozen=True)
class SliceChange:
    """A published model against its FP32 baseline on a slice; `metric`, `loss` and what goes
    with them are of `SliceLine.metric`.

    `p`: of "as many became right as became wrong"; `p_holm`: the same, corrected for the slices
    that were looked at; `beyond_chance`: whether that is small enough for the recipe's confidence.
    They are None for a task in which nothing is right or wrong.
    """

    entry: Entry
    baseline: Entry
    metric: Metric
    baseline_metric: Metric
    loss: float  # baseline - published
    loss_interval: Interval
    flips: int
    now_right: int
    now_wrong: int
    units: int  # that were compared
    unit: str  # "row" or "word"
    p: float | None
    p_holm: float | None = None
    beyond_chance: bool | None = None


@dataclass(frozen=True)
class SliceLine:
    """A slice with a change for each published model; none where no row is in it."""

    name: str
    kind: SliceKind
    definition: str  # the label, the regular expression, the column's value, or "17–32" tokens
    column: str | None  # of a slice by a column's values
    at_least: int | None  # tokens, of a slice by length
    at_most: int | None
    rows: int
    metric: str  # that is compared here: the gate's, or accuracy where that has no meaning
    changes: tuple[SliceChange, ...]


@dataclass(frozen=True)
class Hurt:
    """A slice where a published model loses most."""

    line: SliceLine
    change: SliceChange


@dataclass(frozen=True)
class ReliabilityLine:
    """How far the probabilities of a published model, or of FP32, can be believed."""

    entry: Entry
    reliability: Reliability


@dataclass(frozen=True)
class AnalysesView:
    """What a card shows of the analyses. `slices` are the recipe's, then those of group columns.

    `hurts_most`: for each published model the slice of its largest loss, several where they lose
    alike, none where it loses nowhere. `without_group`: group column -> rows without a value.
    """

    gate_metric: str
    slices: tuple[SliceLine, ...]
    hurts_most: tuple[Hurt, ...]
    reliability: tuple[ReliabilityLine, ...]
    without_group: tuple[tuple[str, int], ...]
    confidence: float
    corrected_over: int  # slices with rows


def analyses_view(recipe: Recipe, report: Report) -> AnalysesView | None:
    """The analyses of what is published; None where nothing was analysed."""
    analyses = report.analyses
    if analyses is None:
        return None
    published = tuple(
        entry_of(variant, recipe, report) for variant in published_variants(recipe, report).values()
    )
    fp32 = [v for v in report.variants if v.precision == "fp32"]
    fp32.sort(key=lambda variant: variant.format)  # ONNX first, as in all tables
    baselines = tuple(entry_of(variant, recipe, report) for variant in fp32)
    lines = tuple(_line(one, recipe, published, baselines) for one in analyses.slices)
    lines = _corrected(lines, published, 1 - recipe.evaluation.confidence)
    known = {one.variant: one for one in analyses.reliability}
    return AnalysesView(
        gate_metric=recipe.gates.metric,
        slices=lines,
        hurts_most=tuple(hurt for entry in published for hurt in _worst(lines, entry)),
        reliability=tuple(
            ReliabilityLine(entry, known[entry.variant.name])
            for entry in (*published, *baselines)
            if entry.variant.name in known
        ),
        without_group=tuple(analyses.without_group.items()),
        confidence=recipe.evaluation.confidence,
        corrected_over=sum(bool(line.changes) for line in lines),
    )


def change_of(line: SliceLine, entry: Entry) -> SliceChange | None:
    """How that model changes on the slice; None where it was not measured there."""
    return next((c for c in line.changes if c.entry.variant.name == entry.variant.name), None)


def _line(
    one: SliceResult, recipe: Recipe, published: tuple[Entry, ...], baselines: tuple[Entry, ...]
) -> SliceLine:
    metric = one.metric or recipe.gates.metric
    judged = TASK_KEYS[recipe.task].references > 0
    found = (_change(one, entry, baselines, metric, judged=judged) for entry in published)
    return SliceLine(
        name=one.name,
        kind=one.kind,
        definition=one.definition,
        column=one.column,
        at_least=one.at_least,
        at_most=one.at_most,
        rows=one.rows,
        metric=metric,
        changes=tuple(change for change in found if change is not None),
    )


def _change(
    one: SliceResult, entry: Entry, baselines: tuple[Entry, ...], name: str, *, judged: bool
) -> SliceChange | None:
    by_name = {scores.variant: scores for scores in one.scores}
    scores = by_name.get(entry.variant.name)
    paired = scores.paired if scores else None
    if scores is None or paired is None:
        return None
    baseline = next((base for base in baselines if base.variant.name == paired.baseline), None)
    theirs = by_name.get(paired.baseline)
    mine, original = _metric(scores, name), _metric(theirs, name)
    if baseline is None or mine is None or original is None:
        return None
    return SliceChange(
        entry=entry,
        baseline=baseline,
        metric=mine,
        baseline_metric=original,
        loss=paired.loss,
        loss_interval=paired.loss_interval,
        flips=paired.flips,
        now_right=paired.now_right,
        now_wrong=paired.now_wrong,
        units=scores.rows if paired.units is None else paired.units,
        unit=paired.unit,
        p=paired.mcnemar_p if judged else None,
    )


def _metric(scores: Scores | None, name: str) -> Metric | None:
    metrics = scores.metrics if scores else ()
    return next((metric for metric in metrics if metric.name == name), None)


def _corrected(
    lines: tuple[SliceLine, ...], published: tuple[Entry, ...], alpha: float
) -> tuple[SliceLine, ...]:
    """The lines with the p values of each model corrected over them."""
    corrected: dict[tuple[str, str], float] = {}
    for entry in published:
        mine = [(line.name, change_of(line, entry)) for line in lines]
        tested = [(name, change.p) for name, change in mine if change and change.p is not None]
        for (name, _), p in zip(tested, holm([p for _, p in tested]), strict=True):
            corrected[name, entry.variant.name] = p

    def with_holm(line: SliceLine, change: SliceChange) -> SliceChange:
        p = corrected.get((line.name, change.entry.variant.name))
        if p is None:
            return change
        return replace(change, p_holm=p, beyond_chance=p <= alpha)

    return tuple(replace(x, changes=tuple(with_holm(x, c) for c in x.changes)) for x in lines)


def _worst(lines: tuple[SliceLine, ...], entry: Entry) -> tuple[Hurt, ...]:
    losses = [(line, change) for line in lines if (change := change_of(line, entry))]
    most = max((change.loss for _, change in losses), default=0.0)
    if most <= _ROUNDING:
        return ()
    return tuple(Hurt(line, change) for line, change in losses if change.loss >= most - _ROUNDING)
