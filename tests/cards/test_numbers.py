"""How numbers read."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from hubkit.cards import numbers
from hubkit.cards.numbers import Numbers
from hubkit.records import Interval, Metric

ENGLISH = Numbers()


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (numbers.count(1000), "1,000"),
        (numbers.score(0.9071), "0.9071"),
        (numbers.score(1), "1.0000"),
        (numbers.interval(Interval(low=0.8412, high=1)), "0.841–1.000"),
        (numbers.difference(Interval(low=-0.00612, high=0.0103)), "−0.0061 … +0.0103"),
        (numbers.signed(-0.00001), "0.0000"),
        (numbers.megabytes(23_118_204), "23.1"),
        (numbers.megabytes(41_000), "0.041"),
        (numbers.milliseconds(4.816), "4.82"),
        (numbers.milliseconds(31.44), "31.4"),
        (numbers.milliseconds(2070.2), "2,070"),
        (numbers.per_second(8.73), "8.7"),
        (numbers.per_second(1318.4), "1,318"),
        (numbers.ratio(2.043), "2.04×"),
        (numbers.percent(0.01), "1%"),
        (numbers.percent(0.005), "0.5%"),
        (numbers.probability(0.8238), "0.82"),
        (numbers.probability(0.0042), "0.004"),
        (numbers.probability(1e-9), "< 0.001"),
        (ENGLISH.logit(0.4117), "0.412"),
        (ENGLISH.logit(3.14e-6), "3.1e-06"),
        (ENGLISH.logit(0.0), "0"),
    ],
)
def test_numbers_read_as_people_write_them(made: str, expected: str) -> None:
    assert made == expected


def test_a_relative_loss_keeps_two_digits_and_the_sign_of_a_gain() -> None:
    shown = [ENGLISH.loss_share(value) for value in (0.03464, -0.00594, -0.000001, 0.0)]
    assert shown == ["3.46%", "−0.59%", "0.00%", "0.00%"]


@pytest.mark.parametrize(
    "show",
    [
        numbers.count,
        numbers.score,
        numbers.interval,
        ENGLISH.measured,
        numbers.megabytes,
        numbers.milliseconds,
        numbers.per_second,
        numbers.ratio,
        numbers.probability,
        ENGLISH.logit,
    ],
)
def test_what_was_not_measured_says_so(show: Callable[[None], str]) -> None:
    assert show(None) == "not measured"


def test_a_metric_comes_with_its_interval() -> None:
    metric = Metric(
        name="accuracy",
        value=0.863,
        interval=Interval(low=0.8412, high=0.8831),
        method="wilson",
        confidence=0.95,
    )
    assert ENGLISH.measured(metric) == "0.8630 (0.841–0.883)"
