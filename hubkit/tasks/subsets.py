"""Parts of ragged arrays, and probabilities of answers: what tasks share to look at some rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeVar, cast

from hubkit.tasks.base import Certainty, Rows

if TYPE_CHECKING:
    from hubkit.tasks.base import Arrays, Floats, Ints

T = TypeVar("T")


def gathered(offsets: Ints, chosen: Ints) -> tuple[Ints, Ints]:
    """Where the chosen parts lie in a flat array, int64, and the offsets of these parts alone.

    `offsets`: int64[parts+1], part i is [offsets[i]:offsets[i + 1]].
    """
    import numpy as np

    lengths = offsets[chosen + 1] - offsets[chosen]
    own: Ints = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    places: Ints = np.repeat(offsets[chosen] - own[:-1], lengths)
    places += np.arange(len(places))
    return places, own


def some_inputs(encoded: Arrays, inputs: Ints) -> dict[str, Ints]:
    """offsets, input_ids and token_type_ids, where they are there, of some inputs."""
    places, offsets = gathered(encoded["offsets"], inputs)
    tokens = (name for name in ("input_ids", "token_type_ids") if name in encoded)
    return {"offsets": offsets, **{name: encoded[name][places] for name in tokens}}


def some_rows(rows: Rows, chosen: Ints) -> Rows:
    """The chosen rows, with the columns and references that there are."""
    numbers = chosen.tolist()

    def some(values: Sequence[T]) -> list[T]:
        return [values[number] for number in numbers]

    columns = {role: some(cast("Sequence[str]", values)) for role, values in rows.columns.items()}
    references = rows.references
    return Rows(columns, None if references is None else some(cast("Sequence[int]", references)))


def certainty_of(logits: Floats, truth: Ints, rows: Ints) -> Certainty:
    """The softmax of the largest logit of each unit, as `pipeline` gives it for an answer.

    `logits`: float32[units, labels]; `truth`: int64[units], label ids.
    """
    import numpy as np

    wide = logits.astype(np.float64)
    shares = np.exp(wide - wide.max(axis=1, keepdims=True))
    probability = 1 / shares.sum(axis=1)  # the largest share is exp(0)
    return Certainty(probability, np.asarray(wide.argmax(axis=1) == truth), rows)
