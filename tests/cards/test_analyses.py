"""The view of the analyses: what is published against FP32, slice by slice."""

from __future__ import annotations

import pytest

from hubkit.analysis_records import Analyses, Reliability, SliceResult
from hubkit.cards.analyses import AnalysesView, analyses_view, change_of
from hubkit.records import Interval, Metric, Paired, Report, Scores
from hubkit.statistics import mcnemar_exact, paired_difference, wilson
from tests.cards.examples import make_recipe, make_report

BASELINES = {
    "onnx-int8-dynamic": "onnx-fp32",
    "onnx-int8-static": "onnx-fp32",
    "pytorch-int8-static": "pytorch-fp32",
}
HOSTILE = "a|b`c`\n| d | <b>"


def _metric(right: int, rows: int, name: str = "accuracy") -> Metric:
    return Metric(
        name=name,
        value=right / rows,
        interval=wilson(right, rows),
        method="wilson",
        confidence=0.95,
    )


def _scores(rows: int, wrong: int, right: int = 0) -> tuple[Scores, ...]:
    """FP32 has half of the rows right; of those each INT8 model loses `wrong`, and wins `right`."""
    half = rows // 2
    fp32 = [
        Scores(variant=name, rows=rows, metrics=(_metric(half, rows),))
        for name in sorted(set(BASELINES.values()))
    ]
    int8 = [
        Scores(
            variant=name,
            rows=rows,
            metrics=(_metric(half - wrong + right, rows),),
            paired=Paired(
                baseline=baseline,
                flips=wrong + right,
                now_right=right,
                now_wrong=wrong,
                mcnemar_p=mcnemar_exact(right, wrong),
                loss=(wrong - right) / rows,
                loss_interval=paired_difference(wrong, right, rows),
                max_abs_logit_diff=0.5,
                mean_abs_logit_diff=0.1,
            ),
        )
        for name, baseline in BASELINES.items()
    ]
    return (*fp32, *int8)


def _slice(name: str, rows: int, wrong: int, right: int = 0) -> SliceResult:
    scores = _scores(rows, wrong, right) if rows else ()
    return SliceResult(
        name=name,
        kind="column",
        definition=HOSTILE,
        rows=rows,
        metric="accuracy" if rows else None,
        column="c",
        scores=scores,
    )


def _reliability(variant: str) -> Reliability:
    return Reliability(
        variant=variant,
        units=9,
        bins=(),
        ece=0.1,
        ece_interval=Interval(low=0, high=0.2),
        confidence=0.95,
    )


def _report(*slices: SliceResult, **changes: object) -> Report:
    analyses = Analyses(
        slices=slices,
        reliability=tuple(map(_reliability, (*BASELINES, "onnx-fp32", "pytorch-fp32"))),
        without_group={"c": 3},
    )
    return make_report(analyses=analyses, **changes)


def _view(*slices: SliceResult) -> AnalysesView:
    view = analyses_view(make_recipe(), _report(*slices))
    assert view is not None
    return view


def test_nothing_was_analysed() -> None:
    assert analyses_view(make_recipe(), make_report()) is None


def test_what_is_published_against_its_baseline() -> None:
    view = _view(_slice(HOSTILE, 100, 8, 2))
    (line,) = view.slices
    assert (line.name, line.definition, line.column) == (HOSTILE, HOSTILE, "c")
    assert (line.kind, line.rows, line.metric, view.gate_metric) == (
        "column",
        100,
        "accuracy",
        "accuracy",
    )
    named = {c.entry.variant.name: c.baseline.variant.name for c in line.changes}
    assert named == {"onnx-int8-dynamic": "onnx-fp32", "pytorch-int8-static": "pytorch-fp32"}
    change = line.changes[0]
    assert (change.metric.value, change.baseline_metric.value) == (0.44, 0.5)
    assert change.loss == pytest.approx(0.06)
    assert change.loss_interval == paired_difference(8, 2, 100)
    assert (change.flips, change.now_right, change.now_wrong) == (10, 2, 8)
    assert (change.units, change.unit) == (100, "row")
    assert change.p == change.p_holm == mcnemar_exact(2, 8)


def test_p_is_corrected_over_the_slices_with_rows() -> None:
    # p alone: 2 / 2^8, 2 / 2^6, 1; times 3, 2, 1.
    view = _view(_slice("a", 50, 6), _slice("b", 50, 0), _slice("c", 0, 0), _slice("d", 90, 8))
    assert view.corrected_over == 3
    lines = {line.name: line for line in view.slices}
    assert lines["c"].changes == ()
    for entry in (change.entry for change in lines["a"].changes):
        found = {}
        for name in ("a", "b", "d"):
            change = change_of(lines[name], entry)
            assert change is not None
            found[name] = (change.p_holm, change.beyond_chance)
        assert found == {"a": (4 / 64, False), "b": (1.0, False), "d": (6 / 256, True)}


def test_where_it_hurts_most() -> None:
    view = _view(_slice("a", 50, 6), _slice("b", 100, 8), _slice("c", 50, 1, 2))
    named = [(hurt.change.entry.variant.name, hurt.line.name) for hurt in view.hurts_most]
    expected = [(c.entry.variant.name, "a") for c in view.slices[0].changes]
    assert sorted(named) == sorted(expected)
    # The largest loss is not the surest one.
    assert [hurt.change.beyond_chance for hurt in view.hurts_most] == [False, False]
    assert view.slices[1].changes[0].beyond_chance


def test_several_hurt_alike_and_what_loses_nothing_hurts_nowhere() -> None:
    view = _view(_slice("a", 50, 6), _slice("b", 100, 12), _slice("c", 50, 0))
    assert [hurt.line.name for hurt in view.hurts_most] == ["a", "b", "a", "b"]
    assert _view(_slice("a", 50, 0), _slice("b", 50, 1, 3)).hurts_most == ()
    assert _view().hurts_most == ()


def test_nothing_is_right_or_wrong_without_labels() -> None:
    recipe = make_recipe(
        task="feature-extraction",
        labels={},
        evaluation={"metrics": ["cosine"]},
        gates={"metric": "cosine"},
        dataset={"path": "d", "data_keys": {"primary": "text"}, "ref_keys": []},
    )
    scores = tuple(
        one.model_copy(
            update={"metrics": tuple(m.model_copy(update={"name": "cosine"}) for m in one.metrics)}
        )
        for one in _scores(50, 6)
    )
    one = _slice("a", 50, 6).model_copy(update={"metric": "cosine", "scores": scores})
    view = analyses_view(recipe, _report(one))
    assert view is not None
    for change in view.slices[0].changes:
        assert (change.p, change.p_holm, change.beyond_chance) == (None, None, None)
    assert {hurt.change.beyond_chance for hurt in view.hurts_most} == {None}


def test_reliability_of_what_is_published_and_of_fp32() -> None:
    view = _view()
    published = [c.entry.variant.name for c in _view(_slice("a", 50, 6)).slices[0].changes]
    names = [line.entry.variant.name for line in view.reliability]
    assert names == [*published, "onnx-fp32", "pytorch-fp32"]
    assert all(line.reliability.variant == line.entry.variant.name for line in view.reliability)
    assert view.without_group == (("c", 3),)
