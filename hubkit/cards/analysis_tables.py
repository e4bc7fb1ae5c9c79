"""The tables of the quantitative analyses: slices, a table for each published model; the bins of
the probabilities; the energy of the benchmark."""

from __future__ import annotations

from dataclasses import dataclass

from hubkit.analysis_records import ReliabilityBin
from hubkit.cards.analyses import (
    AnalysesView,
    Hurt,
    ReliabilityLine,
    SliceChange,
    SliceLine,
    change_of,
)
from hubkit.cards.entry import Entry
from hubkit.cards.numbers import Numbers
from hubkit.cards.tables import NOTHING, Line
from hubkit.records import TimingPoint


@dataclass(frozen=True)
class SliceRow:
    """A slice with its place in the report, from 1; `change` None: nothing was measured there."""

    number: int
    line: SliceLine
    change: SliceChange | None


@dataclass(frozen=True)
class SliceTable:
    """A published model on every slice; `worst`: where it loses most, none where it loses
    nowhere."""

    entry: Entry
    baseline: Entry
    rows: tuple[SliceRow, ...]
    worst: tuple[Hurt, ...]


@dataclass(frozen=True)
class Bins:
    """The bins of the probabilities, a line each with a cell for each of `models`; `lines` leaves
    out those in which no model has an answer."""

    count: int
    models: tuple[ReliabilityLine, ...]
    lines: tuple[Line, ...]
    ece: tuple[str, ...]  # of each model, with its interval


def slice_tables(view: AnalysesView | None, published: tuple[Entry, ...]) -> tuple[SliceTable, ...]:
    """A table for each published model that was measured on some slice."""
    if view is None:
        return ()
    tables = []
    for entry in published:
        rows = tuple(
            SliceRow(number, line, change_of(line, entry))
            for number, line in enumerate(view.slices, start=1)
        )
        measured = [row.change for row in rows if row.change]
        if measured:
            worst = tuple(
                hurt
                for hurt in view.hurts_most
                if hurt.change.entry.variant.name == entry.variant.name
            )
            tables.append(SliceTable(entry, measured[0].baseline, rows, worst))
    return tuple(tables)


def bin_table(view: AnalysesView | None, numbers: Numbers) -> Bins | None:
    """How right the answers of each probability are; None for models that give none."""
    models = view.reliability if view else ()
    if not models:
        return None
    rows = zip(*(model.reliability.bins for model in models), strict=True)
    return Bins(
        count=len(models[0].reliability.bins),
        models=models,
        lines=tuple(
            Line(
                numbers.share_range(bins[0].low, bins[0].high),
                tuple(_bin_cell(one, numbers) for one in bins),
            )
            for bins in rows
            if any(one.count for one in bins)
        ),
        ece=tuple(
            numbers.together(
                f"{numbers.score(it.reliability.ece)}"
                f" ({numbers.interval(it.reliability.ece_interval)})"
            )
            for it in models
        ),
    )


def _bin_cell(one: ReliabilityBin, numbers: Numbers) -> str:
    if one.accuracy is None:
        return NOTHING
    return numbers.together(f"{numbers.share(one.accuracy)} ({numbers.count(one.count)})")


def energy_lines(timed: tuple[Entry, ...], numbers: Numbers) -> tuple[Line, ...]:
    """Joules for 1,000 sequences, a line for each point of the grid; none where no counter was
    read."""
    points = sorted(
        {(p.batch_size, p.input_length) for e in timed if e.timing for p in e.timing.points}
    )
    lines = []
    for at in points:
        used = [_joules(entry.point(*at)) for entry in timed]
        if any(value is not None for value in used):
            lines.append(Line(numbers.point(at), tuple(numbers.joules(value) for value in used)))
    return tuple(lines)


def _joules(point: TimingPoint | None) -> float | None:
    if point is None or point.energy_j is None:
        return None
    return point.energy_j / (point.iterations * point.batch_size) * 1000
