"""Which variant of a format is published: of those that meet the gate, the preferred one."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from hubkit.errors import RecipeError
from hubkit.recipe import Gates
from hubkit.records import (
    Candidate,
    Interval,
    Metric,
    Record,
    Scores,
    Selection,
    TimingPoint,
    Timings,
)
from hubkit.stage import Context, stage
from hubkit.statistics import mcnemar_exact

# Sums like 0.8 - 0.792 are off in the last digits; a loss of just what is allowed is allowed.
_ROUNDING = 1e-12
# A lead must be at least this, and more than the rounds of the benchmark leave open: measured again
# on a shared machine, means of one model differ by tens of per cent (benchmarks/README.md).
LEAST_LEAD = 0.05
_LEAD_CONFIDENCE = 0.95


class SelectInput(Record):
    """Scores of a format's FP32 baseline and of its variants in INT8 or FP16, their timings where
    there are any, and the bytes of their weights by name. `must_pay`: what is larger or slower than
    FP32 does not pass, nor what is outdone by `rival`: the variant of another format that is
    published anyway."""

    baseline: Scores
    candidates: tuple[Scores, ...]
    timings: Timings | None = None
    sizes: dict[str, int]
    gates: Gates = Gates()
    must_pay: bool = False
    rival: Scores | None = None


@stage("select", version=4, kind="pure", takes=SelectInput, gives=Selection)
def select(given: SelectInput, ctx: Context) -> Selection:
    """Every candidate with its verdict and the reason, and the one taken; None when none passes.

    A candidate passes when the metric's loss against FP32, as a share of FP32's own value, is at
    most `max_relative_loss`; the paired interval of that loss is shown, and does not decide. With
    `must_pay` it must be no larger than FP32, and not be shown to be slower (`is_slower`) than that
    or than the rival, nor to answer more often unlike FP32 than the rival (McNemar's test). Ties
    go to the smaller, then to the first by name. For "fastest" it is a tie where the rounds of the
    benchmark do not show a lead (see `is_slower`), so that measuring again does not change what is
    published. Raises RecipeError where FP32 has no such metric.
    """
    gates = given.gates
    baseline = _metric(given.baseline, gates.metric)
    if baseline is None or not math.isfinite(baseline.value):
        raise RecipeError(
            f"gates.metric: {gates.metric} was not measured on {given.baseline.variant}",
            hint=f"Add {gates.metric} to evaluation.metrics, or take another gates.metric.",
        )
    means = {scores.variant: _mean_ms(scores.variant, given.timings) for scores in given.candidates}
    candidates = tuple(
        _paying(_judge(scores, baseline, gates, means[scores.variant]), given)
        for scores in given.candidates
    )
    passing = {candidate.variant for candidate in candidates if candidate.passes}
    ranked = sorted(
        _Rank.of(scores, means[scores.variant], given)
        for scores in given.candidates
        if scores.variant in passing
    )
    return Selection(
        metric=gates.metric,
        max_relative_loss=gates.max_relative_loss,
        prefer=gates.prefer,
        candidates=candidates,
        selected=_preferred(ranked, gates).variant if ranked else None,
    )


@dataclass(frozen=True, order=True)
class _Rank:
    """What ties are broken by, in this order, and what preferences look at."""

    size_bytes: float
    variant: str
    mean_ms: float
    flips: float
    rounds_ms: tuple[float, ...]

    @classmethod
    def of(cls, scores: Scores, mean_ms: float | None, given: SelectInput) -> _Rank:
        return cls(
            size_bytes=given.sizes.get(scores.variant, math.inf),
            variant=scores.variant,
            mean_ms=math.inf if mean_ms is None else mean_ms,
            flips=math.inf if scores.paired is None else scores.paired.flips,
            rounds_ms=_rounds_ms(scores.variant, given.timings),
        )


def _preferred(ranked: list[_Rank], gates: Gates) -> _Rank:
    """The preferred one of a list that is sorted by the tie-break."""
    if gates.prefer == "smallest":
        return ranked[0]
    if gates.prefer == "most-faithful":
        return min(ranked, key=lambda rank: rank.flips)
    fastest = min(ranked, key=lambda rank: rank.mean_ms)
    return next(rank for rank in ranked if rank is fastest or not _is_slower(rank, fastest))


def _is_slower(one: _Rank, fastest: _Rank) -> bool:
    if math.isinf(one.mean_ms) or math.isinf(fastest.mean_ms):
        return one.mean_ms > fastest.mean_ms
    return is_slower(one.rounds_ms, fastest.rounds_ms)


def is_slower(rounds_ms: Sequence[float], fastest_ms: Sequence[float]) -> bool:
    """Whether the first model is slower than the second by LEAST_LEAD and by more than chance.

    Of the ratios of the rounds, in which the models take turns, the geometric mean must be at least
    1 + LEAST_LEAD, and the lower end of its interval (Student's t over the logarithms) above 1. One
    round tells nothing of chance: then the first condition alone decides.
    """
    from scipy.special import stdtrit  # the quantile of Student's t

    ratios = [math.log(a / b) for a, b in zip(rounds_ms, fastest_ms, strict=True)]
    lead = statistics.fmean(ratios)
    if lead < math.log(1 + LEAST_LEAD):
        return False
    if len(ratios) == 1:
        return True
    error = statistics.stdev(ratios) / math.sqrt(len(ratios))
    return lead > float(stdtrit(len(ratios) - 1, 0.5 + _LEAD_CONFIDENCE / 2)) * error


def _metric(scores: Scores, name: str) -> Metric | None:
    return next((metric for metric in scores.metrics if metric.name == name), None)


def _points(variant: str, timings: Timings | None) -> tuple[TimingPoint, ...]:
    found = (t.points for t in (timings.timings if timings else ()) if t.variant == variant)
    return next(found, ())


def _mean_ms(variant: str, timings: Timings | None) -> float | None:
    """Geometric mean of the mean latencies over the grid: no one point outweighs the rest."""
    means = [point.mean_ms for point in _points(variant, timings)]
    if not means or not all(math.isfinite(mean) and mean > 0 for mean in means):
        return None
    return statistics.geometric_mean(means)


def _rounds_ms(variant: str, timings: Timings | None) -> tuple[float, ...]:
    """The same of each round alone."""
    rounds = zip(*(point.round_means_ms for point in _points(variant, timings)), strict=True)
    return tuple(statistics.geometric_mean(means) for means in rounds)


def _judge(scores: Scores, baseline: Metric, gates: Gates, mean_ms: float | None) -> Candidate:
    metric, paired = _metric(scores, gates.metric), scores.paired
    value = metric.value if metric and math.isfinite(metric.value) else None
    loss = interval = None
    if value is not None and baseline.value > 0:
        loss = (baseline.value - value) / baseline.value
        if paired and math.isfinite(paired.loss_interval.low + paired.loss_interval.high):
            interval = Interval(
                low=paired.loss_interval.low / baseline.value,
                high=paired.loss_interval.high / baseline.value,
            )
    passes = (
        loss is not None and interval is not None and loss <= gates.max_relative_loss + _ROUNDING
    )
    return Candidate(
        variant=scores.variant,
        passes=passes,
        reason=_reason(scores, value, baseline, loss, interval, gates),
        metric=value,
        baseline_metric=baseline.value,
        relative_loss=loss,
        loss_interval=interval,
        mean_ms=mean_ms,
    )


def _paying(candidate: Candidate, given: SelectInput) -> Candidate:
    """The candidate, refused where it has to pay and does not."""
    fp32, name = given.baseline.variant, candidate.variant
    if not given.must_pay:
        return candidate
    sizes = given.sizes.get(name, 0), given.sizes.get(fp32, math.inf)
    if sizes[0] > sizes[1]:
        reason = f"{sizes[0]:,} bytes, which is larger than the {sizes[1]:,} of {fp32}"
        return candidate.model_copy(update={"passes": False, "worse": "larger", "reason": reason})
    mean, fp32_mean = (_mean_ms(one, given.timings) for one in (name, fp32))
    rounds, fp32_rounds = (_rounds_ms(one, given.timings) for one in (name, fp32))
    if mean is None or fp32_mean is None or not is_slower(rounds, fp32_rounds):
        return _against(given.rival, candidate, given)
    reason = f"{mean:.3g} ms a call, which is slower than the {fp32_mean:.3g} ms of {fp32}"
    return candidate.model_copy(update={"passes": False, "worse": "slower", "reason": reason})


def _against(rival: Scores | None, candidate: Candidate, given: SelectInput) -> Candidate:
    """The candidate, refused where the rival is shown to be faster or more faithful."""
    if rival is None or not candidate.passes:
        return candidate
    mean, rival_mean = candidate.mean_ms, _mean_ms(rival.variant, given.timings)
    rounds = [_rounds_ms(one, given.timings) for one in (candidate.variant, rival.variant)]
    if mean is not None and rival_mean is not None and is_slower(*rounds):
        reason = f"{mean:.3g} ms a call, which is slower than the {rival_mean:.3g} ms of"
        worse = {"worse": "slower-than-rival", "reason": f"{reason} {rival.variant}"}
        return candidate.model_copy(update={"passes": False, **worse})
    mine = next(one.paired for one in given.candidates if one.variant == candidate.variant)
    theirs = rival.paired
    if mine is None or theirs is None or mine.flips <= theirs.flips:
        return candidate
    if mcnemar_exact(mine.flips, theirs.flips) >= 1 - _LEAD_CONFIDENCE:
        return candidate
    reason = f"{mine.flips} answers unlike FP32, where {rival.variant} has {theirs.flips}"
    worse = {"worse": "less-faithful", "reason": reason}
    return candidate.model_copy(update={"passes": False, **worse})


def _reason(
    scores: Scores,
    value: float | None,
    baseline: Metric,
    loss: float | None,
    interval: Interval | None,
    gates: Gates,
) -> str:
    name, limit = gates.metric, gates.max_relative_loss
    if value is None:
        return f"{name} was not measured, or is not a number"
    compared = f"{name} {value:.4f} vs {baseline.value:.4f}"
    if loss is None:
        return (
            f"{compared}: FP32 gets nothing right, so that a relative loss has no meaning; do the"
            " recipe's labels fit the model?"
        )
    if interval is None:
        return f"{compared}: not compared with FP32 row by row, so that the loss has no interval"
    text = (
        f"{compared}: relative loss {_percent(loss)} ({baseline.confidence * 100:g} % CI"
        f" {_percent(interval.low)} … {_percent(interval.high)}), allowed {limit * 100:g} %"
    )
    if interval.low <= limit < interval.high:
        text += f"; {scores.rows} rows cannot settle on which side of that the true loss lies"
    return text


def _percent(share: float) -> str:
    # + 0.0 turns a rounded -0.0 into 0.0
    return f"{round(share * 100, 2) + 0.0:.2f} %"
