"""What a card's template can name: the recipe, the records, and what follows from them."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, fields

from markupsafe import Markup

from hubkit.cards import snippets
from hubkit.cards.command import Again, again
from hubkit.cards.entry import Entry, entry_of
from hubkit.cards.layout import FORMAT_NAMES, published_variants
from hubkit.cards.tables import (
    CandidateLine,
    Line,
    SpeedTable,
    Spread,
    candidate_lines,
    latency_lines,
    round_spread,
    score_lines,
    setting_lines,
    speed_tables,
)
from hubkit.recipe import Recipe
from hubkit.records import Format, Interval, Lock, Report, Selection

# As in the gate itself: a loss of just what is allowed is allowed.
_ROUNDING = 1e-12


@dataclass(frozen=True)
class Snippet:
    """How to install for, load and use one published format."""

    format_name: str
    label: str
    install: str
    load: str
    example: str  # a whole program: `load`, then a prediction


@dataclass(frozen=True)
class Verdict:
    """A published model against the FP32 model of the same format, in a few numbers."""

    entry: Entry
    baseline: Entry | None
    smaller: float | None  # times
    faster: float | None  # times, at the first point of the grid
    refused: Shortfall | None  # what the gate would have refused it for, had it stood before it


@dataclass(frozen=True)
class Shortfall:
    """A loss larger than the gate allows, as a share of FP32's own value, with its interval."""

    loss: float
    interval: Interval


@dataclass(frozen=True)
class Comparison:
    """One FP32 model against the other: what the change of format alone does."""

    entry: Entry
    baseline: Entry
    flips: int
    units: int | None  # of so many; None: of all rows
    max_abs_logit_diff: float


@dataclass(frozen=True)
class CardContext:
    """The names a template can use. What is not `Markup` is escaped wherever it is printed."""

    recipe: Recipe
    lock: Lock
    report: Report
    repo_id: str
    title: str
    notes: Markup  # the author's Markdown, as it is
    bibtex: str | None
    published: tuple[Entry, ...]
    baselines: tuple[Entry, ...]
    reference: Entry | None  # the FP32 model that has a column in the table of scores
    fp32_compared: tuple[Comparison, ...]
    verdicts: tuple[Verdict, ...]
    columns: tuple[Entry, ...]  # of the table of scores: what is published, then the reference
    scores: tuple[Line, ...]
    metrics: tuple[str, ...]
    main_metric: str
    wilson: tuple[str, ...]  # metrics with a Wilson interval
    bootstrap: tuple[str, ...]  # metrics with a bootstrap interval
    rows: int
    first_point: tuple[int, int] | None  # the smallest (batch size, input length) measured
    timed: tuple[Entry, ...]  # what was timed: published models, then baselines
    latencies: tuple[Line, ...]  # a cell for each of `timed`
    speed: tuple[SpeedTable, ...]
    speed_baselines: tuple[Entry, ...]  # what the ratios are against; latencies: the first
    spread: Spread | None  # between the rounds of the benchmark
    candidates: tuple[CandidateLine, ...]
    settings: tuple[Line, ...]
    calibrated: tuple[Entry, ...]  # published models that were calibrated
    snippets: tuple[Snippet, ...]
    fp32_snippet: str | None
    again: Again  # how to make all this again
    pins: str  # base, dataset and recipe with their whole digests, a line each
    own_hub: bool  # the repository is not on the public Hub
    origin: str | None  # what the base model really is, where hubkit built it

    def names(self) -> dict[str, object]:
        """Field name -> value, for Jinja."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


def _reference(published: tuple[Entry, ...], baselines: tuple[Entry, ...]) -> Entry | None:
    named = {e.scores.paired.baseline for e in published if e.scores and e.scores.paired}
    chosen = [base for base in baselines if base.variant.name in named]
    return next(iter(chosen), next(iter(baselines), None))


def _metric_names(entries: tuple[Entry, ...]) -> tuple[str, ...]:
    names = [m.name for e in entries if e.scores for m in e.scores.metrics]
    return tuple(dict.fromkeys(names))


def _grid(entries: tuple[Entry, ...]) -> tuple[tuple[int, int], ...]:
    points = [p for e in entries if e.timing for p in e.timing.points]
    return tuple(sorted({(p.batch_size, p.input_length) for p in points}))


def _pins(lock: Lock) -> str:
    lines = (
        f"base     {lock.base.id} @ {lock.base.sha}",
        f"dataset  {lock.dataset.id} @ {lock.dataset.sha}",
        f"recipe   sha256 {lock.recipe_digest}",
    )
    # One after the other, so that an id with a line break in it cannot pose as another line.
    return "\n".join(" ".join(line.splitlines()) for line in lines)


def _snippets(
    entries: tuple[Entry, ...], recipe: Recipe, lock: Lock, repo_id: str
) -> tuple[Snippet, ...]:
    pair = "secondary" in recipe.dataset.data_keys
    made = []
    for entry in entries:
        kind: Format = entry.variant.format
        load = snippets.loading(kind, repo_id, recipe.task)
        install = snippets.installing(kind, lock.tools)
        example = f"{load}\n{snippets.prediction(recipe.task, pair=pair)}"
        made.append(Snippet(FORMAT_NAMES[kind], entry.label, install, load, example))
    return tuple(made)


def _fp32_compared(baselines: tuple[Entry, ...]) -> tuple[Comparison, ...]:
    by_name = {entry.variant.name: entry for entry in baselines}
    return tuple(
        Comparison(
            entry, by_name[paired.baseline], paired.flips, paired.units, paired.max_abs_logit_diff
        )
        for entry in baselines
        if (paired := entry.scores.paired if entry.scores else None) and paired.baseline in by_name
    )


def _shortfall(
    entry: Entry, baselines: tuple[Entry, ...], gate: Selection | None
) -> Shortfall | None:
    """How far a model that stood before no gate misses what the gate allows; None: it meets it."""
    paired = entry.scores.paired if entry.scores else None
    if gate is None or paired is None:
        return None
    if entry.variant.name in {candidate.variant for candidate in gate.candidates}:
        return None
    baseline = next((base for base in baselines if base.variant.name == paired.baseline), None)
    metric = baseline.metric(gate.metric) if baseline else None
    if (
        metric is None
        or metric.value <= 0
        or paired.loss / metric.value <= gate.max_relative_loss + _ROUNDING
    ):
        return None
    low, high = paired.loss_interval.low, paired.loss_interval.high
    share = Interval(low=low / metric.value, high=high / metric.value)
    return Shortfall(paired.loss / metric.value, share)


def _verdict(
    entry: Entry,
    baselines: tuple[Entry, ...],
    first: tuple[int, int] | None,
    gate: Selection | None,
) -> Verdict:
    same = (base for base in baselines if base.variant.format == entry.variant.format)
    baseline = next(same, next(iter(baselines), None))
    faster = entry.faster_than(baseline, *first) if first else None
    refused = _shortfall(entry, baselines, gate)
    return Verdict(entry, baseline, entry.smaller_than(baseline), faster, refused)


def _metrics_by(method: str, columns: tuple[Entry, ...]) -> tuple[str, ...]:
    names = [
        m.name
        for e in columns
        for m in (e.scores.metrics if e.scores else ())
        if m.method == method
    ]
    return tuple(dict.fromkeys(names))


def build_context(
    recipe: Recipe,
    notes: str,
    lock: Lock,
    report: Report,
    repo_id: str,
    shipped: Collection[str] = (),
) -> CardContext:
    """Everything a template can name, from records alone. `shipped`: digests of recipes that come
    with hubkit, which a name is enough to find."""
    chosen = published_variants(recipe, report)
    published = tuple(entry_of(variant, recipe, report) for variant in chosen.values())
    fp32 = [v for v in report.variants if v.precision == "fp32"]
    # ONNX first: it is the baseline that the gate and most readers compare with.
    fp32.sort(key=lambda variant: variant.format)
    baselines = tuple(entry_of(variant, recipe, report) for variant in fp32)
    reference = _reference(published, baselines)
    columns = (*published, reference) if reference else published
    metrics = _metric_names((*published, *baselines))
    grid = _grid((*published, *baselines))
    first = next(iter(grid), None)
    timed = tuple(entry for entry in (*published, *baselines) if entry.timing)
    slow = tuple(entry for entry in timed if entry in baselines)
    fp32_onnx = snippets.loading_fp32_onnx(repo_id, recipe.task)
    return CardContext(
        recipe=recipe,
        lock=lock,
        report=report,
        repo_id=repo_id,
        title=recipe.card.details.title or f"INT8 {lock.base.id.rsplit('/', 1)[-1]}",
        notes=Markup(notes.strip()),
        bibtex=recipe.card.bibtex,
        published=published,
        baselines=baselines,
        reference=reference,
        fp32_compared=_fp32_compared(baselines),
        verdicts=tuple(_verdict(entry, baselines, first, report.selection) for entry in published),
        columns=columns,
        scores=score_lines(columns, reference, metrics),
        metrics=metrics,
        main_metric=recipe.gates.metric,
        wilson=_metrics_by("wilson", columns),
        bootstrap=_metrics_by("bootstrap", columns),
        rows=report.dataset.eval_rows,
        first_point=first,
        timed=timed,
        latencies=latency_lines(timed, next(iter(slow), None), grid),
        speed=speed_tables(timed, slow, grid),
        speed_baselines=slow,
        spread=round_spread(report),
        candidates=candidate_lines(report),
        settings=setting_lines(published),
        calibrated=tuple(entry for entry in published if entry.variant.calibration),
        snippets=_snippets(published, recipe, lock, repo_id),
        fp32_snippet=fp32_onnx if recipe.publication.include_fp32_onnx else None,
        again=again(recipe, lock, repo_id, shipped),
        pins=_pins(lock),
        own_hub=lock.demo or (lock.base.url or "").startswith("/"),
        origin=lock.base.origin or report.base.description,
    )
