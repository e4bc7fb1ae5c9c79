"""What to take: ties are ties, nothing wins without evidence, unstable levels win nothing."""

from __future__ import annotations

import pytest

from hubkit.formats.report_numbers import Digits
from hubkit.formats.summary import summary_of
from hubkit.formats.verdict import verdict
from hubkit.formats.view import View
from hubkit.formats_records import FormatsReport, ServingCurve
from tests.formats.examples import (
    DYNAMIC,
    REFERENCE,
    STATIC,
    level,
    make_embeddings,
    make_formats,
    serving,
)


def of(*curves: ServingCurve) -> FormatsReport:
    return make_formats(serving=curves)


def test_the_fastest_wins_and_what_is_near_it_is_a_tie() -> None:
    found = verdict(View(make_formats()))
    assert found.throughput
    assert (found.throughput.engine, found.throughput.ties) == (DYNAMIC, (STATIC,))
    assert found.latency
    assert (found.latency.engine, found.latency.ties) == (DYNAMIC, ())
    assert found.latency.ahead == pytest.approx(12.1 / 11.3)
    assert found.same
    assert found.same.engine == "openvino-cpu-best"
    assert found.changing == (DYNAMIC,)
    assert found.where == "in-process"


def test_windows_that_overlap_are_a_tie_however_far_the_means_are() -> None:
    noisy = serving(STATIC, 10.0, 100.0, clients=1)
    wide = level(1, 100.0, 10.0, stable=False).windows
    noisy = noisy.model_copy(
        update={"levels": tuple(one.model_copy(update={"windows": wide}) for one in noisy.levels)}
    )
    found = verdict(View(of(noisy, serving(REFERENCE, 11.0, 90.0, clients=1)))).throughput
    assert found
    assert found.ties == (REFERENCE,)


def test_windows_before_a_level_was_stable_make_no_tie() -> None:
    slow = serving(REFERENCE, 20.0, 50.0, clients=1)
    early = level(1, 90.0, 11.0).windows
    slow = slow.model_copy(
        update={
            "levels": tuple(
                one.model_copy(update={"windows": (*early, *one.windows)}) for one in slow.levels
            )
        }
    )
    found = verdict(View(of(slow, serving(STATIC, 10.0, 100.0, clients=1)))).throughput
    assert found
    assert (found.engine, found.ties) == (STATIC, ())


def at_speed(curve: ServingCurve, gflops: float) -> ServingCurve:
    levels = tuple(one.model_copy(update={"machine_gflops": gflops}) for one in curve.levels)
    return curve.model_copy(update={"levels": levels})


@pytest.mark.parametrize(
    ("first", "second", "ties"),
    [
        (200.0, 120.0, (REFERENCE,)),  # 1.5 times as fast, on a machine 1.67 times as fast
        (200.0, 170.0, ()),  # readings differ by as much on a quiet machine
        (120.0, 200.0, ()),  # ahead though the machine was slower
    ],
)
def test_a_lead_that_the_machines_speed_explains_is_none(
    first: float, second: float, ties: tuple[str, ...]
) -> None:
    fast = at_speed(serving(STATIC, 10.0, 150.0, clients=4), first)
    slow = at_speed(serving(REFERENCE, 15.0, 100.0, clients=4), second)
    found = verdict(View(of(fast, slow)))
    assert found.throughput
    assert (found.throughput.engine, found.throughput.ties) == (STATIC, ties)
    assert found.latency
    assert (found.latency.engine, found.latency.ties) == (STATIC, ties)


def test_levels_of_a_slower_machine_are_told_from_the_others() -> None:
    quick = at_speed(serving(STATIC, 10.0, 150.0, clients=1), 200.0)
    slow = at_speed(serving(REFERENCE, 15.0, 100.0, clients=1), 110.0)
    untold = serving(DYNAMIC, 5.0, 200.0, clients=1)
    view = View(of(quick, slow, untold))
    shares = [view.slowed(curve.levels[0]) for curve in (quick, slow, untold)]
    assert shares == [None, 0.55, None]
    assert view.slowest == 0.55
    assert View(of(quick, untold)).slowest is None


def test_one_engine_alone_has_won_nothing() -> None:
    found = verdict(View(of(serving(REFERENCE, 10.0, 100.0)))).throughput
    assert found
    assert found.alone


def test_nothing_wins_where_nothing_was_measured() -> None:
    found = verdict(View(of()))
    assert (found.throughput, found.latency, found.same, found.where) == (None, None, None, None)


def test_an_unstable_level_wins_nothing_while_another_is_stable() -> None:
    wild = serving(DYNAMIC, 1.0, 1000.0, clients=4, unstable=(1, 2, 3, 4))
    report = of(wild, serving(REFERENCE, 10.0, 100.0, clients=4))
    found = verdict(View(report))
    assert found.throughput
    assert found.throughput.engine == REFERENCE
    assert found.throughput.compared == 2
    assert found.throughput.passed_over == (DYNAMIC,)  # and is said to be left out
    best = next(one for one in View(report).served if one.curve.engine == DYNAMIC).best
    assert best
    assert not best.stable


def test_each_figure_of_an_engine_has_its_own_mark() -> None:
    shaky = serving(STATIC, 10.0, 150.0, clients=4, unstable=(1,))
    shown = next(e for e in summary_of(of(shaky)).engines if e.engine == STATIC)
    assert (shown.stable, shown.one_stable) == (True, False)


def test_a_server_is_not_compared_with_what_runs_in_process() -> None:
    remote = serving("theirs", 0.1, 9000.0, where="kserve-v2", server="triton")
    found = verdict(View(of(serving(REFERENCE, 10.0, 100.0), remote)))
    assert found.where == "in-process"
    assert found.throughput
    assert found.throughput.engine == REFERENCE
    assert verdict(View(of(remote))).where == "kserve-v2"


def test_without_a_noise_floor_no_outputs_are_said_to_be_those_of_fp32() -> None:
    assert verdict(View(make_embeddings())).same is None


def test_the_summary_is_the_report_condensed() -> None:
    short = summary_of(make_formats())
    assert [part.flops for part in short.parts] == [98_304, 2_720_464_896, 294_912]
    assert [part.memory_bound for part in short.parts] == ["always", "never", "up-to"]
    assert short.parts[2].memory_bound_up_to == 7
    by = {one.engine: one for one in short.engines}
    assert by[REFERENCE].is_reference
    assert by[REFERENCE].mean_abs is None
    assert by[DYNAMIC].best_per_s == pytest.approx(93.4)
    assert by[DYNAMIC].steady is False
    assert by["openvino-cpu-bf16"].best_per_s is None
    assert short.missing == 2


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (0, "0"),
        (0.00062, "0.000620"),
        (0.31913, "0.319"),
        (4.7912, "4.79"),
        (34.1, "34.1"),
        (612.276, "612"),
        (11034.3, "11,034"),
        (6.2e-7, "6.2e-07"),
        (None, "not measured"),
    ],
)
def test_three_digits_are_shown(value: float | None, said: str) -> None:
    assert Digits().significant(value) == said
