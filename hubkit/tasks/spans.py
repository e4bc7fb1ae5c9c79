"""The best answer span of each row over its windows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Ints = NDArray[np.int64]
    Floats = NDArray[np.float32]
    Doubles = NDArray[np.float64]

MAX_ANSWER_TOKENS = 30


@dataclass(frozen=True)
class Layout:
    """Where the tokens of all inputs lie, put one after another.

    `offsets`: int64[inputs + 1], where each input starts; `rows`: int64[inputs], ascending, each
    row at least once; `inside`: bool[tokens], whether a token is of the context.
    """

    offsets: Ints
    rows: Ints
    inside: NDArray[np.bool_]


@dataclass(frozen=True)
class Spans:
    """The best span of each row: int64[rows] numbers of its first and last token, -1 where no token
    is of the context; `scores`: float64[rows], -inf there."""

    first: Ints
    last: Ints
    scores: Doubles


def best_spans(kept: Floats, layout: Layout) -> Spans:
    """The span with the largest start logit + end logit: within one window, in its context, of at
    most MAX_ANSWER_TOKENS tokens. Of equal ones the first, then the shortest.

    `kept`: float32[tokens, 2], start and end logits. The time is that of MAX_ANSWER_TOKENS passes
    over the tokens.
    """
    import numpy as np

    start, end = _masked(kept, layout)
    window = np.repeat(np.arange(len(layout.rows)), np.diff(layout.offsets))
    best, length = end.copy(), np.zeros(len(end), dtype=np.int64)
    for step in range(1, MAX_ANSWER_TOKENS):
        ahead = np.where(window[step:] == window[:-step], end[step:], -np.inf)
        better = ahead > best[: len(ahead)]
        best[: len(ahead)][better] = ahead[better]
        length[: len(ahead)][better] = step
    return _best_of_rows(start + best, length, layout)


def null_scores(kept: Floats, layout: Layout) -> Doubles:
    """How much each row has for "no answer", float64[rows]: the start and end logit of the first
    token, the least over its windows (Devlin et al. 2019, arXiv:1810.04805, section 4.3)."""
    import numpy as np

    scores = kept[layout.offsets[:-1]].astype(np.float64).sum(axis=1)
    found: Doubles = np.minimum.reduceat(scores, _first_of_rows(layout))
    return found


def _masked(kept: Floats, layout: Layout) -> tuple[Doubles, Doubles]:
    """Start and end logits, -inf for what is not of the context."""
    import numpy as np

    start, end = np.where(layout.inside, kept.T.astype(np.float64), -np.inf)
    return start, end


def _first_of_rows(layout: Layout) -> Ints:
    """The first input of each row, int64[rows]."""
    import numpy as np

    return np.unique(layout.rows, return_index=True)[1].astype(np.int64)


def _best_of_rows(scores: Doubles, length: Ints, layout: Layout) -> Spans:
    """The first of the best spans of each row, where span i starts at token i."""
    import numpy as np

    starts = layout.offsets[_first_of_rows(layout)]
    best: Doubles = np.maximum.reduceat(scores, starts)
    row = np.repeat(np.arange(len(starts)), np.diff(np.append(starts, len(scores))))
    at = np.flatnonzero(scores == best[row])
    first = at[np.unique(row[at], return_index=True)[1]].astype(np.int64)
    found = np.isfinite(best)
    return Spans(np.where(found, first, -1), np.where(found, first + length[first], -1), best)
