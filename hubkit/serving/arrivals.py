"""When requests of an open loop are due: a Poisson process, the same in every run.

Given how many arrivals of a Poisson process fall into an interval, they are spread over it
uniformly at random (J. F. C. Kingman, Poisson Processes, 1993). So each window is given the number
that is expected of it, at such times: within a window requests come in bunches as they do of
themselves, and windows differ in what the server did, not in how many came.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

from hubkit.formats_records import ServingPlan

# Of the plan's least requests in a window: latencies under random arrivals vary more.
_MORE = 2


def per_window(plan: ServingPlan, rate_per_s: float) -> int:
    """How many requests a window of an open loop has."""
    return max(_MORE * plan.min_requests, round(rate_per_s * plan.window_s), 1)


def open_plan(plan: ServingPlan, rate_per_s: float) -> ServingPlan:
    """The plan with windows as long as the arrivals of one take."""
    seconds = per_window(plan, rate_per_s) / rate_per_s
    return plan.model_copy(update={"window_s": seconds, "min_requests": 1})


def arrivals(plan: ServingPlan, rate_per_s: float) -> Iterator[int]:
    """Nanoseconds from the start to each request, rising, without end."""
    draw = random.Random(plan.seed)
    count = per_window(plan, rate_per_s)
    span = count / rate_per_s * 1e9
    number = 0
    while True:
        for at in sorted(draw.random() for _ in range(count)):
            yield int((number + at) * span)
        number += 1
