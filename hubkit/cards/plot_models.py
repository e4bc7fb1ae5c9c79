"""Drawing what compares models as a whole: accuracy against latency, latency, and size."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

from hubkit.cards.figure_data import AccuracyLatency, Latency, LatencyLine, Sizes
from hubkit.cards.figures import (
    FOOT,
    LATENCY_PANEL,
    LEGEND,
    PANEL_HEAD,
    SIZE_ROW,
    latency_panels,
    panels_a_row,
)
from hubkit.cards.plot_canvas import (
    axes_at,
    dash,
    extent,
    grid,
    hue,
    legend,
    mark,
    place_at,
    px,
    write,
)
from hubkit.cards.plot_labels import Box, Label, place

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_LEFT, _RIGHT, _TOP = 78, 26, 42  # around the axes, in CSS px
_FAR = 6  # times as slow: on one linear scale the fast ones would lie on top of one another
_LINE = 24.0  # height that a label takes up
_MEGABYTE = 1_000_000
_STEPS = ((1.0,), (1.0, 3.0), (1.0, 2.0, 5.0), (1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 7.0))


def draw_accuracy_latency(figure: Figure, data: AccuracyLatency, width: int, height: int) -> None:
    """A marker and an interval for each model, with its label beside it."""
    axes = axes_at(figure, _LEFT, _TOP, width - _LEFT - _RIGHT, height - _TOP - FOOT)
    _points(axes, data)
    percent = f"{data.confidence * 100:g} %"
    write(figure, 12, 18, f"{data.metric} ({percent} interval)")
    where = f"batch size {data.batch_size}, length {data.input_length}"
    write(figure, width / 2, height - 16, f"p50 latency, ms ({where})", ha="center")
    if not _name(figure, axes, data):
        below = _TOP + LEGEND
        place_at(figure, axes, _LEFT, below, width - _LEFT - _RIGHT, height - below - FOOT)
        legend(figure, tuple(point.model for point in data.points), 54, line=False)


def _points(axes: Axes, data: AccuracyLatency) -> None:
    grid(axes, "both")
    for point in data.points:
        axes.errorbar(
            point.p50_ms,
            point.value,
            yerr=[[max(0.0, point.value - point.low)], [max(0.0, point.high - point.value)]],
            color=hue(point.model),
            elinewidth=px(2.2),
            capsize=px(5),
            capthick=px(2.2),
            zorder=3,
            **mark(point.model, 12),  # type: ignore[arg-type]
        )
    axes.locator_params("both", nbins=6)
    latencies = [point.p50_ms for point in data.points]
    if max(latencies) > _FAR * min(latencies):
        _scale(axes, "x", latencies)
    else:
        axes.set_xlim(0, max(latencies) * 1.12)


def _name(figure: Figure, axes: Axes, data: AccuracyLatency) -> bool:
    """Write the models' labels where they cover neither one another nor a marker; False, and
    nothing is written, where there is no room for one of them."""
    figure.draw_without_rendering()  # only now is known where points are, in pixels
    labels, taken = [], []
    for point in data.points:
        x, y = axes.transData.transform((point.p50_ms, point.value))
        _, low = axes.transData.transform((point.p50_ms, point.low))
        _, high = axes.transData.transform((point.p50_ms, point.high))
        taken += [Box(x - 8, y - 8, x + 8, y + 8), Box(x - 6, low - 2, x + 6, high + 2)]
        labels.append(Label(x, y, extent(figure, point.model.label)[0], _LINE))
    outside = axes.get_window_extent()
    frame = Box(outside.x0, outside.y0, outside.x1 + _RIGHT, outside.y1)
    boxes = [box for box in place(labels, taken, frame, 13) if box]
    if len(boxes) < len(labels):
        return False
    to_figure = figure.transFigure.inverted()
    for point, box in zip(data.points, boxes, strict=True):
        x, y = to_figure.transform((box.left, (box.bottom + box.top) / 2))
        figure.text(x, y, point.model.label, color=hue(point.model), va="center_baseline")
    return True


def draw_latency(figure: Figure, data: Latency, width: int, height: int) -> None:
    """A line for each model over the input lengths, in a panel for each batch size."""
    legend(figure, tuple(line.model for line in data.lines), LEGEND / 2, line=True)
    panels = latency_panels(data)
    abreast = panels_a_row(panels)
    room = (width - 12) / abreast
    for i in range(panels):
        left, top = 12 + room * (i % abreast), LEGEND + LATENCY_PANEL * (i // abreast)
        tall = LATENCY_PANEL - PANEL_HEAD - FOOT
        axes = axes_at(figure, left + 58, top + PANEL_HEAD, room - 58 - _RIGHT, tall)
        grid(axes, "y")
        by_length = len(data.input_lengths) > 1
        batch_size = data.batch_sizes[i] if by_length else None
        for line in data.lines:
            _draw_line(axes, line, data, batch_size)
        points = [p for line in data.lines for p in line.points]
        _scale(axes, "y", [p.p50_ms for p in points if batch_size in (None, p.batch_size)])
        across = data.input_lengths if by_length else data.batch_sizes
        _tell(figure, axes, across)
        what = f"p50 ms, batch size {data.batch_sizes[i]}" if by_length else "p50 latency, ms"
        write(figure, left, top + 14, what)
        below = "input length" if by_length else f"batch size, length {data.input_lengths[0]}"
        middle = left + 58 + (room - 58 - _RIGHT) / 2
        write(figure, middle, top + LATENCY_PANEL - 16, below, ha="center")


def _tell(figure: Figure, axes: Axes, across: tuple[int, ...]) -> None:
    """Ticks at the lengths or batch sizes; where they have no room, at every other one."""
    names = [str(one) for one in across]
    widest = max(extent(figure, name)[0] for name in names) + 8
    every = math.ceil(widest * len(names) / axes.get_window_extent().width)
    shown = [name if (len(names) - 1 - i) % every == 0 else "" for i, name in enumerate(names)]
    axes.set_xticks(range(len(across)), shown)
    axes.set_xlim(-0.25, len(across) - 0.75)


def _draw_line(axes: Axes, line: LatencyLine, data: Latency, batch_size: int | None) -> None:
    points = [p for p in line.points if batch_size in (None, p.batch_size)]
    across = data.batch_sizes if batch_size is None else data.input_lengths
    at = [p.batch_size if batch_size is None else p.input_length for p in points]
    axes.plot(
        [across.index(one) for one in at],
        [p.p50_ms for p in points],
        color=hue(line.model),
        linestyle=dash(line.model),
        linewidth=px(2.4),
        **mark(line.model),  # type: ignore[arg-type]
    )


def _scale(axes: Axes, axis: Literal["x", "y"], values: list[float]) -> None:
    """A logarithmic scale with ticks at round numbers."""
    low, high = min(values) / 1.25, max(values) * 1.25
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    ticks: list[float] = []
    for steps in _STEPS:
        ticks = [s * 10.0**p for p in powers for s in steps if low <= s * 10.0**p <= high]
        if len(ticks) > 2:
            break
    names = [f"{tick:g}" for tick in ticks]
    axes.set(**{f"{axis}scale": "log", f"{axis}lim": (low, high)})
    axes.set(**{f"{axis}ticks": ticks, f"{axis}ticklabels": names})
    (axes.xaxis if axis == "x" else axes.yaxis).set_ticks([], minor=True)


def draw_sizes(figure: Figure, data: Sizes, width: int, height: int) -> None:
    """A bar for each model's weights file, with its label before it and its size behind it."""
    beside = 12 + max(extent(figure, bar.model.label)[0] for bar in data.bars) + 12
    axes = axes_at(figure, beside, 0, width - beside - 110, height)
    for i, bar in enumerate(data.bars):
        solid = bar.model.precision != "fp32"
        size = bar.size_bytes / _MEGABYTE
        axes.barh(
            i,
            size,
            height=0.6,
            facecolor=hue(bar.model) if solid else "none",
            edgecolor=hue(bar.model),
            hatch=None if solid else "//",
            linewidth=px(2),
        )
        text = f"{size:.1f} MB" if size >= 1 else f"{size:.3f} MB"
        axes.annotate(text, (size, i), (px(8), 0), textcoords="offset points", va="center_baseline")
        write(figure, beside - 12, SIZE_ROW * (i + 0.5), bar.model.label, ha="right")
    axes.set_xlim(0, max(bar.size_bytes for bar in data.bars) / _MEGABYTE)
    axes.set_ylim(len(data.bars) - 0.5, -0.5)
    axes.spines[:].set_visible(False)
    axes.set(xticks=[], yticks=[])
