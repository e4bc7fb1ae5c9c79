"""A call of a heavy stage as JSON, and the protocol of what runs it."""

from __future__ import annotations

from concurrent.futures import Future
from typing import Protocol

from hubkit.records import Record
from hubkit.stage import Progress


class Call(Record):
    """One run of a stage: what `hubkit exec call.json` reads. The record is stored under `key`."""

    stage: str
    given: dict[str, object]  # the stage's input record as JSON
    key: str
    store: str  # the store's root on the machine that runs the call
    endpoint: str | None = None  # of the Hub; None: huggingface_hub's default


class Executor(Protocol):
    """Runs calls, here or elsewhere. The result is in the store when the future is done."""

    def submit(self, call: Call, *, lane: str, progress: Progress) -> Future[float]:
        """Queue a call. Calls of one lane run one after the other in one process, so that what the
        first has imported serves the rest. The future gives the seconds that the call ran, without
        its time in the queue, and raises HubkitError."""

    def close(self) -> None:
        """End all processes; what they were doing is lost, what is in the store stays."""
