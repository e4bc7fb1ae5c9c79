"""hubkit.statistics against scipy, scikit-learn, published examples, and what must always hold."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats
from sklearn.metrics import f1_score, precision_score, recall_score

from hubkit import statistics
from hubkit.statistics import holm, mcnemar_exact, metric_of_counts, paired_difference, wilson

Ints = NDArray[np.int64]

counts = st.integers(1, 3000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))
pairs = st.integers(1, 2000).flatmap(
    lambda n: st.tuples(st.integers(0, n), st.integers(0, n), st.just(n)).filter(
        lambda t: t[0] + t[1] <= t[2]
    )
)


@settings(max_examples=50, deadline=None)
@given(counts, st.sampled_from([0.8, 0.95, 0.99]))
def test_wilson_is_scipys(count: tuple[int, int], confidence: float) -> None:
    found = wilson(*count, confidence)
    expected = stats.binomtest(*count).proportion_ci(confidence, method="wilson")
    assert found.low == pytest.approx(expected.low, abs=1e-12)
    assert found.high == pytest.approx(expected.high, abs=1e-12)


@pytest.mark.parametrize("wrong", [(1, 0), (3, 2), (-1, 2)])
def test_wilson_refuses_impossible_counts(wrong: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="successes"):
        wilson(*wrong)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 400), st.integers(0, 400))
def test_mcnemar_is_the_exact_binomial_test(now_right: int, now_wrong: int) -> None:
    changed = now_right + now_wrong
    expected = stats.binomtest(now_right, changed, 0.5).pvalue if changed else 1.0
    assert mcnemar_exact(now_right, now_wrong) == pytest.approx(expected, rel=1e-9)
    assert mcnemar_exact(now_right, now_wrong) == mcnemar_exact(now_wrong, now_right)


def test_mcnemar_with_thousands_of_changes() -> None:
    assert mcnemar_exact(2600, 2400) == pytest.approx(
        stats.binomtest(2400, 5000, 0.5).pvalue, rel=1e-6
    )


def test_tango_on_the_published_example() -> None:
    # Airway hyper-responsiveness before and after stem cell transplantation, n = 21: Fagerland,
    # Lydersen and Laake 2014, Stat. Med. 33:2850, table of intervals: -0.517 to -0.026.
    found = paired_difference(1, 7, 21)
    assert (round(found.low, 3), round(found.high, 3)) == (-0.517, -0.026)


def test_holm_by_hand() -> None:
    # 4 × 0.005, 3 × 0.01, 2 × 0.03, and 0.04 no less than the one before.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, 0.9]) == (1.0, 1.0)
    assert holm([0.02]) == (0.02,)
    assert holm([]) == ()


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_is_stricter_than_none_and_milder_than_bonferroni(p_values: list[float]) -> None:
    found = holm(p_values)
    for corrected, p in zip(found, p_values, strict=True):
        assert p <= corrected <= min(1.0, len(p_values) * p)
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    assert [found[at] for at in order] == sorted(found)


@settings(max_examples=60, deadline=None)
@given(pairs)
def test_tango_inverts_its_own_test(pair: tuple[int, int, int]) -> None:
    first, second, rows = pair
    found = paired_difference(first, second, rows)
    z = stats.norm.ppf(0.975)
    assert -1 <= found.low <= (first - second) / rows <= found.high <= 1
    if found.low > -1:
        assert statistics._tango(first, second, rows, found.low) == pytest.approx(z, abs=1e-5)
    if found.high < 1:
        assert statistics._tango(first, second, rows, found.high) == pytest.approx(-z, abs=1e-5)
    mirrored = paired_difference(second, first, rows)
    assert mirrored.low == pytest.approx(-found.high, abs=1e-9)


def test_tango_keeps_a_width_when_nothing_differs() -> None:
    found = paired_difference(0, 0, 1000)
    z2 = stats.norm.ppf(0.975) ** 2
    assert found.high == pytest.approx(z2 / (1000 + z2), rel=1e-6)  # the closed form of that case
    assert found.low == pytest.approx(-found.high)


@pytest.mark.parametrize("wrong", [(3, 3, 5), (-1, 0, 5), (0, 0, 0)])
def test_tango_refuses_impossible_counts(wrong: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="rows"):
        paired_difference(*wrong)


answers = st.integers(2, 4).flatmap(
    lambda k: st.tuples(
        st.just(k),
        st.lists(st.tuples(st.integers(0, k - 1), st.integers(0, k - 1)), min_size=1, max_size=40),
    )
)


@settings(max_examples=40, deadline=None)
@given(answers)
def test_metrics_of_counts_are_scikit_learns(
    drawn: tuple[int, list[tuple[int, int]]],
) -> None:
    classes, rows = drawn
    labels, predictions = np.array(rows).T
    one_hot = np.arange(classes)
    is_label, is_predicted = labels[:, None] == one_hot, predictions[:, None] == one_hot
    table = [
        x.sum(axis=0)[None].astype(np.int64)
        for x in (is_label & is_predicted, is_predicted, is_label)
    ]
    average = "binary" if classes == 2 else "macro"
    for name, scorer in (
        ("f1", f1_score),
        ("precision", precision_score),
        ("recall", recall_score),
    ):
        expected = scorer(labels, predictions, average=average, zero_division=0)
        assert metric_of_counts(name, *table)[0] == pytest.approx(expected, abs=1e-12), name
    assert metric_of_counts("accuracy", *table)[0] == pytest.approx((labels == predictions).mean())


def _answers(rows: int, right: float, seed: int) -> tuple[Ints, Ints]:
    random = np.random.default_rng(seed)
    labels = random.integers(0, 2, rows)
    return labels, np.where(random.random(rows) < right, labels, 1 - labels)


def test_bootstrap_is_that_of_scipy() -> None:
    labels, predictions = _answers(500, 0.85, 1)
    found = statistics.bootstrap_metric("f1", labels, predictions, 2)
    expected = stats.bootstrap(
        (labels, predictions),
        lambda y, p: 2 * (y * p).sum() / (y.sum() + p.sum()),
        paired=True,
        vectorized=False,
        n_resamples=1000,
        method="percentile",
        random_state=5,
    ).confidence_interval
    assert found.low == pytest.approx(expected.low, abs=0.01)
    assert found.high == pytest.approx(expected.high, abs=0.01)


def test_bootstrap_of_accuracy_agrees_with_wilson() -> None:
    labels, predictions = _answers(2000, 0.9, 2)
    found = statistics.bootstrap_metric("accuracy", labels, predictions, 2)
    expected = wilson(int((labels == predictions).sum()), 2000)
    assert found.low == pytest.approx(expected.low, abs=0.003)
    assert found.high == pytest.approx(expected.high, abs=0.003)


def test_bootstrap_gives_the_same_every_time() -> None:
    labels, predictions = _answers(300, 0.8, 3)
    first = statistics.bootstrap_metric("recall", labels, predictions, 2)
    assert first == statistics.bootstrap_metric("recall", labels, predictions, 2)


def test_paired_bootstrap_uses_the_pairing() -> None:
    labels, baseline = _answers(1000, 0.85, 4)
    ours = baseline.copy()
    ours[:10] = 1 - ours[:10]
    paired = statistics.bootstrap_loss("f1", labels, baseline, ours, 2)
    alone = statistics.bootstrap_metric("f1", labels, baseline, 2)
    assert paired.high - paired.low < (alone.high - alone.low) / 2
    loss = f1_score(labels, baseline) - f1_score(labels, ours)
    assert paired.low <= loss <= paired.high
    agrees = statistics.bootstrap_loss("accuracy", labels, baseline, ours, 2)
    right, was_right = ours == labels, baseline == labels
    tango = paired_difference(
        int((was_right & ~right).sum()), int((right & ~was_right).sum()), 1000
    )
    assert agrees.low == pytest.approx(tango.low, abs=0.003)
    assert agrees.high == pytest.approx(tango.high, abs=0.003)


def test_resamples_in_parts_are_those_in_one_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    labels, predictions = _answers(200, 0.7, 6)
    whole = statistics.bootstrap_metric("f1", labels, predictions, 2)
    monkeypatch.setattr(statistics, "_CELLS_AT_ONCE", 70)
    assert statistics.bootstrap_metric("f1", labels, predictions, 2) == whole
