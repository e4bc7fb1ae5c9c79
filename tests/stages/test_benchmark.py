"""The benchmark with real processes and real sessions: counts, turns, sleep, death, statistics."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hubkit.errors import HubkitError, ModelError, RecipeError
from hubkit.machine import machine_info
from hubkit.recipe import Benchmark
from hubkit.records import Variant
from hubkit.stage import Context
from hubkit.stages.benchmark import (
    BenchmarkInput,
    Child,
    benchmark,
    measurements,
    percentile,
    schedule,
    timing_point,
)
from hubkit.stages.benchmark_journal import read_journal
from hubkit.stages.benchmark_worker import Load, Measure, Ready, TokenIds, model_inputs
from hubkit.store import Store
from tests.stages.onnx_models import PAD, VOCABULARY, make_variant

TOKENS = TokenIds(vocab_size=VOCABULARY, pad_token_id=PAD, seed=13)
QUICK = Benchmark(
    batch_sizes=(1, 2),
    input_lengths=(4, 8),
    warmup=2,
    min_seconds=0.03,
    min_iterations=10,
    rounds=3,
    threads=1,
)


@pytest.fixture
def ctx(tmp_path: Path) -> Context:
    store = Store(tmp_path / "store")
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    return Context(store, scratch)


@pytest.fixture
def variants(ctx: Context) -> tuple[Variant, ...]:
    return tuple(make_variant(ctx.store, name, weight=w) for w, name in enumerate("abc", 1))


@pytest.fixture(scope="module")
def children(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Child]]:
    """Three processes that have loaded their models."""
    folder = tmp_path_factory.mktemp("children")
    store = Store(folder / "store")
    started = {name: Child(name, folder / name) for name in "abc"}
    try:
        for name, child in started.items():
            load(child, store, make_variant(store, name))
        assert all(isinstance(child.receive(), Ready) for child in started.values())
        yield started
    finally:
        for child in started.values():
            child.kill()


def load(child: Child, store: Store, variant: Variant) -> None:
    child.send(Load(variant=variant, folder=str(store.path(variant.artifact)), threads=1))


def child_processes() -> set[int]:
    return {process.pid for process in psutil.Process().children()}


def call(**changes: float) -> Measure:
    base = {"batch_size": 1, "input_length": 8, "warmup": 1, "min_iterations": 1, "min_seconds": 0}
    return Measure.model_validate({"tokens": TOKENS, **base, **changes})


def test_every_variant_at_every_point(ctx: Context, variants: tuple[Variant, ...]) -> None:
    before = child_processes()
    seen: list[tuple[str, int, int]] = []
    heard = Context(ctx.store, ctx.scratch, lambda *event: seen.append(event))
    machine = machine_info()
    given = BenchmarkInput(variants=variants, plan=QUICK, machine=machine, max_positions=64)
    timings = benchmark(given, heard)

    assert timings.machine == machine
    assert [timing.variant for timing in timings.timings] == ["a", "b", "c"]
    for timing in timings.timings:
        shapes = [(point.batch_size, point.input_length) for point in timing.points]
        assert shapes == [(1, 4), (1, 8), (2, 4), (2, 8)]
        assert timing.threads == 1
        assert timing.peak_rss_mb is None or 10 < timing.peak_rss_mb < 1000
        for point in timing.points:
            assert point.iterations >= QUICK.min_iterations
            assert point.seconds >= QUICK.min_seconds
            assert len(point.round_means_ms) == QUICK.rounds
            assert 0 < point.p50_ms <= point.p90_ms <= point.p99_ms
            assert point.throughput_per_s == pytest.approx(
                point.iterations * point.batch_size / point.seconds
            )
    measuring = [(done, total) for what, done, total in seen if what == "measuring"]
    assert measuring == [(done, 36) for done in range(37)]  # 3 rounds × 4 points × 3 variants
    assert [done for what, done, _ in seen if what == "loading"] == [0, 1, 2, 3]
    assert child_processes() == before


def test_variants_take_turns_and_only_one_runs(children: dict[str, Child]) -> None:
    plan = QUICK.model_copy(update={"min_seconds": 0.15})
    steps = schedule(tuple(children), plan, seed=1)
    cpu = time.process_time()
    taken = list(measurements(children, steps, plan, TOKENS))
    cpu = time.process_time() - cpu

    assert [step for step, _ in taken] == list(steps)
    for (_, before), (_, after) in itertools.pairwise(taken):
        assert before.started_ns < before.ended_ns < after.started_ns
    measured = sum(sum(one.latencies_ns) for _, one in taken) / 1e9
    assert measured > 1.79  # 12 visits × 3 variants × 0.05 s
    assert cpu < measured / 4  # reading answers, but never polling for them


def test_the_others_sleep_while_one_is_measured(children: dict[str, Child]) -> None:
    def spent(name: str) -> float:
        times = psutil.Process(children[name].pid).cpu_times()
        return float(times.user + times.system)

    before = {name: spent(name) for name in children}
    children["a"].send(call(min_seconds=0.7))
    children["a"].receive()
    assert spent("a") - before["a"] > 0.1
    assert spent("b") - before["b"] < 0.05
    assert spent("c") - before["c"] < 0.05


def test_both_least_counts_hold(children: dict[str, Child]) -> None:
    plan = QUICK.model_copy(update={"min_seconds": 1e-9, "min_iterations": 100})
    steps = [step for step in schedule(("a",), plan, seed=1) if step.round == 0][:1]
    ((_, many),) = measurements(children, steps, plan, TOKENS)
    assert len(many.latencies_ns) == 34  # a third of 100, rounded up
    plan = QUICK.model_copy(update={"min_seconds": 0.3, "min_iterations": 1})
    ((_, long),) = measurements(children, steps, plan, TOKENS)
    assert sum(long.latencies_ns) >= 1e8
    assert len(long.latencies_ns) > 1


def test_peak_memory_is_the_childs_own(ctx: Context) -> None:
    ballast = bytearray(400_000_000)
    ballast[::4096] = b"x" * len(ballast[::4096])  # touched, so that it is resident
    variant = make_variant(ctx.store, "a")
    child = Child("a", ctx.scratch / "a")
    try:
        load(child, ctx.store, variant)
        child.receive()
        child.send(call())
        answer = child.receive()
    finally:
        child.kill()
    assert answer.kind == "measured"
    assert answer.peak_rss_mb is None or answer.peak_rss_mb < 400


def test_a_model_that_cannot_be_loaded_is_named(ctx: Context) -> None:
    before = child_processes()
    both = (make_variant(ctx.store, "good"), make_variant(ctx.store, "bad", garbage=True))
    given = BenchmarkInput(variants=both, plan=QUICK, machine=machine_info(), max_positions=64)
    with pytest.raises(ModelError, match=r"^bad: model\.onnx cannot be loaded"):
        benchmark(given, ctx)
    assert child_processes() == before


def test_a_process_that_is_killed_is_named(ctx: Context) -> None:
    child = Child("b", ctx.scratch / "b")
    os.kill(child.pid, signal.SIGKILL)
    taken = measurements({"b": child}, schedule(("b",), QUICK, seed=1), QUICK, TOKENS)
    try:
        with pytest.raises(HubkitError, match="b: the benchmark process was killed by SIG") as e:
            next(taken)
    finally:
        child.kill()
    assert "memory ran out" in e.value.message
    assert "batch_sizes" in e.value.hint


def test_a_crash_shows_the_end_of_what_the_process_said(
    ctx: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONFAULTHANDLER", "1")
    child = Child("a", ctx.scratch / "a")
    child.send(call())  # before a model is loaded: a fault, not a death
    with pytest.raises(HubkitError, match=r"^a: .*measure before load"):
        child.receive()
    os.kill(child.pid, signal.SIGABRT)
    try:
        with pytest.raises(HubkitError, match=r"(?s)a: .*SIGABRT.*Fatal Python error"):
            child.receive()
    finally:
        child.kill()


def test_an_interrupt_ends_all_processes(ctx: Context, variants: tuple[Variant, ...]) -> None:
    before = child_processes()

    def interrupt(what: str, done: int, total: int) -> None:
        if what == "measuring" and done == 2:
            raise KeyboardInterrupt

    given = BenchmarkInput(variants=variants, plan=QUICK, machine=machine_info(), max_positions=64)
    with pytest.raises(KeyboardInterrupt):
        benchmark(given, Context(ctx.store, ctx.scratch, interrupt))
    assert child_processes() == before


def test_a_hot_process_does_not_outlive_a_killed_parent(ctx: Context) -> None:
    variant = make_variant(ctx.store, "a")
    first = Load(variant=variant, folder=str(ctx.store.path(variant.artifact)), threads=1)
    code = (
        "import sys, time; from pathlib import Path; sys.path.append(sys.argv[1]);"
        "from hubkit.stages.benchmark import Child; from hubkit.stages.benchmark_worker import *;"
        "child = Child('a', Path(sys.argv[2]));"
        "child.send(Load.model_validate_json(sys.argv[3])); child.receive();"
        "child.send(Measure.model_validate_json(sys.argv[4]));"
        "print(child.pid, flush=True); time.sleep(60)"
    )
    root, folder = Path(__file__).parents[2], ctx.scratch / "a"
    calls = (first.model_dump_json(), call(min_seconds=60).model_dump_json())
    with subprocess.Popen(
        [sys.executable, "-c", code, str(root), str(folder), *calls],
        stdout=subprocess.PIPE,
        text=True,
    ) as parent:
        assert parent.stdout is not None
        child = psutil.Process(int(parent.stdout.readline()))
        parent.kill()
    # Its end is an orphan's: whoever adopts it may be slow to reap it.
    _, alive = psutil.wait_procs([child], timeout=5)
    assert all(process.status() == psutil.STATUS_ZOMBIE for process in alive)


def test_inputs_longer_than_the_model_takes(ctx: Context, variants: tuple[Variant, ...]) -> None:
    plan = QUICK.model_copy(update={"input_lengths": (8, 65)})
    given = BenchmarkInput(variants=variants, plan=plan, machine=machine_info(), max_positions=64)
    with pytest.raises(RecipeError, match="65 is longer than the 64 positions") as caught:
        benchmark(given, ctx)
    assert "64" in caught.value.hint
    assert not any(ctx.scratch.iterdir())  # no process was started


def test_two_variants_of_one_name(ctx: Context, variants: tuple[Variant, ...]) -> None:
    given = BenchmarkInput(
        variants=variants[:1] * 2, plan=QUICK, machine=machine_info(), max_positions=64
    )
    with pytest.raises(RecipeError, match="two variants have the name a"):
        benchmark(given, ctx)


def test_inputs_are_random_tokens_without_padding() -> None:
    names = ("input_ids", "attention_mask", "token_type_ids")
    arrays = model_inputs(names, call(batch_size=32, input_length=64))
    ids = arrays["input_ids"]
    assert all(array.shape == (32, 64) and array.dtype == np.int64 for array in arrays.values())
    assert set(ids.ravel().tolist()) == set(range(VOCABULARY)) - {PAD}
    assert (arrays["attention_mask"] == 1).all()
    assert (arrays["token_type_ids"] == 0).all()
    assert (model_inputs(names, call(batch_size=32, input_length=64))["input_ids"] == ids).all()
    with pytest.raises(ModelError, match="pixel_values"):
        model_inputs(("pixel_values",), call())


def test_statistics_of_known_latencies() -> None:
    point = timing_point(4, 16, [[3_000_000, 1_000_000], [2_000_000, 4_000_000, 5_000_000]])
    assert point.iterations == 5
    assert point.seconds == 0.015
    assert point.mean_ms == pytest.approx(3.0)
    assert point.p50_ms == 3.0
    assert point.p90_ms == pytest.approx(4.6)
    assert point.p99_ms == pytest.approx(4.96)
    assert point.throughput_per_s == pytest.approx(5 * 4 / 0.015)
    assert point.round_means_ms == pytest.approx((2.0, 11 / 3))
    assert point.round_least_ms == (1.0, 2.0)


@given(st.lists(st.integers(0, 10**12), min_size=1), st.floats(0, 100))
def test_percentiles_are_numpys(values: list[int], percent: float) -> None:
    expected = float(np.percentile(np.array(values, np.float64), percent))
    assert percentile(sorted(values), percent) == pytest.approx(expected, rel=1e-9, abs=1e-3)


@settings(deadline=None)
@given(st.integers(1, 5), st.integers(1, 4), st.integers(0, 99))
def test_a_schedule_visits_each_variant_once_a_point_and_round(
    count: int, rounds: int, seed: int
) -> None:
    names = [f"v{i}" for i in range(count)]
    plan = QUICK.model_copy(update={"rounds": rounds})
    steps = schedule(names, plan, seed)
    assert schedule(names, plan, seed) == steps
    assert set(Counter(steps).values()) == {1}
    assert len(steps) == count * rounds * 4
    for at in range(0, len(steps), count):  # the variants stand together at each point
        here = steps[at : at + count]
        assert {step.variant for step in here} == set(names)
        assert len({(step.round, step.batch_size, step.input_length) for step in here}) == 1


def test_a_schedule_does_not_keep_one_order() -> None:
    steps = schedule(("a", "b", "c"), QUICK, seed=13)
    orders = {tuple(s.variant for s in steps[at : at + 3]) for at in range(0, len(steps), 3)}
    assert len(orders) > 3


class _Stopped(Exception):
    """The test's own kill."""


def test_a_killed_benchmark_goes_on_where_it_was(
    ctx: Context, variants: tuple[Variant, ...], tmp_path: Path
) -> None:
    journal = tmp_path / "journal.jsonl"
    visits = 3 * 4 * 3  # rounds, points, variants
    told: list[tuple[str, int]] = []

    def stop(what: str, done: int, total: int) -> None:
        if (what, done) == ("measuring", 7):
            raise _Stopped

    def listen(what: str, done: int, total: int) -> None:
        told.append((what, done))

    def given() -> BenchmarkInput:
        return BenchmarkInput(
            variants=variants, plan=QUICK, machine=machine_info(), max_positions=64
        )

    with pytest.raises(_Stopped):
        benchmark(given(), Context(ctx.store, ctx.scratch, stop, journal=journal))
    assert len(read_journal(journal)) == 7
    with journal.open("ab") as file:
        file.write(b'{"kind": "measured", "laten')  # cut in the middle of a line
    before = [m.latencies_ns for m in read_journal(journal)]
    (tmp_path / "again").mkdir()
    second = Context(ctx.store, tmp_path / "again", listen, journal=journal)
    timings = benchmark(given(), second).timings
    assert next(done for what, done in told if what == "measuring") == 7
    whole = read_journal(journal)
    assert len(whole) == visits
    assert [m.latencies_ns for m in whole[:7]] == before
    for timing in timings:
        assert all(len(p.round_means_ms) == 3 for p in timing.points)
    # With nothing left to measure no process is started.
    assert (
        benchmark(given(), Context(ctx.store, tmp_path / "none", journal=journal)).timings
        == timings
    )
