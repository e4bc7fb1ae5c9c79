"""From a recipe to the best model that keeps the accuracy: the search of `hubkit tune`.

What to do next is decided in tune_strategy.py, by pure functions of what is known; here it is done.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from hubkit.errors import RecipeError, StoreError
from hubkit.machine import Target, machine_info, target_named, this_target
from hubkit.preparing import NO_ORIGINS, Origins, calibrations, prepare
from hubkit.recipe import Recipe, VariantSpec
from hubkit.recipe_check import splits_overlap
from hubkit.recipe_file import LoadedRecipe
from hubkit.recipe_tune import Tune
from hubkit.records import Scores
from hubkit.runner import Fault, Runner
from hubkit.stages.propose import ProposeInput, propose
from hubkit.tune_candidates import candidates, may_be_half, named
from hubkit.tune_judge import confirmation_confidence, judge, settled_tune, value_to_lose
from hubkit.tune_ranking import History, Problem, nearest, ranking, safest
from hubkit.tune_records import Confirmation, Trial, TuneReport
from hubkit.tune_steps import Ask, Clock, Sense, Stop, Try
from hubkit.tune_strategy import next_step
from hubkit.tuning_measures import clock, sense
from hubkit.tuning_trials import Bench, attempt, make_bench, make_part, score

MOST_CONFIRMATIONS = 3
_IN_ONE_GO = 2  # trials between two looks at the clock
_SEED = 13

Clocking = Callable[[], float]


@dataclass(frozen=True)
class Found:
    """What a search came to. `best`: what is taken if the criterion is `met`, else what comes
    nearest; `stopped`: why it ended before its end; `baseline_ms`: the mean latency of FP32."""

    history: History = field(default_factory=History)
    confirmations: tuple[Confirmation, ...] = ()
    best: str | None = None
    stopped: str | None = None
    baseline_ms: float | None = None

    @property
    def met(self) -> bool:
        return bool(self.confirmations) and self.confirmations[-1].verdict.passes

    @property
    def blind(self) -> bool:
        """Whether the rows to confirm on can tell nothing: FP32 itself gets none of them right."""
        return bool(self.confirmations) and not self.confirmations[-1].verdict.baseline > 0


@dataclass(frozen=True)
class Deadline:
    """When the time is up; never where `seconds` is None or 0."""

    start: float
    seconds: float | None
    now: Clocking

    def passed(self) -> bool:
        return bool(self.seconds) and self.now() - self.start > (self.seconds or 0.0)


def tune_model(
    run: Runner,
    loaded: LoadedRecipe,
    tune: Tune,
    origins: Origins = NO_ORIGINS,
    now: Clocking = time.monotonic,
) -> TuneReport:
    """The search and its confirmation. Nothing is raised where no trial meets the criterion: the
    report says so.

    Raises RecipeError where there is nothing to try or FP32 has no accuracy to lose, HubkitError
    where it cannot be run.
    """
    recipe, tune = loaded.recipe, settled_tune(loaded.recipe, tune)
    deadline = Deadline(now(), tune.exit_policy.timeout, now)
    notes = list(_notes(recipe, tune))
    specs = _candidates(recipe, tune)
    wanted = recipe.model_copy(update={"variants": specs})
    material = prepare(run, replace(loaded, recipe=wanted), origins)
    bench = make_bench(run, recipe, tune, material, specs)
    baseline = score(bench, bench.search, (), recipe.evaluation.confidence)[bench.baseline.name]
    assert isinstance(baseline, Scores)
    value_to_lose(baseline, recipe.gates.metric)
    problem = Problem(tune, bench.baseline.size_bytes, specs)
    found = search_and_confirm(bench, problem, deadline)
    return TuneReport(
        recipe=recipe.name,
        task=recipe.task,
        lock=material.lock,
        dataset_spec=recipe.dataset,
        evaluation=recipe.evaluation,
        metric=recipe.gates.metric,
        tune=tune,
        base=material.base,
        dataset=material.dataset,
        search_rows=bench.search.dataset.eval_rows,
        confirm_rows=material.dataset.eval_rows - bench.search.dataset.eval_rows,
        baseline=bench.baseline,
        baseline_search=baseline,
        baseline_ms=found.baseline_ms,
        machine=machine_info(),
        trials=found.history.trials,
        sensitivities=found.history.sensitivities,
        confirmations=found.confirmations,
        best=found.best,
        outcome="met" if found.met else "not-met",
        stopped=found.stopped,
        notes=tuple(notes),
    )


def search_and_confirm(bench: Bench, problem: Problem, deadline: Deadline) -> Found:
    """The search, and what it found on the rest of the rows. Where nothing of that holds, the
    search goes on without it, as often as there are confirmations left."""
    found = Found()
    while True:
        found = _search(bench, problem, found, deadline)
        new = _confirm(bench, problem, found)
        every = (*found.confirmations, *new)
        best = _best(problem, found.history, every)
        found = replace(found, confirmations=every, best=best)
        if not new or found.met or found.blind or len(every) == MOST_CONFIRMATIONS:
            return found
        refuted = frozenset(one.trial for one in every)
        found = replace(found, history=replace(found.history, refuted=refuted))


def _best(problem: Problem, history: History, confirmations: Sequence[Confirmation]) -> str | None:
    """What is taken; or what comes nearest, on the rows that the search has not seen if it can be
    told; None: there is no model at all."""
    if confirmations:
        return min(confirmations, key=lambda c: (not c.verdict.passes, c.verdict.loss)).trial
    close = nearest(problem, history)
    return close.name if close else None


def _search(bench: Bench, problem: Problem, found: Found, deadline: Deadline) -> Found:
    history, baseline_ms = found.history, found.baseline_ms
    # So many at once that no deadline is missed by much.
    at_once = _IN_ONE_GO if deadline.seconds else None
    while True:
        # One trial at least: to come back with nothing would help nobody.
        out_of_time = bool(history.trials) and deadline.passed()
        step = next_step(problem, history, out_of_time=out_of_time)
        if isinstance(step, Stop):
            return replace(found, history=history, stopped=step.why, baseline_ms=baseline_ms)
        if isinstance(step, Try):
            trials = attempt(bench, history, step.proposals[:at_once])
            history = replace(history, trials=(*history.trials, *trials))
        elif isinstance(step, Clock):
            clocked = clock(bench, history, step.names)
            final = history.final or step.final
            history = replace(history, trials=clocked.trials, final=final)
            baseline_ms = clocked.baseline_ms
            if step.last is not None:
                return replace(found, history=history, stopped=step.last, baseline_ms=baseline_ms)
        elif isinstance(step, Sense):
            trial = history.find(step.name)
            assert trial is not None
            costs = sense(bench, trial, baseline_ms or 0.0, deadline.passed, at_once)
            if costs is not None:
                history = replace(history, sensitivities=(*history.sensitivities, costs))
        elif isinstance(step, Ask):
            history = replace(history, proposals=_proposals(bench))


def _proposals(bench: Bench) -> tuple[VariantSpec, ...]:
    """What Neural Compressor's own loop comes to; nothing where it comes to nothing."""
    given = _proposal_input(bench)
    found = bench.run.map(propose, [(given, "neural-compressor", "pytorch")])[0]
    if isinstance(found, Fault):
        if isinstance(found.error, StoreError):
            raise found.error
        return ()  # it raised or died outside of what is caught there: other trials stand
    return tuple(map(named, found.specs))


def _proposal_input(bench: Bench) -> ProposeInput:
    return ProposeInput(
        fp32=bench.baseline,
        tune=bench.tune,
        metric=bench.recipe.gates.metric,
        labels=bench.material.base.labels,
        task=bench.recipe.task,
        batch_size=bench.recipe.evaluation.batch_size,
        encoded=bench.search.encoded,
        dataset=bench.search.dataset,
        calibration=bench.material.calibration,
        seed=_calibration_seed(bench.recipe),
    )


def _confirm(bench: Bench, problem: Problem, searched: Found) -> tuple[Confirmation, ...]:
    """The preferred trials on the rows that the search has not seen, until one holds."""
    before = len(searched.confirmations)
    ranked = _in_turn(ranking(problem, searched.history), MOST_CONFIRMATIONS - before)
    if not ranked:
        return ()
    run, recipe, tune = bench.run, bench.recipe, bench.tune
    rows = make_part(run, recipe, tune, bench.material, "confirm")
    found: list[Confirmation] = []
    for number, trial in enumerate(ranked, before + 1):
        assert trial.variant is not None
        confidence = confirmation_confidence(recipe.evaluation.confidence, number)
        scores = score(bench, rows, (trial.variant,), confidence)
        mine, fp32 = scores[trial.name], scores[bench.baseline.name]
        assert isinstance(mine, Scores)
        assert isinstance(fp32, Scores)
        verdict = judge(mine, fp32, recipe.gates.metric, tune.accuracy_criterion)
        found.append(Confirmation(trial=trial.name, scores=mine, verdict=verdict))
        if verdict.passes or not verdict.baseline > 0:
            break
    return tuple(found)


def _in_turn(ranked: Sequence[Trial], left: int) -> tuple[Trial, ...]:
    """What is confirmed, one after the other. The last that is allowed is the safest of the rest:
    fast ones that only just met the criterion may fail together. Which they are is known from the
    rows that were searched on, so that the confidences that are shared out by turn hold."""
    if len(ranked) <= left:
        return tuple(ranked)
    first, rest = ranked[: left - 1], ranked[left - 1 :]
    return (*first, safest(rest))


def _candidates(recipe: Recipe, tune: Tune) -> tuple[VariantSpec, ...]:
    """Where the search begins. Raises RecipeError where that is nowhere."""
    served = _served(tune)
    static = _may_calibrate(recipe, tune)
    seed = _calibration_seed(recipe)
    half = served.slow("float16") is None
    found = candidates(tune, reduce_range=served.reduce_range, static=static, seed=seed, half=half)
    if not found and static:
        raise RecipeError(
            f"{tune.framework} has no {tune.approach} INT8 that is tried",
            hint="Set tune.approach: auto or static.",
        )
    if not found:
        raise RecipeError(
            "nothing can be tried: static INT8 learns from dataset.calibration_split, and those"
            f" rows ({recipe.dataset.calibration_split}) are scored on",
            hint="Name another split under dataset.calibration_split.",
        )
    return found


def _served(tune: Tune) -> Target:
    return target_named(tune.target) if tune.target else this_target()


def _calibration_seed(recipe: Recipe) -> int:
    """That of the recipe's own variants, which calibrate on one sample."""
    return next((plan.seed for plan in calibrations(recipe.variants)), _SEED)


def _may_calibrate(recipe: Recipe, tune: Tune) -> bool:
    """Whether the recipe tells of rows to calibrate on that are not scored on."""
    dataset, sweep = recipe.dataset, recipe.sweep
    if splits_overlap(dataset.calibration_split, dataset.eval_split):
        return False
    return (
        tune.approach == "static"
        or tune.framework == "openvino"  # it has no other
        or "calibration_split" in dataset.model_fields_set
        or bool(calibrations(recipe.variants))
        or (sweep is not None and "static" in sweep.quantization_approach)
    )


def _notes(recipe: Recipe, tune: Tune) -> Iterator[str]:
    if tune.approach != "dynamic" and not _may_calibrate(recipe, tune):
        yield (
            "Static INT8 was not tried: the recipe names no dataset.calibration_split apart from"
            " the rows that are scored."
        )
    slow = _served(tune).slow("float16") if may_be_half(tune) else None
    if slow is not None:
        yield f"Half precision was not tried: {slow}."
    if tune.target and tune.target != this_target().name:
        yield (
            f"The target is {tune.target}: the models are made for it, but were timed and scored"
            " on the machine that the search ran on, whose kernels are others."
        )
