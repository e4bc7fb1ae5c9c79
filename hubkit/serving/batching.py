"""Which waiting requests go together, and how several become one call and its answers theirs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Inputs = Mapping[str, NDArray[np.int64]]
    Outputs = Mapping[str, NDArray[np.float32]]

# The oldest so many are looked at: sorting thousands would take longer than it saves.
_LOOKED_AT = 128


class Model(Protocol):
    """A loaded model, as `hubkit.backends.base.Session` has it."""

    input_names: tuple[str, ...]

    def run(self, arrays: Inputs) -> Outputs:
        """All outputs by name, for padded int64[batch, length] inputs."""

    def close(self) -> None:
        """Free the model."""


class Job:
    """A request on its way: its inputs int64[rows, length], and who is told of the end.

    `done` is called once, in the thread of an instance, with the outputs or with the error.
    """

    __slots__ = ("cancelled", "done", "inputs", "length", "rows", "since_ns")

    def __init__(
        self, inputs: Inputs, done: Callable[[Job, Outputs | Exception], None], since_ns: int = 0
    ) -> None:
        self.inputs = inputs
        self.rows, self.length = next(iter(inputs.values())).shape
        self.done = done
        self.since_ns = since_ns
        self.cancelled = False


def choose(waiting: Sequence[Job], max_rows: int, spare_tokens: float) -> list[Job]:
    """The jobs of the next call: the oldest, and those whose length is nearest to its own.

    `max_rows`: of all together; the oldest goes even where it alone has more. `spare_tokens`: how
    many tokens of padding a job may cost to go with the others, since a call of its own costs about
    as much; 0: only equal lengths go together. `waiting` is in the order of arrival.
    """
    oldest = waiting[0]
    if max_rows <= oldest.rows or len(waiting) == 1:
        return [oldest]
    by_length = sorted(waiting[:_LOOKED_AT], key=_length_of)
    at = by_length.index(oldest)
    chosen, rows, least, most = [oldest], oldest.rows, at - 1, at + 1
    longest = oldest.length
    while least >= 0 or most < len(by_length):
        shorter = by_length[least] if least >= 0 else None
        longer = by_length[most] if most < len(by_length) else None
        # What padding each of the two would cost: itself, or all who are shorter than it.
        down = (longest - shorter.length) * shorter.rows if shorter else float("inf")
        up = (longer.length - longest) * rows if longer else float("inf")
        if min(down, up) > spare_tokens:
            break
        one = shorter if down <= up else longer
        assert one is not None
        if down <= up:
            least -= 1
        else:
            most += 1
        if rows + one.rows > max_rows:
            break
        chosen.append(one)
        rows += one.rows
        longest = max(longest, one.length)
    return chosen


def _length_of(job: Job) -> int:
    return job.length


def joined(jobs: Sequence[Job], padding: Mapping[str, int]) -> Inputs:
    """The inputs of all jobs in one, padded on the right with each input's own number."""
    import numpy as np

    if len(jobs) == 1:
        return jobs[0].inputs
    rows, length = sum(job.rows for job in jobs), max(job.length for job in jobs)
    found = {}
    for name in jobs[0].inputs:
        if all(job.length == length for job in jobs):
            found[name] = np.concatenate([job.inputs[name] for job in jobs])
            continue
        array = np.full((rows, length), padding.get(name, 0), dtype=np.int64)
        at = 0
        for job in jobs:
            array[at : at + job.rows, : job.length] = job.inputs[name]
            at += job.rows
        found[name] = array
    return found


def parted(
    outputs: Outputs, jobs: Sequence[Job], length_axes: Mapping[str, int | None]
) -> list[Outputs]:
    """Each job's own outputs, cut back to its own length where an output has one for each token.

    `length_axes`: output name -> its axis of tokens; None: it has none.
    """
    if len(jobs) == 1:
        return [outputs]
    longest = max(job.length for job in jobs)
    found: list[Outputs] = []
    at = 0
    for job in jobs:
        own = {}
        for name, array in outputs.items():
            part = array[at : at + job.rows]
            axis = length_axes.get(name)
            if axis is not None and job.length < longest:
                part = part[(slice(None),) * axis + (slice(job.length),)]
            own[name] = part
        found.append(own)
        at += job.rows
    return found
