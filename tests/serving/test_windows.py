"""Windows, their steadiness, and the level that they make."""

from __future__ import annotations

import pytest

from hubkit.formats_records import ServingPlan
from hubkit.serving.windows import Meter, Taken, level_of, steady


def _taken(rate: int, mean_ms: float) -> Taken:
    return Taken([round(mean_ms * 1e6)] * rate, 0, 1.0, 0.5)


def test_three_windows_in_a_row_within_a_tenth_are_steady() -> None:
    good = [_taken(100, 10), _taken(105, 10.5), _taken(98, 9.9)]
    assert steady([_taken(10, 90), *good])
    assert not steady(good[:2])
    assert not steady([*good[:2], _taken(130, 10)])
    assert not steady([*good[:2], _taken(100, 13)])
    assert not steady([*good, _taken(10, 90)])


def test_a_level_is_of_the_last_three_or_of_all() -> None:
    windows = [_taken(10, 90), _taken(100, 10), _taken(100, 10), _taken(100, 10)]
    level = level_of(windows, batch_size=2, concurrency=4)
    assert (level.requests, level.seconds, level.stable) == (300, 3.0, True)
    assert level.throughput_per_s == 200
    assert level.mean_ms == pytest.approx(10)
    assert level.cpu_cores == pytest.approx(0.5)
    assert len(level.windows) == 4
    unstable = level_of(windows[:3], batch_size=1, rate_per_s=70.0)
    assert (unstable.loop, unstable.requests, unstable.stable) == ("open", 210, False)


def test_percentiles_are_over_all_requests() -> None:
    window = Taken([n * 1_000_000 for n in range(1, 102)], 3, 1.0, None)
    level = level_of([window], batch_size=1, concurrency=1)
    assert (level.p50_ms, level.p90_ms, level.p95_ms, level.p99_ms) == (51, 91, 96, 100)
    assert level.errors == 3
    assert level.cpu_cores is None


def test_the_meter_cuts_windows_after_warming_up() -> None:
    plan = ServingPlan(window_s=1.0, min_requests=2, warmup_requests=2, max_windows=2)
    meter = Meter(plan)
    meter.add(999_000_000)
    assert not meter.tick(0)
    meter.add(999_000_000)
    assert not meter.tick(10)  # warm now
    meter.add(1_000_000)
    assert not meter.tick(1_500_000_000)  # long enough, but one request is too few
    meter.add(3_000_000)
    assert not meter.tick(1_600_000_000)
    meter.add(1_000_000)
    meter.fail("500")
    meter.add(1_000_000)
    assert meter.tick(2_700_000_000)  # two windows are the most
    assert [len(one.latencies_ns) for one in meter.windows] == [2, 2]
    assert meter.windows[0].seconds == pytest.approx(1.6)
    assert [one.errors for one in meter.windows] == [0, 1]


@pytest.mark.parametrize(("level_s", "windows"), [(0.5, 3), (3.5, 4), (100.0, 10)])
def test_what_never_gets_steady_ends_in_time_but_not_before_three_windows(
    level_s: float, windows: int
) -> None:
    plan = ServingPlan(window_s=1.0, min_requests=1, warmup_requests=1, level_s=level_s)
    meter = Meter(plan)
    meter.add(1)
    assert not meter.tick(0)
    for second in range(1, 20):
        meter.add(10 ** (6 + second % 2))  # now 1 ms, now 10
        if meter.tick(second * 1_000_000_000):
            break
    assert len(meter.windows) == windows


def test_who_only_fails_is_hopeless() -> None:
    meter = Meter(ServingPlan())
    for _ in range(20):
        meter.fail("500: no")
    assert meter.hopeless
    assert meter.first_error == "500: no"
    meter.add(1)
    assert not meter.hopeless
