"""What `hubkit sweep` prints when it is done."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

from hubkit.cli.show import as_json, stage_seconds
from hubkit.cli.show_full import full_table_of
from hubkit.output import output

if TYPE_CHECKING:
    from hubkit.records import TimingPoint
    from hubkit.sweep_pipeline import Swept
    from hubkit.sweep_records import SweepReport, SweepRow

_WIDTH = 78
_NONE = "–"


def show_swept(swept: Swept) -> None:
    """The configurations as a table, what is fixed, and where the report is."""
    out = output()
    report, pushed = swept.report, swept.pushed
    if out.style == "json":
        out.data(
            {
                "output": str(swept.output),
                "url": pushed.url if pushed else None,
                "commit": pushed.commit if pushed else None,
                "partial": list(report.partial),
                "results": as_json(report),
                "stages": stage_seconds(swept.ran),
            }
        )
        return
    if out.style == "quiet":
        out.data(pushed.url if pushed else str(swept.output))
        return
    out.info()
    point = _middle(report)
    out.data(table_of(report, point))
    out.data("")
    if report.full is not None:
        out.data("Full and pruned; flips are against full PyTorch FP32, speed by full ONNX FP32:\n")
        out.data(full_table_of(report, point, _metric(report)))
        out.data("")
    for note in _notes(report, point):
        out.data(textwrap.fill(note, _WIDTH))
    out.data(f"\nThe report: {swept.output / 'README.md'}, {swept.output / 'report.html'}")
    if pushed:
        done = "One commit" if pushed.made_commit else "Nothing had changed, no commit"
        out.data(f"{done}, verified: {pushed.url}")


def _middle(report: SweepReport) -> tuple[int, int]:
    sweep = report.sweep
    sizes, lengths = sorted(sweep.batch_sizes), sorted(sweep.input_lengths)
    return sizes[len(sizes) // 2], lengths[len(lengths) // 2]


def _metric(report: SweepReport) -> str:
    return report.metric or report.evaluation.metrics[0]


def table_of(report: SweepReport, point: tuple[int, int]) -> str:
    """The baselines and the configurations, at most 80 columns wide."""
    from hubkit.cards.layout import metric_title

    header = (
        "",
        metric_title(_metric(report)),
        "Flips",
        "MB",
        f"{point[0]}×{point[1]} ms",
        "Speed",
        "",
    )
    rows = [_cells(report, v.name, v.name, v.size_bytes, point, "") for v in report.baselines]
    for number, row in enumerate(report.rows, 1):
        size = row.variant.size_bytes if row.variant else None
        name = report.measured_as(row)
        rows.append(
            _cells(
                report,
                f"{number} {row.spec.kind.removeprefix('onnx-')}",
                name,
                size,
                point,
                _said(report, row),
            )
        )
    return output().table(header, rows)


def _cells(
    report: SweepReport, label: str, name: str, size: int | None, point: tuple[int, int], said: str
) -> tuple[str, ...]:
    from hubkit.cards import numbers

    scores, timed = report.scores_of(name), _point(report, name, point)
    plain = _point(report, "onnx-fp32", point)
    found = (m for m in scores.metrics if m.name == _metric(report)) if scores else ()
    metric = next(iter(found), None)
    flips = scores.paired.flips if scores and scores.paired else None
    return (
        label,
        _NONE
        if metric is None
        else f"{numbers.score(metric.value)} ({numbers.interval(metric.interval)})",
        _NONE if flips is None else numbers.count(flips),
        _NONE if size is None else numbers.megabytes(size),
        _NONE if timed is None else numbers.milliseconds(timed.mean_ms),
        _NONE if timed is None or plain is None else numbers.ratio(plain.mean_ms / timed.mean_ms),
        said,
    )


def _point(report: SweepReport, name: str, point: tuple[int, int]) -> TimingPoint | None:
    timing = report.timing_of(name)
    found = (p for p in timing.points if (p.batch_size, p.input_length) == point) if timing else ()
    return next(iter(found), None)


def _said(report: SweepReport, row: SweepRow) -> str:
    if row.failed:
        return "failed"
    if row.same_as is None:
        return ""
    names = {other.name: str(number) for number, other in enumerate(report.rows, 1)}
    return f"= {names.get(row.same_as, row.same_as)}"


def _notes(report: SweepReport, point: tuple[int, int]) -> list[str]:
    """A line for each configuration, of what is not the same in all, and the failures."""
    from hubkit.sweep_plan import parameters

    every = [parameters(row.spec) for row in report.rows]
    kinds = [str(one.pop("quantization_approach")) for one in every]
    values = {k: {str(one[k]) for one in every if one[k] is not None} for k in every[0]}
    varied = [k for k, found in values.items() if len(found) > 1]
    notes = [
        f"{number} {kind}: "
        + ", ".join(f"{k} {_text(one[k])}" for k in varied if one[k] is not None)
        for number, (kind, one) in enumerate(zip(kinds, every, strict=True), 1)
        if varied
    ]
    notes += [
        f"{number} failed: {row.failed.reason}"
        for number, row in enumerate(report.rows, 1)
        if row.failed
    ]
    noise = next((n for n in report.noise if (n.batch_size, n.input_length) == point), None)
    if noise:
        notes.append(
            f"Two runs of ONNX FP32 itself differ by up to {noise.relative:.0%} here: smaller"
            " differences in speed mean nothing."
        )
    return [*notes, *(f"PARTIAL: {reason}; not to be published." for reason in report.partial)]


def _text(value: object) -> str:
    if isinstance(value, tuple):
        return "+".join(map(str, value)) or "none"
    return str(value)
