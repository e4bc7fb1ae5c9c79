"""Load on a pool of this process: no server and no client threads, so that calls alone are timed.

A closed loop needs no thread for a client: whoever answers a request sends the client's next one.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterator, Sequence
from time import perf_counter_ns
from typing import TYPE_CHECKING

from hubkit.errors import ModelError
from hubkit.serving.batching import Job
from hubkit.serving.pool import Pool
from hubkit.serving.windows import Meter

if TYPE_CHECKING:
    from hubkit.serving.batching import Inputs, Outputs

# Of an open loop: more than so many waiting means that the server is overrun; the rest is dropped
# and counted as errors.
_MOST_WAITING = 2000


class _Client:
    """Sends requests and hears of their end."""

    def __init__(self, pool: Pool, requests: Sequence[Inputs], meter: Meter) -> None:
        self._pool, self._meter = pool, meter
        self._requests: Iterator[Inputs] = itertools.cycle(requests)
        self._again = True
        self._open = 0
        self._lock = threading.Lock()
        self._idle = threading.Condition(self._lock)

    def send(self, since_ns: int = 0, *, again: bool = False) -> None:
        """One request; `again`: the next one as soon as it is answered."""
        with self._lock:
            self._open += 1
            inputs = next(self._requests)
        self._pool.submit(Job(inputs, self._answered_again if again else self._answered, since_ns))

    def _answered_again(self, job: Job, result: Outputs | Exception) -> None:
        if self._again:
            self._note(job, result)
            self._pool.submit(Job(next(self._requests), self._answered_again))
        else:
            self._answered(job, result)

    def _answered(self, job: Job, result: Outputs | Exception) -> None:
        self._note(job, result)
        with self._idle:
            self._open -= 1
            self._idle.notify_all()

    def _note(self, job: Job, result: Outputs | Exception) -> None:
        if isinstance(result, Exception):
            self._meter.fail(f"{type(result).__name__}: {result}")
        else:
            self._meter.add(perf_counter_ns() - job.since_ns)

    def stop(self) -> None:
        """Wait for what is under way."""
        self._again = False
        with self._idle:
            self._idle.wait_for(lambda: self._open == 0)

    def waiting(self) -> int:
        return self._open


def closed_loop(pool: Pool, requests: Sequence[Inputs], concurrency: int, meter: Meter) -> None:
    """`concurrency` clients, each with one request under way, until the meter has enough.

    Raises ModelError where the model does nothing but fail.
    """
    client = _Client(pool, requests, meter)
    for _ in range(concurrency):
        client.send(again=True)
    try:
        while not meter.tick(now := perf_counter_ns()):
            _give_up(meter)
            time.sleep(min(0.05, meter.left_s(now)))
    finally:
        client.stop()


def open_loop(pool: Pool, requests: Sequence[Inputs], due_ns: Iterator[int], meter: Meter) -> None:
    """Requests that are due at `due_ns` from the start, whatever became of those before, each timed
    from then. Raises as `closed_loop` does."""
    client = _Client(pool, requests, meter)
    start = perf_counter_ns()
    due = start + next(due_ns)
    try:
        while not meter.tick(now := perf_counter_ns()):
            _give_up(meter)
            if due > now:
                time.sleep(min((due - now) / 1e9, meter.left_s(now)))
                continue
            if client.waiting() < _MOST_WAITING:
                client.send(due)
            else:
                meter.fail("so many requests waited that no more were sent")
            due = start + next(due_ns)
    finally:
        client.stop()


def _give_up(meter: Meter) -> None:
    if meter.hopeless:
        raise ModelError(f"the model only fails: {meter.first_error}")
