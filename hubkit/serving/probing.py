"""What a model says of itself when it is run: its outputs, and what a call costs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING

from hubkit.serving.batching import Model

if TYPE_CHECKING:
    from hubkit.serving.batching import Inputs

# Two lengths that no other axis of an output is likely to have at once; a model for shorter texts
# is asked for less.
_SHORT, _LONG = 5, 23
_CALLS = 9


@dataclass(frozen=True)
class Facts:
    """`shapes`: of each output, -1 where it depends on the request; `length_axes`: its axis of
    tokens; `call_tokens`: how many tokens of more in a call take as long as a call of its own."""

    shapes: Mapping[str, tuple[int, ...]]
    length_axes: Mapping[str, int | None]
    call_tokens: float


def probe(model: Model, token: int, longest: int = _LONG) -> Facts:
    """Run a model on a few made-up sentences. `token`: an id that it knows; `longest`: how many of
    them it takes, at least 2."""
    import numpy as np

    most = max(2, min(_LONG, longest))
    least = min(_SHORT, most - 1)

    def inputs(length: int) -> Inputs:
        arrays = {
            "input_ids": np.full((1, length), token, np.int64),
            "attention_mask": np.ones((1, length), np.int64),
        }
        nothing = np.zeros((1, length), np.int64)
        return {name: arrays.get(name, nothing) for name in model.input_names}

    short, long = inputs(least), inputs(most)
    small, large = model.run(short), model.run(long)
    shapes: dict[str, tuple[int, ...]] = {}
    axes: dict[str, int | None] = {}
    for name, array in small.items():
        grows = [i for i, size in enumerate(array.shape) if i and size != large[name].shape[i]]
        axes[name] = grows[0] if grows else None
        shapes[name] = tuple(-1 if i == 0 or i in grows else n for i, n in enumerate(array.shape))
    seconds = [float("inf")] * 2
    for _ in range(_CALLS):  # in turns, so that a busy moment is neither's alone
        for at, arrays in enumerate((short, long)):
            start = perf_counter()
            model.run(arrays)
            seconds[at] = min(seconds[at], perf_counter() - start)
    a_token = (seconds[1] - seconds[0]) / (most - least)
    # A call of one sentence: what it takes beside its tokens. Where length costs nothing, any
    # padding is cheaper than a call.
    spare = float("inf") if a_token <= 0 else max(0.0, seconds[0] / a_token - least)
    return Facts(shapes, axes, spare)
