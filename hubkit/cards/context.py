"""What a card's template can name: the recipe, the records, and what follows from them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, fields

from markupsafe import Markup

from hubkit.cards import javascript, snippets
from hubkit.cards.analyses import AnalysesView, analyses_view
from hubkit.cards.analysis_tables import (
    Bins,
    SliceTable,
    bin_table,
    energy_lines,
    slice_tables,
)
from hubkit.cards.command import Again, again
from hubkit.cards.embedding_snippets import embedding_of, sentence_transformers_example
from hubkit.cards.entry import Entry, entry_of
from hubkit.cards.figures import Figure, figures_of
from hubkit.cards.layout import card_path, precisions_of, published_variants
from hubkit.cards.numbers import NOT_MEASURED, Numbers
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
from hubkit.cards.translation import said
from hubkit.i18n import SOURCE, Language, language
from hubkit.recipe import CardData, Recipe
from hubkit.recipe_notes import Translation
from hubkit.records import Embedding, Format, Interval, Lock, Report, Selection

# As in the gate itself: a loss of just what is allowed is allowed.
_ROUNDING = 1e-12


@dataclass(frozen=True)
class Snippet:
    """How to install for, load and use the model. `kind`: pytorch, onnx, openvino, pipeline,
    sentence-transformers or javascript."""

    kind: str
    label: str  # what is loaded: "ONNX INT8"
    install: str
    example: str  # a whole program, that predicts
    code_language: str = "python"


@dataclass(frozen=True)
class Sibling:
    """The card in one of its languages: the language's own name, and the file."""

    code: str
    name: str
    path: str


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
    language: Language
    numbers: Numbers
    siblings: tuple[Sibling, ...]  # the card in all its languages, README.md first
    card: CardData  # the author's words, in the card's language where they are translated
    untranslated: bool  # some of them are in English, and the card is not
    title: str
    notes: Markup  # the author's Markdown, as it is
    bibtex: str | None
    formats: tuple[Format, ...]  # that are published
    precision: str  # of what is published: "INT8", "FP16", "INT8/FP16"
    precision_of: dict[str, str]  # published format -> "INT8" or "FP16"
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
    openvino_candidates: tuple[CandidateLine, ...]
    settings: tuple[Line, ...]
    calibrated: tuple[Entry, ...]  # published models that were calibrated
    snippets: tuple[Snippet, ...]
    fp32_snippet: str | None
    again: Again  # how to make all this again
    pins: str  # base, dataset and recipe with their whole digests, a line each
    own_hub: bool  # the repository is not on the public Hub
    origin: str | None  # what the base model really is, where hubkit built it
    analyses: AnalysesView | None
    embedder: Embedding | None  # what makes the vector of a text; None: the mean over its tokens
    slice_tables: tuple[SliceTable, ...]
    bins: Bins | None  # how far the probabilities can be believed
    energy: tuple[Line, ...]  # joules for 1,000 sequences, a cell for each of `timed`
    figures: tuple[Figure, ...]
    citation: bool  # there is a CITATION.cff

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


def _own_hub(lock: Lock) -> bool:
    return lock.demo or (lock.base.url or "").startswith("/")


def _snippets(
    entries: tuple[Entry, ...], recipe: Recipe, lock: Lock, report: Report, repo_id: str
) -> tuple[Snippet, ...]:
    pair, made_of = "secondary" in recipe.dataset.data_keys, embedding_of(lock, report.base)
    made = []
    for entry in entries:
        kind: Format = entry.variant.format
        load = snippets.loading(kind, repo_id, recipe.task, made_of)
        install = snippets.installing(kind, lock.tools)
        program = snippets.prediction(recipe.task, pair=pair, kind=kind, made=made_of)
        example = f"{load}\n{program}"
        made.append(Snippet(kind, entry.label, install, example))
    onnx = next((one for one in made if one.kind == "onnx"), None)
    if onnx is not None and made_of:
        # A pipeline would give the tokens' vectors, before the projection.
        if not pair:
            install = snippets.installing_sentence_transformers(lock.tools)
            example = sentence_transformers_example(repo_id)
            made.append(Snippet("sentence-transformers", onnx.label, install, example))
    elif onnx is not None:
        piped = snippets.pipeline_example(recipe.task, repo_id, pair=pair)
        made.append(Snippet("pipeline", onnx.label, onnx.install, piped))
    if onnx is not None and javascript.transformersjs_fits(recipe, report):
        program = javascript.javascript_example(
            recipe.task, repo_id, pair=pair, own_hub=_own_hub(lock), projected=made_of is not None
        )
        install = javascript.javascript_install()
        made.append(Snippet("javascript", onnx.label, install, program, "javascript"))
    return tuple(made)


def siblings_of(languages: Sequence[str]) -> tuple[Sibling, ...]:
    """The cards of a publication in those languages, of which the first is README.md."""
    return tuple(
        Sibling(code, language(code).name, card_path(code, primary=languages[0]))
        for code in languages
    )


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
    *,
    translation: Translation | None = None,
    code: str = SOURCE,
    languages: Sequence[str] = (),
    templates: str | None = None,
) -> CardContext:
    """Everything a template can name, from records alone. `shipped`: digests of recipes that come
    with hubkit, which a name is enough to find. `code`: the card's language; `languages`: all that
    the publication has a card in, README.md's first. `templates`: as in `again`."""
    spoken = language(code)
    numbers = Numbers(code, spoken.gettext(NOT_MEASURED))
    words = said(recipe.card, notes, translation, code)
    chosen = published_variants(recipe, report)
    precision = precisions_of(chosen.values())
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
    view = analyses_view(recipe, report)
    embedder = embedding_of(lock, report.base)
    fp32_onnx = snippets.loading_fp32_onnx(repo_id, recipe.task, embedder)
    return CardContext(
        recipe=recipe,
        lock=lock,
        report=report,
        repo_id=repo_id,
        language=spoken,
        numbers=numbers,
        siblings=siblings_of(languages or (code,)),
        card=words.card,
        untranslated=words.untranslated,
        title=words.card.details.title or f"{precision} {lock.base.id.rsplit('/', 1)[-1]}".strip(),
        notes=Markup(words.notes.strip()),
        bibtex=recipe.card.bibtex,
        formats=tuple(chosen),
        precision=precision,
        precision_of={kind: variant.precision.upper() for kind, variant in chosen.items()},
        published=published,
        baselines=baselines,
        reference=reference,
        fp32_compared=_fp32_compared(baselines),
        verdicts=tuple(_verdict(entry, baselines, first, report.selection) for entry in published),
        columns=columns,
        scores=score_lines(columns, reference, metrics, numbers),
        metrics=metrics,
        main_metric=recipe.gates.metric,
        wilson=_metrics_by("wilson", columns),
        bootstrap=_metrics_by("bootstrap", columns),
        rows=report.dataset.eval_rows,
        first_point=first,
        timed=timed,
        latencies=latency_lines(timed, next(iter(slow), None), grid, numbers),
        speed=speed_tables(timed, slow, grid, numbers),
        speed_baselines=slow,
        spread=round_spread(report, numbers),
        candidates=candidate_lines(report, report.selection, numbers),
        openvino_candidates=candidate_lines(report, report.openvino_selection, numbers),
        settings=setting_lines(published, numbers),
        calibrated=tuple(entry for entry in published if entry.variant.calibration),
        snippets=_snippets(published, recipe, lock, report, repo_id),
        fp32_snippet=fp32_onnx if recipe.publication.include_fp32_onnx else None,
        again=again(recipe, lock, repo_id, shipped, templates),
        pins=_pins(lock),
        own_hub=_own_hub(lock),
        origin=lock.base.origin or report.base.description,
        analyses=view,
        embedder=embedder,
        slice_tables=slice_tables(view, published),
        bins=bin_table(view, numbers),
        energy=energy_lines(timed, numbers),
        figures=figures_of(report, recipe),
        citation=any(name.strip() for name in recipe.card.details.authors),
    )
