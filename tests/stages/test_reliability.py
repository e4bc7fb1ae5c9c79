"""The expected calibration error: known ones, its interval, and what the bins hold."""

from __future__ import annotations

import numpy as np
import pytest

from hubkit.analysis_records import Reliability
from hubkit.stages import reliability
from hubkit.stages.reliability import BINS, reliabilities
from hubkit.tasks.base import Certainty


def _certainty(probability: object, right: object, rows: object = None) -> Certainty:
    p = np.asarray(probability, dtype=np.float64)
    return Certainty(p, np.asarray(right, dtype=bool), np.arange(len(p)) if rows is None else rows)  # type: ignore[arg-type]


def _of(one: Certainty, confidence: float = 0.95) -> Reliability:
    return reliabilities({"m": one}, int(one.rows.max()) + 1, confidence)[0]


def test_an_error_by_hand() -> None:
    # Two bins: 4 answers at 0.55, of which 3 are right; 6 at 0.95, of which 3 are.
    found = _of(_certainty([0.55] * 4 + [0.95] * 6, [1, 1, 1, 0, 1, 1, 1, 0, 0, 0]))
    assert found.ece == pytest.approx(0.4 * 0.20 + 0.6 * 0.45, abs=1e-7)
    full = {round(one.high, 1): one for one in found.bins if one.count}
    assert {high: (one.count, one.accuracy) for high, one in full.items()} == {
        0.6: (4, 0.75),
        1.0: (6, 0.5),
    }
    assert full[0.6].confidence == pytest.approx(0.55)
    empty = [one for one in found.bins if not one.count]
    assert len(empty) == 8
    assert {(one.confidence, one.accuracy) for one in empty} == {(None, None)}
    assert found.units == 10


def test_the_bins_are_of_one_width_and_closed_above() -> None:
    edges = [number / BINS for number in range(1, BINS + 1)]
    found = _of(_certainty(edges, [1] * BINS))
    assert [one.count for one in found.bins] == [1] * BINS
    assert [one.high for one in found.bins] == edges
    assert [one.low for one in found.bins] == [0.0, *edges[:-1]]
    above = _of(_certainty(np.nextafter(edges[:-1], 1), [1] * 9))
    assert [one.count for one in above.bins] == [0, *[1] * 9]


def test_over_confidence_is_found_at_its_size() -> None:
    random = np.random.default_rng(1)
    probability = random.uniform(0.6, 1, 20_000)
    right = random.random(20_000) < probability - 0.1
    found = _of(_certainty(probability, right))
    assert found.ece == pytest.approx(0.1, abs=0.01)
    assert found.ece_interval.low < 0.1 < found.ece_interval.high
    assert found.ece_interval.high - found.ece_interval.low < 0.03
    wide = _of(_certainty(probability, right), 0.99).ece_interval
    assert wide.low < found.ece_interval.low < found.ece_interval.high < wide.high


def test_the_interval_covers_what_is_true() -> None:
    """It is of 95 %; a percentile interval would hardly ever cover an error of 0, since the error
    of a sample is above 0 whatever the model."""
    random = np.random.default_rng(2)
    covered = {0.0: 0, 0.1: 0}
    for error in covered:
        for _ in range(60):
            probability = random.uniform(0.5, 1, 400)
            right = random.random(400) < np.clip(probability - error, 0, 1)
            interval = _of(_certainty(probability, right)).ece_interval
            covered[error] += interval.low <= error <= interval.high
    assert covered[0.0] >= 40
    assert covered[0.1] >= 52


def test_the_words_of_a_row_are_drawn_together() -> None:
    random = np.random.default_rng(3)
    sure, good = np.full(400, 0.8), random.random(400) < 0.6
    alone = _of(_certainty(sure, good)).ece_interval
    # The same answers ten times, in the same rows: no more is known than before.
    rows = np.repeat(np.arange(400), 10)
    together = _of(_certainty(np.repeat(sure, 10), np.repeat(good, 10), rows)).ece_interval
    assert together.low == pytest.approx(alone.low, abs=1e-9)
    assert together.high == pytest.approx(alone.high, abs=1e-9)
    apart = _of(_certainty(np.repeat(sure, 10), np.repeat(good, 10))).ece_interval
    assert apart.high - apart.low < 0.5 * (alone.high - alone.low)


def test_resamples_in_parts_are_those_in_one_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    one = _certainty(np.linspace(0.5, 1, 50), np.arange(50) % 3 > 0)
    whole = _of(one)
    monkeypatch.setattr(reliability, "_CELLS_AT_ONCE", 333)
    assert _of(one) == whole


def test_models_do_not_disturb_one_another() -> None:
    one = _certainty(np.linspace(0.5, 1, 50), np.arange(50) % 3 > 0)
    other = _certainty(np.linspace(0.6, 0.9, 50), np.arange(50) % 2 > 0)
    both = reliabilities({"m": one, "n": other}, 50, 0.95)
    assert both[0] == _of(one)
    assert both[1] == _of(other).model_copy(update={"variant": "n"})
    assert reliabilities({}, 50, 0.95) == ()
