"""The gate and the preference: which variant is taken, and whether the reasons say why."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hubkit.errors import RecipeError
from hubkit.machine import machine_info
from hubkit.recipe import Gates
from hubkit.records import (
    Interval,
    Metric,
    Paired,
    Scores,
    Selection,
    Timing,
    TimingPoint,
    Timings,
)
from hubkit.stage import Context
from hubkit.stages.select import LEAST_LEAD, SelectInput, is_slower, select
from hubkit.store import Store

MACHINE = machine_info()


def scores(
    name: str,
    value: float,
    *,
    baseline: float | None = None,
    half: float = 0.002,
    flips: int = 3,
    metric: str = "accuracy",
    rows: int = 1000,
) -> Scores:
    """Scores of one metric; against a baseline where one is given."""
    paired = None
    if baseline is not None:
        loss = baseline - value
        paired = Paired(
            baseline="onnx-fp32",
            flips=flips,
            now_right=1,
            now_wrong=2,
            mcnemar_p=1.0,
            loss=loss,
            loss_interval=Interval(low=loss - half, high=loss + half),
            max_abs_logit_diff=0.1,
            mean_abs_logit_diff=0.01,
        )
    interval = Interval(low=max(0, value - 0.02), high=min(1, value + 0.02))
    measured = Metric(name=metric, value=value, interval=interval, method="wilson", confidence=0.95)
    return Scores(variant=name, rows=rows, metrics=(measured,), paired=paired)


def timings(**means: list[float]) -> Timings:
    """Timings whose grid is (1, 1), (1, 2) … with those mean latencies, in one round."""
    return Timings(
        machine=MACHINE,
        timings=tuple(
            Timing(variant=name, threads=1, points=tuple(point(i, m) for i, m in enumerate(grid)))
            for name, grid in means.items()
        ),
    )


def point(at: int, mean: float) -> TimingPoint:
    return TimingPoint(
        batch_size=1,
        input_length=at + 1,
        iterations=1,
        seconds=mean / 1e3,
        mean_ms=mean,
        p50_ms=mean,
        p90_ms=mean,
        p99_ms=mean,
        throughput_per_s=1e3 / mean,
        round_means_ms=(mean,),
    )


@pytest.fixture(scope="module")
def ctx(tmp_path_factory: pytest.TempPathFactory) -> Context:
    folder = tmp_path_factory.mktemp("select")
    return Context(Store(folder / "store"), folder)


def run(
    ctx: Context,
    *candidates: Scores,
    baseline: Scores | None = None,
    times: Timings | None = None,
    sizes: dict[str, int] | None = None,
    gates: Gates | None = None,
) -> Selection:
    return select(
        SelectInput(
            baseline=baseline or scores("onnx-fp32", 0.834),
            candidates=candidates,
            timings=times,
            sizes=sizes or {},
            gates=gates or Gates(),
        ),
        ctx,
    )


def test_takes_the_fastest_of_those_that_pass(ctx: Context) -> None:
    chosen = run(
        ctx,
        scores("a", 0.831, baseline=0.834),
        scores("b", 0.833, baseline=0.834),
        scores("c", 0.744, baseline=0.834),
        times=timings(a=[4, 9], b=[5, 5], c=[1, 1]),
    )
    assert chosen.selected == "b"  # 5.0 against the geometric mean of 4 and 9, which is 6.0
    assert [c.passes for c in chosen.candidates] == [True, True, False]
    assert chosen.candidates[0].mean_ms == pytest.approx(6.0)


def test_the_reason_tells_the_numbers(ctx: Context) -> None:
    candidate = run(ctx, scores("a", 0.831, baseline=0.834)).candidates[0]
    assert candidate.reason == (
        "accuracy 0.8310 vs 0.8340: relative loss 0.36 % (95 % CI 0.12 % … 0.60 %), allowed 1 %"
    )
    assert candidate.relative_loss == pytest.approx(0.003 / 0.834)
    assert candidate.loss_interval is not None
    assert candidate.loss_interval.high == pytest.approx(0.005 / 0.834)


@pytest.mark.parametrize(("value", "passes"), [(0.831, True), (0.822, False)])
def test_the_reason_tells_what_the_rows_cannot_settle(
    ctx: Context, value: float, passes: bool
) -> None:
    candidate = run(ctx, scores("a", value, baseline=0.834, half=0.02, rows=872)).candidates[0]
    assert candidate.passes is passes
    assert "872 rows cannot settle" in candidate.reason


def test_none_passes(ctx: Context) -> None:
    chosen = run(ctx, scores("a", 0.744, baseline=0.834), times=timings(a=[1]))
    assert chosen.selected is None
    assert "relative loss 10.79 %" in chosen.candidates[0].reason


def test_a_loss_of_just_what_is_allowed_passes(ctx: Context) -> None:
    # (0.8 - 0.792) / 0.8 is 0.010000000000000009 in binary.
    chosen = run(ctx, scores("a", 0.792, baseline=0.8), baseline=scores("onnx-fp32", 0.8))
    assert chosen.selected == "a"


def test_a_gain_passes_a_gate_of_zero(ctx: Context) -> None:
    gates = Gates(max_relative_loss=0)
    chosen = run(ctx, scores("a", 0.836, baseline=0.834), gates=gates)
    assert chosen.selected == "a"
    assert "relative loss -0.24 %" in chosen.candidates[0].reason


@pytest.mark.parametrize(
    ("prefer", "selected"), [("fastest", "a"), ("smallest", "b"), ("most-faithful", "c")]
)
def test_preferences(ctx: Context, prefer: str, selected: str) -> None:
    chosen = run(
        ctx,
        scores("a", 0.833, baseline=0.834, flips=9),
        scores("b", 0.833, baseline=0.834, flips=8),
        scores("c", 0.833, baseline=0.834, flips=2),
        times=timings(a=[1], b=[2], c=[3]),
        sizes={"a": 30, "b": 10, "c": 20},
        gates=Gates.model_validate({"prefer": prefer}),
    )
    assert chosen.selected == selected


@pytest.mark.parametrize("prefer", ["fastest", "smallest", "most-faithful"])
def test_ties_go_to_the_smaller_then_to_the_first_name(ctx: Context, prefer: str) -> None:
    both = (scores("b", 0.833, baseline=0.834), scores("a", 0.833, baseline=0.834))
    gates = Gates.model_validate({"prefer": prefer})
    times = timings(a=[1, 1], b=[1, 1])
    assert run(ctx, *both, times=times, sizes={"a": 5, "b": 5}, gates=gates).selected == "a"
    assert run(ctx, *both, times=times, sizes={"a": 6, "b": 5}, gates=gates).selected == "b"


def test_a_small_lead_is_a_tie(ctx: Context) -> None:
    both = (scores("a", 0.833, baseline=0.834), scores("b", 0.833, baseline=0.834))
    sizes = {"a": 2, "b": 1}
    near, clear = 1 + LEAST_LEAD / 2, 1 + LEAST_LEAD * 2
    assert run(ctx, *both, times=timings(a=[1], b=[near]), sizes=sizes).selected == "b"
    assert run(ctx, *both, times=timings(a=[1], b=[clear]), sizes=sizes).selected == "a"


def rounds(**means: tuple[float, ...]) -> Timings:
    """Timings of one point with those means of the rounds."""
    return Timings(
        machine=MACHINE,
        timings=tuple(
            Timing(
                variant=name,
                threads=1,
                points=(
                    point(0, sum(mean) / len(mean)).model_copy(update={"round_means_ms": mean}),
                ),
            )
            for name, mean in means.items()
        ),
    )


def test_a_lead_that_the_rounds_leave_open_is_a_tie(ctx: Context) -> None:
    both = (scores("a", 0.833, baseline=0.834), scores("b", 0.833, baseline=0.834))
    sizes = {"a": 2, "b": 1}
    # 20 % slower in each round, though the machine was twice as slow in the second.
    clear = rounds(a=(1.0, 2.0, 1.0), b=(1.2, 2.41, 1.21))
    assert run(ctx, *both, times=clear, sizes=sizes).selected == "a"
    # 20 % slower on average, faster in one round of three.
    open_ = rounds(a=(1.0, 1.0, 1.0), b=(1.5, 0.9, 1.3))
    assert run(ctx, *both, times=open_, sizes=sizes).selected == "b"


def test_a_lead_is_judged_by_the_ratios_of_the_rounds() -> None:
    assert not is_slower((1.0, 1.0), (1.0, 1.0))
    assert is_slower((1.10, 1.11, 1.10), (1.0, 1.0, 1.0))
    # The interval of (0.1, 0.2) in logarithms: t of one degree of freedom is 12.7.
    assert not is_slower((math.exp(0.1), math.exp(0.2)), (1.0, 1.0))
    assert is_slower((math.exp(0.149), math.exp(0.151)), (1.0, 1.0))


def test_what_was_not_timed_comes_after_what_was(ctx: Context) -> None:
    both = (scores("a", 0.833, baseline=0.834), scores("b", 0.833, baseline=0.834))
    chosen = run(ctx, *both, times=timings(b=[50]), sizes={"a": 1, "b": 2})
    assert chosen.selected == "b"
    assert chosen.candidates[0].mean_ms is None
    assert run(ctx, *both, sizes={"a": 2, "b": 1}).selected == "b"


def test_missing_and_not_a_number_do_not_pass(ctx: Context) -> None:
    other = scores("f1-only", 0.833, baseline=0.834, metric="f1")
    nan = scores("nan", math.nan, baseline=0.834)
    alone = scores("unpaired", 0.834)
    chosen = run(ctx, other, nan, alone)
    assert chosen.selected is None
    reasons = [c.reason for c in chosen.candidates]
    assert reasons[0] == reasons[1] == "accuracy was not measured, or is not a number"
    assert "row by row" in reasons[2]
    # A record must survive JSON, which has no NaN.
    assert Selection.model_validate_json(chosen.model_dump_json()) == chosen


def test_a_baseline_that_gets_nothing_right(ctx: Context) -> None:
    zero = scores("onnx-fp32", 0.0)
    chosen = run(ctx, scores("a", 0.0, baseline=0.0), baseline=zero)
    assert chosen.selected is None
    assert chosen.candidates[0].relative_loss is None
    assert "labels" in chosen.candidates[0].reason


def test_a_metric_that_the_baseline_lacks_is_the_recipes_fault(ctx: Context) -> None:
    with pytest.raises(RecipeError, match=r"gates\.metric: f1") as caught:
        run(ctx, scores("a", 0.8, baseline=0.8), gates=Gates(metric="f1"))
    assert "evaluation.metrics" in caught.value.hint


# Every share of 500 rows, so that equal values and losses of just the limit happen.
shares = st.integers(1, 500).map(lambda right: right / 500)
one = st.tuples(shares, st.integers(0, 20), st.integers(1, 5), st.sampled_from([1.0, 1.01, 3.0]))


@settings(max_examples=200, deadline=None)
@given(
    base=shares,
    rows=st.lists(one, max_size=6),
    limit=st.sampled_from([0.0, 0.01, 0.2]),
    prefer=st.sampled_from(["fastest", "smallest", "most-faithful"]),
    data=st.data(),
)
def test_the_taken_one_passes_and_order_does_not_matter(
    ctx: Context,
    base: float,
    rows: list[tuple[float, int, int, float]],
    limit: float,
    prefer: str,
    data: st.DataObject,
) -> None:
    names = [f"v{i}" for i in range(len(rows))]
    every = [
        scores(name, value, baseline=base, flips=flips)
        for name, (value, flips, _, _) in zip(names, rows, strict=True)
    ]
    sizes = {name: row[2] for name, row in zip(names, rows, strict=True)}
    times = timings(**{name: [row[3]] for name, row in zip(names, rows, strict=True)})
    gates = Gates.model_validate({"max_relative_loss": limit, "prefer": prefer})
    baseline = scores("onnx-fp32", base)

    def chosen(candidates: list[Scores]) -> Selection:
        return run(ctx, *candidates, baseline=baseline, times=times, sizes=sizes, gates=gates)

    first = chosen(every)
    passing = {c.variant for c in first.candidates if c.passes}
    assert (first.selected in passing) if passing else (first.selected is None)
    assert passing == {s.variant for s in every if s.metrics[0].value >= base * (1 - limit) - 1e-9}
    assert chosen(data.draw(st.permutations(every))).selected == first.selected
    if first.selected:
        taken = rows[names.index(first.selected)]
        rivals = [rows[names.index(name)] for name in passing]
        if prefer == "smallest":
            assert taken[2] == min(rival[2] for rival in rivals)
        elif prefer == "most-faithful":
            assert taken[1] == min(rival[1] for rival in rivals)
        else:
            assert taken[3] <= min(rival[3] for rival in rivals) * (1 + LEAST_LEAD)


def test_what_has_to_pay_is_refused_where_it_is_larger_or_slower_than_fp32(ctx: Context) -> None:
    names = ("small", "large", "slow", "close")
    given = SelectInput(
        baseline=scores("fp32", 0.834),
        candidates=tuple(scores(name, 0.834, baseline=0.834) for name in names),
        timings=timings(fp32=[10, 10], small=[5, 5], large=[1, 1], slow=[11, 11], close=[10.2, 10]),
        sizes={"fp32": 100, "small": 30, "large": 101, "slow": 30, "close": 100},
        must_pay=True,
    )
    chosen = select(given, ctx)
    verdicts = {c.variant: (c.passes, c.worse) for c in chosen.candidates}
    assert verdicts == {
        "small": (True, None),
        "large": (False, "larger"),
        "slow": (False, "slower"),
        "close": (True, None),  # by less than what a benchmark can tell
    }
    assert chosen.selected == "small"
    assert "11 ms a call, which is slower than the 10 ms of fp32" in chosen.candidates[2].reason
    free = select(given.model_copy(update={"must_pay": False}), ctx)
    assert free.selected == "large"
    assert all(c.worse is None for c in free.candidates)


def _beside(rival: Scores, **rounds: list[float]) -> SelectInput:
    names = ("quick", "slow", "unlike")
    flips = {"quick": 20, "slow": 5, "unlike": 40}
    return SelectInput(
        baseline=scores("fp32", 0.834),
        candidates=tuple(scores(n, 0.834, baseline=0.834, flips=flips[n]) for n in names),
        timings=timings(**{"fp32": [10, 10], "quick": [4, 4], "unlike": [3, 3], **rounds}),
        sizes=dict.fromkeys(("fp32", *names), 1),
        must_pay=True,
        rival=rival,
    )


def test_what_the_published_model_of_another_format_outdoes_is_refused(ctx: Context) -> None:
    rival = scores("onnx", 0.834, baseline=0.834, flips=12)
    given = _beside(rival, onnx=[5, 5], slow=[6, 6])
    chosen = select(given, ctx)
    verdicts = {c.variant: (c.passes, c.worse) for c in chosen.candidates}
    assert verdicts == {
        "quick": (True, None),  # 20 flips where it has 12: that may be chance
        "slow": (False, "slower-than-rival"),
        "unlike": (False, "less-faithful"),
    }
    assert chosen.selected == "quick"
    assert not chosen.outdone
    assert "6 ms a call, which is slower than the 5 ms of onnx" in chosen.candidates[1].reason
    assert chosen.candidates[2].reason == "40 answers unlike FP32, where onnx has 12"
    free = select(given.model_copy(update={"must_pay": False}), ctx)
    assert all(c.passes for c in free.candidates)


def test_a_format_is_outdone_only_where_the_other_format_is_the_reason(ctx: Context) -> None:
    rival = scores("onnx", 0.834, baseline=0.834, flips=12)
    assert select(_beside(rival, onnx=[1, 1], slow=[6, 6]), ctx).outdone
    slower_than_fp32 = {"quick": [11.0, 11.0], "slow": [11.0, 11.0], "unlike": [11.0, 11.0]}
    beaten = select(_beside(rival, onnx=[1, 1], **slower_than_fp32), ctx)
    assert beaten.selected is None
    assert not beaten.outdone
