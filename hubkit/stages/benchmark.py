"""Latency and throughput of every variant, each in its own process, one hot at a time."""

from __future__ import annotations

import json
import math
import random
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import Field

from hubkit.errors import HubkitError, ModelError, RecipeError
from hubkit.machine import default_threads
from hubkit.recipe import Benchmark
from hubkit.records import MachineInfo, Record, Timing, TimingPoint, Timings, Variant
from hubkit.stage import Context, stage
from hubkit.stages.benchmark_child import Child as Child
from hubkit.stages.benchmark_journal import appended, read_journal
from hubkit.stages.benchmark_worker import Load, Measure, Measured, TokenIds

# The threads of a runtime go on spinning for some milliseconds after their last call.
_SETTLE_SECONDS = 0.02


class BenchmarkInput(Record):
    """What is measured, how and where. `max_positions` is the base model's; the token ids are drawn
    with `seed`, the same for every variant."""

    variants: Annotated[tuple[Variant, ...], Field(min_length=1)]
    plan: Benchmark
    machine: MachineInfo
    max_positions: int
    seed: int = 13


@stage("benchmark", version=2, kind="measured", takes=BenchmarkInput, gives=Timings)
def benchmark(given: BenchmarkInput, ctx: Context) -> Timings:
    """Latencies of every variant at every batch size and input length of the plan.

    Inputs are random token ids at full length without padding. Each variant is loaded in a process
    of its own; then, in `rounds` rounds, the variants take turns at each point in an order that is
    shuffled anew, while all other processes sleep. Loading and warm-up are not timed. Every point
    gets at least `min_seconds` and at least `min_iterations` calls over all rounds. Each visit goes
    to the journal, and a call that finds one goes on after its last whole line. Raises HubkitError
    when a process fails or dies, RecipeError for inputs longer than the model takes.
    """
    _check(given)
    tokens = token_ids(ctx.store.path(given.variants[0].artifact), given.seed)
    threads = given.plan.threads or default_threads(given.machine)
    taken = Taken()
    steps = schedule(tuple(v.name for v in given.variants), given.plan, given.seed)
    before = read_journal(ctx.journal)[: len(steps)]
    for step, measured in zip(steps, before, strict=False):
        taken.add(step, measured)
    if len(before) < len(steps):
        for step, measured in _rest(given, ctx, steps, len(before), tokens, threads):
            taken.add(step, measured)
    timings = (taken.timing(variant.name, threads) for variant in given.variants)
    return Timings(machine=given.machine, timings=tuple(timings))


def _rest(
    given: BenchmarkInput,
    ctx: Context,
    steps: Sequence[Step],
    done: int,
    tokens: TokenIds,
    threads: int,
) -> Iterator[tuple[Step, Measured]]:
    """The visits after the first `done`, each in the journal before it is given."""
    with ExitStack() as stack:
        ctx.progress("loading", 0, len(given.variants))
        children: dict[str, Child] = {}
        for index, variant in enumerate(given.variants):  # they load side by side
            child = Child(variant.name, ctx.scratch / f"benchmark-{index}")
            children[variant.name] = child
            stack.callback(child.kill)
            folder = ctx.store.path(variant.artifact)
            child.send(Load(variant=variant, folder=str(folder), threads=threads))
        for loaded, child in enumerate(children.values(), 1):
            child.receive()
            ctx.progress("loading", loaded, len(children))
        write = stack.enter_context(appended(ctx.journal, done))
        ctx.progress("measuring", done, len(steps))
        for step, measured in measurements(children, steps[done:], given.plan, tokens):
            write(measured)
            yield step, measured
            done += 1
            ctx.progress("measuring", done, len(steps))


def _check(given: BenchmarkInput) -> None:
    names = [variant.name for variant in given.variants]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise RecipeError(
            f"two variants have the name {twice[0]}", hint="Give each variant a name of its own."
        )
    longest = max(given.plan.input_lengths)
    if longest > given.max_positions:
        raise RecipeError(
            f"benchmark.input_lengths: {longest} is longer than the {given.max_positions} positions"
            " that the model has",
            hint=f"Keep benchmark.input_lengths at or below {given.max_positions}.",
        )


def token_ids(folder: Path, seed: int) -> TokenIds:
    """What random inputs of a model folder are drawn from. Raises ModelError where its config.json
    does not tell the size of its vocabulary."""
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    size, pad = config.get("vocab_size"), config.get("pad_token_id")
    if not isinstance(size, int) or size < 2:
        raise ModelError("config.json of the model does not tell its vocab_size")
    inside = isinstance(pad, int) and 0 <= pad < size
    return TokenIds(vocab_size=size, pad_token_id=pad if inside else None, seed=seed)


@dataclass(frozen=True)
class Step:
    """One visit to one variant: calls of one shape in one round."""

    round: int
    batch_size: int
    input_length: int
    variant: str


def schedule(names: Sequence[str], plan: Benchmark, seed: int) -> tuple[Step, ...]:
    """Every visit in its order: rounds, in each the points, at each the variants, shuffled anew.

    Shuffled rather than rotated, so that no variant always follows the same other one.
    """
    shuffler = random.Random(seed)
    steps = []
    for number in range(plan.rounds):
        for batch_size in plan.batch_sizes:
            for length in plan.input_lengths:
                order = shuffler.sample(list(names), len(names))
                steps += [Step(number, batch_size, length, name) for name in order]
    return tuple(steps)


def measurements(
    children: dict[str, Child], steps: Sequence[Step], plan: Benchmark, tokens: TokenIds
) -> Iterator[tuple[Step, Measured]]:
    """What each step's process measured; this process sleeps meanwhile."""
    warm: set[tuple[str, int, int]] = set()
    for step in steps:
        time.sleep(_SETTLE_SECONDS)
        child = children[step.variant]
        shape = (step.variant, step.batch_size, step.input_length)
        call = Measure(
            tokens=tokens,
            batch_size=step.batch_size,
            input_length=step.input_length,
            # Later rounds find memory laid out and code loaded: one call wakes threads and caches.
            warmup=min(plan.warmup, 1) if shape in warm else plan.warmup,
            min_iterations=math.ceil(plan.min_iterations / plan.rounds),
            min_seconds=plan.min_seconds / plan.rounds,
        )
        warm.add(shape)
        child.send(call)
        answer = child.receive()
        if not isinstance(answer, Measured):
            raise HubkitError(f"the benchmark process of {step.variant} gave no measurement")
        yield step, answer


class Taken:
    """The visits of all rounds, by variant and point."""

    def __init__(self) -> None:
        self._rounds: dict[str, dict[tuple[int, int], list[Measured]]] = {}
        self._peaks: dict[str, float | None] = {}

    def add(self, step: Step, measured: Measured) -> None:
        points = self._rounds.setdefault(step.variant, defaultdict(list))
        points[step.batch_size, step.input_length].append(measured)
        self._peaks[step.variant] = measured.peak_rss_mb

    def timing(self, variant: str, threads: int) -> Timing:
        points = tuple(
            timing_point(batch_size, length, [one.latencies_ns for one in rounds], joules(rounds))
            for (batch_size, length), rounds in self._rounds[variant].items()
        )
        peak = self._peaks[variant]
        return Timing(variant=variant, points=points, threads=threads, peak_rss_mb=peak)


def joules(visits: Sequence[Measured]) -> float | None:
    """The energy of all visits to a point; None unless it is known of each."""
    known = [visit.energy_uj for visit in visits if visit.energy_uj is not None]
    return sum(known) / 1e6 if known and len(known) == len(visits) else None


def timing_point(
    batch_size: int,
    input_length: int,
    rounds: Sequence[Sequence[int]],
    energy_j: float | None = None,
) -> TimingPoint:
    """Statistics over the pooled latencies (nanoseconds) of all rounds."""
    pooled = sorted(latency for one in rounds for latency in one)
    seconds = sum(pooled) / 1e9
    return TimingPoint(
        batch_size=batch_size,
        input_length=input_length,
        iterations=len(pooled),
        seconds=seconds,
        mean_ms=seconds * 1e3 / len(pooled),
        p50_ms=percentile(pooled, 50) / 1e6,
        p90_ms=percentile(pooled, 90) / 1e6,
        p99_ms=percentile(pooled, 99) / 1e6,
        throughput_per_s=len(pooled) * batch_size / seconds,
        round_means_ms=tuple(sum(one) / len(one) / 1e6 for one in rounds),
        round_least_ms=tuple(min(one) / 1e6 for one in rounds),
        energy_j=energy_j,
    )


def percentile(ordered: Sequence[int], percent: float) -> float:
    """Percentile of ascending values, linear between neighbours (type 7 of Hyndman & Fan 1996)."""
    position = (len(ordered) - 1) * percent / 100
    below = math.floor(position)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (position - below)
