"""Accuracy against latency as a picture, the same bytes every time."""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING, Literal

from hubkit.cards.escape import one_line
from hubkit.cards.plot_canvas import settings
from hubkit.cards.plot_labels import Box, Label, place
from hubkit.sweep_records import SweepReport
from hubkit.sweeps.plot_points import Panel, Spot, panels, spots
from hubkit.sweeps.report_view import LESS_IS_BETTER, View

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito 2008, "Color Universal Design": told apart by colour-blind readers, and each has a
# marker of its own as well.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#7A5C00", "#56B4E9")
_MARKERS = ("o", "s", "^", "v", "P", "h")
_INK, _DIM, _GRID = "#1b2330", "#566073", "#d5dae3"
_SETTINGS: dict[str, object] = {
    "font.family": "DejaVu Sans",  # comes with matplotlib: the same letters on every machine
    "font.size": 10.0,
    "text.parse_math": False,  # a $ in a name is a $
    "text.color": _INK,
    "axes.edgecolor": _DIM,
    "axes.labelcolor": _INK,
    "xtick.color": _DIM,
    "ytick.color": _DIM,
    "svg.hashsalt": "hubkit",
    "svg.fonttype": "path",
    "path.simplify": False,
}
_INCHES, _DPI = (10.0, 6.0), 160
_LONGEST = 40  # characters of a name
_GAP = 11.0  # pixels between a point and its name


def plot_svg(report: SweepReport) -> str:
    """The plot as SVG: main metric against mean latency at the middle point of the grid.

    Intervals are bars, baselines hollow, the Pareto front a line; configurations far below FP32
    have a panel of their own. Without scores or times it says that there is nothing to show.
    """
    return _drawn(report, "svg").decode()


def plot_png(report: SweepReport) -> bytes:
    """The plot as PNG of 1600 × 960 pixels, see `plot_svg`."""
    return _drawn(report, "png")


def _drawn(report: SweepReport, kind: Literal["svg", "png"]) -> bytes:
    with settings(_SETTINGS):
        figure = _figure(View(report))
        buffer = BytesIO()
        # No date and no version of matplotlib, so that the bytes depend on the report alone.
        metadata = {"Date": None, "Creator": None} if kind == "svg" else {"Software": None}
        figure.savefig(buffer, format=kind, dpi=_DPI, metadata=metadata)
    return buffer.getvalue()


def _figure(view: View) -> Figure:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=_INCHES, facecolor="white")
    FigureCanvasAgg(figure)
    found = spots(view)
    if not found:
        figure.text(0.5, 0.5, "Nothing to show: no scores or no times.", ha="center", color=_DIM)
        return figure
    parts = panels(view, found)
    axes = _axes(figure, parts)
    for one, panel in zip(axes, parts, strict=True):
        _draw(one, panel, found)
    _titles(figure, axes, view)
    _legend(axes[0], found)
    figure.subplots_adjust(left=0.09, right=0.975, top=0.83, bottom=0.1, hspace=0.08)
    _names(figure, axes, parts)
    return figure


def _axes(figure: Figure, parts: tuple[Panel, ...]) -> list[Axes]:
    heights = [5.0, *(1.4 for _ in parts[1:])]
    grid = figure.add_gridspec(len(parts), 1, height_ratios=heights)
    first = figure.add_subplot(grid[0])
    axes = [first, *(figure.add_subplot(grid[i], sharex=first) for i in range(1, len(parts)))]
    for i, one in enumerate(axes):
        one.grid(color=_GRID, linewidth=0.8)
        one.set_axisbelow(True)
        one.spines[["top", "right"]].set_visible(False)
        if i < len(axes) - 1:
            one.tick_params(axis="x", length=0, labelbottom=False)
            one.spines["bottom"].set_linestyle((0, (2, 3)))
    return axes


def _draw(axes: Axes, panel: Panel, every: tuple[Spot, ...]) -> None:
    for spot in panel.spots:
        colour = _INK if spot.kind is None else _COLOURS[spot.kind % len(_COLOURS)]
        axes.errorbar(
            spot.x,
            spot.y,
            yerr=[[max(0.0, spot.y - spot.low)], [max(0.0, spot.high - spot.y)]],
            marker="D" if spot.kind is None else _MARKERS[spot.kind % len(_MARKERS)],
            markersize=8,
            markerfacecolor="white" if spot.kind is None else colour,
            markeredgecolor=colour if spot.kind is None else "white",
            markeredgewidth=1.6 if spot.kind is None else 0.8,
            color=colour,
            elinewidth=1.4,
            capsize=3.5,
            zorder=4,
        )
    if panel.front:
        xs, ys = zip(*panel.front, strict=True)
        axes.plot(xs, ys, drawstyle="steps-post", color=_DIM, linewidth=1.3, linestyle=(0, (5, 3)))
    low, high = panel.limits
    axes.set_ylim(low, high)
    lowest, highest = min(s.x for s in every), max(s.x for s in every)
    margin = (highest - lowest or highest or 1.0) * 0.07
    axes.set_xlim(lowest - margin, highest + margin)


def _titles(figure: Figure, axes: list[Axes], view: View) -> None:
    metric, point = view.main_metric or "", view.middle
    less = " (less is better)" if metric in LESS_IS_BETTER else ""
    figure.supylabel(one_line(metric) + less, fontsize=11, x=0.012)
    if point:
        where = f"batch size {point[0]}, input length {point[1]}"
        axes[-1].set_xlabel(f"mean latency of a call, ms ({where})", fontsize=11)
    base = _short(one_line(view.report.lock.base.id), 80)
    figure.text(0.09, 0.955, base, fontsize=13, weight="bold", va="center")
    interval = f"bars: {view.confidence * 100:g} % confidence intervals"
    rows = f"{view.report.dataset.eval_rows:,} rows"
    partial = "PARTIAL RESULTS · " if view.report.partial or not view.is_whole else ""
    said = f"{partial}{rows} of {_short(one_line(view.report.lock.dataset.id), 60)} · {interval}"
    colour = "#A01C12" if partial else _DIM
    figure.text(0.09, 0.912, said, fontsize=10, color=colour, va="center")


def _legend(axes: Axes, found: tuple[Spot, ...]) -> None:
    from matplotlib.lines import Line2D

    entries = {spot.kind: spot.group for spot in found}
    handles = [
        Line2D(
            [],
            [],
            linestyle="none",
            marker="D" if kind is None else _MARKERS[kind % len(_MARKERS)],
            markersize=7,
            color=_INK if kind is None else _COLOURS[kind % len(_COLOURS)],
            markerfacecolor="white" if kind is None else None,
            markeredgewidth=1.6 if kind is None else 0.0,
            label=_short(one_line(entries[kind]), 40),
        )
        for kind in sorted(entries, key=lambda k: -1 if k is None else k)
    ]
    handles.append(Line2D([], [], color=_DIM, linestyle=(0, (5, 3)), label="Pareto front"))
    axes.legend(
        handles=handles,
        loc="lower left",
        bbox_to_anchor=(-0.008, 1.0),
        ncols=min(6, len(handles)),
        frameon=False,
        handletextpad=0.4,
        columnspacing=1.4,
        borderaxespad=0.2,
    )


def _short(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def _names(figure: Figure, axes: list[Axes], parts: tuple[Panel, ...]) -> None:
    """The names of the points, where there is room; a thin line leads to one that is not beside."""
    figure.canvas.draw()  # only now is known where points are, in pixels
    for one, panel in zip(axes, parts, strict=True):
        ordered = sorted(panel.spots, key=lambda s: (s.kind is not None, not s.on_front, s.x))
        texts = [_short(one_line(spot.name), _LONGEST) for spot in ordered]
        sizes = [_size(figure, text) for text in texts]
        centres = [one.transData.transform((spot.x, spot.y)) for spot in ordered]
        labels = [
            Label(float(x), float(y), width, height)
            for (x, y), (width, height) in zip(centres, sizes, strict=True)
        ]
        taken = [box for spot in panel.spots for box in _covered(one, spot)]
        outside = one.get_window_extent()
        frame = Box(outside.x0, outside.y0, outside.x1, outside.y1)
        boxes = place(labels, taken, frame, _GAP)
        named = list(zip(texts, labels, boxes, strict=True))
        # Where a whole name finds no place, its number does.
        left = [(_number(text), label) for text, label, box in named if box is None]
        short = [Label(la.x, la.y, *_size(figure, text)) for text, la in left]
        full = [*taken, *(box for box in boxes if box)]
        numbered = zip((t for t, _ in left), short, place(short, full, frame, _GAP), strict=True)
        for text, label, box in (*named, *numbered):
            if box is not None:
                _write(one, text, label, box)


def _number(text: str) -> str:
    return text.split(" ")[0]


def _covered(axes: Axes, spot: Spot) -> tuple[Box, Box]:
    x, y = axes.transData.transform((spot.x, spot.y))
    _, low = axes.transData.transform((spot.x, spot.low))
    _, high = axes.transData.transform((spot.x, spot.high))
    return Box(x - 9, y - 9, x + 9, y + 9), Box(x - 5, low - 1, x + 5, high + 1)


def _size(figure: Figure, text: str) -> tuple[float, float]:
    """Width and height of a name in pixels."""
    made = figure.text(0, 0, text, fontsize=9)
    box = made.get_window_extent()
    made.remove()
    return box.width, max(box.height, 12.0)


def _write(axes: Axes, text: str, label: Label, box: Box) -> None:
    to_data = axes.transData.inverted()
    x, y = to_data.transform((box.left, (box.bottom + box.top) / 2))
    behind = {"facecolor": "white", "alpha": 0.85, "edgecolor": "none", "pad": 0.5}
    axes.text(x, y, text, fontsize=9, va="center", zorder=3.5, bbox=behind)
    middle = (box.bottom + box.top) / 2
    if abs(middle - label.y) > label.height * 1.5:
        nearest = min(max(label.x, box.left), box.right)
        edge = box.bottom if middle > label.y else box.top
        ends = to_data.transform([(label.x, label.y), (nearest, edge)])
        axes.plot(ends[:, 0], ends[:, 1], color=_DIM, linewidth=0.6, zorder=3)
