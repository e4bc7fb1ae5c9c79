"""How far the probabilities of several models can be believed, on the same rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from hubkit.analysis_records import Reliability, ReliabilityBin
from hubkit.record_base import Interval
from hubkit.statistics import RESAMPLES, SEED
from hubkit.tasks.base import Certainty

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from hubkit.tasks.base import Ints

    Doubles = NDArray[np.float64]

BINS = 10
# Sums of whole numbers below 2**53 are exact in any order, so that the bytes of a record do not
# hang on how many threads added them up.
_SCALE = 2.0**24
_CELLS_AT_ONCE = 2_000_000  # of resamples × rows: 16 MB


def reliabilities(
    found: Mapping[str, Certainty], rows: int, confidence: float
) -> tuple[Reliability, ...]:
    """A reliability for each variant. The bootstrap draws `rows` rows with all their answers, the
    same for all variants: 2,000 seeded resamples."""
    import numpy as np

    gaps = {name: _gaps(one, rows) for name, one in found.items()}
    if not gaps:
        return ()
    units = np.bincount(next(iter(found.values())).rows, minlength=rows).astype(np.float64)
    drawn = _resampled(np.concatenate([units[:, None], *gaps.values()], axis=1))
    made = []
    for number, (name, one) in enumerate(found.items()):
        sums = drawn[:, 1 + number * BINS : 1 + (number + 1) * BINS]
        ece = float(np.abs(gaps[name].sum(axis=0)).sum() / units.sum() / _SCALE)
        again = np.abs(sums).sum(axis=1) / np.maximum(drawn[:, 0], 1) / _SCALE
        made.append(
            Reliability(
                variant=name,
                units=len(one.right),
                bins=_bins(one),
                ece=ece,
                ece_interval=_interval(ece, again, confidence),
                confidence=confidence,
            )
        )
    return tuple(made)


def _interval(ece: float, again: Doubles, confidence: float) -> Interval:
    """The basic bootstrap interval. An ECE takes chance for error: that of a resample is too large
    by about as much as `ece` itself is, so that mirroring its quantiles at `ece` takes both back,
    where a percentile interval would have the error twice."""
    import numpy as np

    low, high = np.quantile(again, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Interval(
        low=max(0.0, min(ece, 2 * ece - float(high))), high=max(ece, 2 * ece - float(low))
    )


def _edges() -> Doubles:
    import numpy as np

    return np.asarray(np.arange(BINS + 1) / BINS)


def _places(probability: Doubles) -> Ints:
    """The bin of each answer: (low, high]."""
    import numpy as np

    return np.searchsorted(_edges()[1:-1], probability, side="left").astype(np.int64)


def _gaps(one: Certainty, rows: int) -> Doubles:
    """accuracy - confidence, summed by row and bin, float64[rows, BINS] in units of 1 / _SCALE."""
    import numpy as np

    found = np.zeros((rows, BINS))
    gap = np.round((one.right - one.probability) * _SCALE)
    np.add.at(found, (one.rows, _places(one.probability)), gap)
    return found


def _resampled(table: Doubles) -> Doubles:
    """Sums of the columns of `table` over resampled rows, float64[RESAMPLES, columns]."""
    import numpy as np

    random, rows = np.random.default_rng(SEED), len(table)
    step = max(1, _CELLS_AT_ONCE // rows)
    found = []
    for start in range(0, RESAMPLES, step):
        size = min(step, RESAMPLES - start)
        drawn = random.integers(rows, size=(size, rows)) + np.arange(size)[:, None] * rows
        times = np.bincount(drawn.ravel(), minlength=size * rows).reshape(size, rows)
        found.append(times.astype(np.float64) @ table)
    return np.concatenate(found)


def _bins(one: Certainty) -> tuple[ReliabilityBin, ...]:
    places, edges = _places(one.probability), _edges().tolist()
    made = []
    for number in range(BINS):
        inside = places == number
        count = int(inside.sum())
        made.append(
            ReliabilityBin(
                low=edges[number],
                high=edges[number + 1],
                count=count,
                confidence=float(one.probability[inside].mean()) if count else None,
                accuracy=float(one.right[inside].mean()) if count else None,
            )
        )
    return tuple(made)
