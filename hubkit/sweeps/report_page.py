"""What the HTML report's table and script need: rows to sort, and all numbers as data."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import TYPE_CHECKING, TypeVar

from hubkit.cards import numbers
from hubkit.records import Metric, Variant
from hubkit.sweep_records import SweepRow
from hubkit.sweeps.report_cells import (
    Cell,
    Column,
    code,
    outcome,
    parameter_cells,
    parameter_columns,
    speedup,
    text,
)
from hubkit.sweeps.report_parameters import NOTHING
from hubkit.sweeps.report_view import LESS_IS_BETTER, Model, Point, View

if TYPE_CHECKING:
    Json = None | bool | int | float | str | Sequence["Json"] | dict[str, "Json"]

Number = TypeVar("Number", int, float)


@dataclass(frozen=True)
class GridCell:
    """`value`: what the cell is sorted by; `time`: its place among those that change with the
    chosen batch size and input length; `below`: small text under it."""

    parts: Cell
    value: float | None = None
    below: str = ""
    time: int | None = None


@dataclass(frozen=True)
class GridRow:
    """A baseline, or a configuration as declared."""

    cells: tuple[GridCell, ...]
    is_baseline: bool
    failed: bool


def _time_titles(view: View) -> tuple[str, ...]:
    ratios = (f"× {model.name}" for model in _against(view))
    return ("mean ms", *ratios, "p50 ms", "p90 ms", "p99 ms", "seq/s") if view.grid else ()


def _against(view: View) -> tuple[Model, ...]:
    return tuple(model for model in (view.original, view.onnx_baseline) if model)


def _metrics(view: View) -> tuple[str, ...]:
    """The metric that is looked at first, then the others."""
    return tuple(sorted(view.metrics, key=lambda name: name != view.main_metric))


def grid_columns(view: View) -> tuple[Column, ...]:
    """The columns of the table that can be sorted and filtered."""
    times = _time_titles(view)
    first = 1 + len(_against(view)) if times else 0  # what most readers look for
    main, others = _metrics(view)[:1], _metrics(view)[1:]
    kept = ("flips", "McNemar's p", "MB", "nodes")
    measured = (*main, *times[:first], *others, *kept, *times[first:])
    return (
        Column("configuration"),
        *parameter_columns(view.benchmarked, "left"),
        Column("outcome"),
        *(Column(title, "right") for title in measured),
    )


def grid_rows(view: View) -> tuple[GridRow, ...]:
    """The baselines, then every configuration as declared."""
    return (
        *(_baseline(view, model) for model in view.baselines),
        *(_row(view, row) for row in view.report.rows),
    )


def _baseline(view: View, model: Model) -> GridRow:
    nothing = (GridCell(text(NOTHING)),) * len(view.benchmarked)
    cells = (
        GridCell(code(model.name)),
        *nothing,
        GridCell(text("baseline")),
        *_measured(view, model, model.variant),
    )
    return GridRow(cells, is_baseline=True, failed=False)


def _row(view: View, row: SweepRow) -> GridRow:
    cells = (
        GridCell(text(view.labels[row.name]), view.number_of(row.name), row.name),
        *map(GridCell, parameter_cells(view, row)),
        GridCell(outcome(view, row)),
        *_measured(view, view.model_of(row), row.variant),
    )
    return GridRow(cells, is_baseline=False, failed=row.failed is not None)


def _measured(view: View, model: Model | None, variant: Variant | None) -> tuple[GridCell, ...]:
    scores = [_score(model.metric(name) if model else None) for name in _metrics(view)]
    paired = model.paired if model else None
    size, nodes = (variant.size_bytes, variant.nodes_quantized) if variant else (None, None)
    shown = _times(view, model, view.middle) if view.middle else []
    times = [GridCell(text(said), value, time=i) for i, (said, value) in enumerate(shown)]
    first = 1 + len(_against(view)) if times else 0
    return (
        *scores[:1],
        *times[:first],
        *scores[1:],
        _number(paired.flips if paired else None, numbers.count),
        _number(paired.mcnemar_p if paired else None, numbers.probability),
        _number(size, numbers.megabytes),
        _number(nodes, numbers.count),
        *times[first:],
    )


def _number(value: Number | None, show: Callable[[Number], str]) -> GridCell:
    return GridCell(text(NOTHING if value is None else show(value)), value)


def _score(metric: Metric | None) -> GridCell:
    if metric is None:
        return GridCell(text(NOTHING))
    low, high = numbers.score(metric.interval.low), numbers.score(metric.interval.high)
    return GridCell(text(numbers.score(metric.value)), metric.value, f"{low}–{high}")


def _times(view: View, model: Model | None, point: Point) -> list[tuple[str, float | None]]:
    """Mean, both ratios, p50, p90, p99, throughput, as text and as what they are sorted by."""
    against = _against(view)
    timing = model.at(point) if model else None
    if model is None or timing is None:
        return [(NOTHING, None)] * (5 + len(against))
    rest = (timing.p50_ms, timing.p90_ms, timing.p99_ms)
    return [
        (numbers.milliseconds(timing.mean_ms), timing.mean_ms),
        *((speedup(view, model, m, point), view.speedup(model, m, point)) for m in against),
        *((numbers.milliseconds(value), value) for value in rest),
        (numbers.per_second(timing.throughput_per_s), timing.throughput_per_s),
    ]


def page_data(view: View) -> Json:
    """Everything that the script draws from. Numbers that JSON cannot hold are null."""
    models = view.models
    place = {model.name: i for i, model in enumerate(models)}
    original, onnx = view.original, view.onnx_baseline
    baselines: list[Json] = [
        {"model": place[m.name], "baseline": True, "cells": []} for m in view.baselines
    ]
    noise = (view.noise_at(point) for point in view.grid)
    return {
        "metrics": list(view.metrics),
        "main": view.main_metric,
        "less": sorted(LESS_IS_BETTER & set(view.metrics)),
        "points": [list(point) for point in view.grid],
        "middle": view.grid.index(view.middle) if view.middle else None,
        "parameters": [
            {"key": p.key, "values": _values(view, i)} for i, p in enumerate(view.benchmarked)
        ],
        "models": [_model(view, model) for model in models],
        "rows": [
            *baselines,
            *(_row_data(view, row, place) for row in view.report.rows),
        ],
        "noise": [_finite(n.relative) if n else None for n in noise],
        "original": place[original.name] if original else None,
        "onnx": place[onnx.name] if onnx else None,
    }


def _values(view: View, at: int) -> list[Json]:
    """The values of a benchmarked parameter that configurations have, as declared."""
    parameter = view.benchmarked[at]
    found = {parameter.of(row.spec) for row in view.report.rows}
    declared = [value for value in parameter.values if value in found]
    return [*declared, *sorted(found - set(declared))]


def _row_data(view: View, row: SweepRow, place: dict[str, int]) -> Json:
    model = view.model_of(row)
    return {
        "model": place[model.name] if model else None,
        "baseline": False,
        "cells": [parameter.of(row.spec) for parameter in view.benchmarked],
    }


def _model(view: View, model: Model) -> Json:
    own = [model.name] if model.is_baseline else []
    metrics = (metric for name in view.metrics if (metric := model.metric(name)))
    return {
        "name": view.labels.get(model.name, model.name),
        "names": [*own, *(view.labels[row.name] for row in model.rows)],
        "baseline": model.is_baseline,
        "scores": {
            m.name: [_finite(m.value), _finite(m.interval.low), _finite(m.interval.high)]
            for m in metrics
        },
        "times": [_time_data(model, point) for point in view.grid],
        "cells": [
            [[said, _finite(value)] for said, value in _times(view, model, point)]
            for point in view.grid
        ],
    }


def _time_data(model: Model, point: Point) -> Json:
    it = model.at(point)
    if it is None:
        return None
    latencies = (it.mean_ms, it.p50_ms, it.p90_ms, it.p99_ms)
    return [_finite(value) for value in (*latencies, it.throughput_per_s)]


def _finite(value: float | None) -> float | None:
    return value if value is not None and isfinite(value) else None
