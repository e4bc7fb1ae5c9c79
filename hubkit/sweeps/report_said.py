"""What the reports say in words: how much was measured, what failed, on which rows and machine."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from hubkit.cards import numbers
from hubkit.recipe import OnnxStatic
from hubkit.records import CalibrationInfo, Failed, MachineInfo, Source
from hubkit.sweep_records import SweepRow
from hubkit.sweeps.report_cells import Cell, Code, codes, guarded
from hubkit.sweeps.report_full import said_of_base
from hubkit.sweeps.report_view import View


@dataclass(frozen=True)
class Fact:
    """A title and what there is to say to it."""

    title: str
    said: Cell


@dataclass(frozen=True)
class Failure:
    """A configuration that failed, where and why."""

    label: str
    stage: str
    reason: str  # with what could mend it, where that is known


@dataclass(frozen=True)
class Said:
    """Everything that the reports say beside their tables, in the order that it is read."""

    partial: tuple[str, ...]
    counted: Cell
    flips: str  # what is counted where answers are compared
    failures: tuple[Failure, ...]
    facts: tuple[Fact, ...]


def said(view: View) -> Said:
    """What there is to say about a sweep."""
    return Said(
        partial=_partial(view),
        counted=_counted(view),
        flips=_flips(view),
        failures=_failures(view),
        facts=tuple(_facts(view)),
    )


def _partial(view: View) -> tuple[str, ...]:
    """Why the results are partial; a part of the rows is always said."""
    reasons = view.report.partial
    if reasons or view.is_whole:
        return reasons
    return (f"scored on {rows_scored(view)}",)


def rows_scored(view: View) -> str:
    """The rows that were scored, and of how many: "200 of 3,250 rows"."""
    dataset = view.report.dataset
    of = "" if view.is_whole else f" of {numbers.count(dataset.eval_rows_available)}"
    return f"{numbers.count(dataset.eval_rows)}{of} rows"


def _counted(view: View) -> Cell:
    rows = view.report.rows
    failed = sum(1 for row in rows if row.failed)
    equal = sum(1 for row in rows if row.same_as and not row.failed)
    parts = [f"{numbers.count(len(rows) - failed - equal)} measured"]
    parts += [f"{numbers.count(equal)} with the graph of another"] if equal else []
    parts += [f"{numbers.count(failed)} failed"] if failed else []
    said = f": {', '.join(parts)}."
    combined = view.report.combinations
    if view.report.where is None and combined == len(rows):
        return (_many(len(rows), "configuration") + said,)
    of = f"{numbers.count(len(rows))} of {_many(combined, 'combination')}"
    if view.report.where is None:
        return (of + said,)
    return (f"{of}, those where ", Code(view.report.where), said)


def _many(count: int, what: str) -> str:
    return f"{numbers.count(count)} {what}{'s' if count != 1 else ''}"


def _flips(view: View) -> str:
    paired = next((model.paired for model in view.models if model.paired), None)
    if paired is None:
        return "No answers were compared."
    of = f", of which there are {numbers.count(paired.units)}" if paired.units else ""
    said = "A flip is an answer that differs from that of the model under “against”"
    test = "McNemar's p is the exact two-sided test on what became right or wrong"
    if paired.unit == "row":
        return f"{said}; {test}."
    return f"{said}, counted in {paired.unit}s{of}; {test}, in whole rows."


def _failures(view: View) -> tuple[Failure, ...]:
    return tuple(
        Failure(view.labels[row.name], row.failed.stage, _sentences(row.failed))
        for row in view.report.rows
        if row.failed
    )


def _sentences(failed: Failed) -> str:
    reason = failed.reason.strip()
    ended = reason if reason.endswith((".", "!", "?")) else f"{reason}."
    return f"{ended} {failed.hint}".strip()


def _facts(view: View) -> Iterable[Fact]:
    report = view.report
    yield Fact("Evaluation", (f"{rows_scored(view)}{_cut(view)}",))
    yield from _mask_guard(view)
    yield from _calibration(view)
    if report.timings:
        yield Fact("Times", (_plan(view),))
        yield Fact("Machine", tuple(_machine(report.timings.machine)))
    versions = (f"{name} {version}" for name, version in sorted(report.lock.tools.items()))
    yield Fact("Versions", (", ".join((f"Python {report.lock.python}", *versions)),))
    yield Fact("Model", (*_pinned(report.lock.base), *_built(view)))
    yield Fact("Dataset", _pinned(report.lock.dataset))
    yield Fact("Recipe", (Code(report.recipe), ", sha256 ", Code(report.lock.recipe_digest[:12])))


def _built(view: View) -> Cell:
    """What was done to the model after it was fetched."""
    done = said_of_base(view)
    parts = [part for cell in done for part in cell]
    if parts and isinstance(parts[0], str):
        parts[0] = f" {parts[0].lstrip()}"
    return tuple(parts)


def _cut(view: View) -> str:
    encoded = view.report.encoded
    limit, lost = numbers.count(encoded.max_length), encoded.lost_units
    parts = encoded.inputs if encoded.inputs is not None else encoded.rows
    said = f" of {encoded.mean_tokens:.1f} tokens in the mean and {limit} at most"
    if parts != encoded.rows:
        return f", given to the model in {numbers.count(parts)} parts{said}."
    if not encoded.truncated:
        return f"{said}: none was cut."
    unscored = f", so that {_many(lost, 'answer')} in them could not be scored" if lost else ""
    cut = f"{numbers.count(encoded.truncated)} {'was' if encoded.truncated == 1 else 'were'} cut"
    return f"{said}: {cut}, and the model did not see the rest{unscored}."


def _mask_guard(view: View) -> Iterable[Fact]:
    """What the guards did, where there are static configurations."""
    rows = view.report.rows
    on = [row for row in rows if isinstance(row.spec, OnnxStatic) and row.spec.guards]
    off = [row for row in rows if isinstance(row.spec, OnnxStatic) and not row.spec.guards]
    if on:
        yield Fact("Mask guard", (_kept(on),))
    if off:
        labels = "; ".join(view.labels[row.name] for row in off)
        said = "masked attention scores are quantized unless node_exclusion forbids it"
        yield Fact("No mask guard", (f"{said} in: {labels}.",))


def _kept(rows: list[SweepRow]) -> str:
    kept = sorted({sum(guarded(row).values()) for row in rows} - {0})
    counts = " or ".join(map(numbers.count, kept))
    did = f": it kept {counts} nodes of a graph float where no pattern did" if kept else ""
    return (
        "in static configurations nodes that read or write masked attention scores stay float,"
        f" because the mask's huge negative numbers would take the whole range{did}."
    )


def _calibration(view: View) -> Iterable[Fact]:
    found = [row.variant.calibration for row in view.report.rows if row.variant]
    ways = dict.fromkeys(
        f"{c.method} on {_samples(c)} of the split {c.split} in batches of"
        f" {numbers.count(c.batch_size)}"
        for c in found
        if c
    )
    if ways:
        yield Fact("Calibration", ("; ".join(ways) + ".",))


def _samples(done: CalibrationInfo) -> str:
    asked = f" ({numbers.count(done.asked_samples)} were asked for)"
    rows = _many(done.real_samples, "row")
    return rows if done.real_samples == done.asked_samples else rows + asked


def _plan(view: View) -> str:
    plan = view.report.sweep.time_benchmark_args
    timings = view.report.timings
    threads = sorted({t.threads for t in timings.timings}) if timings else []
    counts = " or ".join(map(numbers.count, threads))
    return (
        f"at least {plan.duration:g} s at each point over all rounds, after"
        f" {_many(plan.warmup_runs, 'call')} to warm up, with {counts}"
        f" thread{'s' if threads != [1] else ''}; throughput counts sequences, where the reference"
        " counted calls, and divides by the time that was measured."
    )


def _machine(machine: MachineInfo) -> Iterable[str]:
    yield machine.cpu
    if machine.flags:
        yield from (" (", *codes(machine.flags), ")")
    yield f", {_many(machine.logical_cpus, 'logical CPU')}"
    if machine.physical_cores:
        yield f" on {_many(machine.physical_cores, 'core')}"
    yield f", {machine.memory_gib:.1f} GiB of memory, {machine.os}, Python {machine.python}."


def _pinned(source: Source) -> Cell:
    made = f"; {source.origin.strip().rstrip('.')}" if source.origin else ""
    return (Code(source.id), " at revision ", Code(source.sha[:12]), f"{made}.")
