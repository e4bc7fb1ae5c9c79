"""compare(): what a change does to the published models, from the records of before and after."""

from __future__ import annotations

from collections.abc import Iterator

from hubkit.card_diff import unified
from hubkit.cards.layout import label_of
from hubkit.ci.records import (
    CardChange,
    Comparison,
    Gate,
    InputChange,
    LatencyFact,
    VariantFacts,
    VariantPair,
)
from hubkit.ci.sides import Side
from hubkit.records import Lock, Report, Source, Timing, Variant
from hubkit.stages.fetch_dataset import EVAL


def compare(base: Side, new: Side, name: str) -> Comparison:
    """The two sides in one record; what only one of them has is there too."""
    before, after = base.report, new.report
    newest = after or before
    metric = newest.selection.metric if newest and newest.selection else None
    return Comparison(
        name=name,
        metric=metric,
        gate=_gate(new),
        variants=tuple(_pairs(before, after, metric)),
        inputs=tuple(_inputs(base.lock, new.lock)),
        cards=tuple(_cards(base, new)),
        same_rows=_same_rows(before, after),
        same_machine=_machine(before) == _machine(after),
        base_missing=base.missing,
        new_missing=new.missing,
        pushed=new.outcome is not None and new.outcome.pushed,
    )


def _gate(new: Side) -> Gate:
    chosen = new.report.selection if new.report else None
    reasons = tuple((c.variant, c.reason) for c in chosen.candidates) if chosen else ()
    selected = chosen.selected if chosen else None
    if new.outcome is not None:  # it knows the recipe's other gates too
        passes = new.outcome.exit_code == 0
        return Gate(passes=passes, selected=selected, message=new.outcome.message, reasons=reasons)
    passes = chosen is not None and (selected is not None or not chosen.candidates)
    return Gate(passes=passes, selected=selected, reasons=reasons)


def _pairs(base: Report | None, new: Report | None, metric: str | None) -> Iterator[VariantPair]:
    before, after = _by_name(base), _by_name(new)
    for name in (*after, *(name for name in before if name not in after)):
        yield VariantPair(
            variant=name,
            base=_facts(base, before.get(name), metric),
            new=_facts(new, after.get(name), metric),
        )


def _by_name(report: Report | None) -> dict[str, Variant]:
    return {variant.name: variant for variant in report.variants} if report else {}


def _facts(
    report: Report | None, variant: Variant | None, metric: str | None
) -> VariantFacts | None:
    if report is None or variant is None:
        return None
    scores = report.scores_of(variant.name)
    found = next((m for m in scores.metrics if m.name == metric), None) if scores else None
    paired = scores.paired if scores else None
    published = {one.name for one in report.published().values()}
    return VariantFacts(
        label=label_of(variant),
        value=found.value if found else None,
        interval=found.interval if found else None,
        flips=paired.flips if paired else None,
        rows=(paired.units or scores.rows) if paired and scores else None,
        size_bytes=variant.size_bytes,
        latency=_latency(report.timing_of(variant.name)),
        selected=variant.name in published,
    )


def _latency(timing: Timing | None) -> tuple[LatencyFact, ...]:
    points = timing.points if timing else ()
    return tuple(
        LatencyFact(
            batch_size=p.batch_size,
            input_length=p.input_length,
            p50_ms=p.p50_ms,
            lowest_ms=min(p.round_means_ms, default=p.mean_ms),
            highest_ms=max(p.round_means_ms, default=p.mean_ms),
        )
        for p in sorted(points, key=lambda p: (p.batch_size, p.input_length))
    )


def _inputs(base: Lock | None, new: Lock | None) -> Iterator[InputChange]:
    if base is None or new is None:
        return
    yield from _change("base model", _pin(base.base), _pin(new.base))
    yield from _change("dataset", _pin(base.dataset), _pin(new.dataset))
    yield from _change("Python", base.python, new.python)
    for tool in sorted(base.tools.keys() | new.tools.keys()):
        yield from _change(tool, base.tools.get(tool), new.tools.get(tool))


def _pin(source: Source) -> str:
    return f"{source.id}@{source.sha[:12]}"


def _change(what: str, base: str | None, new: str | None) -> Iterator[InputChange]:
    if base != new:
        yield InputChange(what=what, base=base, new=new)


def _cards(base: Side, new: Side) -> Iterator[CardChange]:
    if not new.cards:  # there is none to compare with: the gate tells why
        return
    for path in sorted(base.cards.keys() | new.cards.keys()):
        lines = unified(base.cards.get(path), new.cards.get(path), path)
        if lines:
            yield CardChange(path=path, lines=lines)


def _same_rows(base: Report | None, new: Report | None) -> bool:
    """Whether both were scored on the same rows: read alike, or alike once they are token ids.

    One is enough: another tokenizer changes the ids, and a column to slice by changes the file;
    rows to calibrate with change neither.
    """
    if base is None or new is None:
        return base is new
    if base.encoded.rows != new.encoded.rows:
        return False
    same_ids = base.encoded.artifact.digest == new.encoded.artifact.digest
    return same_ids or _eval_sha256(base) == _eval_sha256(new)


def _eval_sha256(report: Report) -> str:
    """The digest of the rows as they were read."""
    return next(f.sha256 for f in report.dataset.artifact.files if f.path == EVAL)


def _machine(report: Report | None) -> str | None:
    return report.timings.machine.fingerprint if report and report.timings else None
