"""The criterion, its interval, and how many rows would decide."""

from __future__ import annotations

import pytest

from hubkit.errors import RecipeError
from hubkit.recipe_tune import AccuracyCriterion
from hubkit.records import Interval
from hubkit.statistics import paired_difference
from hubkit.tune_judge import confirmation_confidence, judge, rows_to_decide, value_to_lose
from tests.tuning.synthetic import BASELINE, baseline, scores

RELATIVE = AccuracyCriterion(relative=0.01)  # 0.009 of the metric


@pytest.mark.parametrize(
    ("loss", "state", "passes"),
    [
        (0.004, "holds", True),
        (0.007, "undecided", True),
        (0.009, "undecided", True),
        (0.011, "undecided", False),
        (0.014, "fails", False),
        (-0.02, "holds", True),
    ],
)
def test_the_interval_decides_and_the_loss_is_what_passes(
    loss: float, state: str, passes: bool
) -> None:
    found = judge(scores("a", loss, 0.01), baseline(), "accuracy", RELATIVE)
    assert (found.state, found.passes) == (state, passes)
    assert found.allowed == pytest.approx(0.01 * BASELINE)
    assert (found.rows_needed is not None) == (state == "undecided" and loss != 0.009)


def test_absolute_is_in_the_metrics_own_unit() -> None:
    criterion = AccuracyCriterion(absolute=0.02)
    assert judge(scores("a", 0.015, 0.01), baseline(), "accuracy", criterion).state == "holds"


def test_a_baseline_of_nothing_is_refused() -> None:
    metric = baseline().metrics[0].model_copy(update={"value": 0.0})
    nothing = baseline().model_copy(update={"metrics": (metric,)})
    with pytest.raises(RecipeError, match="no accuracy to lose"):
        value_to_lose(nothing, "accuracy")
    assert value_to_lose(baseline(), "accuracy").value == BASELINE


def test_the_rows_that_it_would_take_do_decide() -> None:
    """Of as many rows with the same shares, the interval leaves out what is allowed, with room for
    the power; of a third of them it does not."""
    only_fp32, only_int8, rows, allowed = 20, 14, 1000, 0.009
    interval = paired_difference(only_fp32, only_int8, rows)
    loss = (only_fp32 - only_int8) / rows
    needed = rows_to_decide(rows, loss, interval, allowed, 0.95)
    assert needed is not None
    # Nam 1997 for these shares: (1.96 + 0.8416)^2 * (0.034 - 0.006^2) / 0.003^2
    assert needed == pytest.approx(29_600, rel=0.12)
    more = paired_difference(round(0.02 * needed), round(0.014 * needed), needed)
    assert more.high < allowed
    third = needed // 3
    assert paired_difference(round(0.02 * third), round(0.014 * third), third).high > allowed


def test_no_number_of_rows_tells_equal_from_equal() -> None:
    assert rows_to_decide(1000, 0.009, Interval(low=0.0, high=0.02), 0.009, 0.95) is None


def test_confirmations_together_keep_the_confidence() -> None:
    errors = [1 - confirmation_confidence(0.95, attempt) for attempt in (1, 2, 3)]
    assert errors == pytest.approx([0.025, 0.0125, 0.00625])
    assert sum(errors) < 0.05


@pytest.mark.parametrize(("rows", "state"), [(20, "undecided"), (1000, "holds")])
def test_few_rows_that_do_not_differ_decide_nothing(rows: int, state: str) -> None:
    """The bootstrap of f1 gives an interval without width where no row differs, however few."""
    one = scores("a", 0.0, 0.0)
    assert one.paired is not None
    paired = one.paired.model_copy(update={"loss_interval": Interval(low=0.0, high=0.0)})
    same = one.model_copy(update={"rows": rows, "paired": paired})
    found = judge(same, baseline(), "accuracy", RELATIVE)
    assert (found.state, found.passes) == (state, True)
    assert found.interval == paired_difference(0, 0, rows, found.confidence)


def test_a_bootstrap_of_few_rows_is_widened() -> None:
    three = scores("a", 0.004, 0.01).model_copy(update={"rows": 3})
    metric = baseline().metrics[0]
    for method, state in (("bootstrap", "undecided"), ("wilson", "holds")):
        fp32 = baseline().model_copy(
            update={"metrics": (metric.model_copy(update={"method": method}),)}
        )
        assert judge(three, fp32, "accuracy", RELATIVE).state == state


@pytest.mark.parametrize("rows", [20, 100, 400])
def test_as_many_rows_are_needed_whatever_few_do_not_differ(rows: int) -> None:
    needed = rows_to_decide(rows, 0.0, paired_difference(0, 0, rows), 0.009, 0.95)
    assert needed is not None
    assert paired_difference(0, 0, needed).high == pytest.approx(0.009, rel=0.01)
