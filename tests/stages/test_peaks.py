"""The micro-benchmarks behind the roofline, on matrices that take no time."""

from __future__ import annotations

import io
import os
import time

import pytest

from hubkit.errors import HubkitError
from hubkit.formats_records import Peak
from hubkit.machine import machine_info
from hubkit.stages import peaks as stage_module
from hubkit.stages import peaks_worker as module
from hubkit.stages.peaks import PeaksInput, peaks
from hubkit.stages.peaks_worker import Ask, best_size, least_time, measure
from hubkit.store import Store
from tests.stages.evaluation_data import context

ASK = Ask(threads=1, gpu=False, float16=False, memory_gib=0.05)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_SIZES", {"cpu": (32, 64), "cuda": (32,)})
    monkeypatch.setattr(module, "_ROUND_SECONDS", 0.002)
    monkeypatch.setattr(module, "_LEAST_COPY", 1 << 20)


@pytest.mark.usefixtures("small")
def test_each_precision_has_a_peak_or_a_reason() -> None:
    found = measure(ASK)
    measured = {peak.precision for peak in found.peaks}
    assert {"fp32", "int8"} <= measured
    assert measured.isdisjoint(found.missing)
    assert measured | set(found.missing) == {"fp32", "fp16", "bf16", "int8"}
    assert "float16" in found.missing["fp16"]
    assert all(peak.flops_per_s > 1e6 and peak.size in (32, 64) for peak in found.peaks)
    (copy,) = found.bandwidths
    assert copy.bytes_per_s > 1e8
    assert copy.size_bytes >= 1 << 20


def test_a_time_is_the_median_of_the_least(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_ROUND_SECONDS", 0.0)
    delays = iter([0.2, 0.005, 0.05, 0.01])  # the first is not timed

    assert 0.009 < least_time(lambda: time.sleep(next(delays))) < 0.04


def test_larger_products_are_not_tried_once_one_takes_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "_ROUND_SECONDS", 0.0)
    monkeypatch.setattr(module, "_TOO_SLOW_SECONDS", 0.01)
    tried = []

    def maker(size: int) -> module.Call:
        tried.append(size)
        return lambda: time.sleep(0.015)

    size, speed = best_size(maker, (8, 16, 32))
    assert tried == [8]
    assert size == 8
    assert speed < 2 * 8**3 / 0.015


def test_the_fastest_library_is_the_peak(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    def peak(by: str, speed: float, precision: str = "fp32") -> Peak:
        return Peak.model_validate(
            {"precision": precision, "device": "cpu", "flops_per_s": speed, "size": 8, "by": by}
        )

    made = module.Found(
        peaks=(peak("one", 1.0), peak("other", 3.0), peak("one", 2.0, "int8")),
        bandwidths=(),
        missing={"fp16": "no"},
    )
    monkeypatch.setattr(stage_module, "_measured", lambda ask, folder: made)
    machine = machine_info()
    with context(Store(tmp_path_factory.mktemp("store"))) as ctx:
        found = peaks(PeaksInput(machine=machine, threads=2), ctx)
    assert [(p.precision, p.by) for p in found.peaks] == [("fp32", "other"), ("int8", "one")]
    assert (found.machine, found.threads, found.missing) == (machine, 2, {"fp16": "no"})


def test_a_process_that_fails_is_an_error(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stage_module, "_WORKER", "raise SystemExit(3)")
    with (
        context(Store(tmp_path_factory.mktemp("store"))) as ctx,
        pytest.raises(HubkitError, match="code 3"),
    ):
        peaks(PeaksInput(machine=machine_info(), threads=1), ctx)


@pytest.mark.usefixtures("small")
def test_the_process_answers_with_nothing_but_the_answer(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(ASK.model_dump_json()))
    before = os.dup(1)
    try:
        module.main()
    finally:
        os.dup2(before, 1)
        os.close(before)
    printed = capfd.readouterr().out
    assert module.Found.model_validate_json(printed).peaks


@pytest.mark.conformance
def test_this_machine_is_measured(tmp_path_factory: pytest.TempPathFactory) -> None:
    with context(Store(tmp_path_factory.mktemp("store"))) as ctx:
        found = peaks(PeaksInput(machine=machine_info(), threads=1), ctx)
    assert {peak.precision for peak in found.peaks} >= {"fp32", "int8"}
    assert all(peak.flops_per_s > 1e8 for peak in found.peaks)
    assert found.bandwidths[0].size_bytes >= 1 << 20
