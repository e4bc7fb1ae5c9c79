"""Whatever values come, in whatever order: the histogram is that of all at once."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from hubkit.backends.activation_histogram import BINS, Histogram

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]

any_value = st.floats(width=32, allow_nan=True, allow_infinity=True)
special = st.sampled_from(
    [0.0, -0.0, 1e-45, -1e-45, 1.2e-38, 1.0, -1.0, 2.0**100, -(2.0**100), 3.4e38, -3.4e38]
)
value_lists = st.lists(any_value | special, max_size=40)


def _of(values: list[float] | Floats) -> Histogram:
    made = Histogram()
    made.add(np.array(values, dtype=np.float32))
    return made


def _same(one: Histogram, other: Histogram) -> bool:
    facts = [{k: v for k, v in vars(h).items() if k != "counts"} for h in (one, other)]
    return facts[0] == facts[1] and np.array_equal(one.counts, other.counts)


@given(value_lists, st.lists(st.integers(0, 40), max_size=5), st.randoms())
@settings(max_examples=300, deadline=None)
def test_order_and_parts_do_not_matter(values: list[float], cuts: list[int], order: object) -> None:
    whole = _of(values)
    shuffled = list(values)
    order.shuffle(shuffled)  # type: ignore[attr-defined]
    parts = np.split(np.array(shuffled, dtype=np.float32), sorted(cuts))
    added, merged = Histogram(), Histogram()
    for part in parts:
        added.add(part)
        merged.merge(_of(part))
    assert _same(whole, added)
    assert _same(whole, merged)


@given(value_lists)
@settings(max_examples=300, deadline=None)
def test_every_value_is_counted_where_it_is(values: list[float]) -> None:
    made = _of(values)
    kept = [v for v in values if abs(v) < 2.0**100]
    sided = made.sided_counts()
    assert sided.sum() == len(kept)
    assert made.nans == sum(map(math.isnan, values))
    assert made.below + made.above == len(values) - len(kept) - made.nans
    expected = np.zeros_like(sided)
    for value in kept:
        index = math.floor(abs(value) / made.width)
        expected[BINS - 1 - index if value < 0 else BINS + index] += 1
    assert np.array_equal(sided, expected)
    real = [v for v in np.array(values, dtype=np.float32).tolist() if not math.isnan(v)]
    assert made.extremes == ((min(real), max(real)) if real else (math.inf, -math.inf))


@given(st.lists(st.floats(-(2.0**99), 2.0**99, width=32), min_size=1, max_size=40))
@settings(max_examples=200, deadline=None)
def test_bins_are_as_narrow_as_the_values_let_them(values: list[float]) -> None:
    largest = max(map(abs, values))
    made = _of(values)
    assert largest < BINS * made.width
    assert made.width == 2.0**-113 or BINS * made.width <= 2 * largest
    assert made.negatives == sum(value < 0 for value in values)


def test_values_in_many_blocks_are_all_counted() -> None:
    draw = np.random.default_rng(0)
    values = draw.standard_normal((3, 100_003)).astype(np.float32)
    made = _of(values)
    edges = np.arange(-BINS, BINS + 1) * made.width
    counts, above = made.sided_counts(), values[values >= 0]
    assert np.array_equal(counts[BINS:], np.histogram(above, edges[BINS:])[0])
    assert np.array_equal(counts[:BINS][::-1], np.histogram(-values[values < 0], edges[BINS:])[0])
    assert made.negatives == np.count_nonzero(values < 0)
    assert made.extremes == (values.min(), values.max())
