"""What is done with a search: its clock, and the rows that it has not seen. What is tried is
synthetic, and so are the stages that would make, score and time it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from types import SimpleNamespace

import pytest

from hubkit import tuning, tuning_trials
from hubkit.errors import HubkitError, ModelError, StoreError, WorkerError
from hubkit.recipe import Recipe
from hubkit.records import Failed, Scores, Variant
from hubkit.runner import Fault
from hubkit.sweeps.tune_report import judged
from hubkit.tune_ranking import History, Problem, ranking
from hubkit.tune_records import Sensitivity, Trial
from hubkit.tune_steps import Clock, Proposal, Try
from hubkit.tuning_measures import Clocked
from tests.e2e_small.worlds import tiny_recipe
from tests.tuning.synthetic import World, baseline, problem, scores
from tests.tuning.test_strategy import BAD, all_dynamic


class Stages:
    """What stands for the stages: each model takes a second. `failing`: how many confirmations do
    not hold."""

    def __init__(self, wanted: Problem, world: World, failing: int = 0) -> None:
        self.wanted, self.world, self.failing = wanted, world, failing
        self.seconds = 0.0
        self.confirmed: list[tuple[str, float]] = []

    def attempt(self, _: object, history: History, chosen: Sequence[Proposal]) -> tuple[Trial, ...]:
        self.seconds += len(chosen)
        done = self.world.carry_out(self.wanted, history, Try(tuple(chosen)))
        return done.trials[len(history.trials) :]

    def clock(self, _: object, history: History, names: Sequence[str]) -> Clocked:
        return Clocked(self.world.carry_out(self.wanted, history, Clock(tuple(names))).trials, 9.0)

    def sense(
        self, _: object, trial: Trial, ms: float, late: Callable[[], bool], at_once: int | None
    ) -> Sensitivity | None:
        for _group in range(6):
            if late():
                return None
            self.seconds += 1
        return self.world.sensed(trial)

    def score(
        self, _: object, rows: str, variants: Sequence[Variant], confidence: float
    ) -> dict[str, Scores]:
        (variant,) = variants
        loss = 0.05 if len(self.confirmed) < self.failing else 0.0
        self.confirmed.append((variant.name, confidence))
        return {variant.name: scores(variant.name, loss, 0.01), "onnx-fp32": baseline()}

    def make_part(self, *_: object) -> str:
        return "confirm"

    def run(self, patch: pytest.MonkeyPatch) -> tuning.Found:
        for name in ("attempt", "clock", "sense", "score", "make_part"):
            patch.setattr(tuning, name, getattr(self, name))
        bench = SimpleNamespace(
            run=None,
            material=None,
            recipe=Recipe.model_validate(tiny_recipe()),
            tune=self.wanted.tune,
            baseline=SimpleNamespace(name="onnx-fp32"),
        )
        timeout = self.wanted.tune.exit_policy.timeout
        deadline = tuning.Deadline(0.0, timeout, lambda: self.seconds)
        return tuning.search_and_confirm(bench, self.wanted, deadline)  # type: ignore[arg-type]


def test_what_holds_on_the_rest_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    stages = Stages(problem(), all_dynamic(BAD))
    found = stages.run(monkeypatch)
    assert found.met
    assert [name for name, _ in stages.confirmed] == [found.best]
    assert stages.confirmed[0][1] == pytest.approx(0.975)


def test_the_next_one_is_confirmed_more_strictly(monkeypatch: pytest.MonkeyPatch) -> None:
    stages = Stages(problem(), all_dynamic(BAD), failing=2)
    found = stages.run(monkeypatch)
    assert found.met
    names, confidences = zip(*stages.confirmed, strict=True)
    assert found.best == names[2]
    assert len(set(names)) == 3
    assert confidences == pytest.approx((0.975, 0.9875, 0.99375))


def test_the_first_that_meets_it_has_to_hold_on_the_rest_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With timeout 0 one trial is looked for; where it does not hold, the search goes on."""
    stages = Stages(problem(timeout=0), all_dynamic((0.0001,) * 6), failing=1)
    found = stages.run(monkeypatch)
    assert found.met
    assert [trial.number for trial in found.history.trials] == [1, 2]
    assert [name for name, _ in stages.confirmed] == [t.name for t in found.history.trials]


def test_three_that_do_not_hold_are_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    stages = Stages(problem(), all_dynamic(BAD), failing=9)
    found = stages.run(monkeypatch)
    assert not found.met
    assert len(stages.confirmed) == 3
    assert found.best in dict(stages.confirmed)


@pytest.mark.parametrize("seconds", range(1, 30))
def test_the_best_so_far_is_kept_whenever_the_time_is_up(
    monkeypatch: pytest.MonkeyPatch, seconds: int
) -> None:
    """It is found out within two models; what met the criterion by then is confirmed."""
    wanted = problem(timeout=seconds)
    stages = Stages(wanted, all_dynamic(BAD))
    found = stages.run(monkeypatch)
    assert stages.seconds <= max(seconds, 1) + 2
    assert found.best is not None
    if found.stopped is None:
        assert found.met
    else:
        assert found.stopped == f"the time was up: {seconds} s"
    whole = Stages(problem(), all_dynamic(BAD)).run(monkeypatch).history.trials
    names = [trial.name for trial in found.history.trials]
    assert names == [trial.name for trial in whole][: len(names)]


@pytest.mark.parametrize(
    ("error", "raised"),
    [(HubkitError("KeyError"), False), (WorkerError("died"), False), (StoreError("full"), True)],
)
def test_a_loop_that_breaks_proposes_nothing(
    monkeypatch: pytest.MonkeyPatch, error: HubkitError, raised: bool
) -> None:
    """Whatever Neural Compressor does: what was tried before stands; a full disk is no fault of
    its own."""
    bench = SimpleNamespace(run=SimpleNamespace(map=lambda *_: [Fault(error)]))
    monkeypatch.setattr(tuning, "_proposal_input", lambda _: None)
    if raised:
        with pytest.raises(StoreError):
            tuning._proposals(bench)  # type: ignore[arg-type]
    else:
        assert tuning._proposals(bench) == ()  # type: ignore[arg-type]


def test_activations_that_cannot_be_watched_fail_static_trials_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(*_: object) -> None:
        raise ModelError("all values of a tensor are NaN")

    monkeypatch.setattr(tuning_trials, "learn", broken)
    learnt, why = tuning_trials._learn(*[None] * 4)  # type: ignore[arg-type]
    assert (learnt, why) == ({}, "all values of a tensor are NaN")
    monkeypatch.setattr(tuning_trials, "source_of", lambda *_: "the graph")
    monkeypatch.setattr(tuning_trials, "quantize_input", lambda *_: "a call")
    bench = SimpleNamespace(
        material=SimpleNamespace(base=None),
        recipe=SimpleNamespace(dataset=None),
        graphs=None,
        tune=problem().tune,
        learnt=learnt,
        split="train",
        unwatched=why,
    )
    specs = problem().candidates
    found = [tuning_trials._call(bench, spec) for spec in specs]  # type: ignore[arg-type]
    failed = [s.kind for s, one in zip(specs, found, strict=True) if isinstance(one, Failed)]
    assert set(failed) == {"onnx-static"}
    assert {one.reason for one in found if isinstance(one, Failed)} == {why}


def test_the_last_confirmation_is_of_the_safest(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fast ones that only just met the criterion fail together; the one that is sure to hold is
    far behind in speed."""
    world = all_dynamic((0.0014,) * 6)  # 0.0084 of 0.009: met, undecided
    safe = "static-percentile"
    world = replace(
        world, losses={**world.losses, safe: (0.0,) * 6}, speeds={**world.speeds, safe: 0.9}
    )
    stages = Stages(problem(), world, failing=2)
    found = stages.run(monkeypatch)
    assert found.met
    ranked = ranking(problem(), replace(found.history, refuted=frozenset()))
    names = [name for name, _ in stages.confirmed]
    assert names[:2] == [trial.name for trial in ranked[:2]]
    taken = found.history.find(names[2])
    assert taken is not None
    assert taken.verdict is not None
    assert taken.verdict.state == "holds"
    highs = [t.verdict.interval.high for t in ranked[2:] if t.verdict]
    assert taken.verdict.interval.high == min(highs)
    assert taken.name != ranked[2].name


def test_rows_of_which_fp32_gets_none_right_confirm_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stages = Stages(problem(), all_dynamic(BAD))
    metric = baseline().metrics[0].model_copy(update={"value": 0.0})
    nothing = baseline().model_copy(update={"metrics": (metric,)})
    monkeypatch.setattr(
        Stages,
        "score",
        lambda self, _, rows, variants, confidence: {
            variants[0].name: scores(variants[0].name, 0.0, 0.0),
            "onnx-fp32": nothing,
        },
    )
    found = stages.run(monkeypatch)
    assert not found.met
    (only,) = found.confirmations
    assert (only.verdict.state, only.verdict.passes) == ("undecided", False)
    assert "no accuracy to lose" in judged(only.verdict, "not searched on")
