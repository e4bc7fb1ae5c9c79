"""Latencies gathered in windows until they are steady, and the level that comes of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from hubkit.formats_records import Level, ServingPlan, Window

# As perf_analyzer judges it: each of the last three within 10 % of their mean.
_STEADY, _IN_A_ROW = 0.10, 3
# A window is closed then, however few there were.
_LONGEST_S = 10.0
_HOPELESS = 20  # errors without one right answer


@dataclass(frozen=True)
class Taken:
    """What happened in one window. `cpu_s`: of the server; None: not known."""

    latencies_ns: Sequence[int]
    errors: int
    seconds: float
    cpu_s: float | None

    @property
    def mean_ns(self) -> float:
        return sum(self.latencies_ns) / max(1, len(self.latencies_ns))

    @property
    def rate(self) -> float:
        return len(self.latencies_ns) / self.seconds


def steady(windows: Sequence[Taken]) -> bool:
    """Whether the last three agree in throughput and mean latency."""
    last = windows[-_IN_A_ROW:]
    if len(last) < _IN_A_ROW:
        return False
    return _close([one.rate for one in last]) and _close([one.mean_ns for one in last])


def _close(values: Sequence[float]) -> bool:
    mean = sum(values) / len(values)
    return mean > 0 and all(abs(value - mean) <= _STEADY * mean for value in values)


class Meter:
    """Takes latencies from any thread; `tick`, called by one, cuts them into windows."""

    def __init__(self, plan: ServingPlan, cpu_s: Callable[[], float | None] | None = None) -> None:
        self._plan = plan
        self._cpu_s = cpu_s or (lambda: None)
        self._latencies: list[int] = []
        self._errors = 0
        self._warm = False
        self._start_ns = 0
        self._cpu: float | None = None
        self.windows: list[Taken] = []
        self.total_errors = 0
        self.first_error = ""
        self.add = self._latencies.append  # ns, of a right answer

    def fail(self, what: str) -> None:
        """An answer that is none."""
        self._errors += 1
        self.total_errors += 1
        self.first_error = self.first_error or what

    @property
    def hopeless(self) -> bool:
        """Whether there were errors, and nothing else."""
        right = self._latencies or any(one.latencies_ns for one in self.windows)
        return self.total_errors >= _HOPELESS and not right

    def tick(self, now_ns: int) -> bool:
        """Whether there are windows enough, at this moment of `time.perf_counter_ns`."""
        if not self._warm:
            # Who gets errors alone will not become warm of it.
            seen = len(self._latencies) + self._errors
            if seen >= self._plan.warmup_requests:
                self._warm = True
                self._begin(now_ns)
            return False
        seconds = (now_ns - self._start_ns) / 1e9
        enough = seconds >= self._plan.window_s and len(self._latencies) >= self._plan.min_requests
        if not enough and seconds < max(_LONGEST_S, self._plan.window_s):
            return False
        cpu, before = self._cpu_s(), self._cpu
        used = cpu - before if cpu is not None and before is not None else None
        self.windows.append(Taken(self._latencies, self._errors, seconds, used))
        self._begin(now_ns)
        return steady(self.windows) or self._tried_enough()

    def _tried_enough(self) -> bool:
        if len(self.windows) >= self._plan.max_windows:
            return True
        spent = sum(one.seconds for one in self.windows)
        return len(self.windows) >= _IN_A_ROW and spent >= self._plan.level_s

    def left_s(self, now_ns: int) -> float:
        """How long it takes at least until the window can end."""
        if not self._warm:
            return 0.001
        return max(0.001, self._plan.window_s - (now_ns - self._start_ns) / 1e9)

    def _begin(self, now_ns: int) -> None:
        self._latencies, self._errors = [], 0
        self.add = self._latencies.append
        self._start_ns, self._cpu = now_ns, self._cpu_s()


def level_of(
    windows: Sequence[Taken],
    *,
    batch_size: int,
    concurrency: int | None = None,
    rate_per_s: float | None = None,
    peak_rss_mb: float | None = None,
) -> Level:
    """The level that windows make: of the last three, or of all where they never were steady."""
    stable = steady(windows)
    used = windows[-_IN_A_ROW:] if stable else windows
    pooled = sorted(latency for one in used for latency in one.latencies_ns)
    seconds = sum(one.seconds for one in used)
    cpu = [one.cpu_s for one in used if one.cpu_s is not None]
    return Level(
        loop="open" if rate_per_s is not None else "closed",
        concurrency=concurrency,
        rate_per_s=rate_per_s,
        requests=len(pooled),
        errors=sum(one.errors for one in used),
        seconds=seconds,
        throughput_per_s=len(pooled) * batch_size / seconds,
        mean_ms=sum(pooled) / max(1, len(pooled)) / 1e6,
        p50_ms=percentile(pooled, 50) / 1e6,
        p90_ms=percentile(pooled, 90) / 1e6,
        p95_ms=percentile(pooled, 95) / 1e6,
        p99_ms=percentile(pooled, 99) / 1e6,
        stable=stable,
        windows=tuple(_window(one, batch_size) for one in windows),
        cpu_cores=sum(cpu) / seconds if len(cpu) == len(used) else None,
        peak_rss_mb=peak_rss_mb,
    )


def _window(one: Taken, batch_size: int) -> Window:
    ordered = sorted(one.latencies_ns)
    return Window(
        requests=len(ordered),
        seconds=one.seconds,
        throughput_per_s=one.rate * batch_size,
        mean_ms=one.mean_ns / 1e6,
        p99_ms=percentile(ordered, 99) / 1e6,
    )


def percentile(ordered: Sequence[int], percent: float) -> float:
    """Percentile of ascending values, linear between neighbours (type 7 of Hyndman & Fan 1996);
    0 where there are none."""
    if not ordered:
        return 0.0
    position = (len(ordered) - 1) * percent / 100
    below = math.floor(position)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (position - below)
