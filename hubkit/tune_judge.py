"""Whether a trial keeps the accuracy, and whether the rows can tell. Pure functions of scores."""

from __future__ import annotations

import math
from statistics import NormalDist

from hubkit.errors import RecipeError
from hubkit.recipe import Recipe
from hubkit.recipe_tune import AccuracyCriterion, Tune
from hubkit.records import Interval, Metric, Scores
from hubkit.statistics import paired_difference
from hubkit.tune_records import State, Verdict

POWER = 0.8
# A loss of just what is allowed is allowed; sums like 0.8 - 0.792 are off in the last digits.
_ROUNDING = 1e-12


def settled_tune(recipe: Recipe, tune: Tune) -> Tune:
    """The settings with what they leave open taken from the recipe's gates."""
    criterion = tune.accuracy_criterion
    if criterion.relative is None and criterion.absolute is None:
        allowed = {"relative": recipe.gates.max_relative_loss}
        criterion = AccuracyCriterion.model_validate({**criterion.model_dump(), **allowed})
    objective = tune.objective or recipe.gates.prefer
    return tune.model_copy(update={"accuracy_criterion": criterion, "objective": objective})


def allowed_loss(criterion: AccuracyCriterion, baseline: float) -> float:
    """The most that the metric may fall, in its own unit."""
    if criterion.absolute is not None:
        return criterion.absolute
    return (criterion.relative or 0.0) * baseline


def value_to_lose(baseline: Scores, metric: str) -> Metric:
    """The metric of FP32. Raises RecipeError where it gets nothing right: whatever comes of it
    would keep all of that."""
    value = next(m for m in baseline.metrics if m.name == metric)
    if not value.value > 0:
        raise RecipeError(
            f"{metric} of FP32 is {value.value:g} on the {baseline.rows} rows that are searched on:"
            " there is no accuracy to lose",
            hint="Do the recipe's labels fit the model? Are there enough rows?",
        )
    return value


def judge(scores: Scores, baseline: Scores, metric: str, criterion: AccuracyCriterion) -> Verdict:
    """The criterion against scores that were compared with `baseline` row by row. Where FP32 gets
    nothing right there is nothing to lose, which shows nothing: undecided, and it does not pass."""
    value = next(m for m in baseline.metrics if m.name == metric)
    if scores.paired is None:
        raise ValueError(f"{scores.variant} was not compared with FP32")
    allowed = allowed_loss(criterion, value.value)
    loss, interval = scores.paired.loss, scores.paired.loss_interval
    # A bootstrap knows of no row but these: of few it is too narrow, of equal ones a point. It is
    # no narrower than Tango's where none differs, but for means of what is not right or wrong.
    resampled = value.method == "bootstrap" and metric != "cosine"
    if resampled or interval.low == interval.high:
        least = paired_difference(0, 0, scores.rows, value.confidence)
        low, high = min(interval.low, loss + least.low), max(interval.high, loss + least.high)
        interval = Interval(low=low, high=high)
    something = value.value > 0
    state = _state(interval, allowed) if something else "undecided"
    decidable = state == "undecided" and something
    return Verdict(
        state=state,
        passes=something and loss <= allowed + _ROUNDING,
        loss=loss,
        interval=interval,
        confidence=value.confidence,
        allowed=allowed,
        baseline=value.value,
        rows=scores.rows,
        rows_needed=rows_to_decide(scores.rows, loss, interval, allowed, value.confidence)
        if decidable
        else None,
    )


def _state(interval: Interval, allowed: float) -> State:
    if interval.high <= allowed + _ROUNDING:
        return "holds"
    return "fails" if interval.low > allowed else "undecided"


def rows_to_decide(
    rows: int, loss: float, interval: Interval, allowed: float, confidence: float
) -> int | None:
    """How many rows would settle on which side of `allowed` the loss lies, with the power 0.8, if
    it is what these rows say; None where it is just what is allowed.

    The sample size for non-inferiority of paired proportions (Nam 1997, Biometrics 53:1422), with
    the variance taken from the interval, so that it serves other metrics too. Score intervals keep
    a width of 2z²/(n + z²) where no row differs, which shrinks as n grows, not as its root: that
    part of the width is counted apart.
    """
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    half = (interval.high - interval.low) / 2
    margin = abs(allowed - loss)
    if margin <= _ROUNDING or not math.isfinite(half):
        return None
    variance = max(0.0, (half * (rows + z * z) / z) ** 2 - z * z) / rows  # of one row's difference
    power = NormalDist().inv_cdf(POWER)
    needed = variance * ((z + power) / margin) ** 2 + z * z * (1 / margin - 1)
    return max(rows + 1, math.ceil(needed))


def confirmation_confidence(confidence: float, attempt: int) -> float:
    """Of the attempt's interval, counted from 1: all attempts together err with at most
    1 − confidence, as α/2 + α/4 + … < α."""
    return float(1 - (1 - confidence) / 2**attempt)
