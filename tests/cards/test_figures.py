"""Which figures a report has data for, and that their numbers are the report's own."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from hubkit.cards.figure_data import (
    AccuracyLatency,
    Latency,
    ReliabilityDiagram,
    Sizes,
    Slices,
)
from hubkit.cards.figure_labels import drawable_names
from hubkit.cards.figures import Figure, figures_of
from hubkit.recipe import Recipe
from hubkit.records import Report, Timings
from tests.cards.examples import RECIPE, make_recipe, make_report
from tests.cards.figure_examples import (
    analysed_report,
    make_analyses,
    named_slices,
    timed_report,
)

EVERY = ["accuracy-latency", "latency", "size", "reliability", "slices"]


def keys(report: Report, recipe: Recipe | None = None) -> list[str]:
    return [figure.key for figure in figures_of(report, recipe or make_recipe())]


def test_where_the_files_are() -> None:
    figures = figures_of(analysed_report(), make_recipe())
    assert [figure.key for figure in figures] == EVERY
    assert [figure.svg for figure in figures] == [f"assets/{key}.svg" for key in EVERY]
    assert [figure.png for figure in figures] == [f"assets/{key}.png" for key in EVERY]
    assert {figure.width for figure in figures} == {720}
    assert all(figure.data.key == figure.key for figure in figures)


def test_no_figure_without_data() -> None:
    assert keys(make_report()) == EVERY[:3]
    assert keys(analysed_report(timings=None)) == EVERY[2:]
    assert keys(analysed_report(scores=())) == ["latency", "size", "reliability", "slices"]
    assert keys(analysed_report(analyses=make_analyses(slices=()))) == EVERY[:4]
    assert "reliability" not in keys(analysed_report(analyses=make_analyses(reliability=())))
    empty = tuple(one.model_copy(update={"scores": ()}) for one in make_analyses().slices)
    assert "slices" not in keys(analysed_report(analyses=make_analyses(slices=empty)))


def test_one_model_alone_is_compared_with_nothing() -> None:
    report = analysed_report()
    alone = report.model_copy(
        update={"variants": report.variants[:1], "selection": None, "analyses": None}
    )
    assert keys(alone) == ["latency"]


def test_one_point_of_the_grid_is_no_figure_of_latency() -> None:
    assert keys(timed_report((1,), (32,))) == ["accuracy-latency", "size"]
    assert keys(timed_report((1, 8), (32,))) == EVERY[:3]


def test_an_embedding_model_has_no_reliability() -> None:
    report = make_report(task="feature-extraction")
    scores = tuple(
        one.model_copy(
            update={
                "metrics": (one.metrics[0].model_copy(update={"name": "cosine"}),),
            }
        )
        for one in report.scores
    )
    recipe = make_recipe(
        task="feature-extraction",
        labels={},
        dataset={**RECIPE["dataset"], "ref_keys": []},  # type: ignore[dict-item]
    )
    figures = figures_of(report.model_copy(update={"scores": scores}), recipe)
    assert [figure.key for figure in figures] == EVERY[:3]
    assert isinstance(figures[0].data, AccuracyLatency)
    assert figures[0].data.metric == "cosine"


def test_what_the_gate_did_not_choose_is_in_no_figure() -> None:
    """The card's tables of scores and times do not have it either."""
    report = analysed_report()
    assert report.selection is not None
    assert report.selection.selected == "onnx-int8-dynamic"
    for figure in figures_of(report, make_recipe()):
        assert "static" not in str(figure.data)
    onnx = {"repo_id": "example/a", "license": "mit", "formats": ["onnx"]}
    for figure in figures_of(report, make_recipe(publication=onnx)):
        assert "PyTorch INT8" not in str(figure.data)


NAMES = {
    "PyTorch INT8": "pytorch-int8-static",
    "ONNX INT8": "onnx-int8-dynamic",
    "ONNX FP32": "onnx-fp32",
    "PyTorch FP32": "pytorch-fp32",
}


def timings_of(report: Report) -> Timings:
    assert report.timings is not None
    return report.timings


def test_every_number_is_the_report_s() -> None:
    report = analysed_report()
    accuracy, latency, size, reliability, slices = (
        figure.data for figure in figures_of(report, make_recipe())
    )
    times = {t.variant: t.points for t in timings_of(report).timings}
    assert isinstance(accuracy, AccuracyLatency)
    assert [point.model.label for point in accuracy.points] == list(NAMES)
    assert (accuracy.batch_size, accuracy.input_length, accuracy.confidence) == (1, 32, 0.95)
    for point in accuracy.points:
        scores = report.scores_of(NAMES[point.model.label])
        assert scores is not None
        metric = scores.metrics[0]
        assert (metric.name, accuracy.metric) == ("accuracy", "accuracy")
        assert point.value == metric.value
        assert (point.low, point.high) == (metric.interval.low, metric.interval.high)
        assert point.p50_ms == times[NAMES[point.model.label]][0].p50_ms
    assert isinstance(latency, Latency)
    assert (latency.batch_sizes, latency.input_lengths) == ((1, 8), (32, 128))
    for line in latency.lines:
        drawn = [(p.batch_size, p.input_length, p.p50_ms) for p in line.points]
        measured = times[NAMES[line.model.label]]
        assert drawn == [(p.batch_size, p.input_length, p.p50_ms) for p in measured]
    assert isinstance(size, Sizes)
    for bar in size.bars:
        assert bar.size_bytes == report.variant(NAMES[bar.model.label]).size_bytes
    assert isinstance(reliability, ReliabilityDiagram)
    _same_reliability(report, reliability)
    assert isinstance(slices, Slices)
    _same_slices(report, slices)


def _same_reliability(report: Report, diagram: ReliabilityDiagram) -> None:
    assert report.analyses is not None
    # FP32 once: the column of the table of scores.
    assert [panel.model.label for panel in diagram.panels] == list(NAMES)[:3]
    for panel in diagram.panels:
        name = NAMES[panel.model.label]
        record = next(one for one in report.analyses.reliability if one.variant == name)
        assert (panel.units, panel.ece) == (record.units, record.ece)
        assert panel.ece_low == record.ece_interval.low
        assert panel.ece_high == record.ece_interval.high
        full = [one for one in record.bins if one.count]
        assert [(b.low, b.high, b.count, b.confidence, b.accuracy) for b in panel.bins] == [
            (b.low, b.high, b.count, b.confidence, b.accuracy) for b in full
        ]


def _same_slices(report: Report, slices: Slices) -> None:
    assert report.analyses is not None
    assert slices.measured == 5  # the sixth has no rows
    assert [one.number for one in slices.slices] == [1, 2, 3, 4, 5]
    for one in slices.slices:
        record = report.analyses.slices[one.number - 1]
        assert (one.name, one.kind, one.rows) == (record.name, record.kind, record.rows)
        assert one.definition == record.definition
        assert [drop.model.label for drop in one.drops] == list(NAMES)[:2]
        for drop in one.drops:
            scores = next(s for s in record.scores if s.variant == NAMES[drop.model.label])
            assert scores.paired is not None
            assert drop.loss == scores.paired.loss
            assert (drop.low, drop.high) == (
                scores.paired.loss_interval.low,
                scores.paired.loss_interval.high,
            )
    assert slices.whole is not None
    assert (slices.whole.rows, slices.whole.kind) == (1000, "all")
    whole = report.scores_of("pytorch-int8-static")
    assert whole is not None
    assert whole.paired is not None
    assert slices.whole.drops[0].loss == whole.paired.loss


def test_a_slice_of_another_metric_says_so() -> None:
    report = analysed_report()
    assert report.analyses is not None
    slices = list(report.analyses.slices)
    slices[3] = slices[3].model_copy(update={"metric": "recall"})
    analyses = report.analyses.model_copy(update={"slices": tuple(slices)})
    data = figures_of(analysed_report(analyses=analyses), make_recipe())[-1].data
    assert isinstance(data, Slices)
    assert [one.metric for one in data.slices] == [*["accuracy"] * 3, "recall", "accuracy"]


def test_of_many_slices_those_with_the_largest_drop_in_their_own_order() -> None:
    report = named_slices(*(f"s{n}" for n in range(40)))
    assert report.analyses is not None
    changed = []
    for n, one in enumerate(report.analyses.slices):
        scores = list(one.scores)
        paired = scores[2].paired
        assert paired is not None
        loss = 0.5 if n % 4 == 0 else 0.0
        scores[2] = scores[2].model_copy(
            update={"paired": paired.model_copy(update={"loss": loss})}
        )
        changed.append(one.model_copy(update={"scores": tuple(scores)}))
    report = report.model_copy(
        update={"analyses": report.analyses.model_copy(update={"slices": tuple(changed)})}
    )
    slices = figures_of(report, make_recipe())[-1].data
    assert isinstance(slices, Slices)
    assert slices.measured == 40
    assert len(slices.slices) == 14
    assert [one.number for one in slices.slices] == sorted(one.number for one in slices.slices)
    assert {n * 4 + 1 for n in range(10)} <= {one.number for one in slices.slices}


@pytest.mark.parametrize(
    ("names", "shown"),
    [
        (("negation", "long"), ("negation", "long")),
        (("a\nb\x00c", "tab\there"), ("a b c", "tab here")),
        (("长文本", "نص", "ok", "\U0001f600"), ("#1", "#2", "ok", "#4")),
        (("same", "same"), ("#1 same", "#2 same")),
        (("e\u0301te\u0301",), ("été",)),
        (("\u202eevil", ""), ("#1", "#2")),
        (("x" * 70,), ("#1 " + "x" * 59 + "…",)),
    ],
)
def test_what_a_figure_calls_a_slice(names: tuple[str, ...], shown: tuple[str, ...]) -> None:
    assert drawable_names(names) == shown


@given(st.lists(st.text(max_size=8), max_size=5))
def test_names_of_a_figure_differ_and_are_short(names: list[str]) -> None:
    shown = drawable_names((*names, "y" * 500))
    assert all(0 < len(name) < 70 and name.isprintable() for name in shown)
    hashed = [name for name in shown if name.startswith("#")]
    assert len(set(hashed)) == len(hashed) or any("#" in name for name in names)


def test_figures_survive_json() -> None:
    """They are part of what the stage is given, and of its key."""
    figures = figures_of(analysed_report(), make_recipe())
    adapter = TypeAdapter(tuple[Figure, ...])
    assert adapter.validate_json(adapter.dump_json(figures)) == figures


def test_the_figures_of_a_card_are_found_without_drawing() -> None:
    code = (
        "import sys, hubkit.cards.figures, hubkit.cards.plot, hubkit.stages.plot;"
        "print([m for m in ('matplotlib', 'numpy', 'PIL') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
