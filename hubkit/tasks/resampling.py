"""Percentile bootstrap intervals of means over rows (Efron 1979, Ann. Stat. 7:1)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hubkit.records import Interval
from hubkit.statistics import RESAMPLES, SEED

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_DRAWS_AT_ONCE = 1_000_000  # 16 MB of row numbers and values


def bootstrap_mean(values: NDArray[np.float64], confidence: float = 0.95) -> Interval:
    """The interval of the mean of float64[rows] at `confidence`: 2,000 seeded resamples.

    Of paired differences it is the interval of the difference of two means on the same resampled
    rows. Raises ValueError where there are no rows.
    """
    import numpy as np

    rows = len(values)
    if not rows:
        raise ValueError("the mean of no rows")
    random = np.random.default_rng(SEED)
    step = max(1, _DRAWS_AT_ONCE // rows)
    means = np.concatenate(
        [
            values[random.integers(rows, size=(min(step, RESAMPLES - start), rows))].mean(axis=1)
            for start in range(0, RESAMPLES, step)
        ]
    )
    low, high = np.quantile(means, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Interval(low=float(low), high=float(high))
