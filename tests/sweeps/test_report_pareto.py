"""The Pareto front against its definition."""

from __future__ import annotations

from math import inf, nan

from hypothesis import given
from hypothesis import strategies as st

from hubkit.sweeps.pareto import pareto

# Few values, so that many points are equal in one number or both.
coarse = st.integers(-3, 3).map(float)
number = st.one_of(coarse, st.floats(allow_nan=False), st.just(nan))
points = st.lists(st.tuples(number, number), max_size=12)


def _beats(one: tuple[float, float], other: tuple[float, float]) -> bool:
    return one[0] <= other[0] and one[1] >= other[1] and one != other


def _front(given: list[tuple[float, float]]) -> set[int]:
    whole = [i for i, (cost, value) in enumerate(given) if cost == cost and value == value]
    return {i for i in whole if not any(_beats(given[j], given[i]) for j in whole)}


@given(points)
def test_the_front_is_what_nothing_beats(given: list[tuple[float, float]]) -> None:
    found = pareto(given)
    assert set(found) == _front(given)
    assert len(set(found)) == len(found)


@given(points)
def test_the_front_rises(given: list[tuple[float, float]]) -> None:
    front = [given[i] for i in pareto(given)]
    assert front == sorted(front)


def test_examples() -> None:
    assert pareto([]) == ()
    assert pareto([(5.0, 0.9), (3.0, 0.8), (4.0, 0.7), (3.0, 0.8)]) == (1, 3, 0)
    assert pareto([(1.0, -inf), (2.0, -inf)]) == (0,)
    assert pareto([(nan, 1.0)]) == ()
