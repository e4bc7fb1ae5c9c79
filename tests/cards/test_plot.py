"""The figures as they are drawn: the same bytes, small, legible, harmless, and true."""

from __future__ import annotations

import hashlib
import os
import re
import struct
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree

import numpy as np
import pytest

from hubkit.cards.figure_data import AccuracyLatency, Latency, ReliabilityDiagram, Sizes, Slices
from hubkit.cards.figure_labels import _DRAWABLE
from hubkit.cards.figures import Figure, figures_of
from hubkit.cards.plot import draw_on, plot_figure
from hubkit.cards.plot_canvas import HUES, INK, TEXT, Drawn, canvas, card_settings
from hubkit.records import Report
from tests.cards.examples import make_recipe, make_report
from tests.cards.figure_examples import (
    analysed_report,
    make_analyses,
    named_slices,
    timed_report,
)

if TYPE_CHECKING:
    from matplotlib.transforms import Bbox

HOSTILE = (
    *("$x^2$ \\frac{1}{2}", "$unclosed", "two\nlines\x00here", "long " * 12, "W" * 60, "长文本"),
    *("نص طويل", "same", "same", '<script>alert("1")</script>', "--> & ]]> -- \"'", "😀"),
    *("русский текст", "{} {0} %s %(x)s"),
)
WHITE, DARK = "#ffffff", "#0b0f19"  # the Hub's pages


def figures(report: Report) -> dict[str, Figure]:
    return {figure.key: figure for figure in figures_of(report, make_recipe())}


@pytest.fixture(scope="module")
def example() -> dict[str, Figure]:
    return figures(analysed_report())


@pytest.fixture(scope="module")
def drawn(example: dict[str, Figure]) -> dict[str, Drawn]:
    return {key: plot_figure(figure) for key, figure in example.items()}


@pytest.fixture(scope="module")
def hostile() -> Drawn:
    return plot_figure(figures(named_slices(*HOSTILE))["slices"])


def test_the_same_bytes_every_time(example: dict[str, Figure], drawn: dict[str, Drawn]) -> None:
    import matplotlib

    with matplotlib.rc_context({"font.size": 30.0, "axes.facecolor": "red", "svg.hashsalt": "x"}):
        for key in ("reliability", "size"):
            assert plot_figure(example[key]) == drawn[key]
        assert matplotlib.rcParams["font.size"] == 30.0


_ELSEWHERE = """
import hashlib
from hubkit.cards.figures import figures_of
from hubkit.cards.plot import plot_figure
from tests.cards.examples import make_recipe
from tests.cards.figure_examples import analysed_report
sha = hashlib.sha256()
for figure in figures_of(analysed_report(), make_recipe()):
    drawn = plot_figure(figure)
    sha.update(drawn.svg + drawn.png)
print(sha.hexdigest())
"""


def test_the_same_bytes_in_another_place(drawn: dict[str, Drawn], tmp_path: Path) -> None:
    (tmp_path / "matplotlibrc").write_text("font.size: 33\nsvg.fonttype: none\n", encoding="utf-8")
    there = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "PYTHONPATH": str(Path.cwd()),
        "PYTHONHASHSEED": "7",
        "TZ": "Asia/Kathmandu",
        "LC_ALL": "de_DE.UTF-8",
        "SOURCE_DATE_EPOCH": "1",
        "MATPLOTLIBRC": str(tmp_path),
    }
    done = subprocess.run(
        [sys.executable, "-c", _ELSEWHERE], env=there, capture_output=True, text=True, check=True
    )
    here = hashlib.sha256(b"".join(one.svg + one.png for one in drawn.values()))
    assert done.stdout.strip() == here.hexdigest()


def test_another_number_is_another_picture(example: dict[str, Figure]) -> None:
    smaller = make_report()
    variants = list(smaller.variants)
    variants[0] = variants[0].model_copy(update={"size_bytes": 80_000_000})
    changed = figures(smaller.model_copy(update={"variants": tuple(variants)}))
    assert plot_figure(changed["size"]) != plot_figure(example["size"])


def test_small_and_of_the_size_that_was_said(
    example: dict[str, Figure], drawn: dict[str, Drawn], hostile: Drawn
) -> None:
    crowded = plot_figure(figures(timed_report(*WIDE))["latency"])
    for one in (*drawn.values(), hostile, crowded):
        assert len(one.svg) < 100_000
        assert len(one.png) < 100_000
    for key, one in drawn.items():
        width, height = example[key].width, example[key].height
        assert struct.unpack(">II", one.png[16:24]) == (2 * width, 2 * height)
        root = ElementTree.fromstring(one.svg)
        assert root.attrib["viewBox"] == f"0 0 {width * 0.75:g} {height * 0.75:g}"


def test_nothing_tells_when_or_with_what(drawn: dict[str, Drawn]) -> None:
    for one in drawn.values():
        assert b"date" not in one.svg.lower()
        assert b"matplotlib" not in one.svg.lower()
        assert re.findall(rb"tEXt|iTXt|zTXt|tIME", one.png) == []


_KNOWN = {"svg", "g", "defs", "path", "use", "clipPath", "rect", "pattern"}


def test_the_svg_is_a_picture_and_nothing_else(drawn: dict[str, Drawn], hostile: Drawn) -> None:
    for one in (*drawn.values(), hostile):
        root = ElementTree.fromstring(one.svg)
        assert {element.tag.rsplit("}", 1)[-1] for element in root.iter()} <= _KNOWN
        for element in root.iter():
            for name, value in element.attrib.items():
                bare = name.rsplit("}", 1)[-1]
                # A strict Content-Security-Policy drops style attributes.
                assert bare != "style"
                assert not bare.startswith("on")
                if bare == "href":
                    assert value.startswith("#")
                assert all(url.startswith("#") for url in re.findall(r"url\(([^)]*)", value))
        assert b"<!DOCTYPE" not in one.svg
        assert b"script" not in one.svg


def test_what_is_referred_to_is_there(drawn: dict[str, Drawn]) -> None:
    for one in drawn.values():
        text = one.svg.decode()
        named = set(re.findall(r' id="([^"]*)"', text))
        assert set(re.findall(r'href="#([^"]*)"', text)) <= named
        assert set(re.findall(r"url\(#([^)]*)\)", text)) <= named


def _contrast(one: str, other: str) -> float:
    """Contrast ratio of WCAG 2.1."""

    def luminance(colour: str) -> float:
        shares = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [s / 12.92 if s <= 0.04045 else ((s + 0.055) / 1.055) ** 2.4 for s in shares]
        return sum(w * s for w, s in zip((0.2126, 0.7152, 0.0722), linear, strict=True))

    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def test_every_colour_is_legible_on_both_pages(drawn: dict[str, Drawn], hostile: Drawn) -> None:
    """4:1 for all of them, since labels have the colours of marks."""
    assert round(_contrast("#000000", WHITE), 2) == 21
    text = "".join(one.svg.decode() for one in (*drawn.values(), hostile))
    used = set(re.findall(r"#[0-9a-f]{6}\b", text))
    assert used == {INK, HUES["onnx"], HUES["pytorch"]}  # what the example has
    for colour in {INK, *HUES.values()}:
        assert _contrast(colour, WHITE) >= 4, colour
        assert _contrast(colour, DARK) >= 4, colour
    painted = re.findall(r'(?:fill|stroke)="([^"]*)"', text)
    assert {one for one in painted if one not in used} <= {"none"} | {
        one for one in painted if one.startswith("url(#")
    }
    # Only grid lines are faint, and hollow marks are hollow.
    assert set(re.findall(r'(?:\w+-)?opacity="([^"]*)"', text)) <= {"0", "0.35"}


def test_transparent_where_nothing_is(drawn: dict[str, Drawn]) -> None:
    from io import BytesIO

    from PIL import Image

    for one in drawn.values():
        image = Image.open(BytesIO(one.png)).convert("RGBA")
        assert image.getpixel((image.width - 1, image.height - 1))[3] == 0  # type: ignore[index]
        shares = image.getchannel("A").histogram()
        assert shares[0] > 0.5 * image.width * image.height


def _texts(figure: Figure) -> list[tuple[str, float, Bbox]]:
    """Every text that is drawn, its height and where it is, in CSS px."""
    with card_settings():
        made = canvas(figure.width, figure.height)
        draw_on(made, figure)
        made.draw_without_rendering()
        texts = [*made.texts]
        for axes in made.axes:
            texts += axes.texts
            for axis in (axes.xaxis, axes.yaxis):
                low, high = sorted(axis.get_view_interval())
                ticks = axis.get_major_ticks()
                texts += [tick.label1 for tick in ticks if low <= tick.get_loc() <= high]
        return [
            (text.get_text(), float(text.get_fontsize()) / 0.75, text.get_window_extent())
            for text in texts
            if text.get_text() and text.get_visible()
        ]


WIDE = ((1, 4, 8, 16, 32, 64), (32, 64, 128, 512))


@pytest.mark.parametrize("which", ["example", "hostile", "wide", "batches", "far"])
def test_letters_can_be_read_on_a_phone(which: str, example: dict[str, Figure]) -> None:
    """Nothing is smaller than 15 px at 720 px, nothing is cut off, and no text covers another."""
    made = {
        "example": lambda: example,
        "hostile": lambda: figures(named_slices(*HOSTILE)),
        "wide": lambda: figures(timed_report(*WIDE)),
        "batches": lambda: figures(timed_report((1, 8), (32,))),
        "far": lambda: figures(_slow_pytorch()),
    }[which]()
    assert TEXT >= 15
    for figure in made.values():
        texts = _texts(figure)
        for name, height, box in texts:
            assert height >= 15
            assert min(box.x0, box.y0) >= 0, (figure.key, name)
            assert box.x1 <= figure.width, (figure.key, name)
            assert box.y1 <= figure.height, (figure.key, name)
        for i, (name, _, box) in enumerate(texts):
            for other, _, second in texts[i + 1 :]:
                # The boxes are those of the tallest letters of the font, and a little larger.
                beside = box.x1 <= second.x0 + 1 or second.x1 <= box.x0 + 1
                above = box.y1 <= second.y0 + 4 or second.y1 <= box.y0 + 4
                assert beside or above, (figure.key, name, other)


def _slow_pytorch() -> Report:
    report = make_report()
    assert report.timings is not None
    timings = [
        one.model_copy(
            update={
                "points": tuple(p.model_copy(update={"p50_ms": p.p50_ms * 60}) for p in one.points)
            }
        )
        if one.variant == "pytorch-fp32"
        else one
        for one in report.timings.timings
    ]
    return make_report(timings=report.timings.model_copy(update={"timings": tuple(timings)}))


def test_every_letter_that_is_let_through_is_in_the_font() -> None:
    from matplotlib.font_manager import FontProperties, findfont, get_font

    font = get_font(findfont(FontProperties(family="DejaVu Sans")))
    letters = [chr(n) for low, high in _DRAWABLE for n in range(low, high + 1)]
    assert [one for one in letters if not font.get_char_index(ord(one))] == []


@pytest.mark.filterwarnings("error")
def test_hostile_names_break_nothing() -> None:
    for names in (HOSTILE, HOSTILE[::-1], ("长文本",)):
        assert plot_figure(figures(named_slices(*names))["slices"]).png.startswith(b"\x89PNG")


def test_the_numbers_drawn(example: dict[str, Figure]) -> None:
    for figure in example.values():
        with card_settings():
            made = canvas(figure.width, figure.height)
            draw_on(made, figure)
            lines = {
                tuple(map(tuple, np.asarray(line.get_xydata()).tolist()))
                for axes in made.axes
                for line in axes.get_lines()
            }
            texts = [text.get_text() for text in made.texts]
            texts += [text.get_text() for axes in made.axes for text in axes.texts]
            heights = [p.get_height() for axes in made.axes for p in axes.patches]  # type: ignore[attr-defined]
            widths = [p.get_width() for axes in made.axes for p in axes.patches]  # type: ignore[attr-defined]
            ends = {
                tuple(map(tuple, segment.tolist()))
                for axes in made.axes
                for collection in axes.collections
                for segment in collection.get_segments()  # type: ignore[attr-defined]
            }
        data = figure.data
        if isinstance(data, AccuracyLatency):
            for point in data.points:
                assert ((point.p50_ms, point.value),) in lines
                assert _close(ends, ((point.p50_ms, point.low), (point.p50_ms, point.high)))
                assert point.model.label in texts
        elif isinstance(data, Latency):
            for line in data.lines:
                for size in data.batch_sizes:
                    times = [p.p50_ms for p in line.points if p.batch_size == size]
                    assert tuple((float(i), y) for i, y in enumerate(times)) in lines
        elif isinstance(data, Sizes):
            assert widths == [bar.size_bytes / 1e6 for bar in data.bars]
            assert [text for text in texts if text.endswith("MB")] == [
                f"{bar.size_bytes / 1e6:.1f} MB" for bar in data.bars
            ]
        elif isinstance(data, ReliabilityDiagram):
            assert heights == [one.count for panel in data.panels for one in panel.bins]
            for panel in data.panels:
                assert tuple((b.confidence, b.accuracy) for b in panel.bins) in lines
        elif isinstance(data, Slices):
            assert data.whole is not None
            rows = (data.whole, *data.slices)
            for i, row in enumerate(rows):
                assert row.label in texts
                assert str(row.rows) in texts
                for drop, shift in zip(row.drops, (-0.18, 0.18), strict=True):
                    assert ((drop.loss, i + shift),) in lines
                    assert _close(ends, ((drop.low, i + shift), (drop.high, i + shift)))


def _close(
    ends: set[tuple[tuple[float, float], ...]], wanted: tuple[tuple[float, float], ...]
) -> bool:
    flat = [value for point in wanted for value in point]
    return any([v for point in one for v in point] == pytest.approx(flat) for one in ends)


def test_a_drop_of_another_metric_is_not_called_one_of_the_gate_s() -> None:
    analyses = make_analyses()
    slices = [one.model_copy(update={"metric": "f1"}) for one in analyses.slices]
    slices[3] = slices[3].model_copy(update={"metric": "accuracy"})
    changed = analyses.model_copy(update={"slices": tuple(slices)})
    recipe = make_recipe(gates={"metric": "f1"})
    figure = figures_of(analysed_report(analyses=changed), recipe)[-1]
    texts = [name for name, _, _ in _texts(figure)]
    assert {"all rows (f1)", "short (f1)", "POSITIVE (accuracy)"} <= set(texts)
    assert "drop against FP32 (95 % interval)" in texts


def test_points_on_top_of_one_another_still_have_names() -> None:
    report = make_report()
    assert report.timings is not None
    same = tuple(
        one.model_copy(
            update={"points": tuple(p.model_copy(update={"p50_ms": 5.0}) for p in one.points)}
        )
        for one in report.timings.timings
    )
    timings = report.timings.model_copy(update={"timings": same})
    figure = figures(make_report(timings=timings))["accuracy-latency"]
    with card_settings():
        made = canvas(figure.width, figure.height)
        draw_on(made, figure)
        texts = {text.get_text() for text in made.texts}
    assert {"PyTorch INT8", "ONNX INT8", "ONNX FP32", "PyTorch FP32"} <= texts
