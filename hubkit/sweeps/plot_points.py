"""What the plot shows, before it is drawn: points, the front, and panels for near and far."""

from __future__ import annotations

from dataclasses import dataclass

from hubkit.sweeps.report_view import Model, Point, View

_FAR = 0.1  # of the baseline's own value
_MARGIN = 0.08


@dataclass(frozen=True)
class Spot:
    """A measured model: latency in ms, metric with its interval. `kind`: which value of the first
    benchmarked parameter it has; None for a baseline."""

    name: str
    x: float
    y: float
    low: float
    high: float
    kind: int | None
    group: str
    on_front: bool


@dataclass(frozen=True)
class Panel:
    """Points of one range of the metric, with the corners of the front in it."""

    spots: tuple[Spot, ...]
    limits: tuple[float, float]
    front: tuple[tuple[float, float], ...] = ()


def spots(view: View) -> tuple[Spot, ...]:
    """Every model that has a score and a time at the middle point of the grid."""
    metric, point = view.main_metric, view.middle
    if metric is None or point is None:
        return ()
    front = {model.name for model in view.front(metric, point)}
    found = (_spot(view, model, metric, point, model.name in front) for model in view.models)
    return tuple(spot for spot in found if spot)


def _spot(view: View, model: Model, metric: str, point: Point, on_front: bool) -> Spot | None:
    timing, score = model.at(point), model.metric(metric)
    if timing is None or score is None:
        return None
    kind, group = _kind(view, model)
    low, high = score.interval.low, score.interval.high
    name = view.labels.get(model.name, model.name)
    return Spot(name, timing.mean_ms, score.value, low, high, kind, group, on_front)


def _kind(view: View, model: Model) -> tuple[int | None, str]:
    if model.is_baseline:
        return None, "FP32 baseline"
    parameter = view.benchmarked[0] if view.benchmarked else None
    row = next((row for row in model.rows if row.name == model.name), None)
    if parameter is None or row is None:
        return 0, "INT8"
    value = parameter.of(row.spec)
    values = parameter.values
    return (values.index(value) if value in values else len(values)), value


def panels(view: View, found: tuple[Spot, ...]) -> tuple[Panel, ...]:
    """One panel, or two where some points are so far from FP32 that they would flatten the rest."""
    base = next((spot for spot in found if spot.kind is None), None)
    far = tuple(s for s in found if base and abs(s.y - base.y) > _FAR * (abs(base.y) or 1.0))
    near = tuple(spot for spot in found if spot not in far)
    right = max(spot.x for spot in found)
    edge = right + (right - min(spot.x for spot in found)) * _MARGIN
    reached = min((s.x for s in near if s.on_front), default=edge)
    first = Panel(near, _limits(near), _stair(near, edge))
    # Far above is far as well where less is better; one more panel below holds both.
    below = Panel(far, _limits(far), _stair(far, reached)) if far else None
    return (first, below) if below else (first,)


def _stair(found: tuple[Spot, ...], edge: float) -> tuple[tuple[float, float], ...]:
    """The front's corners among these points, and its last step, which ends at `edge`."""
    corners = sorted((spot.x, spot.y) for spot in found if spot.on_front)
    return (*corners, (max(edge, corners[-1][0]), corners[-1][1])) if corners else ()


def _limits(found: tuple[Spot, ...]) -> tuple[float, float]:
    low = min(min(s.low, s.y) for s in found)
    high = max(max(s.high, s.y) for s in found)
    pad = (high - low or abs(high) or 1.0) * _MARGIN
    return low - pad, high + pad
