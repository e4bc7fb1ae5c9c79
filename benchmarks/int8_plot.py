"""The picture of benchmarks.int8: every model on the plane of agreement with FP32 and latency."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.axes import Axes
    from matplotlib.transforms import Bbox

_OWN, _PEER, _FRONT = "#c2410c", "#1d4ed8", "#9ca3af"
# Where a label may stand about its point, in points of 1/72 inch; the first that is free is taken.
_PLACES = [
    (dx, dy)
    for far in (6, 14, 24, 36, 50, 66)
    for dx, dy in ((far, 3), (far, -9), (-far, 3), (-far, -9), (0, far + 2), (0, -far - 8))
]


@dataclass(frozen=True)
class Point:
    """A model; latency as a part of ONNX Runtime FP32's."""

    name: str
    latency: float
    flips: int

    @property
    def own(self) -> bool:
        return self.name.startswith("hubkit")


def points_of(report: Mapping[str, Mapping[str, object]]) -> list[Point]:
    """Those that did not fail; the latency is the geometric mean over the points of the grid."""
    found = []
    for name, one in report.items():
        if "failed" in one:
            continue
        ratios, flips = one["ratio"], one["flips"]
        assert isinstance(ratios, dict)
        assert isinstance(flips, int)
        latency = statistics.geometric_mean([1 / ratio for ratio in ratios.values()])
        found.append(Point(name, latency, flips))
    return found


def front(points: Sequence[Point]) -> list[Point]:
    """Those that no other one beats in both, the fastest first."""
    found: list[Point] = []
    for point in sorted(points, key=lambda one: (one.latency, one.flips)):
        if not found or point.flips < found[-1].flips:
            found.append(point)
    return found


def plot(report: Mapping[str, Mapping[str, object]], path: Path) -> None:
    """Draw the models, hubkit's in another colour, and the line of those that none beats."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    points = points_of(report)
    figure, axes = pyplot.subplots(figsize=(10, 6.5), layout="constrained")
    best = front(points)
    axes.plot(
        [one.latency for one in best],
        [one.flips for one in best],
        color=_FRONT,
        drawstyle="steps-post",
        zorder=1,
        label="beaten by none in both",
    )
    for own, colour, said in ((True, _OWN, "hubkit"), (False, _PEER, "others")):
        some = [one for one in points if one.own == own]
        axes.scatter(
            [one.latency for one in some],
            [one.flips for one in some],
            color=colour,
            marker="o" if own else "s",
            zorder=3,
            label=said,
        )
    # Most are at a few flips and a third of the time; the worst must not press them together.
    axes.set_xscale("log")
    axes.set_yscale("symlog", linthresh=20)
    axes.set_ylim(-2, max(one.flips for one in points) * 1.3 + 2)
    axes.margins(x=0.12)
    ticks = [
        tick
        for tick in (0.2, 0.25, 0.3, 0.35, 0.4, 0.5, 0.6, 0.8, 1, 1.5, 2, 3)
        if _within(axes, tick)
    ]
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.set_xticks([], minor=True)
    flips = (0, 5, 10, 15, 20, 30, 50, 100, 200, 500, 1000)
    flip_ticks = [tick for tick in flips if tick <= max(one.flips for one in points) * 1.2 + 1]
    axes.set_yticks(flip_ticks, [str(tick) for tick in flip_ticks])
    axes.set_xlabel("latency, as a part of ONNX Runtime FP32's (geometric mean of the points)")
    axes.set_ylabel("predictions that differ from FP32")
    axes.grid(color="#e5e7eb", linewidth=0.6)
    figure.legend(loc="outside upper center", ncols=3, frameon=False)
    figure.canvas.draw()
    _name(axes, points)
    figure.savefig(path, dpi=130, metadata={"Software": None})
    pyplot.close(figure)


def _within(axes: Axes, tick: float) -> bool:
    low, high = axes.get_xlim()
    return bool(low <= tick <= high)


def _name(axes: Axes, points: Sequence[Point]) -> None:
    """Write the names, none over another or over a point."""
    from matplotlib.text import Text

    taken: list[Bbox] = [_around(axes, one) for one in points]
    for point in sorted(points, key=lambda one: (one.latency, one.flips)):
        for dx, dy in _PLACES:
            label = axes.annotate(
                point.name,
                (point.latency, point.flips),
                xytext=(dx, dy),
                textcoords="offset points",
                ha="left" if dx > 0 else "right" if dx < 0 else "center",
                fontsize=8,
                color=_OWN if point.own else _PEER,
                arrowprops={"arrowstyle": "-", "color": _FRONT, "linewidth": 0.5, "shrinkB": 3},
                zorder=2,
            )
            label.get_window_extent()  # puts it in its place
            box = Text.get_window_extent(label)  # without the line to its point
            inside = axes.bbox.contains(box.x0, box.y0) and axes.bbox.contains(box.x1, box.y1)
            if (inside and not any(box.overlaps(other) for other in taken)) or (
                (dx, dy) == _PLACES[-1]
            ):
                taken.append(box)
                break
            label.remove()


def _around(axes: Axes, point: Point) -> Bbox:
    from matplotlib.transforms import Bbox

    x, y = axes.transData.transform((point.latency, point.flips))
    return Bbox.from_extents(x - 6, y - 6, x + 6, y + 6)
