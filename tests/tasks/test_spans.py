"""The span search against one that tries every pair of tokens."""

from __future__ import annotations

import numpy as np
import pytest

from hubkit.tasks.spans import MAX_ANSWER_TOKENS, Layout, best_spans, null_scores


def _random(seed: int, *, whole: bool) -> tuple[np.ndarray, Layout]:
    """Logits and windows: of one token and of many, with contexts of none and of more than an
    answer may have. `whole`: logits are small whole numbers, so that many spans are equal."""
    random = np.random.default_rng(seed)
    rows = np.repeat(np.arange(7), random.integers(1, 4, size=7))
    lengths = random.integers(1, 60, size=len(rows))
    inside = []
    for length in lengths:
        first = int(random.integers(0, min(6, length) + 1))
        last = max(first, length - int(random.integers(0, 2)))
        inside.append((np.arange(length) >= first) & (np.arange(length) < last))
    tokens = int(lengths.sum())
    kept = random.normal(size=(tokens, 2)) if not whole else random.integers(-2, 3, (tokens, 2))
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    return kept.astype(np.float32), Layout(offsets, rows, np.concatenate(inside))


def _by_trying(kept: np.ndarray, layout: Layout) -> list[tuple[float, int, int]]:
    """Score, first and last token of each row's best span."""
    found = [(-np.inf, -1, -1)] * (int(layout.rows[-1]) + 1)
    for at, row in enumerate(layout.rows):
        window = range(layout.offsets[at], layout.offsets[at + 1])
        for first in window:
            for last in range(first, min(first + MAX_ANSWER_TOKENS, window.stop)):
                score = float(kept[first, 0]) + float(kept[last, 1])
                if layout.inside[first] and layout.inside[last] and score > found[row][0]:
                    found[row] = (score, first, last)
    return found


@pytest.mark.parametrize("whole", [False, True], ids=["apart", "ties"])
@pytest.mark.parametrize("seed", range(6))
def test_best_spans(seed: int, whole: bool) -> None:
    kept, layout = _random(seed, whole=whole)
    found = best_spans(kept, layout)
    together = list(
        zip(found.scores.tolist(), found.first.tolist(), found.last.tolist(), strict=True)
    )
    assert together == _by_trying(kept, layout)


def test_longest_answer() -> None:
    """The best end is one token too far: the next best is taken."""
    tokens = MAX_ANSWER_TOKENS + 1
    kept = np.zeros((tokens, 2), dtype=np.float32)
    kept[0, 0] = 100
    kept[-1, 1], kept[-2, 1] = 9, 5
    layout = Layout(np.array([0, tokens]), np.array([0]), np.ones(tokens, dtype=bool))
    found = best_spans(kept, layout)
    assert (found.first.tolist(), found.last.tolist()) == ([0], [MAX_ANSWER_TOKENS - 1])


def test_a_span_does_not_run_into_the_next_window() -> None:
    kept = np.array([[0, 0], [9, 0], [0, 9], [0, 0]], dtype=np.float32)
    layout = Layout(np.array([0, 2, 4]), np.array([0, 0]), np.ones(4, dtype=bool))
    found = best_spans(kept, layout)
    # Of the two spans with 9 points the first, and the shortest from there.
    assert (found.first.tolist(), found.last.tolist()) == ([1], [1])


def test_nothing_to_answer_with() -> None:
    kept = np.ones((3, 2), dtype=np.float32)
    layout = Layout(np.array([0, 3]), np.array([0]), np.zeros(3, dtype=bool))
    found = best_spans(kept, layout)
    assert (found.first.tolist(), found.last.tolist()) == ([-1], [-1])
    assert found.scores.tolist() == [-np.inf]


def test_null_score_is_the_least_of_the_windows() -> None:
    kept = np.array([[3, 1], [0, 0], [1, 1], [5, 5], [7, 0]], dtype=np.float32)
    layout = Layout(np.array([0, 2, 4, 5]), np.array([0, 0, 1]), np.ones(5, dtype=bool))
    assert null_scores(kept, layout).tolist() == [2.0, 7.0]
