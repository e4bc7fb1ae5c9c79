"""Which trials may be taken, and which of them first. Pure functions of trial records."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

from hubkit.recipe import OnnxDynamic, OnnxStatic, VariantSpec
from hubkit.recipe_tune import Tune
from hubkit.stages.select import is_slower
from hubkit.tune_records import Sensitivity, Trial

# What loses more of the metric than this share is broken: it is neither timed nor mended as long as
# there is anything else.
HOPELESS = 0.2
# The most faithful is looked for among those at most this much slower than the fastest.
SLOWER_FOR_FAITH = 1.25
# Of one model two runs of the benchmark differ by less than this; so many are timed again.
NEAR = 1.2
MOST_FINALISTS = 4
_CHANCE = NormalDist().inv_cdf(0.975)
_SAME_SIZE = {"fastest": 1.05, "smallest": 1.01}


@dataclass(frozen=True)
class Problem:
    """What is looked for, with nothing left open, and where the search begins."""

    tune: Tune
    fp32_bytes: int
    candidates: tuple[VariantSpec, ...]


@dataclass(frozen=True)
class History:
    """What has been tried and measured. `proposals`: of Neural Compressor's own loop; None: it was
    not asked yet. `refuted`: trials that did not hold on the rows that are not searched on.
    `final`: whether those that might be taken were timed in one run."""

    trials: tuple[Trial, ...] = ()
    sensitivities: tuple[Sensitivity, ...] = ()
    proposals: tuple[VariantSpec, ...] | None = None
    refuted: frozenset[str] = frozenset()
    final: bool = False

    def find(self, name: str) -> Trial | None:
        """The trial of that name, or the one that it is the same as."""
        found = next((trial for trial in self.trials if trial.name == name), None)
        return self.find(found.same_as) if found and found.same_as else found

    def sensitivity(self, name: str) -> Sensitivity | None:
        return next((one for one in self.sensitivities if one.of == name), None)

    def meets(self, trial: Trial | None) -> bool:
        """Whether a trial keeps the accuracy, as far as is known."""
        verdict = trial.verdict if trial else None
        return bool(trial and verdict and verdict.passes and trial.name not in self.refuted)


def relative_time(trial: Trial) -> float | None:
    """Mean latency over that of FP32; None where it was not timed."""
    return statistics.geometric_mean(trial.relative_ms) if trial.relative_ms else None


def has_groups(trial: Trial) -> bool:
    """Whether groups of its nodes can be left float: that of ONNX Runtime's kinds."""
    return isinstance(trial.spec, OnnxDynamic | OnnxStatic)


def is_plausible(trial: Trial) -> bool:
    """Whether it is a model of its own that works at all."""
    verdict = trial.verdict
    if verdict is None:
        return False
    return verdict.passes or verdict.loss <= HOPELESS * verdict.baseline


def worth_mending(history: History) -> tuple[Trial, ...]:
    """The whole-model trials that work at all; all that there are where none does: it may be one
    group that breaks them."""
    whole = [t for t in history.trials if t.phase == "whole-model" and t.verdict]
    return tuple([t for t in whole if is_plausible(t)] or whole)


def pays(problem: Problem, trial: Trial) -> bool:
    """Whether it is smaller than FP32, and faster: on the mean, and shown to be slower nowhere."""
    time = relative_time(trial)
    return (
        trial.variant is not None
        and time is not None
        and time < 1
        and not trial.slower_at
        and trial.variant.size_bytes < problem.fp32_bytes
    )


def acceptable(problem: Problem, history: History) -> tuple[Trial, ...]:
    """The trials that may be taken."""
    return tuple(t for t in history.trials if history.meets(t) and pays(problem, t))


def ranking(problem: Problem, history: History) -> tuple[Trial, ...]:
    """The trials that may be taken, the preferred one first."""
    left, found = list(acceptable(problem, history)), []
    while left:
        found.append(_best(left, problem.tune.objective or "fastest"))
        left.remove(found[-1])
    return tuple(found)


def safest(trials: Sequence[Trial]) -> Trial:
    """The one that is surest to keep the accuracy: whose loss is at most the least."""
    return min(trials, key=lambda t: (t.verdict.interval.high if t.verdict else math.inf, *_key(t)))


def _key(trial: Trial) -> tuple[float, float, str]:
    return (*faith(trial), trial.name)


def finalists(problem: Problem, history: History) -> tuple[Trial, ...]:
    """The trials that might be taken for their speed if they were timed again: the preferred one,
    and those that come near it; the preferred one first."""
    ranked = ranking(problem, history) if problem.tune.objective == "fastest" else ()
    near = [t for t in ranked if _time(t) <= NEAR * _time(ranked[0])]
    return tuple(near[:MOST_FINALISTS])


def nearest(problem: Problem, history: History) -> Trial | None:
    """The best so far where none may be taken: what loses least, of those that pay if any does."""
    scored = [t for t in history.trials if t.variant and t.verdict]
    return min(
        scored,
        key=lambda t: (
            not pays(problem, t),
            t.verdict.loss if t.verdict else 0.0,
            faith(t),
            t.name,
        ),
        default=None,
    )


def _best(trials: Sequence[Trial], objective: str) -> Trial:
    if objective == "most-faithful":
        limit = SLOWER_FOR_FAITH * min(map(_time, trials))
        return _most_faithful([t for t in trials if _time(t) <= limit])
    narrowed = list(trials)
    steps = [_as_fast, lambda left: _as_small(left, _SAME_SIZE[objective])]
    for narrow in steps if objective == "fastest" else reversed(steps):
        narrowed = narrow(narrowed)
    return _most_faithful(narrowed)


def _most_faithful(trials: Sequence[Trial]) -> Trial:
    """Of those with the fewest flips, and those with as few but for chance (a difference of two
    Poisson counts, at 95 %), the one whose outputs are nearest to FP32's: a mean over all rows, of
    which flips see but those at the boundary."""
    least = min(faith(t)[0] for t in trials)
    near = [t for t in trials if faith(t)[0] - least <= _CHANCE * math.sqrt(faith(t)[0] + least)]
    return min(near or trials, key=lambda t: (faith(t)[1], t.name))


def _as_fast(trials: Sequence[Trial]) -> list[Trial]:
    """The fastest, and those that the rounds of the benchmark do not show to be slower."""
    fastest = min(trials, key=lambda t: (_time(t), t.name))
    return [t for t in trials if t is fastest or not is_slower(t.relative_ms, fastest.relative_ms)]


def _as_small(trials: Sequence[Trial], tolerance: float) -> list[Trial]:
    least = min(map(_size, trials))
    return [t for t in trials if _size(t) <= tolerance * least]


def faith(trial: Trial) -> tuple[float, float]:
    """Flips, then the mean difference of the outputs: less is more faithful."""
    paired = trial.scores.paired if trial.scores else None
    return (paired.flips, paired.mean_abs_logit_diff) if paired else (float("inf"), float("inf"))


def bases(problem: Problem, history: History) -> tuple[Trial, ...]:
    """The whole-model trials that are worth mending: of each kind and graph the fastest, and of
    those as fast the most faithful; the fastest first."""
    left = [t for t in worth_mending(history) if has_groups(t) and pays(problem, t)]
    found: list[Trial] = []
    while left:
        as_fast = _as_fast(left)
        best = min(as_fast, key=lambda t: (faith(t)[1], t.name))
        found.append(best)
        left = [t for t in left if t.spec.kind != best.spec.kind]
    return tuple(found)


def _time(trial: Trial) -> float:
    return relative_time(trial) or float("inf")


def _size(trial: Trial) -> int:
    return trial.variant.size_bytes if trial.variant else 0
