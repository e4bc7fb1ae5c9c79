"""What is remembered of a tensor's values: exact extremes, and a histogram that can be merged."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]
    Counts = NDArray[np.int64]

_LOG2_BINS = 13
BINS = 1 << _LOG2_BINS  # on each side of zero
# Bins are never narrower than for values below 2**-100. From 2**100 on a value is no measurement
# but stands for infinity: the masks of attention are -3.4e38, the least float32, or -inf itself.
# Among the bins it would make them so wide that all measurements fell into one.
_LEAST, _MOST = -100, 100
_BLOCK = 1 << 16  # values that are counted at once: small enough for a core's own cache


@dataclass
class Histogram:
    """Counts of values in bins of one width, a power of two, with edges at its multiples.

    The width is the least at which all values fit BINS bins on each side of zero. When a larger
    value comes, neighbours are merged, two and two. So the result does not depend on the order of
    values, or on how they were cut into parts: it is that of all values at once.
    """

    exponent: int = _LEAST  # all counted magnitudes are below 2**exponent
    # counts[BINS + k]: values v with v / width cut to the whole number k; of counts[BINS], which
    # reaches from -width to width, the negative ones are those of `negatives` that are missed below
    counts: Counts = field(default_factory=lambda: _zeros(2 * BINS))
    negatives: int = 0
    low: float = math.inf  # extremes of what is counted in bins
    high: float = -math.inf
    below: int = 0  # values of -2**100 or less
    above: int = 0  # of 2**100 or more
    lowest: float = math.inf  # extremes of these two
    highest: float = -math.inf
    nans: int = 0

    @property
    def width(self) -> float:
        """Of a bin."""
        return math.ldexp(1.0, self.exponent - _LOG2_BINS)

    @property
    def extremes(self) -> tuple[float, float]:
        """The least and the largest value, infinities included; (inf, -inf) of no values."""
        return min(self.low, self.lowest), max(self.high, self.highest)

    def add(self, values: Floats) -> None:
        """Count values of any shape. NaN are told apart, as onnxruntime's calibrators do."""
        flat = values.reshape(-1)
        if not flat.size:
            return
        low, high = float(flat.min()), float(flat.max())
        if not max(-low, high) < math.ldexp(1.0, _MOST):  # NaN are neither
            flat = self._put_aside(flat)
            if not flat.size:
                return
            low, high = float(flat.min()), float(flat.max())
        self.low, self.high = min(self.low, low), max(self.high, high)
        if largest := max(-low, high):
            self._widen(math.frexp(largest)[1])
        self._count(flat)
        self.negatives += _negatives(flat, low, high)

    def _put_aside(self, flat: Floats) -> Floats:
        import numpy as np

        ordinary = np.abs(flat) < np.float32(math.ldexp(1.0, _MOST))
        odd = flat[~ordinary]
        below, above = odd[odd < 0], odd[odd > 0]
        for side in (below, above):  # NaN are on neither
            self.lowest = float(side.min(initial=self.lowest))
            self.highest = float(side.max(initial=self.highest))
        self.below += below.size
        self.above += above.size
        self.nans += odd.size - below.size - above.size
        rest: Floats = flat[ordinary]
        return rest

    def _count(self, flat: Floats) -> None:
        import numpy as np

        per_width = np.float32(1 / self.width)  # a power of two: the product is exact
        scaled = np.empty(min(_BLOCK, flat.size), dtype=np.float32)
        index = np.empty(scaled.size, dtype=np.int64)
        for start in range(0, flat.size, _BLOCK):
            block = flat[start : start + _BLOCK]
            size = block.size
            np.multiply(block, per_width, out=scaled[:size])
            index[:size] = scaled[:size]  # cut towards zero
            index[:size] += BINS
            self.counts += np.bincount(index[:size], minlength=2 * BINS)

    def _widen(self, exponent: int) -> None:
        steps = exponent - self.exponent
        if steps <= 0:
            return
        above, below = self.counts[BINS:].copy(), _zeros(BINS)
        below[1:] = self.counts[BINS - 1 : 0 : -1]
        above, below = _merge_bins(above, steps), _merge_bins(below, steps)
        self.counts[BINS:] = above
        self.counts[BINS] += below[0]
        self.counts[BINS - 1 : 0 : -1] = below[1:]
        self.exponent = exponent

    def merge(self, other: Histogram) -> None:
        """Count all that `other` counted; it is left with bins as wide as these."""
        self._widen(other.exponent)
        other._widen(self.exponent)
        self.counts += other.counts
        self.low, self.high = min(self.low, other.low), max(self.high, other.high)
        self.lowest = min(self.lowest, other.lowest)
        self.highest = max(self.highest, other.highest)
        self.negatives += other.negatives
        self.below += other.below
        self.above += other.above
        self.nans += other.nans

    def sided_counts(self) -> Counts:
        """int64[2 * BINS]: bin i counts values from (i - BINS) * width to (i + 1 - BINS) * width,
        zero itself among those above it."""
        found = self.counts.copy()
        found[: BINS - 1] = self.counts[1:BINS]
        found[BINS - 1] = self.negatives - int(self.counts[:BINS].sum())
        found[BINS] -= found[BINS - 1]
        return found


def _zeros(size: int) -> Counts:
    import numpy as np

    return np.zeros(size, dtype=np.int64)


def _negatives(flat: Floats, low: float, high: float) -> int:
    import numpy as np

    if low >= 0:
        return 0
    return flat.size if high < 0 else int(np.count_nonzero(flat < 0))


def _merge_bins(side: Counts, steps: int) -> Counts:
    merged = _zeros(BINS)
    steps = min(steps, _LOG2_BINS)
    merged[: BINS >> steps] = side.reshape(-1, 1 << steps).sum(axis=1)
    return merged


_WHOLE = ("exponent", "negatives", "below", "above", "nans")
_FLOAT = ("low", "high", "lowest", "highest")


def save_histograms(path: Path, histograms: Mapping[str, Histogram]) -> None:
    """Write the histograms of tensors as .npz; equal ones give equal bytes. A histogram that
    several tensors share is written once."""
    import numpy as np

    names = sorted(histograms)
    kept = list({id(histograms[name]): histograms[name] for name in names}.values())
    row = {id(histogram): at for at, histogram in enumerate(kept)}
    np.savez_compressed(
        path,
        tensors=np.array(names, dtype=np.str_),
        row=np.array([row[id(histograms[name])] for name in names], dtype=np.int64),
        counts=np.array([h.counts for h in kept], dtype=np.int64).reshape(-1, 2 * BINS),
        whole=np.array([[getattr(h, k) for k in _WHOLE] for h in kept], dtype=np.int64),
        real=np.array([[getattr(h, k) for k in _FLOAT] for h in kept], dtype=np.float64),
    )


def load_histograms(path: Path) -> dict[str, Histogram]:
    """What `save_histograms` wrote, by the name of the tensor."""
    import numpy as np

    with np.load(path, allow_pickle=False) as file:
        stored = dict(file)
    kept = [
        Histogram(
            counts=counts,
            **dict(zip(_WHOLE, whole, strict=True)),
            **dict(zip(_FLOAT, real, strict=True)),
        )
        for counts, whole, real in zip(
            stored["counts"], stored["whole"].tolist(), stored["real"].tolist(), strict=True
        )
    ]
    return {
        str(name): kept[row] for name, row in zip(stored["tensors"], stored["row"], strict=True)
    }
