"""Tables before they are Markdown or HTML: text, and code where a value is an identifier."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from hubkit.cards import numbers
from hubkit.recipe import OnnxStatic
from hubkit.sweep_records import SweepRow
from hubkit.sweeps.report_parameters import NOTHING, Parameter
from hubkit.sweeps.report_view import Model, Point, View

Align = Literal["left", "center", "right"]
ABOUT_EQUAL = " ≈"  # on a difference within the noise floor
FAILED = "failed"


class Code(str):
    """Text that is shown as code: a name, or a value as the recipe has it."""

    __slots__ = ()


# A cell is its parts one after the other.
Cell = tuple[str, ...]


@dataclass(frozen=True)
class Column:
    """`bar`: the column of the reference that holds nothing but a vertical line."""

    title: str
    align: Align = "left"
    bar: bool = False


@dataclass(frozen=True)
class Table:
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]


def text(value: str) -> Cell:
    return (value,)


def code(value: str) -> Cell:
    """The value as code; what does not apply is no code."""
    return (value if value == NOTHING else Code(value),)


def codes(values: tuple[str, ...]) -> Cell:
    """Several identifiers with commas between."""
    parts: list[str] = []
    for value in values:
        parts += [", ", Code(value)] if parts else [Code(value)]
    return tuple(parts)


def parameter_cells(view: View, row: SweepRow) -> tuple[Cell, ...]:
    """The values of the benchmarked parameters."""
    return tuple(code(parameter.of(row.spec)) for parameter in view.benchmarked)


def parameter_columns(parameters: tuple[Parameter, ...], align: Align) -> tuple[Column, ...]:
    return tuple(Column(parameter.key, align) for parameter in parameters)


def model_names(view: View, model: Model) -> Cell:
    """A measured graph by all that it is: a baseline's name, and each configuration's label."""
    labels = [view.labels[row.name] for row in model.rows]
    if model.is_baseline:
        return (Code(model.name), *(f" = {label}" for label in labels))
    return (" = ".join(labels),)


def outcome(view: View, row: SweepRow) -> Cell:
    """What became of a configuration, in words."""
    if row.failed:
        return (FAILED,)
    nothing = bool(row.variant and row.variant.nodes_quantized == 0)
    said = "nothing quantized" if nothing else ""
    if row.same_as:
        same = f"{said}: same graph as " if said else "same graph as "
        if view.is_baseline(row.same_as):
            return (same, Code(row.same_as))
        return (f"{same}{view.number_of(row.same_as)}",)
    return (said or "measured",)


def mask_guard(row: SweepRow) -> str:
    """What the guard of a static configuration kept float: masked attention scores."""
    if not isinstance(row.spec, OnnxStatic):
        return NOTHING
    if not row.spec.guards:
        return "off"
    kept = sum(guarded(row).values())
    if kept:
        return f"kept {numbers.count(kept)} node{'s' if kept != 1 else ''} float"
    by_pattern = "softmax" in row.spec.node_exclusion
    return "on, softmax excluded anyway" if by_pattern else "on, nothing to keep"


def guarded(row: SweepRow) -> dict[str, int]:
    """What stayed float although no pattern of the configuration says so: pattern -> nodes."""
    excluded = row.variant.nodes_excluded if row.variant else {}
    return {name: n for name, n in excluded.items() if name not in row.spec.node_exclusion}


def kept_by_pattern(row: SweepRow) -> Cell:
    """Nodes that each exclusion pattern of the configuration kept float."""
    excluded = row.variant.nodes_excluded if row.variant else {}
    parts: list[str] = []
    for pattern in row.spec.node_exclusion:
        if pattern in excluded:
            separator = ", " if parts else ""
            parts += [separator, Code(pattern), f" {numbers.count(excluded[pattern])}"]
    return tuple(parts) or (NOTHING,)


def size_ratio(model_bytes: int, original: Model | None) -> str:
    """How many times smaller than the original."""
    return numbers.ratio(original.variant.size_bytes / model_bytes if original else None)


def speedup(view: View, model: Model, baseline: Model | None, point: Point) -> str:
    """How many times as fast as a baseline, marked where that is within the noise floor."""
    if baseline is None or baseline.name == model.name:
        return NOTHING
    ratio = view.speedup(model, baseline, point)
    mark = ABOUT_EQUAL if view.within_noise(model, baseline, point) else ""
    return numbers.ratio(ratio) + mark
