"""How fast the machine itself is at this moment, whatever model is measured on it.

A shared machine is slower at some times than at others, by a factor that has nothing to do with the
engine under load. The same products of float32 matrices, timed before and after each level, tell
the one from the other.
"""

from __future__ import annotations

import time
from time import perf_counter

_SIZE = 512  # of the square matrices: three of them stay in a second-level cache
# Threads of onnxruntime were seen to spin for 45 ms after their last call.
_SETTLE_S, _SECONDS = 0.06, 0.04


def machine_gflops() -> float:
    """Products of float32 matrices by numpy with its own threads: 1e9 operations a second, two for
    a multiply-accumulate. Takes 0.1 s; nothing of hubkit's is to run meanwhile."""
    import numpy as np

    draw = np.random.default_rng(0)
    one, other = (draw.standard_normal((_SIZE, _SIZE), np.float32) for _ in range(2))
    product = np.empty_like(one)
    time.sleep(_SETTLE_S)
    np.matmul(one, other, out=product)
    calls, began = 0, perf_counter()
    while (seconds := perf_counter() - began) < _SECONDS:
        np.matmul(one, other, out=product)
        calls += 1
    return 2 * _SIZE**3 * calls / seconds / 1e9
