"""How far apart two engines' vectors of the same sentences are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hubkit.errors import ModelError
from hubkit.formats_records import Distance
from hubkit.tasks.resampling import bootstrap_mean

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray

    Doubles = NDArray[np.float64]


@dataclass(frozen=True)
class Kept:
    """What was kept of some inputs: number -> float64[lines, width]."""

    lines: Mapping[int, Doubles]

    @classmethod
    def read(cls, arrays: Mapping[str, NDArray[np.generic]], way: str) -> Kept:
        """Of one way in vectors.npz; of none where it was not run that way."""
        import numpy as np

        if way not in arrays:
            return cls({})
        ends = np.cumsum(np.asarray(arrays[f"{way}_counts"], dtype=np.int64))
        parts = np.split(np.asarray(arrays[f"{way}_values"], dtype=np.float64), ends[:-1])
        return cls(dict(zip(np.asarray(arrays[way]).tolist(), parts, strict=True)))


def distance(
    ours: Kept, reference: Kept, *, classes: int | None = None, flips: int | None = None
) -> Distance | None:
    """Over the inputs that both have; None where there are none.

    `classes`: the axis of a line's logits, whose softmax is a distribution: 1 where each line holds
    those of all classes (labels), 0 where each column holds those of all lines (tokens); None: they
    are no logits. KL(reference ‖ ours), Kullback and Leibler 1951. A vector of zeros is like
    another one and unlike any else. Raises ModelError where the shapes differ.
    """
    import numpy as np

    numbers = sorted(set(ours.lines) & set(reference.lines))
    # An input without lines (a sentence whose words are all cut off) says nothing.
    numbers = [number for number in numbers if reference.lines[number].size]
    if not numbers:
        return None
    found = []
    for number in numbers:
        a, b = ours.lines[number], reference.lines[number]
        if a.shape != b.shape:
            raise ModelError(f"the vectors have shapes {list(a.shape)} and {list(b.shape)}")
        found.append(_one(a, b, classes))
    largest, mean, relative, cosine, divergence = np.asarray(found, dtype=np.float64).T
    sizes = np.asarray([reference.lines[number].size for number in numbers], dtype=np.float64)
    return Distance(
        rows=len(numbers),
        max_abs=float(largest.max()),
        mean_abs=float((mean * sizes).sum() / sizes.sum()),
        mean_abs_interval=bootstrap_mean(mean),
        max_relative=float(relative.max()),
        mean_relative=float(relative.mean()),
        mean_cosine=float(cosine.mean()),
        min_cosine=float(cosine.min()),
        mean_kl=None if classes is None else float(divergence.mean()),
        max_kl=None if classes is None else float(divergence.max()),
        flips=flips,
    )


def _one(a: Doubles, b: Doubles, classes: int | None) -> tuple[float, float, float, float, float]:
    import numpy as np

    difference = np.abs(a - b)
    size, ours = float(np.linalg.norm(b)), float(np.linalg.norm(a))
    apart = float(np.linalg.norm(a - b))
    relative = apart / size if size else float(apart > 0)
    cosine = float((a * b).sum() / (size * ours)) if size and ours else float(size == ours)
    kl = 0.0 if classes is None else _kl(b, a, classes)
    return (
        float(difference.max()),
        float(difference.mean()),
        relative,
        max(-1.0, min(1.0, cosine)),
        kl,
    )


def _kl(p: Doubles, q: Doubles, axis: int) -> float:
    """In nats, the mean over the distributions that the logits hold."""
    import numpy as np

    logs = [_log_softmax(one, axis) for one in (p, q)]
    each = (np.exp(logs[0]) * (logs[0] - logs[1])).sum(axis=axis)
    return max(0.0, float(each.mean()))


def _log_softmax(logits: Doubles, axis: int) -> Doubles:
    import numpy as np

    shifted = logits - logits.max(axis=axis, keepdims=True)
    found: Doubles = shifted - np.log(np.exp(shifted).sum(axis=axis, keepdims=True))
    return found
