"""Ranges of activations out of their statistics, by the rules of onnxruntime's calibrators.

Source: onnxruntime.quantization.calibrate, MinMaxCalibrater and HistogramCollector, there given all
rows at once: fed in parts its bins depend on the part that came first. Ranges are not symmetric.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from hubkit.backends.activation_histogram import BINS, Histogram
from hubkit.errors import ModelError
from hubkit.machine import default_threads
from hubkit.recipe import Calibration

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from onnxruntime.quantization.calibrate import TensorsData

    Real = NDArray[np.float64]

Range = tuple[float, float]
# onnxruntime's own for percentile. Its 128 for entropy leave one candidate where there are 128
# levels: the whole range, which is minmax.
DEFAULT_BINS = {"percentile": 2048, "entropy": 2048, "minmax": 0}
_LARGEST = (2 - 2**-23) * 2.0**127  # float32
_INFINITE = (2 - 2**-24) * 2.0**127  # rounded to float32
_SMOOTHING = 1e-4
_SIDE_BY_SIDE = 16  # tensors: as many as a core's own cache holds the bins of


def ranges_of(histograms: Mapping[str, Histogram], calibration: Calibration) -> dict[str, Range]:
    """(least, largest) value of each tensor to quantize for, by the calibration's method.

    Values that stand for infinity (of a mask: see `hubkit.backends.activation_histogram`) count as
    the largest float32. Where a tensor has some, percentile cuts them off if they are few enough;
    otherwise they take the whole range, as with minmax, and entropy always gives that.
    Raises ModelError where entropy has fewer bins than it is to quantize them to.
    """
    bins = calibration.num_bins or DEFAULT_BINS[calibration.method]
    if calibration.method == "entropy":
        found = _entropy(histograms, bins, calibration.num_quantized_bins)
    elif calibration.method == "percentile":
        cut = (100 - calibration.percentile) / 200  # on each side
        found = {name: _percentile(h, bins, cut) for name, h in histograms.items()}
    else:
        found = {name: h.extremes for name, h in histograms.items()}
    return {name: _finite(*pair) for name, pair in found.items()}


def tensors_data(ranges: Mapping[str, Range], calibration: Calibration) -> TensorsData:
    """Ranges in the form that onnxruntime's quantizers take."""
    import numpy as np
    from onnxruntime.quantization.calibrate import CalibrationMethod, TensorData, TensorsData

    methods = {
        "minmax": CalibrationMethod.MinMax,
        "entropy": CalibrationMethod.Entropy,
        "percentile": CalibrationMethod.Percentile,
    }
    data = {
        name: TensorData(lowest=np.float32(low), highest=np.float32(high))
        for name, (low, high) in sorted(ranges.items())
    }
    return TensorsData(methods[calibration.method], data)


def _finite(low: float, high: float) -> Range:
    low, high = max(low, -_LARGEST), min(high, _LARGEST)
    if low > high:  # no value at all
        return 0.0, 0.0
    if high - low >= _INFINITE:  # as it would be in the quantizer's own float32
        return max(low, -_LARGEST / 2), min(high, _LARGEST / 2)
    return low, high


@dataclass(frozen=True)
class _Coarse:
    """Whole counts of bins of one width from -threshold to threshold."""

    counts: Real
    edges: Real


def _coarse(histogram: Histogram, bins: int) -> _Coarse:
    """What np.histogram(values, bins, range=(-threshold, threshold)) gives, where the threshold is
    the largest magnitude: as near as the finer bins tell, within which values are taken as even."""
    import numpy as np

    threshold = max(-histogram.low, histogram.high)
    edges = np.linspace(-threshold, threshold, bins + 1)
    fine = np.arange(-BINS, BINS + 1) * histogram.width
    below = np.concatenate([[0], np.cumsum(histogram.sided_counts())])
    # Nothing is beyond the extremes: what the first and last bin count is on their near side.
    counted = np.interp(edges, np.clip(fine, histogram.low, histogram.high), below)
    counted[0], counted[-1] = 0, below[-1]  # an extreme on an edge would be on either side of it
    return _Coarse(np.diff(np.rint(counted)), edges)


def _is_plain(histogram: Histogram) -> bool:
    """Whether there is anything to divide into bins."""
    return histogram.low < histogram.high


def _percentile(histogram: Histogram, bins: int, cut: float) -> Range:
    import numpy as np

    low, high = histogram.extremes
    if not _is_plain(histogram):
        return low, high
    coarse = _coarse(histogram, bins)
    total = coarse.counts.sum() + histogram.below + histogram.above
    reached = np.cumsum(np.append(histogram.below, coarse.counts) / total)[1:]
    if histogram.below <= cut * total:
        low = max(histogram.low, float(coarse.edges[np.searchsorted(reached, cut)]))
    if histogram.above <= cut * total:
        high = min(histogram.high, float(coarse.edges[np.searchsorted(reached, 1 - cut)]))
    return low, max(low, high)


def _entropy(histograms: Mapping[str, Histogram], bins: int, levels: int) -> dict[str, Range]:
    import numpy as np

    if bins < levels:
        raise ModelError(
            f"entropy calibration with {bins} bins cannot try {levels} quantized ones",
            hint="Set calibration.num_bins to num_quantized_bins or more.",
        )
    found = {name: h.extremes for name, h in histograms.items()}
    names = [n for n, h in histograms.items() if _is_plain(h) and not h.below and not h.above]
    if not names:
        return found
    coarse = [_coarse(histograms[name], bins) for name in names]
    parts = [
        np.array([c.counts for c in coarse[at : at + _SIDE_BY_SIDE]])
        for at in range(0, len(names), _SIDE_BY_SIDE)
    ]
    with ThreadPoolExecutor(default_threads()) as pool:
        best = [
            half
            for part in pool.map(partial(_least_divergence, levels=levels), parts)
            for half in part
        ]
    for name, one, half in zip(names, coarse, best, strict=True):
        start, end = _slice(bins, half)
        low, high = found[name]
        found[name] = max(low, float(one.edges[start])), min(high, float(one.edges[end]))
    return found


def _slice(bins: int, half: int) -> tuple[int, int]:
    return bins // 2 - half, min(bins // 2 + half + 1, bins)


def _least_divergence(counts: Real, levels: int) -> list[int]:
    """For each row of counts[tensors, bins] the number of bins to keep on each side of the middle,
    so that these, quantized to `levels` bins, differ least from the row by Kullback and Leibler.

    Source: Migacz 2017 ("8-bit inference with TensorRT"), in the form that onnxruntime gives it.
    """
    import numpy as np

    bins = counts.shape[1]
    halves = range(levels // 2, bins // 2 + 1)
    least = np.full(len(counts), math.inf)
    best = np.full(len(counts), halves[0])
    for half in halves:
        divergence = _divergence(counts, *_slice(bins, half), levels)
        better = divergence < least
        least[better] = divergence[better]
        best[better] = half
    return [int(half) for half in best]


def _divergence(counts: Real, start: int, end: int, levels: int) -> Real:
    """Of p, the bins from `start` to `end` with all that is outside put into the first and the last
    of them, from q, the bins quantized to levels.

    As in onnxruntime a level is a whole number, bins that are too few for one more level are empty
    in q, and an empty bin of either gets a little, taken from the others: sums stay as they are.
    """
    import numpy as np

    size, each = end - start, (end - start) // levels
    beyond = size - levels * each
    starts = np.arange(levels + bool(beyond)) * each
    kept = counts[:, start:end]
    p = kept.copy()
    p[:, 0] += counts[:, :start].sum(axis=1)
    p[:, -1] += counts[:, end:].sum(axis=1)
    has = (p != 0).astype(np.float64)

    sums = np.add.reduceat(kept, starts, axis=1)
    sums[:, levels - 1] += sums[:, levels:].sum(axis=1)
    filled = np.add.reduceat(has, starts, axis=1)
    q = np.where(filled, np.floor(sums / np.maximum(filled, 1)), 0)
    q[:, levels:] = 0
    times = np.full(len(starts), float(each))  # how many bins a level, or the rest, is
    times[levels:] = beyond
    total, quantized = p.sum(axis=1), (q * times).sum(axis=1)

    p = np.where(has, p - _taken(has.sum(axis=1), size), _SMOOTHING)
    q = np.where(q, q - _taken(((q != 0) * times).sum(axis=1), size), _SMOOTHING)
    cross = (np.add.reduceat(p, starts, axis=1) * np.log(q)).sum(axis=1)
    # Of few values in very many bins those would give more than they have: no candidate.
    with np.errstate(divide="ignore", invalid="ignore"):
        found = (np.einsum("ij,ij->i", p, np.log(p)) - cross) / total + np.log(quantized / total)
    return np.where(quantized, found, math.inf)


def _taken(full: Real, size: int) -> Real:
    """What each of so many bins that are not empty, of `size` in all, gives to those that are:
    [tensors, 1]."""
    import numpy as np

    found: Real = _SMOOTHING * (size - full) / np.maximum(full, 1)
    return found[:, None]
