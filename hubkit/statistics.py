"""Intervals and tests for classification results: Wilson, Tango, McNemar, Holm, a bootstrap of
counts.

Only the bootstrap needs numpy. Intervals are two-sided at `confidence`, as shares (0.866, not
86.6 %).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from math import sqrt
from statistics import NormalDist
from typing import TYPE_CHECKING

from hubkit.records import Interval

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Ints = NDArray[np.int64]
    Floats = NDArray[np.float64]

RESAMPLES, SEED = 2000, 13
_CELLS_AT_ONCE = 4_000_000  # of resamples × distinct outcomes: 32 MB


def _z(confidence: float) -> float:
    return NormalDist().inv_cdf(0.5 + confidence / 2)


def wilson(successes: int, trials: int, confidence: float = 0.95) -> Interval:
    """The score interval of a proportion (Wilson 1927, J. Am. Stat. Assoc. 22:209).

    Raises ValueError unless 0 <= successes <= trials and trials > 0.
    """
    if not 0 <= successes <= trials or not trials:
        raise ValueError(f"{successes} successes of {trials}")
    z2 = _z(confidence) ** 2
    share = successes / trials
    centre = share + z2 / (2 * trials)
    half = sqrt(z2 * (share * (1 - share) + z2 / (4 * trials)) / trials)
    scale = 1 + z2 / trials
    # The formula reaches the ends exactly there, but for the last bit.
    low = 0.0 if successes == 0 else (centre - half) / scale
    high = 1.0 if successes == trials else (centre + half) / scale
    return Interval(low=low, high=high)


def mcnemar_exact(now_right: int, now_wrong: int) -> float:
    """Exact two-sided p of "as many rows became right as became wrong"; 1.0 when none did either.

    A binomial test at one half on the rows that changed sides (McNemar 1947, Psychometrika 12:153).
    """
    changed = now_right + now_wrong
    tail, term = 0, 1
    for k in range(min(now_right, now_wrong) + 1):
        tail += term
        term = term * (changed - k) // (k + 1)
    whole: int = 2**changed
    return min(1.0, 2 * tail / whole)  # whole numbers: the division alone rounds


def holm(p_values: Sequence[float]) -> tuple[float, ...]:
    """p values corrected for being several, in the order given (Holm 1979, Scand. J. Stat. 6:65).

    Calling those at most alpha findings finds something where there is nothing with a probability
    of at most alpha, whatever depends on what. The k-th smallest of n is multiplied by n − k + 1,
    and is no less than the one before.
    """
    corrected, least = [1.0] * len(p_values), 0.0
    for rank, at in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        least = max(least, min(1.0, (len(p_values) - rank) * p_values[at]))
        corrected[at] = least
    return tuple(corrected)


def paired_difference(
    only_first: int, only_second: int, rows: int, confidence: float = 0.95
) -> Interval:
    """The score interval of p_first − p_second on the same rows (Tango 1998, Stat. Med. 17:891).

    `only_first` rows are right in the first alone, `only_second` in the second alone. It keeps a
    width when no row differs, where a bootstrap gives zero. Raises ValueError for counts that do
    not fit `rows`.
    """
    if min(only_first, only_second) < 0 or only_first + only_second > rows or not rows:
        raise ValueError(f"{only_first} and {only_second} of {rows} rows")
    z = _z(confidence)
    estimate = (only_first - only_second) / rows

    def distance(difference: float) -> float:
        return _tango(only_first, only_second, rows, difference)

    low = _root(lambda d: distance(d) - z, -1.0, estimate)
    high = _root(lambda d: distance(d) + z, estimate, 1.0)
    return Interval(low=low, high=high)


def _tango(first: int, second: int, rows: int, difference: float) -> float:
    """The score statistic at a supposed difference; it falls as the difference grows.

    `share`: the restricted maximum-likelihood estimate of "right in the second alone".
    """
    gap = first - second - rows * difference
    b = (2 * rows - first + second) * difference - first - second
    c = -second * difference * (1 - difference)
    share = (sqrt(max(0.0, b * b - 8 * rows * c)) - b) / (4 * rows)
    variance = rows * (2 * share + difference * (1 - difference))
    if variance <= 0:
        return 0.0 if gap == 0 else float("inf") if gap > 0 else float("-inf")
    return gap / sqrt(variance)


def _root(function: Callable[[float], float], low: float, high: float) -> float:
    """Where a falling function crosses zero; the nearer end where it does not."""
    if function(low) <= 0:
        return low
    if function(high) >= 0:
        return high
    for _ in range(60):  # 2 / 2**60: below the last bit of a double near one
        middle = (low + high) / 2
        low, high = (middle, high) if function(middle) > 0 else (low, middle)
    return (low + high) / 2


def metric_of_counts(name: str, hits: Ints, predicted: Ints, actual: Ints) -> Floats:
    """accuracy, precision, recall or f1 of many tables at once.

    The arrays are int64[tables, classes]: rows of a class predicted as it, rows predicted as it,
    rows of it. Two classes: the score of the last one; more: the mean over the classes that occur
    in labels or predictions. Nothing divided by nothing is 0. These are scikit-learn's "binary"
    and "macro" averages.
    """
    import numpy as np

    if name == "accuracy":
        return np.asarray(hits.sum(axis=1) / actual.sum(axis=1), dtype=np.float64)
    below = {"precision": 2 * predicted, "recall": 2 * actual, "f1": predicted + actual}[name]
    share = 2 * hits / np.maximum(below, 1)
    if hits.shape[1] == 2:
        return np.asarray(share[:, 1], dtype=np.float64)
    occurs = (predicted + actual) > 0
    return np.asarray((share * occurs).sum(axis=1) / occurs.sum(axis=1), dtype=np.float64)


def resampled_sums(counts: Ints) -> Ints:
    """Column sums int64[RESAMPLES, columns] of seeded resamples, with replacement, of the rows of
    `counts`, int64[rows, columns].

    For a cluster bootstrap: a row holds the counts of what has to be drawn together, such as the
    words of a sentence.
    """
    import numpy as np

    outcomes, times = np.unique(counts, axis=0, return_counts=True)
    return np.concatenate([drawn @ outcomes for drawn in _draws(times)])


def percentile_interval(values: Floats, confidence: float = 0.95) -> Interval:
    """The percentile interval of bootstrapped values (Efron 1979, Ann. Stat. 7:1)."""
    import numpy as np

    low, high = np.quantile(values, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Interval(low=float(low), high=float(high))


def bootstrap_metric(
    name: str, labels: Ints, predictions: Ints, classes: int, confidence: float = 0.95
) -> Interval:
    """Percentile interval of a metric over resampled rows (Efron 1979, Ann. Stat. 7:1)."""
    return percentile_interval(_resampled(name, labels, (predictions,), classes)[0], confidence)


def bootstrap_loss(
    name: str,
    labels: Ints,
    baseline: Ints,
    predictions: Ints,
    classes: int,
    confidence: float = 0.95,
) -> Interval:
    """Percentile interval of metric(baseline) − metric(predictions), on the same resampled rows."""
    first, second = _resampled(name, labels, (baseline, predictions), classes)
    return percentile_interval(first - second, confidence)


def _resampled(
    name: str, labels: Ints, models: tuple[Ints, ...], classes: int
) -> tuple[Floats, ...]:
    """The metric of each model on the same RESAMPLES resamples.

    Drawing n rows with replacement draws a multinomial over the distinct (label, prediction, …)
    outcomes, so that is what is drawn: the cost does not grow with the rows.
    """
    import numpy as np

    outcomes, counts = np.unique(np.stack([labels, *models]), axis=1, return_counts=True)
    is_class = outcomes[:, :, None] == np.arange(classes)  # [label and models, outcomes, classes]
    truth = is_class[0].astype(np.int64)
    found: list[list[Floats]] = [[] for _ in models]
    for drawn in _draws(counts):
        actual = drawn @ truth
        for values, guess in zip(found, is_class[1:], strict=True):
            hits, predicted = drawn @ (truth * guess), drawn @ guess.astype(np.int64)
            values.append(metric_of_counts(name, hits, predicted, actual))
    return tuple(np.concatenate(values) for values in found)


def _draws(counts: Ints) -> Iterator[Ints]:
    """Multinomial counts int64[some resamples, outcomes], RESAMPLES in all."""
    import numpy as np

    random = np.random.default_rng(SEED)
    rows = int(counts.sum())
    step = max(1, _CELLS_AT_ONCE // len(counts))
    for start in range(0, RESAMPLES, step):
        yield random.multinomial(rows, counts / rows, size=min(step, RESAMPLES - start))
