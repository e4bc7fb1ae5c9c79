"""The roofline of a model on a machine: what bounds each part, memory or arithmetic.

Source: Williams, Waterman and Patterson, Roofline: An Insightful Visual Performance Model for
Multicore Architectures (2009): no less time than max(operations / peak, bytes / bandwidth).

A batch of b sentences computes b × flops and moves weights + b × activations. Widths: weights take
4 bytes a number in FP32, 2 in FP16 and BF16, 1 in INT8. Activations take 4, 2 and 2; with INT8
weights they take 4, since dynamic quantization keeps them in FP32 between the products. What the
elementwise operations of an INT8 model compute in FP32 is counted at the INT8 peak too, and what a
cache keeps is counted as moved: both are stated with the limits, which are of this model of a
machine and not of nature.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Literal

from hubkit.formats_records import (
    BatchCurve,
    BatchPoint,
    Cost,
    Device,
    Engine,
    PartCost,
    Peak,
    Peaks,
    Roofline,
)

Precision = Literal["fp32", "fp16", "bf16", "int8"]
_FULL = 4  # bytes of a number in FP32, in which costs are counted
WEIGHT_BYTES: dict[Precision, int] = {"fp32": 4, "fp16": 2, "bf16": 2, "int8": 1}
ACTIVATION_BYTES: dict[Precision, int] = {"fp32": 4, "fp16": 2, "bf16": 2, "int8": 4}
_SATURATED = 0.95


def rooflines(cost: Cost, peaks: Peaks) -> tuple[Roofline, ...]:
    """Each part of the model in each precision that has a peak, device by device; parts without
    work have none."""
    return tuple(_rooflines(cost, peaks))


def _rooflines(cost: Cost, peaks: Peaks) -> Iterator[Roofline]:
    for peak in peaks.peaks:
        bandwidth = _bandwidth(peaks, peak.device)
        if bandwidth is None:
            continue
        for part in cost.parts:
            if part.flops and _bytes(part, peak.precision, 1):
                yield _roofline(part, peak, bandwidth)


def _roofline(part: PartCost, peak: Peak, bandwidth: float) -> Roofline:
    moved = _bytes(part, peak.precision, 1)
    bound, up_to = memory_bound(part, peak.precision, peak.flops_per_s, bandwidth)
    return Roofline(
        part=part.part,
        precision=peak.precision,
        device=peak.device,
        intensity=part.flops / moved,
        ridge=peak.flops_per_s / bandwidth,
        memory_bound=bound,
        memory_bound_up_to=up_to,
        floor_ms=1e3 * max(part.flops / peak.flops_per_s, moved / bandwidth),
    )


def memory_bound(
    part: PartCost, precision: Precision, flops_per_s: float, bytes_per_s: float
) -> tuple[Literal["always", "never", "up-to"], int | None]:
    """The largest b with b·flops/peak < (weights + b·activations)/bandwidth.

    Both sides grow with b; where activations alone take longer than computing, it holds for every
    b.
    """
    weights, activations = _widths(part, precision)
    gained = part.flops / flops_per_s - activations / bytes_per_s  # by each sentence more
    if gained <= 0:
        return "always", None
    crossing = weights / bytes_per_s / gained
    up_to = math.ceil(crossing) - 1
    return ("up-to", up_to) if up_to >= 1 else ("never", None)


def limit_per_s(
    cost: Cost, peaks: Peaks, precision: Precision, device: Device, batch_size: int
) -> float | None:
    """Sentences a second that the roofline allows: the parts run one after another. None where the
    device has no peak of that precision."""
    peak = _peak(peaks, precision, device)
    bandwidth = _bandwidth(peaks, device)
    if peak is None or bandwidth is None:
        return None
    seconds = sum(
        max(
            batch_size * part.flops / peak.flops_per_s,
            _bytes(part, precision, batch_size) / bandwidth,
        )
        for part in cost.parts
    )
    return batch_size / seconds if seconds else None


def precision_of(engine: Engine, peaks: Peaks) -> Precision:
    """What an engine's limit is taken at: its precision; of "best" the fastest of the floating
    point ones that it may choose from; FP32 where the device has no peak of it, which is what such
    a product is then made of."""
    if engine.precision == "best":
        floats = [
            peak
            for peak in peaks.peaks
            if peak.device == engine.device and peak.precision in ("fp32", "fp16", "bf16")
        ]
        return max(floats, key=lambda one: one.flops_per_s).precision if floats else "fp32"
    found = _peak(peaks, engine.precision, engine.device)
    return engine.precision if found else "fp32"


def batch_curve(
    engine: Engine,
    measured: Sequence[tuple[int, float]],
    cost: Cost | None,
    peaks: Peaks,
    threads: int,
    input_length: int,
) -> BatchCurve:
    """What was measured as (batch size, milliseconds a call), beside what the roofline allows where
    that is known."""
    precision = precision_of(engine, peaks)
    points = []
    for size, mean_ms in measured:
        limit = limit_per_s(cost, peaks, precision, engine.device, size) if cost else None
        speed = 1e3 * size / mean_ms
        points.append(
            BatchPoint(
                batch_size=size,
                mean_ms=mean_ms,
                throughput_per_s=speed,
                limit_per_s=limit,
                share=speed / limit if limit else None,
            )
        )
    return BatchCurve(
        engine=engine.name,
        input_length=input_length,
        threads=threads,
        points=tuple(points),
        saturates_at=saturates_at(points),
    )


def saturates_at(points: Sequence[BatchPoint]) -> int | None:
    """The least batch size within 5 % of the best throughput; None of no points."""
    best = max((point.throughput_per_s for point in points), default=0.0)
    able = (p.batch_size for p in points if p.throughput_per_s >= _SATURATED * best)
    return min(able, default=None)


def _widths(part: PartCost, precision: Precision) -> tuple[float, float]:
    """Bytes of weights, and of activations of one sentence."""
    return (
        part.weight_bytes * WEIGHT_BYTES[precision] / _FULL,
        part.activation_bytes * ACTIVATION_BYTES[precision] / _FULL,
    )


def _bytes(part: PartCost, precision: Precision, batch_size: int) -> float:
    weights, activations = _widths(part, precision)
    return weights + batch_size * activations


def _peak(peaks: Peaks, precision: str, device: Device) -> Peak | None:
    found = (p for p in peaks.peaks if (p.precision, p.device) == (precision, device))
    return next(found, None)


def _bandwidth(peaks: Peaks, device: Device) -> float | None:
    return next((b.bytes_per_s for b in peaks.bandwidths if b.device == device), None)
