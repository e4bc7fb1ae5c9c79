"""The requests that a load is made of: real sentences, drawn with a seed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hubkit.formats_records import ServingPlan

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from hubkit.serving.batching import Inputs

    Ints = NDArray[np.int64]

_DISTINCT = 512
_GOLDEN = 0.6180339887498949


@dataclass(frozen=True)
class Sentences:
    """Ragged token ids: sentence i is ids[offsets[i]:offsets[i + 1]], and so are its types."""

    offsets: Ints
    ids: Ints
    types: Ints | None
    pad_id: int

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def batch(self, rows: Sequence[int], length: int | None) -> Inputs:
        """Inputs int64[rows, length], padded on the right; a `length` makes each sentence as long,
        by saying it again or cutting it. None: as long as the longest."""
        import numpy as np

        spans = [(int(self.offsets[row]), int(self.offsets[row + 1])) for row in rows]
        longest = length or max(end - start for start, end in spans)
        shape = (len(rows), longest)
        ids = np.full(shape, self.pad_id, np.int64)
        mask, types = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
        for at, (start, end) in enumerate(spans):
            size = longest if length else end - start
            ids[at, :size] = np.resize(self.ids[start:end], size)
            mask[at, :size] = 1
            if self.types is not None:
                types[at, :size] = np.resize(self.types[start:end], size)
        return {"input_ids": ids, "attention_mask": mask, "token_type_ids": types}


def requests(sentences: Sentences, plan: ServingPlan) -> list[Inputs]:
    """Distinct requests of `plan.batch_size` sentences, to be sent round and round.

    They are drawn at random with the plan's seed, and put in an order in which short and long ones
    are spread as evenly as can be (multiples of the golden ratio), so that each window has the same
    mix and differs for another reason than luck.
    """
    import numpy as np

    draw = np.random.default_rng(plan.seed)
    size = plan.batch_size
    count = max(1, min(_DISTINCT, len(sentences) // size))
    order = draw.permutation(len(sentences))
    chosen = np.resize(order, count * size).reshape(count, size)
    made = [sentences.batch(rows.tolist(), plan.input_length) for rows in chosen]
    made.sort(key=lambda inputs: int(inputs["input_ids"].shape[1]))
    ranks = np.argsort(np.argsort(np.arange(count) * _GOLDEN % 1))
    return [made[rank] for rank in ranks]


def mean_tokens(made: Sequence[Inputs]) -> float:
    """Tokens of a sentence, padding not counted."""
    tokens = sum(int(inputs["attention_mask"].sum()) for inputs in made)
    return tokens / sum(len(inputs["attention_mask"]) for inputs in made)
