"""Instances of a model, each in a thread of its own, and the requests that wait for them."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from time import perf_counter_ns

from hubkit.serving.batching import Job, Model, choose, joined, parted


class Full(Exception):
    """So many requests wait that one more is not taken."""


class Closed(Exception):
    """The pool takes no more requests."""


class Pool:
    """Runs jobs on `models`, at most `max_batch` rows in a call.

    An instance that is free takes what is there at once. With `max_delay_us` it waits, counted from
    when the oldest came, until a batch is full. `padding`: input name -> what fills it up; None:
    the model can take no padding, and only equal lengths go together.
    """

    def __init__(
        self,
        models: Sequence[Model],
        *,
        max_batch: int = 1,
        max_delay_us: int = 0,
        max_queue: int = 1 << 30,
        padding: Mapping[str, int] | None = None,
        length_axes: Mapping[str, int | None] | None = None,
        spare_tokens: float = 0.0,
    ) -> None:
        self._max_batch, self._max_queue = max_batch, max_queue
        self._delay_ns = max_delay_us * 1000 if max_batch > 1 else 0
        self._padding = padding or {}
        self._axes = length_axes or {}
        self._spare = spare_tokens if padding is not None else 0.0
        self._waiting: list[Job] = []
        self._rows = 0  # of all that wait
        self._closed = False
        self._lock = threading.Lock()
        self._more = threading.Condition(self._lock)
        self.calls = self.taken = 0  # calls so far, and the requests in them
        self._threads = [
            threading.Thread(target=self._serve, args=(model,), name=f"instance-{n}", daemon=True)
            for n, model in enumerate(models)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def waiting(self) -> int:
        """How many requests wait for an instance."""
        return len(self._waiting)

    def submit(self, job: Job) -> None:
        """Queue a job. Raises Full, Closed."""
        with self._more:
            if self._closed:
                raise Closed
            if len(self._waiting) >= self._max_queue:
                raise Full
            if not job.since_ns:
                job.since_ns = perf_counter_ns()
            self._waiting.append(job)
            self._rows += job.rows
            self._more.notify()

    def cancel(self, job: Job) -> None:
        """Take a job out of the queue, if no instance has it yet: nobody wants its answer."""
        with self._lock:
            job.cancelled = True
            if job in self._waiting:
                self._waiting.remove(job)
                self._rows -= job.rows

    def hurry(self) -> None:
        """Wait for no more batches to fill."""
        with self._more:
            self._delay_ns = 0
            self._more.notify_all()

    def close(self) -> None:
        """Answer what waits, then end. Called twice it does no harm."""
        with self._more:
            self._closed = True
            self._more.notify_all()
        for thread in self._threads:
            thread.join()

    def _serve(self, model: Model) -> None:
        while jobs := self._take():
            try:
                outputs = model.run(joined(jobs, self._padding))
                results = parted(outputs, jobs, self._axes)
            except Exception as error:  # of whatever runtime: each request hears of it
                for job in jobs:
                    job.done(job, error)
                continue
            for job, own in zip(jobs, results, strict=True):
                job.done(job, own)

    def _take(self) -> list[Job]:
        """The next batch, waited for; nothing at the end."""
        with self._more:
            while True:
                if not self._waiting:
                    if self._closed:
                        return []
                    self._more.wait()
                    continue
                if self._delay_ns and not self._closed and self._rows < self._max_batch:
                    left = self._waiting[0].since_ns + self._delay_ns - perf_counter_ns()
                    if left > 0:
                        self._more.wait(left / 1e9)
                        continue
                jobs = choose(self._waiting, self._max_batch, self._spare)
                self.calls += 1
                self.taken += len(jobs)
                for job in jobs:
                    self._waiting.remove(job)
                    self._rows -= job.rows
                if self._waiting:
                    self._more.notify()  # who was told of the others may have found them gone
                return jobs
