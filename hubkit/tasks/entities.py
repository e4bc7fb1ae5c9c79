"""Entities in sequences of word labels, counted sentence by sentence just as seqeval counts them.

seqeval's default mode follows conlleval: a label is a tag, its first letter (B, I, E, S, O), and
a type, what is after the first dash; any sequence has entities, well formed or not. Here the same
rules work on arrays of label ids, so that a bootstrap over sentences has its counts at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Ints = NDArray[np.int64]
    Flags = NDArray[np.bool_]

_OUTSIDE = "O"


@dataclass(frozen=True)
class _Chunks:
    """Entities by the place after their last label: whether one ends there, where it began, and its
    type."""

    ends: Flags
    begins: Ints
    types: Ints


class EntityCounter:
    """Counts the entities of label ids of `labels`. `offsets`: int64[sentences+1], of words."""

    def __init__(self, labels: Sequence[str], offsets: Ints) -> None:
        import numpy as np

        names = [*labels, _OUTSIDE]  # the last one stands between sentences
        kinds = [name[1:].split("-", maxsplit=1)[-1] or "_" for name in names]
        numbers = {kind: number for number, kind in enumerate(dict.fromkeys(kinds))}
        self._tags = np.asarray([ord(name[:1] or _OUTSIDE) for name in names])
        self._types = np.asarray([numbers[kind] for kind in kinds])
        lengths = np.diff(offsets)
        self._sentences = len(lengths)
        self._sentence = np.repeat(np.arange(self._sentences), lengths)  # of each word
        self._places = np.arange(int(offsets[-1])) + self._sentence
        self._between = len(labels)
        self._words = lengths

    def counts(self, truth: Ints, answers: Ints) -> Ints:
        """int64[sentences, 5]: entities right, answered and true; words right, and words.

        `truth`, `answers`: label ids int64[words].
        """
        import numpy as np

        theirs, ours = self._chunks(truth), self._chunks(answers)
        same = (theirs.begins == ours.begins) & (theirs.types == ours.types)
        columns = [
            self._by_sentence((theirs.ends & ours.ends & same)[self._places + 1]),
            self._by_sentence(ours.ends[self._places + 1]),
            self._by_sentence(theirs.ends[self._places + 1]),
            self._by_sentence(truth == answers),
            self._words,
        ]
        found: Ints = np.stack(columns, axis=1).astype(np.int64)
        return found

    def _by_sentence(self, flags: Flags) -> Ints:
        import numpy as np

        found: Ints = np.bincount(self._sentence[flags], minlength=self._sentences)
        return found

    def _chunks(self, ids: Ints) -> _Chunks:
        import numpy as np

        # A label "O" before all, after each sentence, and after all.
        row = np.full(len(ids) + self._sentences + 2, self._between)
        row[self._places + 1] = ids
        tags, types = self._tags[row], self._types[row].copy()
        types[0] = -1  # what seqeval begins with is of no type at all
        before, after = tags[:-1], tags[1:]
        new_type = types[:-1] != types[1:]
        starts = _is(after, "BS") | (new_type & ~_is(after, "O."))
        starts |= _is(before, "ESO") & _is(after, "EI")
        ends = _is(before, "ES") | (_is(before, "BI") & _is(after, "BSO"))
        ends |= new_type & ~_is(before, "O.")
        # An entity ends with the label before, and began at the last start before this one.
        places = np.arange(len(starts))
        last = np.maximum.accumulate(np.where(starts, places, 0))
        return _Chunks(ends, np.concatenate([[0], last[:-1]]), types[:-1])


def _is(tags: Ints, letters: str) -> Flags:
    import numpy as np

    return np.isin(tags, [ord(letter) for letter in letters])
