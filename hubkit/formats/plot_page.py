"""A plot as SVG inside the page: its colours are the page's, so it is right in light and dark."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from markupsafe import Markup, escape

from hubkit.formats.plot_model import HUES, Axis, Bars, Chart, Mark, Series, shape_of

_SHAPES = (
    "M-4 0a4 4 0 1 0 8 0a4 4 0 1 0 -8 0z",
    "M-3.6 -3.6h7.2v7.2h-7.2z",
    "M0 -4.8L4.4 3.4H-4.4z",
    "M0 -5L4.6 0L0 5L-4.6 0z",
)


@dataclass(frozen=True)
class _Frame:
    """Where the axes are, in CSS px."""

    kind: str
    width: float
    height: float
    left: float = 58
    right: float = 14
    top: float = 12
    bottom: float = 46

    def x(self, axis: Axis, value: float) -> float:
        return self.left + axis.share(value) * (self.width - self.left - self.right)

    def y(self, axis: Axis, value: float) -> float:
        return (
            self.height - self.bottom - axis.share(value) * (self.height - self.top - self.bottom)
        )


# Two drawings of each plot: a phone shows the one that is made for its width.
_FRAMES = (_Frame("broad", 860, 380), _Frame("narrow", 360, 320))


def inline(chart: Chart | Bars, title: str) -> Markup:
    """The legend and the drawings of a plot, for a desk and for a phone."""
    if isinstance(chart, Bars):
        return Markup("\n").join(_bars(chart, kind, width, title) for kind, width in _WIDTHS)
    return Markup("\n").join([_legend(chart), *(_chart(chart, one, title) for one in _FRAMES)])


_WIDTHS = (("broad", 860.0), ("narrow", 360.0))


def _svg(kind: str, width: float, height: float, title: str, parts: Iterable[Markup]) -> Markup:
    return Markup(
        '<svg class="{}" viewBox="0 0 {} {}" role="img" aria-label="{}">\n{}\n</svg>'
    ).format(kind, _n(width), _n(height), title, Markup("\n").join(parts))


def _n(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")


def _chart(chart: Chart, frame: _Frame, title: str) -> Markup:
    parts = [*_axes(chart, frame), *_guides(chart, frame)]
    parts += [_series(one, number, chart, frame) for number, one in enumerate(chart.series)]
    return _svg(frame.kind, frame.width, frame.height, title, parts)


def _line(kind: str, x1: float, y1: float, x2: float, y2: float) -> Markup:
    return Markup('<path class="{}" d="M{} {}L{} {}"/>').format(kind, *map(_n, (x1, y1, x2, y2)))


def _text(kind: str, x: float, y: float, anchor: str, text: str, more: str = "") -> Markup:
    return Markup('<text class="{}" x="{}" y="{}" text-anchor="{}"{}>{}</text>').format(
        kind, _n(x), _n(y), anchor, Markup(more), text
    )


def _axes(chart: Chart, frame: _Frame) -> list[Markup]:
    base, right = frame.height - frame.bottom, frame.width - frame.right
    parts = []
    for value, text in chart.y.ticks:
        y = frame.y(chart.y, value)
        parts.append(_line("axis", frame.left, y, right, y))
        parts.append(_text("tick", frame.left - 7, y + 4, "end", text))
    last = -100.0
    for value, text in chart.x.ticks:
        x = frame.x(chart.x, value)
        if x - last < 9 + 7 * len(text):
            continue  # a narrow frame has no room for every number
        last = x
        parts.append(_line("axis", x, frame.top, x, base))
        parts.append(_text("tick", min(x, right), base + 17, "middle", text))
    parts.append(_line("frame", frame.left, base, right, base))
    parts.append(_text("title", right, frame.height - 8, "end", chart.x.title))
    middle = (frame.top + base) / 2
    turned = f' transform="rotate(-90 13 {_n(middle)})"'
    parts.append(_text("title", 13, middle, "middle", chart.y.title, turned))
    return parts


def _guides(chart: Chart, frame: _Frame) -> list[Markup]:
    parts = []
    for number, guide in enumerate(chart.guides):
        places = [(frame.x(chart.x, x), frame.y(chart.y, y)) for x, y in guide.points]
        parts.append(Markup('<path class="guide" d="{}"/>').format(_path(places)))
        x, y = places[-1]
        upright = len(places) == 2 and abs(places[0][0] - x) < 1
        # Names of upright lines stand one below the other, since lines may be close.
        if upright:
            near_end = x > frame.width * 0.55  # its name has no room on the right
            anchor, away = ("end", -4) if near_end else ("start", 4)
            y = frame.top + 10 + 14 * number
            parts.append(_text("tick", x + away, y, anchor, guide.name))
        else:
            parts.append(_text("tick", x - 2, y - 5, "end", guide.name))
    return parts


def _path(places: Iterable[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{_n(x)} {_n(y)}" for x, y in places)


def _series(one: Series, number: int, chart: Chart, frame: _Frame) -> Markup:
    def at(x: float, y: float) -> tuple[float, float]:
        return frame.x(chart.x, x), frame.y(chart.y, y)

    parts = []
    if one.limit:
        path = _path(at(x, y) for x, y in one.limit)
        parts.append(Markup('<path class="line dashed" d="{}"/>').format(path))
    if one.joined and len(one.marks) > 1:
        path = _path(at(mark.x, mark.y) for mark in one.marks)
        parts.append(Markup('<path class="line" d="{}"/>').format(path))
    parts += [_mark(mark, one.hue, *at(mark.x, mark.y)) for mark in one.marks]
    return Markup('<g class="s{}" data-series="{}">{}</g>').format(
        one.hue % HUES, number, Markup("").join(parts)
    )


def _mark(mark: Mark, hue: int, x: float, y: float) -> Markup:
    return Markup(
        '<path class="mark{}" transform="translate({} {})" d="{}"><title>{}</title></path>'
    ).format(" hollow" if mark.hollow else "", _n(x), _n(y), _SHAPES[shape_of(hue)], mark.said)


def _legend(chart: Chart) -> Markup:
    entries = []
    for number, one in enumerate(chart.series):
        hollow = " hollow" if one.marks and not one.joined else ""
        swatch = Markup(
            '<svg class="s{}" viewBox="-14 -7 28 14" aria-hidden="true">{}'
            '<path class="mark{}" d="{}"/></svg>'
        ).format(
            one.hue % HUES,
            Markup('<path class="line" d="M-14 0H14"/>') if one.joined else Markup(""),
            hollow,
            _SHAPES[shape_of(one.hue)],
        )
        entries.append(
            Markup('<li><span class="entry" data-series="{}">{}{}</span></li>').format(
                number, swatch, escape(one.name)
            )
        )
    return Markup('<ul class="legend">{}</ul>').format(Markup("").join(entries))


def _bars(chart: Bars, kind: str, width: float, title: str) -> Markup:
    """Each bar under its name, so that a long name has room on a phone too."""
    row, left, right, top = 40.0, 4.0, 74.0, 22.0
    base = top + row * len(chart.bars)
    height = base + 44

    def at(value: float) -> float:
        return left + chart.x.share(value) * (width - left - right)

    parts, last = [], -100.0
    for value, text in chart.x.ticks:
        x = at(value)
        if x - last < 9 + 7 * len(text):
            continue
        last = x
        parts.append(_line("axis", x, top - 4, x, base))
        parts.append(_text("tick", max(x, 4 + 3.5 * len(text)), base + 16, "middle", text))
    for number, bar in enumerate(chart.bars):
        y = top + row * number
        end, low, high = at(bar.value), at(bar.low), at(bar.high)
        parts.append(
            Markup(
                '<g class="s{}"><path class="bar" d="M{} {}H{}v13H{}z"><title>{}</title></path></g>'
            ).format(bar.hue % HUES, _n(left), _n(y + 18), _n(end), _n(left), bar.said)
        )
        parts.append(_text("value", left, y + 13, "start", bar.name))
        whisker = f"M{_n(low)} {_n(y + 24.5)}H{_n(high)}M{_n(high)} {_n(y + 20)}v9"
        parts.append(Markup('<path class="frame" d="{}"/>').format(whisker))
        number_said = bar.said.rsplit(" · ", 1)[-1]
        parts.append(_text("value", max(end, high) + 6, y + 29, "start", number_said))
    if chart.floor is not None:
        x = at(chart.floor)
        parts.append(_line("guide", x, top - 6, x, base))
        anchor = "start" if x < width / 2 else "end"
        parts.append(_text("tick", x, top - 10, anchor, chart.floor_name))
    parts.append(_text("title", width - right, height - 8, "end", chart.x.title))
    return _svg(kind, width, height, title, parts)
