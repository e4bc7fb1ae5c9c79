"""The plot: the same bytes every time, everything measured in it, and names that meet nothing."""

from __future__ import annotations

import re
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hubkit.cards.plot_labels import Box, Label, place
from hubkit.sweep_records import SweepReport
from hubkit.sweeps.plot_points import panels, spots
from hubkit.sweeps.report_plot import plot_png, plot_svg
from hubkit.sweeps.report_view import View
from tests.sweeps.examples import make_report, messy_report
from tests.sweeps.hostile import hostile_report


@pytest.fixture(scope="module")
def png() -> bytes:
    return plot_png(make_report())


def test_a_png_of_1600_by_960_without_a_date(png: bytes) -> None:
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    assert struct.unpack(">II", png[16:24]) == (1600, 960)
    for chunk in (b"tEXt", b"iTXt", b"tIME"):
        assert chunk not in png


def test_the_same_bytes_every_time(png: bytes) -> None:
    again = SweepReport.model_validate_json(make_report().model_dump_json(by_alias=True))
    assert plot_png(again) == png
    drawn = plot_svg(make_report())
    assert plot_svg(again) == drawn
    assert "<dc:date>" not in drawn
    assert "matplotlib.org/" not in re.sub(r"<!DOCTYPE.*?>", "", drawn, flags=re.DOTALL)


def test_the_user_s_own_matplotlib_settings_change_nothing(png: bytes) -> None:
    import matplotlib

    with matplotlib.rc_context({"font.size": 30.0, "axes.facecolor": "red", "svg.hashsalt": "x"}):
        assert plot_png(make_report()) == png
        assert matplotlib.rcParams["font.size"] == 30.0


def test_another_number_is_another_plot(png: bytes) -> None:
    report = make_report()
    first = report.scores[2]
    metric = first.metrics[2].model_copy(update={"value": 0.93})
    scores = list(report.scores)
    scores[2] = first.model_copy(update={"metrics": (*first.metrics[:2], metric, first.metrics[3])})
    assert plot_png(report.model_copy(update={"scores": tuple(scores)})) != png


def test_everything_that_was_measured_is_in_it_once() -> None:
    view = View(messy_report())
    found = spots(view)
    assert [spot.name for spot in found] == [
        *("pytorch-fp32", "onnx-fp32", "2 dynamic · Add+MatMul"),
        *("4 static · Add+MatMul · no guards", "5 static · Add+MatMul · guards"),
    ]
    assert [spot.kind for spot in found] == [None, None, 0, 1, 1]
    assert [spot.name for spot in found if spot.on_front] == ["onnx-fp32", "2 dynamic · Add+MatMul"]


def test_what_collapsed_has_a_panel_of_its_own() -> None:
    view = View(make_report())
    near, far = panels(view, spots(view))
    assert [spot.name for spot in far.spots] == ["5 static · Add", "7 static · Add+MatMul"]
    assert near.limits[0] > 0.85
    assert far.limits[1] < 0.15
    assert [round(y, 3) for _, y in near.front][-1] == 0.94


def test_nothing_to_show_is_said(png: bytes) -> None:
    bare = plot_png(make_report(scores=(), timings=None, noise=()))
    assert bare.startswith(b"\x89PNG")
    assert len(bare) < len(png) / 2


@pytest.mark.filterwarnings("error")
def test_hostile_strings_are_drawn_as_they_are() -> None:
    drawn = plot_svg(hostile_report())
    assert "<script" not in drawn
    assert 'href="javascript' not in drawn


side = st.floats(0, 1000)


@given(
    st.lists(st.tuples(side, side, st.floats(5, 200)), max_size=25),
    st.lists(st.tuples(side, side), max_size=10),
)
def test_names_meet_neither_one_another_nor_points(
    wanted: list[tuple[float, float, float]], points: list[tuple[float, float]]
) -> None:
    frame = Box(0, 0, 1000, 1000)
    taken = [Box(x - 7, y - 7, x + 7, y + 7) for x, y in points]
    labels = [Label(x, y, width, 12.0) for x, y, width in wanted]
    boxes = [box for box in place(labels, taken, frame, 9.0) if box is not None]
    everything = [*taken, *boxes]
    for i, box in enumerate(boxes, len(taken)):
        assert box.inside(frame)
        assert not any(box.meets(other) for j, other in enumerate(everything) if j != i)


def test_a_name_alone_is_beside_its_point() -> None:
    (box,) = place([Label(100, 100, 50, 12)], [], Box(0, 0, 500, 500), 9.0)
    assert box == Box(109, 94, 159, 106)
    (left,) = place([Label(480, 100, 50, 12)], [], Box(0, 0, 500, 500), 9.0)
    assert left == Box(421, 94, 471, 106)
