"""Drawing with matplotlib: one file for the light and the dark page, the same bytes every time."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING

from hubkit.cards.figure_data import Model
from hubkit.records import Format

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Middle tones: at least 4:1 (WCAG 2.1) against the Hub's white and against its #0b0f19, for letters
# and marks alike. Blue and vermilion are hues of Okabe and Ito 2008, "Color Universal Design".
INK = "#727885"
HUES: dict[Format, str] = {"onnx": "#1a7dc0", "pytorch": "#c8590a", "openvino": "#0f8a66"}
FAINT = 0.35  # opacity of grid lines, which carry nothing that the ticks do not
TEXT = 17.0  # height of letters in CSS px
_MARKERS: dict[Format, str] = {"onnx": "s", "pytorch": "o", "openvino": "^"}
_PX = 0.75  # points
_DPI = 96  # a pixel of the canvas is a CSS px
_PNG_DPI = 192
_SETTINGS: dict[str, object] = {
    "font.family": "DejaVu Sans",  # comes with matplotlib: the same letters on every machine
    "font.size": TEXT * _PX,
    "text.parse_math": False,  # a $ in a name is a $
    "text.color": INK,
    "axes.edgecolor": INK,
    "axes.facecolor": "none",
    "axes.labelcolor": INK,
    "axes.linewidth": 1.0,
    "xtick.color": INK,
    "ytick.color": INK,
    "hatch.linewidth": 1.5,
    "figure.facecolor": "none",
    "savefig.facecolor": "none",
    "svg.hashsalt": "hubkit",
    "svg.fonttype": "path",
    "path.simplify": False,
}
_PROLOGUE = re.compile(r"<!DOCTYPE.*?>\s*", re.DOTALL)
_STYLE_SHEET = re.compile(r"\s*<defs>\s*<style.*?</style>\s*</defs>", re.DOTALL)
_STYLE = re.compile(r' style="([^"]*)"')
_COMMENT = re.compile(r"\s*<!--.*?-->", re.DOTALL)
_GROUP = re.compile(r'<g id="[^"]*"')  # nothing refers to groups
_TAG = re.compile(r"<[^>]*>")
_INDENT = re.compile(r"\s*\n\s*")
_NUMBER = re.compile(r"scale\([^)]*\)|-?\d+\.\d{3,}")


@dataclass(frozen=True)
class Drawn:
    """A figure as SVG, and as PNG at twice its size in CSS px."""

    svg: bytes
    png: bytes


@contextmanager
def settings(own: Mapping[str, object]) -> Iterator[None]:
    """matplotlib with its defaults and these settings, whatever the user's own are."""
    import matplotlib

    with warnings.catch_warnings(), matplotlib.rc_context():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(own)
        yield


@contextmanager
def card_settings(*, outlined: bool = True) -> Iterator[None]:
    """matplotlib with the settings of the card's figures. `outlined`: letters of an SVG are drawn;
    else they are text, which whoever shows it sets in fonts of its own."""
    with settings({**_SETTINGS, "svg.fonttype": "path" if outlined else "none"}):
        yield


def px(value: float) -> float:
    """CSS px in points, for widths of lines and heights of letters."""
    return value * _PX


def canvas(width: int, height: int) -> Figure:
    """An empty, transparent figure of so many CSS px."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width / _DPI, height / _DPI), dpi=_DPI)
    FigureCanvasAgg(figure)
    return figure


def axes_at(figure: Figure, left: float, top: float, width: float, height: float) -> Axes:
    """Axes at a place in CSS px from the upper left corner of the figure."""
    axes = figure.add_axes((0, 0, 1, 1))
    place_at(figure, axes, left, top, width, height)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(length=px(5), width=1.0)
    axes.set_axisbelow(True)
    return axes


def place_at(
    figure: Figure, axes: Axes, left: float, top: float, width: float, height: float
) -> None:
    """Move axes to a place in CSS px from the upper left corner of the figure."""
    whole, tall = figure.get_size_inches() * _DPI
    axes.set_position((left / whole, 1 - (top + height) / tall, width / whole, height / tall))


def grid(axes: Axes, axis: str) -> None:
    """Faint lines at the ticks of "x", "y" or "both"."""
    for one in (axes.xaxis, axes.yaxis):
        if axis in ("both", one.axis_name):
            one.grid(color=INK, alpha=FAINT, linewidth=0.8)


def write(
    figure: Figure, left: float, top: float, text: str, *, ha: str = "left", upright: bool = False
) -> Artist:
    """Text with its middle so far below the upper edge of the figure, in CSS px."""
    whole, tall = figure.get_size_inches() * _DPI
    turned = {"rotation": 90, "va": "center", "ha": "center"}
    how = turned if upright else {"va": "center_baseline", "ha": ha}
    return figure.text(left / whole, 1 - top / tall, text, **how)


def extent(figure: Figure, text: str) -> tuple[float, float]:
    """Width and height of a text in CSS px."""
    made = write(figure, 0, 0, text)
    box = made.get_window_extent()
    made.remove()
    return box.width, box.height


def fitted(figure: Figure, text: str, width: float) -> str:
    """The text, cut with an ellipsis where it is wider than so many CSS px."""
    if extent(figure, text)[0] <= width:
        return text
    fits = (cut for n in range(len(text) - 1, 0, -1) for cut in [f"{text[:n].rstrip()}…"])
    return next((cut for cut in fits if extent(figure, cut)[0] <= width), "…")


def hue(model: Model) -> str:
    """The colour says the format."""
    return HUES[model.format]


def dash(model: Model) -> tuple[float, tuple[float, ...] | None]:
    """Lines of FP32 are dashed."""
    return (0, None) if model.precision != "fp32" else (0, (4, 2))


def mark(model: Model, size: float = 11.0) -> dict[str, object]:
    """Settings of a marker: its shape says the format, and that of FP32 is hollow."""
    solid = model.precision != "fp32"
    return {
        "marker": _MARKERS[model.format],
        "markersize": px(size),
        "markerfacecolor": hue(model) if solid else "none",
        "markeredgecolor": hue(model),
        "markeredgewidth": px(2.2),
    }


def legend(figure: Figure, models: tuple[Model, ...], top: float, *, line: bool) -> None:
    """Markers and labels of models side by side, with their middle so far below the edge."""
    from matplotlib.lines import Line2D

    whole, tall = figure.get_size_inches() * _DPI
    y, swatch, room = 1 - top / tall, 32.0 if line else 12.0, 16.0
    left = 12.0
    for model in models:
        xs = (left, left + swatch / 2, left + swatch) if line else (left + swatch / 2,)
        figure.add_artist(
            Line2D(
                [x / whole for x in xs],
                [y] * len(xs),
                color=hue(model),
                linestyle=dash(model) if line else "none",
                linewidth=px(2.4),
                markevery=[1] if line else None,
                **mark(model),  # type: ignore[arg-type]
            )
        )
        write(figure, left + swatch + 8, top, model.label)
        left += swatch + 8 + extent(figure, model.label)[0] + room


def saved(figure: Figure) -> Drawn:
    """The figure's bytes, with neither a date nor a version in them."""
    return Drawn(saved_svg(figure), _small_png(figure))


def saved_svg(figure: Figure) -> bytes:
    """The figure as SVG alone."""
    drawn = BytesIO()
    bare = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    figure.savefig(drawn, format="svg", metadata=bare)
    return _plain_svg(drawn.getvalue().decode()).encode()


def _small_png(figure: Figure) -> bytes:
    """A PNG of 256 colours: a quarter of the bytes, and to the eye the same."""
    from PIL import Image

    raw, png = BytesIO(), BytesIO()
    figure.savefig(raw, format="rgba", dpi=_PNG_DPI)
    width, height = (round(side * _PNG_DPI) for side in figure.get_size_inches())
    image = Image.frombytes("RGBA", (width, height), raw.getvalue())
    image.quantize(256, Image.Quantize.FASTOCTREE).save(png, "PNG", optimize=True)
    return png.getvalue()


def _plain_svg(text: str) -> str:
    """The SVG without DOCTYPE, style sheets and comments, and with a hundredth of a point.

    A page's or a host's Content-Security-Policy may refuse styles, but not attributes.
    """
    for unwanted in (_PROLOGUE, _STYLE_SHEET, _COMMENT):
        text = unwanted.sub("", text)
    text = _TAG.sub(_rounded_inside, _STYLE.sub(_attributes, text))
    text = _INDENT.sub("\n", _GROUP.sub("<g", text))
    return text.replace("<svg ", '<svg stroke-linejoin="round" stroke-linecap="butt" ', 1)


def _rounded_inside(tag: re.Match[str]) -> str:
    return _NUMBER.sub(_rounded, tag.group())  # what is text between tags is for the reader


def _rounded(number: re.Match[str]) -> str:
    found = number.group()
    return found if found.startswith("scale") else f"{float(found):.2f}".rstrip("0").rstrip(".")


def _attributes(style: re.Match[str]) -> str:
    pairs = (part.split(":", 1) for part in style.group(1).split(";") if part.strip())
    return "".join(f' {name.strip()}="{value.strip()}"' for name, value in pairs)
