"""The roofline: which batch sizes are bound by memory, limits, and where a curve is flat."""

from __future__ import annotations

from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hubkit.formats_records import (
    Bandwidth,
    BatchPoint,
    Cost,
    Engine,
    EnginePrecision,
    PartCost,
    Peak,
    Peaks,
)
from hubkit.machine import machine_info
from hubkit.roofline import (
    batch_curve,
    limit_per_s,
    memory_bound,
    precision_of,
    rooflines,
    saturates_at,
)

GIGA = 1e9


def _part(
    name: Literal["embeddings", "backbone", "head"], flops: int, weights: int, activations: int
) -> PartCost:
    return PartCost(
        part=name,
        macs=flops // 2,
        flops=flops,
        parameters=weights // 4,
        weight_bytes=weights,
        activation_bytes=activations,
        nodes=1,
    )


def _peaks(**speeds: float) -> Peaks:
    return Peaks(
        machine=machine_info(),
        threads=1,
        peaks=tuple(
            Peak.model_validate(
                {"precision": p, "device": "cpu", "flops_per_s": s, "size": 512, "by": "a test"}
            )
            for p, s in speeds.items()
        ),
        bandwidths=(Bandwidth(device="cpu", bytes_per_s=10 * GIGA, size_bytes=1),),
    )


COST = Cost(
    input_length=16,
    parts=(
        _part("embeddings", 10_000, 0, 100_000),
        _part("backbone", 1_000_000_000, 160_000_000, 1_000_000),
        _part("head", 0, 0, 0),
    ),
    counter="by hand",
)


def _engine(precision: EnginePrecision) -> Engine:
    return Engine(name=f"e-{precision}", runtime="openvino", device="cpu", precision=precision)


numbers = st.integers(1, 10**9)


@given(numbers, numbers, numbers, st.integers(1, 10**12), st.integers(1, 10**11))
def test_the_bound_is_the_largest_batch_that_memory_bounds(
    flops: int, weights: int, activations: int, speed: int, bandwidth: int
) -> None:
    part = _part("backbone", flops, weights, activations)
    kind, up_to = memory_bound(part, "fp32", speed, bandwidth)

    def bound(batch: int) -> bool:  # in whole numbers, so that nothing is rounded
        return batch * flops * bandwidth < (weights + batch * activations) * speed

    def nearly(batch: int) -> bool:
        left, right = batch * flops * bandwidth, (weights + batch * activations) * speed
        return abs(left - right) <= 1e-9 * max(left, right)

    if kind == "never":
        assert up_to is None
        assert not bound(1) or nearly(1)
    elif kind == "always":
        assert up_to is None
        assert bound(10**15) or nearly(10**15)
    else:
        assert up_to is not None
        assert bound(up_to) or nearly(up_to)
        assert not bound(up_to + 1) or nearly(up_to + 1)


def test_a_part_by_hand() -> None:
    # 10 ms of computing a sentence at 100 GFLOP/s; 16 ms of weights and 0.1 of activations.
    found = {(one.part, one.precision): one for one in rooflines(COST, _peaks(fp32=100 * GIGA))}
    backbone = found["backbone", "fp32"]
    assert (backbone.memory_bound, backbone.memory_bound_up_to) == ("up-to", 1)
    assert backbone.floor_ms == pytest.approx(16.1)
    assert backbone.ridge == 10
    assert backbone.intensity == pytest.approx(1e9 / 161e6)
    assert found["embeddings", "fp32"].memory_bound == "always"
    assert ("head", "fp32") not in found  # nothing is done there


def test_int8_moves_a_quarter_of_the_weights_and_all_activations() -> None:
    found = {(one.part, one.precision): one for one in rooflines(COST, _peaks(int8=400 * GIGA))}
    assert found["backbone", "int8"].floor_ms == pytest.approx(4.1)  # 40 MB and 1 MB
    half = {(one.part, one.precision): one for one in rooflines(COST, _peaks(bf16=400 * GIGA))}
    assert half["backbone", "bf16"].floor_ms == pytest.approx(8.05)  # 80 MB and 0.5 MB


def test_the_limit_rises_to_what_computing_allows() -> None:
    peaks = _peaks(fp32=100 * GIGA)
    limits = [limit_per_s(COST, peaks, "fp32", "cpu", size) or 0 for size in (1, 2, 64)]
    assert limits == sorted(limits)
    assert limits[0] == pytest.approx(1 / (16.1e-3 + 0.01e-3))
    assert limits[2] == pytest.approx(1 / (10e-3 + 0.01e-3))
    assert limit_per_s(COST, peaks, "int8", "cpu", 1) is None
    assert limit_per_s(COST, peaks, "fp32", "cuda", 1) is None


def test_the_limit_is_taken_at_the_precision_that_is_computed_in() -> None:
    peaks = _peaks(fp32=100 * GIGA, bf16=300 * GIGA, int8=900 * GIGA)
    assert precision_of(_engine("best"), peaks) == "bf16"
    assert precision_of(_engine("int8"), peaks) == "int8"
    assert precision_of(_engine("fp16"), peaks) == "fp32"  # this machine has none


def test_a_curve_shows_its_share_of_the_limit() -> None:
    peaks = _peaks(fp32=100 * GIGA)
    found = batch_curve(_engine("fp32"), [(1, 32.2), (2, 40.0)], COST, peaks, 1, 16)
    assert found.input_length == 16
    assert found.points[0].share == pytest.approx((16.1 + 0.01) / 32.2)
    assert found.points[1].throughput_per_s == 50
    assert found.saturates_at == 2
    cuda = _engine("fp32").model_copy(update={"device": "cuda"})
    for unknown in (
        batch_curve(cuda, [(1, 1.0)], COST, peaks, 1, 16),  # no peaks of it
        batch_curve(_engine("fp32"), [(1, 1.0)], None, peaks, 1, 16),  # what it costs is not known
    ):
        assert [(one.limit_per_s, one.share) for one in unknown.points] == [(None, None)]
        assert unknown.points[0].throughput_per_s == 1000
        assert unknown.saturates_at == 1


def test_a_curve_is_flat_where_it_is_within_five_percent_of_the_best() -> None:
    def points(*speeds: float) -> list[BatchPoint]:
        return [
            BatchPoint(
                batch_size=2**at, mean_ms=1, throughput_per_s=speed, limit_per_s=100, share=1
            )
            for at, speed in enumerate(speeds)
        ]

    assert saturates_at(points(50, 90, 96, 100, 80)) == 4
    assert saturates_at(points(100, 90)) == 1
    assert saturates_at([]) is None
