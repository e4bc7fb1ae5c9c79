"""The plots of a report on formats as files for Markdown, light and dark alike: SVG and PNG; in a
script that the font of the plots lacks, SVG alone, whose letters are the reader's own."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import astuple, dataclass
from typing import TYPE_CHECKING
from unicodedata import east_asian_width

from hubkit.cards.figure_labels import drawable, drawable_names
from hubkit.cards.plot_canvas import (
    INK,
    TEXT,
    axes_at,
    canvas,
    card_settings,
    extent,
    fitted,
    grid,
    px,
    saved,
    saved_svg,
    write,
)
from hubkit.formats.plot_charts import Words, charts, words
from hubkit.formats.plot_model import Axis, Bars, Chart, Series, shape_of
from hubkit.formats.report_numbers import Digits
from hubkit.formats.view import View
from hubkit.formats_records import FormatsReport
from hubkit.i18n import SOURCE, language, languages

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_WIDTH, _HEIGHT = 960, 460
_LEFT, _RIGHT, _BOTTOM = 96, 20, 70
# Middle tones, at least 3:1 (WCAG 2.1, graphics) against white and against the Hub's dark page.
_HUES = (
    "#1a7dc0",
    "#c8590a",
    "#0f8a66",
    "#b0588d",
    "#8f7215",
    "#6f7c91",
    "#b8434e",
    "#7b68c8",
)
_FONT = re.compile(rb'font-family="[^"]*"')
_MARKERS = ("o", "s", "^", "D")


@dataclass(frozen=True)
class Plot:
    """A plot's files; no PNG where its letters cannot be drawn."""

    svg: bytes
    png: bytes | None


def plots(report: FormatsReport, code: str = SOURCE) -> dict[str, Plot]:
    """Name -> files, in a language; the same record and matplotlib give the same bytes."""
    said = words(language(code))
    outlined = _drawable(said)
    with card_settings(outlined=outlined):
        found = charts(View(report), said, Digits(code))
        return {name: _files(_drawn(one), outlined) for name, one in found.items()}


def _files(figure: Figure, outlined: bool) -> Plot:
    if not outlined:
        return Plot(_FONT.sub(rb'font-family="sans-serif"', saved_svg(figure)), None)
    both = saved(figure)
    return Plot(both.svg, both.png)


def plot_paths(report: FormatsReport, code: str, *, primary: str) -> dict[str, str]:
    """Name -> the file below plots/ that a page in a language shows; that of the first language is
    named for the plot alone."""
    said = words(language(code))
    ending = "png" if _drawable(said) else "svg"
    stem = "" if code == primary else f".{code}"
    return {name: f"{name}{stem}.{ending}" for name in charts(View(report), said, Digits(code))}


def _drawable(said: Words) -> bool:
    texts = [one for one in astuple(said) if isinstance(one, str)]
    return all(map(drawable, (*texts, *said.parts.values())))


def _drawn(chart: Chart | Bars) -> Figure:
    return _bars(chart) if isinstance(chart, Bars) else _chart(chart)


def _names(given: Iterable[str]) -> tuple[str, ...]:
    """What the legend writes: hubkit's own words as they are, in whatever script; of other names
    what the font has."""
    found = tuple(given)
    own = {one for code in languages() for one in words(language(code)).parts.values()}
    return tuple(
        name if name in own else shown
        for name, shown in zip(found, drawable_names(found), strict=True)
    )


def _width(figure: Figure, name: str) -> float:
    """CSS px of a name; ideographs, which the font lacks, are as wide as they are high."""
    square = sum(east_asian_width(letter) in "WF" for letter in name)
    return max(extent(figure, name)[0], TEXT * square)


def _chart(chart: Chart) -> Figure:
    names = _names(one.name for one in chart.series)
    top = _legend_height(names) + 16
    figure = canvas(_WIDTH, _HEIGHT + top)
    axes = axes_at(figure, _LEFT, top, _WIDTH - _LEFT - _RIGHT, _HEIGHT - _BOTTOM)
    _scale(axes, chart.x, "x")
    _scale(axes, chart.y, "y")
    grid(axes, "both")
    for number, guide in enumerate(chart.guides):
        xs, ys = zip(*guide.points, strict=True)
        axes.plot(xs, ys, color=INK, linewidth=px(1.6), linestyle=(0, (5, 4)))
        _name_guide(axes, guide.name, guide.points, number)
    for one in chart.series:
        _line(axes, one)
    _legend(figure, chart.series, names)
    axes.set_xlabel(chart.x.title)
    axes.set_ylabel(chart.y.title)
    return figure


def _scale(axes: Axes, axis: Axis, which: str) -> None:
    (axes.set_xscale if which == "x" else axes.set_yscale)("log" if axis.log else "linear")
    (axes.set_xlim if which == "x" else axes.set_ylim)(axis.low, axis.high)
    one = axes.xaxis if which == "x" else axes.yaxis
    one.set_ticks([at for at, _ in axis.ticks], [text for _, text in axis.ticks])
    one.set_ticks([], minor=True)


def _name_guide(
    axes: Axes, name: str, points: tuple[tuple[float, float], ...], number: int
) -> None:
    x, y = points[-1]
    upright = points[0][0] == x
    near_end = (
        not upright
        or axes.transAxes.inverted().transform(axes.transData.transform((x, y)))[0] > 0.7
    )
    axes.annotate(
        name,
        (x, y),
        xytext=(-px(5) if near_end else px(5), -px(14 + 20 * number) if upright else px(5)),
        textcoords="offset points",
        ha="right" if near_end else "left",
        fontsize=px(14),
    )


def _line(axes: Axes, one: Series) -> None:
    colour = _HUES[one.hue % len(_HUES)]
    if one.limit:
        xs, ys = zip(*one.limit, strict=True)
        axes.plot(xs, ys, color=colour, linewidth=px(1.6), linestyle=(0, (4, 3)))
    if one.joined:
        axes.plot(
            [mark.x for mark in one.marks],
            [mark.y for mark in one.marks],
            color=colour,
            linewidth=px(2.4),
        )
    for hollow in (False, True):
        found = [mark for mark in one.marks if mark.hollow == hollow]
        axes.plot(
            [mark.x for mark in found],
            [mark.y for mark in found],
            linestyle="none",
            marker=_MARKERS[shape_of(one.hue)],
            markersize=px(9 if one.joined else 12),
            markerfacecolor="none" if hollow else colour,
            markeredgecolor=colour,
            markeredgewidth=px(1.8),
        )


def _legend_height(names: tuple[str, ...]) -> int:
    return 26 * len(_legend_rows(names))


def _legend_rows(names: tuple[str, ...]) -> list[list[int]]:
    """Numbers of the names on each line of the legend."""
    figure = canvas(_WIDTH, 100)
    rows: list[list[int]] = [[]]
    left = 0.0
    for number, name in enumerate(names):
        wide = _width(figure, name) + 60
        if rows[-1] and left + wide > _WIDTH - 20:
            rows.append([])
            left = 0.0
        rows[-1].append(number)
        left += wide
    return rows


def _legend(figure: Figure, series: tuple[Series, ...], names: tuple[str, ...]) -> None:
    from matplotlib.lines import Line2D

    whole, tall = figure.get_size_inches() * 96
    for row, numbers in enumerate(_legend_rows(names)):
        left, middle = 10.0, 16.0 + 26 * row
        for number in numbers:
            one = series[number]
            colour = _HUES[one.hue % len(_HUES)]
            hollow = any(mark.hollow for mark in one.marks) and not one.joined
            figure.add_artist(
                Line2D(
                    [x / whole for x in (left, left + 15, left + 30)],
                    [1 - middle / tall] * 3,
                    color=colour,
                    linewidth=px(2.4) if one.joined else 0,
                    marker=_MARKERS[shape_of(one.hue)],
                    markevery=[1],
                    markersize=px(9),
                    markerfacecolor="none" if hollow else colour,
                    markeredgewidth=px(1.8),
                )
            )
            write(figure, left + 38, middle, names[number])
            left += 60 + _width(figure, names[number])


def _bars(chart: Bars) -> Figure:
    row, top = 56, 40
    names = _names(bar.name for bar in chart.bars)
    figure = canvas(_WIDTH, top + row * len(names) + _BOTTOM)
    axes = axes_at(figure, 16, top, _WIDTH - 140, row * len(names))
    _scale(axes, chart.x, "x")
    axes.set_ylim(len(names), 0)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    grid(axes, "x")
    for number, bar in enumerate(chart.bars):
        colour = _HUES[bar.hue % len(_HUES)]
        middle = number + 0.68
        axes.barh(middle, bar.value - chart.x.low, 0.36, left=chart.x.low, color=colour)
        axes.plot([bar.low, bar.high], [middle, middle], color=INK, linewidth=px(2))
        write(figure, 20, top + row * number + 18, fitted(figure, names[number], _WIDTH - 160))
        axes.annotate(
            bar.said.rsplit(" · ", 1)[-1],
            (max(bar.value, bar.high), middle),
            xytext=(px(8), 0),
            textcoords="offset points",
            va="center",
        )
    if chart.floor is not None:
        axes.axvline(chart.floor, color=INK, linewidth=px(1.6), linestyle=(0, (5, 4)))
        place = 16 + chart.x.share(chart.floor) * (_WIDTH - 140)
        write(figure, place, top - 14, chart.floor_name, ha="left" if place < 480 else "right")
    axes.set_xlabel(chart.x.title)
    return figure
