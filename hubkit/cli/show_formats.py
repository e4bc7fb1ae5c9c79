"""What `hubkit report formats` prints when it is done."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

from hubkit.cli.show import as_json, stage_seconds
from hubkit.output import output

if TYPE_CHECKING:
    from hubkit.formats.report_numbers import Digits
    from hubkit.formats.verdict import Winner
    from hubkit.formats.view import View
    from hubkit.formats_pipeline import Reported
    from hubkit.formats_records import FormatsReport
    from hubkit.formats_summary import EngineSummary, PartSummary

_WIDTH = 78
_NONE = "–"


def show_reported(reported: Reported) -> None:
    """Cost, differences and load in few lines, what to take, and where the report is."""
    out = output()
    report = reported.report
    if out.style == "json":
        out.data(
            {
                "output": str(reported.output),
                "partial": list(report.partial),
                "report": as_json(report),
                "stages": stage_seconds(reported.ran),
            }
        )
        return
    if out.style == "quiet":
        out.data(str(reported.output))
        return
    out.info()
    for line in lines_of(report):
        out.data(line)
    page = reported.output / "report.html"
    out.data(f"\nThe report: {reported.output / 'README.md'}, {page}")


def lines_of(report: FormatsReport) -> list[str]:
    """The report in at most 80 columns."""
    from hubkit.formats.report_numbers import Digits
    from hubkit.formats.summary import summary_of
    from hubkit.formats.view import View

    view, numbers, short = View(report), Digits(), summary_of(report)
    lines = [f"{numbers.count(short.flops)} FLOPs for a sentence of {short.input_length} tokens"]
    if short.flops is None:
        lines = _wrapped(
            "FLOPs, roofline and share of the limit: not measured, since the graph could not be"
            " counted."
        )
    lines += [f"  {_part(part, numbers)}" for part in short.parts]
    lines += ["", _table(short.engines, numbers), ""]
    lines += [line for text in _taken(view, numbers) for line in _wrapped(text)]
    for failed in report.failures:
        lines += _wrapped(f"Did not work: {failed.stage} of {failed.subject}: {failed.reason}")
    if view.missing:
        lines += _wrapped(
            f"Not measured, for want of something here: {', '.join(o.name for o in view.missing)};"
            " the report says how to get each."
        )
    return [*lines, *(line for it in report.partial for line in _wrapped(f"PARTIAL: {it}."))]


def _part(part: PartSummary, numbers: Digits) -> str:
    bound = {
        None: "",
        "always": ", memory-bound at any batch size",
        "never": ", never memory-bound",
        "up-to": f", memory-bound up to batch size {part.memory_bound_up_to}",
    }[part.memory_bound]
    return f"{part.part}: {numbers.count(part.flops)}{bound}"


def _table(engines: tuple[EngineSummary, ...], numbers: Digits) -> str:
    """A line for each engine that was measured."""
    header = ("", "From FP32", "Cosine ≥", "Most /s", "at", "p99 ms", "One, ms")
    rows = [_cells(one, numbers) for one in engines]
    return output().table(header, rows)


def _cells(one: EngineSummary, numbers: Digits) -> tuple[str, ...]:
    def shown(value: float | None) -> str:
        return _NONE if value is None else numbers.significant(value)

    return (
        textwrap.shorten(one.engine, 31, placeholder="…"),
        shown(one.mean_abs),
        _NONE if one.min_cosine is None else numbers.cosine(one.min_cosine),
        shown(one.best_per_s) + ("" if one.stable else " ?"),
        _NONE if one.best_clients is None else str(one.best_clients),
        _NONE if one.best_p99_ms is None else numbers.plain_ms(one.best_p99_ms),
        _NONE
        if one.one_mean_ms is None
        else numbers.plain_ms(one.one_mean_ms) + ("" if one.one_stable else " ?"),
    )


def _taken(view: View, numbers: Digits) -> list[str]:
    from hubkit.formats.verdict import verdict

    found = verdict(view)
    said = []
    if found.throughput is None:
        said.append("Nothing was measured under load, so that nothing is recommended.")
    elif found.throughput.alone:
        said.append("One engine alone was measured under load, so that nothing is best.")
    else:
        said.append(f"Highest throughput: {_won(found.throughput)}")
        if found.latency:
            mean = numbers.plain_ms(found.latency.level.mean_ms)
            ties = _ties(found.latency)
            said.append(f"Lowest latency with one client: {found.latency.engine}, {mean} ms{ties}.")
        if found.same:
            said.append(f"Fastest with the outputs of FP32: {_won(found.same)}")
    if found.changing:
        said.append(f"Outputs depend on the batch or on padding: {', '.join(found.changing)}.")
    if view.slowest is not None:
        share = numbers.percent(view.slowest)
        said.append(
            f"The machine itself was slower at times, down to {share} of its best speed: other work"
            " ran on it. The report marks these levels; on a quiet machine run it again with"
            " --again serve-load."
        )
    for result in view.report.search:
        for one in result.recommendations:
            missed = "" if one.met else " (the bound on p99 is not kept)"
            said.append(f"Best {one.aim}{missed}: {one.command}")
    return said


def _won(winner: Winner) -> str:
    return f"{winner.engine}{_ties(winner)}."


def _ties(winner: Winner) -> str:
    said = [f"not to be told apart from {', '.join(winner.ties)}"] if winner.ties else []
    if winner.passed_over:
        said.append(f"not counted, as unstable: {', '.join(winner.passed_over)}")
    return f" ({'; '.join(said)})" if said else ""


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, _WIDTH, subsequent_indent="  ", break_on_hyphens=False)
