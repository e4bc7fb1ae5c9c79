"""Drawing the analyses: how far probabilities can be believed, and what slices have lost."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from hubkit.cards.figure_data import (
    Model,
    ReliabilityDiagram,
    ReliabilityPanel,
    SliceDrops,
    Slices,
)
from hubkit.cards.figures import FOOT, LEGEND, PANEL_HEAD, PANELS_A_ROW, SLICE_ROW
from hubkit.cards.plot_canvas import (
    FAINT,
    INK,
    axes_at,
    dash,
    extent,
    fitted,
    grid,
    hue,
    legend,
    mark,
    px,
    write,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# In CSS px: height of the strip of counts, room above it, and for the titles on the left.
_COUNTS, _GAP, _TITLE = 56, 26, 24
_LONGEST_NAME = 230.0


def draw_reliability(figure: Figure, data: ReliabilityDiagram, width: int, height: int) -> None:
    """For each model the share of right answers against their probability, and how many they are.

    All panels show the same range, from the lowest bin that has answers in one of them.
    """
    room = (width - _TITLE - 8) / PANELS_A_ROW
    bins = [one for panel in data.panels for one in panel.bins]
    least = min(min(one.low, one.accuracy, one.confidence) for one in bins)
    low = math.floor(least * 5 + 1e-9) / 5
    most = max(one.count for one in bins)
    ticks = max(extent(figure, text)[0] for text in (str(most), "0.4")) + 12
    start = _TITLE + ticks + room * (PANELS_A_ROW - len(data.panels)) / 2
    wide, tall = room - ticks - 14, height - PANEL_HEAD - FOOT - _COUNTS - _GAP
    for i, panel in enumerate(data.panels):
        left, below = start + room * i, PANEL_HEAD + tall + _GAP
        write(figure, left + wide / 2, PANEL_HEAD / 2, panel.model.label, ha="center")
        _diagram(axes_at(figure, left, PANEL_HEAD, wide, tall), panel, low)
        _counts(axes_at(figure, left, below, wide, _COUNTS), panel, low, most)
        write(figure, left + wide / 2, height - 18, "confidence", ha="center")
    title = start - ticks - 10
    write(figure, title, PANEL_HEAD + tall / 2, "accuracy", upright=True)
    write(figure, title, height - FOOT - _COUNTS / 2, "count", upright=True)


def _diagram(axes: Axes, panel: ReliabilityPanel, low: float) -> None:
    grid(axes, "both")
    axes.plot([low, 1], [low, 1], color=INK, linewidth=px(2), linestyle=(0, (1, 1.5)), zorder=1)
    axes.plot(
        [one.confidence for one in panel.bins],
        [one.accuracy for one in panel.bins],
        color=hue(panel.model),
        linestyle=dash(panel.model),
        linewidth=px(2.2),
        clip_on=False,
        **mark(panel.model, 10),  # type: ignore[arg-type]
    )
    ticks = _shares(low)
    for set_ticks in (axes.set_xticks, axes.set_yticks):
        set_ticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.set(xlim=(low, 1), ylim=(low, 1))
    axes.tick_params(axis="x", labelbottom=False)


def _shares(low: float) -> list[float]:
    step = 0.1 if low > 0.7 else 0.2 if low > 0.3 else 0.5
    ticks = [1 - step * n for n in range(round((1 - low) / step) + 1)]
    return [round(tick, 2) for tick in ticks if tick >= low - 1e-9]


def _counts(axes: Axes, panel: ReliabilityPanel, low: float, most: int) -> None:
    for one in panel.bins:
        axes.bar(
            (one.low + one.high) / 2,
            one.count,
            width=(one.high - one.low) * 0.86,
            facecolor=hue(panel.model) if panel.model.precision != "fp32" else "none",
            edgecolor=hue(panel.model),
            linewidth=px(1.6),
        )
    ticks = _shares(low)
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.set_yticks([0, most], ["0", str(most)])
    axes.set(xlim=(low, 1), ylim=(0, most))


def draw_slices(figure: Figure, data: Slices, width: int, height: int) -> None:
    """What each published model lost on all rows and on each slice, with its interval."""
    rows = (*((data.whole,) if data.whole else ()), *data.slices)
    models = tuple(dict.fromkeys(drop.model for row in rows for drop in row.drops))
    legend(figure, models, LEGEND / 2, line=False)
    metrics = {row.metric for row in rows}
    names = [_name(figure, row, "" if len(metrics) == 1 else f" ({row.metric})") for row in rows]
    beside = 12 + max(extent(figure, name)[0] for name in names) + 14
    counts = [str(row.rows) for row in rows]
    after = max(extent(figure, one)[0] for one in (*counts, "rows")) + 24
    wide, tall = width - beside - after, len(rows) * SLICE_ROW
    axes = axes_at(figure, beside, LEGEND, wide, tall)
    grid(axes, "x")
    axes.axvline(0, color=INK, linewidth=px(2), zorder=1)
    for i, (row, name, count) in enumerate(zip(rows, names, counts, strict=True)):
        _draw_row(axes, row, i, models)
        middle = LEGEND + SLICE_ROW * (i + 0.5)
        write(figure, beside - 14, middle, name, ha="right")
        write(figure, width - 12, middle, count, ha="right")
    write(figure, width - 12, LEGEND / 2, "rows", ha="right")
    if data.whole:
        axes.axhline(0.5, color=INK, linewidth=1.0, alpha=FAINT)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    axes.locator_params("x", nbins=6)
    of = f" of {rows[0].metric}" if len(metrics) == 1 else ""
    title = f"drop{of} against FP32 ({data.confidence * 100:g} % interval)"
    write(figure, beside + wide / 2, height - 16, title, ha="center")


def _name(figure: Figure, row: SliceDrops, metric: str) -> str:
    """The row's label, with its number where not all of it has room, and its metric."""
    label, room = row.label, _LONGEST_NAME - extent(figure, metric or " ")[0]
    if not label.startswith("#") and extent(figure, label)[0] > room:
        label = f"#{row.number} {label}"
    return fitted(figure, label, room) + metric


def _draw_row(axes: Axes, row: SliceDrops, at: int, models: tuple[Model, ...]) -> None:
    for drop in row.drops:
        # One above the other within the row.
        place = at + (models.index(drop.model) - (len(models) - 1) / 2) * 0.36
        axes.errorbar(
            drop.loss,
            place,
            xerr=[[max(0.0, drop.loss - drop.low)], [max(0.0, drop.high - drop.loss)]],
            color=hue(drop.model),
            elinewidth=px(2.2),
            capsize=px(4),
            capthick=px(2.2),
            zorder=3,
            **mark(drop.model, 10),  # type: ignore[arg-type]
        )
