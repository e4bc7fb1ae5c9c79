"""What a tuning run measures beyond scores: times beside FP32, and what each group costs."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from hubkit.machine import machine_info
from hubkit.recipe import Benchmark, OnnxDynamic, OnnxStatic
from hubkit.records import Failed, Scores, Timings, Variant
from hubkit.stages.benchmark import BenchmarkInput, benchmark
from hubkit.stages.select import is_slower
from hubkit.tune_candidates import named
from hubkit.tune_groups import groups_of, read_weights, without
from hubkit.tune_ranking import History, relative_time
from hubkit.tune_records import Group, GroupCost, PointTime, Sensitivity, Trial
from hubkit.tuning_trials import Bench, make, score

_TIMED_TOGETHER = 8  # each has a process of its own
# Many short rounds: chance is known from how they differ, and few of them are all disturbed.
_MIN_SECONDS, _MIN_ITERATIONS, _ROUNDS, _WARMUP = 0.8, 21, 7, 3


@dataclass(frozen=True)
class Clocked:
    """Trials with their times, and the mean latency of FP32 beside them."""

    trials: tuple[Trial, ...]
    baseline_ms: float


def clock(bench: Bench, history: History, names: Sequence[str]) -> Clocked:
    """The trials, those named with their times beside FP32. Runs alone on the machine. One that
    cannot be timed is failed and meets nothing. Raises HubkitError where FP32 cannot be timed."""
    updates: dict[str, dict[str, object]] = {}
    baseline, baseline_ms = bench.baseline.name, 0.0
    for start in range(0, len(names), _TIMED_TOGETHER):
        chosen = names[start : start + _TIMED_TOGETHER]
        variants = [t.variant for t in history.trials if t.name in chosen and t.variant]
        for name, timings in _time_all(bench, variants).items():
            if isinstance(timings, Failed):
                none: dict[str, object] = {"verdict": None, "relative_ms": (), "points": ()}
                updates[name] = {**none, "failed": timings}
                continue
            baseline_ms = _mean_ms(timings, baseline)
            if name != baseline:
                updates[name] = {
                    "relative_ms": relative_rounds(timings, name, baseline),
                    "points": relative_points(timings, name, baseline),
                }
    trials = tuple(t.model_copy(update=updates.get(t.name, {})) for t in history.trials)
    return Clocked(trials, baseline_ms)


def _time_all(bench: Bench, variants: Sequence[Variant]) -> dict[str, Timings | Failed]:
    """The timings that each model is in. All are loaded at once, which may be too much for the
    memory: then each is timed alone beside FP32, and FP32 by itself."""
    together = _time(bench, variants)
    if isinstance(together, Timings):
        return {v.name: together for v in (bench.baseline, *variants)}
    name = bench.baseline.name
    alone = bench.run.run(benchmark, _timed(bench, ()), subject=name)  # raises: nothing can be told
    if len(variants) == 1:
        return {name: alone, variants[0].name: together}
    return {name: alone, **{v.name: _time(bench, (v,)) for v in variants}}


def _time(bench: Bench, variants: Sequence[Variant]) -> Timings | Failed:
    run, given = bench.run, _timed(bench, variants)
    if not run.is_kept(benchmark, given):
        run.close()  # the workers' memory and threads would disturb what is timed
    return run.settle(benchmark, [(given, f"{len(variants)} trials", "")])[0]


def _timed(bench: Bench, variants: Sequence[Variant]) -> BenchmarkInput:
    return BenchmarkInput(
        variants=(bench.baseline, *variants),
        plan=trial_plan(bench.recipe.benchmark),
        machine=machine_info(),
        max_positions=bench.material.base.max_positions,
    )


def trial_plan(plan: Benchmark) -> Benchmark:
    """The corners of the recipe's grid, for a short time each."""
    sizes, lengths = plan.batch_sizes, plan.input_lengths
    short = {
        "batch_sizes": tuple(dict.fromkeys((min(sizes), max(sizes)))),
        "input_lengths": tuple(dict.fromkeys((min(lengths), max(lengths)))),
        "warmup": min(plan.warmup, _WARMUP),
        "min_seconds": min(plan.min_seconds, _MIN_SECONDS),
        "min_iterations": min(plan.min_iterations, _MIN_ITERATIONS),
        "rounds": max(plan.rounds, _ROUNDS),
    }
    return plan.model_copy(update=short)


def relative_rounds(timings: Timings, name: str, baseline: str) -> tuple[float, ...]:
    """Of each round, the variant's least latency over that of FP32, geometric mean over the grid.

    The least, not the mean: which model is faster is asked, on a machine that others may use too.
    """
    points = {timing.variant: timing.points for timing in timings.timings}
    ratios = [
        [a / b for a, b in zip(one.round_least_ms, other.round_least_ms, strict=True)]
        for one, other in zip(points[name], points[baseline], strict=True)
    ]
    return tuple(statistics.geometric_mean(of_round) for of_round in zip(*ratios, strict=True))


def relative_points(timings: Timings, name: str, baseline: str) -> tuple[PointTime, ...]:
    """The same as `relative_rounds`, at each point of the grid, and where it shows to be slower."""
    points = {timing.variant: timing.points for timing in timings.timings}
    found = []
    for one, other in zip(points[name], points[baseline], strict=True):
        mine, fp32 = one.round_least_ms, other.round_least_ms
        found.append(
            PointTime(
                batch_size=one.batch_size,
                input_length=one.input_length,
                relative_ms=tuple(a / b for a, b in zip(mine, fp32, strict=True)),
                slower=is_slower(mine, fp32),
            )
        )
    return tuple(found)


def _mean_ms(timings: Timings, name: str) -> float:
    points = next(timing.points for timing in timings.timings if timing.variant == name)
    return statistics.geometric_mean(point.mean_ms for point in points)


def sense(
    bench: Bench,
    trial: Trial,
    baseline_ms: float,
    late: Callable[[], bool] = lambda: False,
    at_once: int | None = None,
) -> Sensitivity | None:
    """What each group costs and wins under the trial's settings: models in which it alone is
    INT8, so many `at_once`. None where it became too `late` for all of them."""
    spec = trial.spec
    assert isinstance(spec, OnnxDynamic | OnnxStatic)
    source = bench.graphs.of(spec)
    assert isinstance(source, Variant)
    path = bench.run.store.path(source.artifact) / source.model_file
    groups = groups_of(read_weights(path), spec)
    alone = [named(without(spec, (g for g in groups if g is not one))) for one in groups]
    scores: dict[str, Scores | Failed] = {}
    size = at_once or max(1, len(alone))
    for start in range(0, len(alone), size):
        if late():
            return None
        made = make(bench, alone[start : start + size])
        able = [one for one in made if isinstance(one, Variant)]
        scores |= score(bench, bench.sense, able, bench.recipe.evaluation.confidence)
    won_us = 1e3 * baseline_ms * max(0.0, 1 - (relative_time(trial) or 1.0))
    total = max(1, sum(group.multiplications for group in groups))
    return Sensitivity(
        of=trial.name,
        rows=bench.sense.encoded.rows,
        costs=tuple(
            _cost(group, scores.get(one.name), won_us * group.multiplications / total)
            for group, one in zip(groups, alone, strict=True)
        ),
    )


def _cost(group: Group, found: Scores | Failed | None, gain_us: float) -> GroupCost:
    paired = found.paired if isinstance(found, Scores) else None
    return GroupCost(
        group=group,
        damage=paired.mean_abs_logit_diff if paired else None,
        flips=paired.flips if paired else None,
        gain_us=gain_us,
        gain_bytes=group.weights_bytes * 3 // 4,
    )
