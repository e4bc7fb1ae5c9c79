"""run() and map(): look the key up, else compute, then store.

The key of a call is the SHA-256 of the stage's name and version, its input record (settings and
the digests of its artifacts) and the versions of the tools that do the work.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from pydantic import BaseModel

from hubkit.errors import (
    DataError,
    HubError,
    HubkitError,
    MissingDependencyError,
    RecipeError,
    StoreError,
    UsageError,
    WorkerError,
)
from hubkit.executors.base import Call, Executor
from hubkit.keys import digest_of_value
from hubkit.lock import version_of
from hubkit.output import Stopwatch
from hubkit.records import Artifact, Failed, Record
from hubkit.stage import Context, Stage
from hubkit.store import Store

I_ = TypeVar("I_", bound=Record)
O_ = TypeVar("O_", bound=Record)

# A fault of the disk, the Hub, the data, the recipe or the installation is not the variant's, and
# a process that was killed says nothing of it: these end the run.
_NOT_OF_ONE_AMONG_MANY = (
    DataError,
    HubError,
    MissingDependencyError,
    StoreError,
    UsageError,
    WorkerError,
)
_NOT_OF_THE_VARIANT = (*_NOT_OF_ONE_AMONG_MANY, RecipeError)
# A path on a machine, down to its last part: no business of those who read a report.
_PATH = re.compile(r"(?:~|[A-Za-z]:)?(?:[/\\\\][\w.@+-]+)+[/\\\\]([\w.@+-]+)")


class Listener(Protocol):
    """Hears of stages as they run."""

    def update(self, name: str, what: str = "", done: int = 0, total: int = 0) -> None:
        """A stage has begun, or has done `done` of `total`."""

    def done(self, name: str, seconds: float | None) -> None:
        """A stage has its record; `seconds` None: it was looked up."""

    def failed(self, name: str) -> None:
        """A stage did not work; what it said is told elsewhere."""


@dataclass(frozen=True)
class Ran:
    """One call of a stage and what it took; `seconds` None: it was looked up."""

    stage: str
    subject: str
    seconds: float | None

    @property
    def label(self) -> str:
        return f"{self.stage} {self.subject}".strip()


class WouldRun(Exception):
    """Raised by a dry run in place of computing; `labels` are the calls that would run first."""

    def __init__(self, stage: str, labels: tuple[str, ...]) -> None:
        super().__init__(f"{stage} would run")
        self.stage = stage
        self.labels = labels


@dataclass
class Runner:
    """Runs stages against one store and one Hub. `dry`: only looks up, and raises WouldRun."""

    store: Store
    executor: Executor
    listener: Listener
    endpoint: str | None = None
    token: str | None = field(default=None, repr=False)
    dry: bool = False
    again: frozenset[str] = frozenset()  # stages whose kept records are not taken
    ran: list[Ran] = field(default_factory=list)

    def run(self, stage: Stage[I_, O_], given: I_, *, subject: str = "", lane: str = "") -> O_:
        """The stage's record for that input: looked up, else computed."""
        return self.expect(self.map(stage, [(given, subject, lane)])[0])

    @staticmethod
    def expect(result: O_ | Fault) -> O_:
        """A record that `map` gave; raises the error of a fault."""
        if isinstance(result, Fault):
            raise result.error
        return result

    def start(
        self, stage: Stage[I_, O_], calls: Sequence[tuple[I_, str, str]]
    ) -> list[Pending[I_, O_]]:
        """Begin several (input, subject, lane) calls; heavy ones of different lanes run side by
        side until `finish` or `try_finish` waits for them."""
        if self.dry and stage.kind in ("heavy", "measured"):
            missing = [call for call in calls if not self.is_kept(stage, call[0])]
            if missing:
                labels = tuple(Ran(stage.name, subject, None).label for _, subject, _ in missing)
                raise WouldRun(stage.name, labels)
        return [self._begin(stage, *call) for call in calls]

    def finish(self, stage: Stage[I_, O_], pending: Sequence[Pending[I_, O_]]) -> list[O_ | Fault]:
        """Records or faults of begun calls, in their order; what is not heavy runs now."""
        return [self._finish(stage, one) for one in pending]

    def try_finish(
        self, stage: Stage[I_, O_], pending: Sequence[Pending[I_, O_]]
    ) -> tuple[list[O_], list[Failed]]:
        """The records of the calls that work, and the failures of the rest."""
        results = self._judged(stage, pending, _NOT_OF_THE_VARIANT)
        failed = [result for result in results if isinstance(result, Failed)]
        return [result for result in results if not isinstance(result, Failed)], failed

    def settle(
        self, stage: Stage[I_, O_], calls: Sequence[tuple[I_, str, str]]
    ) -> list[O_ | Failed]:
        """The record of each call, or why it did not work, in their order: for calls of which each
        is one among many, so that what its settings cannot do is its own fault."""
        return self._judged(stage, self.start(stage, calls), _NOT_OF_ONE_AMONG_MANY)

    def _judged(
        self,
        stage: Stage[I_, O_],
        pending: Sequence[Pending[I_, O_]],
        fatal: tuple[type[HubkitError], ...],
    ) -> list[O_ | Failed]:
        found: list[O_ | Failed] = []
        for one, result in zip(pending, self.finish(stage, pending), strict=True):
            if not isinstance(result, Fault):
                found.append(result)
            elif isinstance(result.error, fatal):
                raise result.error
            else:
                found.append(
                    Failed(
                        stage=stage.name,
                        subject=one.ran.subject,
                        reason=_PATH.sub(r"\1", result.error.message.splitlines()[0]),
                        hint=result.error.hint,
                    )
                )
        return found

    def map(self, stage: Stage[I_, O_], calls: Sequence[tuple[I_, str, str]]) -> list[O_ | Fault]:
        """`start` and `finish` in one."""
        return self.finish(stage, self.start(stage, calls))

    def try_map(
        self, stage: Stage[I_, O_], calls: Sequence[tuple[I_, str, str]]
    ) -> tuple[list[O_], list[Failed]]:
        """`start` and `try_finish` in one."""
        return self.try_finish(stage, self.start(stage, calls))

    def is_kept(self, stage: Stage[I_, O_], given: I_) -> bool:
        """Whether the record for that input is here, so that running the stage is a look-up."""
        return self._look_up(stage, self.key(stage, given)) is not None

    def key(self, stage: Stage[I_, O_], given: I_) -> str:
        """The content key of a call, 64 hex digits."""
        keyed = given.model_dump(mode="json", by_alias=True, exclude=set(stage.unkeyed))
        return digest_of_value(
            {
                "stage": stage.name,
                "version": stage.version,
                "given": keyed,
                "tools": {
                    tool: version_of(tool) or "not installed" for tool in sorted(stage.tools)
                },
            }
        )

    def context(self, scratch: Path, label: str = "", journal: Path | None = None) -> Context:
        """What a stage that runs in this process may touch."""
        return Context(
            self.store,
            scratch,
            lambda what, done, total: self.listener.update(label, what, done, total),
            self.endpoint,
            self.token,
            journal,
        )

    def close(self) -> None:
        """End the worker processes, so that they hold no memory and no CPU."""
        self.executor.close()

    def _begin(self, stage: Stage[I_, O_], given: I_, subject: str, lane: str) -> Pending[I_, O_]:
        memoised = stage.kind in ("heavy", "measured")
        key = self.key(stage, given) if memoised else ""
        pending = Pending[I_, O_](given, Ran(stage.name, subject, None), key)
        if memoised and stage.name not in self.again:
            pending.kept = self._look_up(stage, key)
        if pending.kept is None and stage.kind == "heavy":
            label = pending.ran.label
            self.listener.update(label)
            call = Call(
                stage=stage.name,
                given=given.model_dump(mode="json", by_alias=True),
                key=key,
                store=str(self.store.root),
                endpoint=self.endpoint,
            )
            pending.future = self.executor.submit(
                call,
                lane=lane or "main",
                progress=lambda what, done, total: self.listener.update(label, what, done, total),
            )
        return pending

    def _finish(self, stage: Stage[I_, O_], pending: Pending[I_, O_]) -> O_ | Fault:
        try:
            record, seconds = self._record(stage, pending)
        except HubkitError as error:
            self.listener.failed(pending.ran.label)
            return Fault(error)
        self.ran.append(Ran(stage.name, pending.ran.subject, seconds))
        if stage.kind != "pure":
            self.listener.done(pending.ran.label, seconds)
        return record

    def _record(self, stage: Stage[I_, O_], pending: Pending[I_, O_]) -> tuple[O_, float | None]:
        if pending.kept is not None:
            return pending.kept, None
        if pending.future is not None:
            seconds = pending.future.result()
            made = self.store.get_record(pending.key, stage.gives)
            if made is None:
                raise StoreError(f"the record of {pending.ran.label} vanished from the store")
            return made, seconds
        if stage.kind != "measured":
            return self._run_here(stage, pending)
        self.listener.update(pending.ran.label, "waiting for its turn")
        with self.store.alone():
            # Whoever was inside before may have measured just this.
            anew = stage.name in self.again
            made = None if anew else self._look_up(stage, pending.key)
            return self._run_here(stage, pending) if made is None else (made, None)

    def _run_here(self, stage: Stage[I_, O_], pending: Pending[I_, O_]) -> tuple[O_, float]:
        watch = Stopwatch()
        journal = self.store.journal(pending.key) if pending.key else None
        if journal and stage.name in self.again:
            journal.unlink(missing_ok=True)
        with self.store.scratch() as scratch:
            record = stage(pending.given, self.context(scratch, pending.ran.label, journal))
        if journal:
            self.store.put_record(pending.key, record)
            journal.unlink(missing_ok=True)
        return record, watch.seconds

    def _look_up(self, stage: Stage[I_, O_], key: str) -> O_ | None:
        record = self.store.get_record(key, stage.gives)
        if record is not None and all(self.store.has(a) for a in artifacts_of(record)):
            return record
        return None


@dataclass(frozen=True)
class Fault:
    """A call that did not work, and why."""

    error: HubkitError


@dataclass
class Pending(Generic[I_, O_]):
    """A call between its begin and its end."""

    given: I_
    ran: Ran
    key: str
    kept: O_ | None = None
    future: Future[float] | None = None


def artifacts_of(record: BaseModel) -> Iterator[Artifact]:
    """Every artifact that a record points to, at any depth."""
    if isinstance(record, Artifact):
        yield record
        return
    for name in type(record).model_fields:
        yield from _artifacts_in(getattr(record, name))


def _artifacts_in(value: object) -> Iterator[Artifact]:
    if isinstance(value, BaseModel):
        yield from artifacts_of(value)
    elif isinstance(value, tuple | list):
        for item in value:
            yield from _artifacts_in(item)
    elif isinstance(value, dict):
        for item in value.values():
            yield from _artifacts_in(item)
