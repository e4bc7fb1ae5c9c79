"""The search for how an engine is best served: instances, threads, batching."""

from __future__ import annotations

import time
from collections.abc import Sequence

from hubkit.formats_records import (
    Engine,
    Level,
    SearchPoint,
    SearchResult,
    ServingConfig,
    ServingPlan,
)
from hubkit.machine import default_threads
from hubkit.records import Encoded, MachineInfo, Record, Variant
from hubkit.stage import Context, stage
from hubkit.stages.serving_child import ServingChild
from hubkit.stages.serving_recommendation import recommendations
from hubkit.stages.serving_worker import Load

# Enough clients that no instance waits for work, as the reference has it.
CLIENTS = 32
BUDGET_S = 45.0
_COARSE_BATCHES = (1, 8)
_FINE_BATCHES = (2, 4, 16, 32)
_DELAYS_US = (500, 2000)
_WINDOWS = 5


class SearchServingInput(Record):
    """What is searched. `p99_bound_ms`: what throughput may cost in latency; None: anything.
    `target`: how the model is named in `hubkit serve`."""

    engine: Engine
    variant: Variant
    encoded: Encoded
    plan: ServingPlan
    machine: MachineInfo
    p99_bound_ms: float | None = None
    target: str = "RECIPE"
    budget_s: float = BUDGET_S


@stage("search-serving", version=1, kind="measured", takes=SearchServingInput, gives=SearchResult)
def search_serving(given: SearchServingInput, ctx: Context) -> SearchResult:
    """Every setting that was measured, and the best of them for throughput and for latency.

    Coarse: each way of sharing the cores out among instances, with and without batches, at CLIENTS
    clients, and at one client for latency. Then, with the best of them, other batch sizes and
    delays, as long as `budget_s` lasts. Where p99 is bounded, fewer clients are tried with the best
    settings until they keep it. Raises as serve-load does.
    """
    search = _Search(given, ctx)
    try:
        search.coarse()
        search.fine()
        search.bounded()
    finally:
        search.child.kill()
    points = tuple(search.points)
    return SearchResult(
        engine=given.engine.name,
        points=points,
        recommendations=recommendations(
            given.engine,
            given.variant,
            points,
            clients=CLIENTS,
            p99_bound_ms=given.p99_bound_ms,
            target=given.target,
        ),
    )


class _Search:
    """The points so far, and the process that measures them."""

    def __init__(self, given: SearchServingInput, ctx: Context) -> None:
        self._given, self._ctx = given, ctx
        self._plan = given.plan.model_copy(
            update={"max_windows": min(_WINDOWS, given.plan.max_windows)}
        )
        self._loaded: ServingConfig | None = None
        self._until = time.monotonic() + given.budget_s
        self._cores = default_threads(given.machine) if given.engine.device == "cpu" else 1
        self.points: list[SearchPoint] = []
        self.child = ServingChild(given.engine.name, ctx.scratch / "search")

    def coarse(self) -> None:
        """Each way of sharing out the cores."""
        for instances, threads in splits(self._cores):
            if self.points and not self._time_left():
                return
            for batch in _COARSE_BATCHES:
                config = ServingConfig(instances=instances, threads=threads, max_batch=batch)
                self._measure(config, CLIENTS)
                if batch == 1:
                    self._measure(config, 1)

    def fine(self) -> None:
        """Other batch sizes with the best split, then delays with the best batch."""
        for batch in _FINE_BATCHES:
            self._try(self._best().config.model_copy(update={"max_batch": batch}))
        if self._best().config.max_batch > 1:
            for delay in _DELAYS_US:
                self._try(self._best().config.model_copy(update={"max_delay_us": delay}))

    def bounded(self) -> None:
        """Fewer clients with the best settings, until p99 is within its bound."""
        bound = self._given.p99_bound_ms
        if bound is None:
            return
        ranked = sorted(self._at(CLIENTS), key=lambda point: -point.throughput_per_s)
        for point in ranked[:2]:
            clients, last = CLIENTS, point
            while last.p99_ms > bound and clients > 1 and self._time_left():
                clients //= 2
                last = self._measure(point.config, clients)

    def _try(self, config: ServingConfig) -> None:
        tried = any(point.config == config for point in self._at(CLIENTS))
        if not tried and self._time_left():
            self._measure(config, CLIENTS)

    def _measure(self, config: ServingConfig, clients: int) -> SearchPoint:
        given = self._given
        self._ctx.progress("searching", len(self.points), len(self.points) + 1)
        if config != self._loaded:
            self.child.load(
                Load(
                    engine=given.engine,
                    variant=given.variant,
                    folder=str(self._ctx.store.path(given.variant.artifact)),
                    sentences=str(self._ctx.store.path(given.encoded.artifact) / "encoded.npz"),
                    pad_id=given.encoded.pad_id,
                    plan=self._plan,
                    config=config,
                )
            )
            self._loaded = config
        point = _point(config, clients, self.child.level(concurrency=clients))
        self.points.append(point)
        return point

    def _best(self) -> SearchPoint:
        return max(self._at(CLIENTS), key=lambda point: point.throughput_per_s)

    def _at(self, clients: int) -> list[SearchPoint]:
        return [point for point in self.points if point.concurrency == clients]

    def _time_left(self) -> bool:
        return time.monotonic() < self._until


def _point(config: ServingConfig, clients: int, level: Level) -> SearchPoint:
    return SearchPoint(
        config=config,
        concurrency=clients,
        throughput_per_s=level.throughput_per_s,
        mean_ms=level.mean_ms,
        p99_ms=level.p99_ms,
        stable=level.stable,
    )


def splits(cores: int) -> Sequence[tuple[int, int]]:
    """Ways of sharing cores out: (instances, threads of each), from one instance with all of them
    to one for each core, by doubling."""
    found = []
    instances = 1
    while instances < cores:
        found.append((instances, cores // instances))
        instances *= 2
    return [*found, (cores, 1)] if cores > 1 else [(1, 1), (2, 1)]
