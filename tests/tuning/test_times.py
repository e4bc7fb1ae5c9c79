"""Times beside FP32: what cannot be timed, and what is slower at one point of the grid."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from hubkit import tuning_measures
from hubkit.errors import HubkitError
from hubkit.recipe import Recipe
from hubkit.records import Failed, MachineInfo, Timing, TimingPoint, Timings, Variant
from hubkit.stages.benchmark import BenchmarkInput
from hubkit.sweeps.tune_report import slower_text
from hubkit.tune_ranking import History, acceptable, pays
from hubkit.tune_records import Trial
from hubkit.tune_steps import Clock, Stop, Try
from hubkit.tune_strategy import next_step
from tests.cards.examples import make_report
from tests.e2e_small.worlds import tiny_recipe
from tests.tuning.synthetic import NO_ARTIFACT, World, problem
from tests.tuning.test_strategy import BAD, all_dynamic

FP32 = Variant(
    name="onnx-fp32",
    format="onnx",
    precision="fp32",
    artifact=NO_ARTIFACT,
    model_file="model.onnx",
    size_bytes=90_000_000,
)


class Benchmarks:
    """A machine on which some models die, and no more than `room` are loaded at once."""

    def __init__(self, dying: tuple[str, ...] = (), room: int = 99) -> None:
        self.dying, self.room = dying, room
        self.calls: list[tuple[str, ...]] = []

    def is_kept(self, *_: object) -> bool:
        return True

    def run(self, _: object, given: BenchmarkInput, *, subject: str) -> Timings:
        names = tuple(v.name for v in given.variants)
        self.calls.append(names)
        if len(names) > self.room or set(names) & set(self.dying):
            raise HubkitError("a process died")
        timings = tuple(
            Timing(
                variant=name, threads=1, points=(at(8, (8.0 if name == FP32.name else 4.0,) * 3),)
            )
            for name in names
        )
        return Timings(machine=machine(), timings=timings)

    def settle(
        self, stage: object, calls: list[tuple[BenchmarkInput, str, str]]
    ) -> list[Timings | Failed]:
        ((given, subject, _),) = calls
        try:
            return [self.run(stage, given, subject=subject)]
        except HubkitError as error:
            return [Failed(stage="benchmark", subject=subject, reason=error.message)]


def at(batch_size: int, rounds: tuple[float, ...]) -> TimingPoint:
    """A point of the grid, by its rounds."""
    return TimingPoint(
        batch_size=batch_size,
        input_length=128,
        iterations=3,
        seconds=0.1,
        mean_ms=rounds[0],
        p50_ms=rounds[0],
        p90_ms=rounds[0],
        p99_ms=rounds[0],
        throughput_per_s=1.0,
        round_means_ms=rounds,
        round_least_ms=rounds,
    )


def machine() -> MachineInfo:
    example = make_report().timings
    assert example is not None
    return example.machine


def tried(world: World) -> History:
    step = next_step(problem(), History())
    assert isinstance(step, Try)
    return world.carry_out(problem(), History(), step)


def clocked(stages: Benchmarks, history: History) -> tuple[Trial, ...]:
    bench = SimpleNamespace(
        run=stages,
        recipe=Recipe.model_validate(tiny_recipe()),
        material=SimpleNamespace(base=SimpleNamespace(max_positions=512)),
        baseline=FP32,
    )
    names = [t.name for t in history.trials if t.variant][:4]
    found = tuning_measures.clock(bench, history, names)  # type: ignore[arg-type]
    assert found.baseline_ms == pytest.approx(8.0)
    return tuple(t for t in found.trials if t.name in names)


def test_one_that_dies_is_failed_and_the_others_are_timed() -> None:
    history = tried(all_dynamic((0.0,) * 6))
    victim = history.trials[1].name
    trials = clocked(Benchmarks((victim,)), history)
    for trial in trials:
        if trial.name == victim:
            assert trial.failed is not None
            assert trial.failed.reason == "a process died"
            assert not history.meets(trial)
        else:
            assert trial.relative_ms == pytest.approx((0.5,) * 3)
            assert trial.points[0].relative_ms == pytest.approx((0.5,) * 3)
    after = History(trials=trials)
    step = next_step(problem(), after)
    assert not (isinstance(step, Clock) and victim in step.names)


def test_what_is_too_much_together_is_timed_one_by_one() -> None:
    small = Benchmarks(room=2)
    trials = clocked(small, tried(all_dynamic((0.0,) * 6)))
    assert all(trial.relative_ms and not trial.failed for trial in trials)
    assert [len(names) for names in small.calls] == [5, 1, 2, 2, 2, 2]


def test_without_fp32_nothing_can_be_told() -> None:
    with pytest.raises(HubkitError, match="a process died"):
        clocked(Benchmarks((FP32.name,)), tried(all_dynamic((0.0,) * 6)))


@pytest.mark.parametrize(
    ("rounds", "refused"),
    [((1.12, 1.14, 1.1), True), ((1.03, 1.03, 1.03), False), ((0.8, 1.7, 0.9), False)],
)
def test_what_is_shown_to_be_slower_at_one_point_is_refused(
    rounds: tuple[float, ...], refused: bool
) -> None:
    timings = Timings(
        machine=machine(),
        timings=(
            Timing(variant=FP32.name, threads=1, points=(at(1, (8.0,) * 3), at(8, (8.0,) * 3))),
            Timing(
                variant="x",
                threads=1,
                points=(at(1, (2.4,) * 3), at(8, tuple(8 * one for one in rounds))),
            ),
        ),
    )
    points = tuning_measures.relative_points(timings, "x", FP32.name)
    trial = tried(all_dynamic((0.0,) * 6)).trials[0]
    trial = trial.model_copy(update={"relative_ms": (0.58,) * 3, "points": points})
    assert pays(problem(), trial) != refused
    assert bool(acceptable(problem(), History(trials=(trial,)))) != refused
    assert trial.slower_at == (points[1:] if refused else ())
    said = "slower than FP32 at 8×128 (1.12 times its latency)" if refused else ""
    assert slower_text(trial) == said


def test_a_search_ends_where_nothing_can_be_timed() -> None:
    world, history = all_dynamic(BAD), History()
    for _ in range(50):
        step = next_step(problem(), history)
        if isinstance(step, Clock):
            broken = {t.name for t in history.trials if t.name in step.names}
            reason = Failed(stage="benchmark", subject="", reason="died")
            update = {"failed": reason, "verdict": None}
            trials = tuple(
                t.model_copy(update=update) if t.name in broken else t for t in history.trials
            )
            history = History(trials, history.sensitivities, final=history.final or step.final)
        elif isinstance(step, Stop):
            return
        else:
            history = world.carry_out(problem(), history, step)
    raise AssertionError("the search has no end")
