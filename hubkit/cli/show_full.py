"""The full and the pruned model of a sweep, as a table for a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hubkit.output import output

if TYPE_CHECKING:
    from hubkit.records import TimingPoint, Variant
    from hubkit.sweep_records import SweepReport

_NONE = "–"
_FULL = "full-"


def full_table_of(report: SweepReport, point: tuple[int, int], metric: str) -> str:
    """FP32 of both, then INT8 of both, at most 80 columns wide; empty where none was pruned."""
    from hubkit.cards.layout import metric_title

    built = report.lock.built
    if report.full is None or built is None or built.pruned is None:
        return ""
    before, after = built.pruned.layers_before, len(built.pruned.layers_kept)
    int8 = [
        (row.variant, f"INT8 {number} {row.spec.kind.removeprefix('onnx-')}", layers, kind)
        for rows, layers, kind in (
            (report.full.rows, before, "full"),
            (report.rows, after, "pruned"),
        )
        for number, row in enumerate(rows, 1)
        if row.same_as is None
    ]
    fp32 = [
        (variant, "PyTorch FP32" if variant.format == "pytorch" else "ONNX FP32", layers, kind)
        for found, layers, kind in (
            (report.full.baselines, before, "full"),
            (report.baselines, after, "pruned"),
        )
        for variant in found
    ]
    header = ("", "Layers", metric_title(metric), "Flips", "MB", f"{point[0]}×{point[1]} ms")
    rows = [
        (f"{kind} {said}", str(layers), *_measured(report, variant, point, metric))
        for variant, said, layers, kind in (*fp32, *int8)
    ]
    return output().table((*header, "Speed"), rows)


def _measured(
    report: SweepReport, variant: Variant | None, point: tuple[int, int], metric: str
) -> tuple[str, ...]:
    """Metric, flips against full PyTorch FP32, size, latency, and speed by full ONNX FP32."""
    from hubkit.cards import numbers

    if variant is None or report.full is None:
        return ("failed", _NONE, _NONE, _NONE, _NONE)
    scores = report.full.scores_of(variant.name)
    found = next((m for m in scores.metrics if m.name == metric), None) if scores else None
    flips = scores.paired.flips if scores and scores.paired else None
    mine, theirs = _at(report, variant.name, point), _at(report, f"{_FULL}onnx-fp32", point)
    return (
        _NONE if found is None else numbers.score(found.value),
        _NONE if flips is None else numbers.count(flips),
        numbers.megabytes(variant.size_bytes),
        _NONE if mine is None else numbers.milliseconds(mine.mean_ms),
        _NONE if mine is None or theirs is None else numbers.ratio(theirs.mean_ms / mine.mean_ms),
    )


def _at(report: SweepReport, name: str, point: tuple[int, int]) -> TimingPoint | None:
    timing = report.timing_of(name)
    points = timing.points if timing else ()
    return next((p for p in points if (p.batch_size, p.input_length) == point), None)
