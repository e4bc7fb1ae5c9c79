"""The report on formats condensed: what its first table, the card and the terminal show."""

from __future__ import annotations

from hubkit.formats.verdict import comparable
from hubkit.formats.view import View
from hubkit.formats_records import FormatsReport, PartCost
from hubkit.formats_summary import EngineSummary, FormatsSummary, PartSummary


def summary_of(report: FormatsReport) -> FormatsSummary:
    """What the card says of a report."""
    view, cost = View(report), report.cost
    return FormatsSummary(
        input_length=cost.input_length if cost else None,
        flops=cost.flops if cost else None,
        counter=cost.counter if cost else "",
        uncounted=view.uncounted,
        gpu=report.gpu.name if report.gpu else None,
        parts=tuple(_part(view, part) for part in cost.parts) if cost else (),
        reference=view.label(report.reference),
        noise_floor=view.noise_floor,
        where=comparable(view)[1],
        engines=tuple(_engine(view, one.name) for one in view.measured),
        missing=len(view.missing),
        partial=bool(report.partial),
    )


def _part(view: View, cost: PartCost) -> PartSummary:
    roof = view.headline(cost.part)
    return PartSummary(
        part=cost.part,
        flops=cost.flops,
        parameters=cost.parameters,
        memory_bound=roof.memory_bound if roof else None,
        memory_bound_up_to=roof.memory_bound_up_to if roof else None,
    )


def _engine(view: View, name: str) -> EngineSummary:
    served = next((one for one in comparable(view)[0] if one.curve.engine == name), None)
    best = served.best if served else None
    one = served.at_one if served else None
    found = view.divergence(name)
    steady = view.invariance(name)
    distance = found.distance if found and name != view.report.reference else None
    return EngineSummary(
        engine=name,
        label=view.label(name),
        is_reference=name == view.report.reference,
        mean_abs=distance.mean_abs if distance else None,
        max_abs=distance.max_abs if distance else None,
        min_cosine=distance.min_cosine if distance else None,
        flips=distance.flips if distance else None,
        steady=steady.holds if steady else None,
        best_per_s=best.throughput_per_s if best else None,
        best_clients=best.concurrency if best else None,
        best_p50_ms=best.p50_ms if best else None,
        best_p99_ms=best.p99_ms if best else None,
        one_mean_ms=one.mean_ms if one else None,
        stable=best is None or best.stable,
        one_stable=one is None or one.stable,
    )
