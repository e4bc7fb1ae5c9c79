"""The job summary of a publication: its table and its plot."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from hubkit.cards.figures import figures_of
from hubkit.ci.markdown import code, plain, table
from hubkit.errors import UsageError
from hubkit.recipe import Recipe
from hubkit.recorded import is_bundle, load_bundle, read_records
from hubkit.records import Report
from hubkit.stages.report import SummaryRow, summary_cells, summary_header, summary_rows

_ADDRESS = re.compile(r"https?://[^\s<>()\"']+")
_FIRST = ("accuracy-latency", "latency", "size")  # the picture that says most, if there is one


@dataclass(frozen=True)
class Where:
    """Where a publication is. `pictures`: the address below which its files are for all to see."""

    url: str | None = None
    commit: str | None = None
    pictures: str | None = None


def summary(folder: Path, where: Where) -> str:
    """A bundle's table of models and its plot, in GitHub's Markdown.

    Where the pictures are for all to see, the plot is the card's; else it is drawn by GitHub from
    the numbers. Raises UsageError for a folder that is no bundle.
    """
    if not is_bundle(str(folder)):
        raise UsageError(
            f"{folder} is no bundle", hint="`hubkit card RECIPE --output FOLDER` writes one."
        )
    recorded = read_records(load_bundle(folder), folder)
    if recorded is None:
        raise UsageError(f"{folder} holds no results", hint="Write the bundle anew.")
    recipe, report = recorded.loaded.recipe, recorded.measured.report
    rows = summary_rows(report, recipe)
    cells = [(code(row.variant), *summary_cells(row)[1:]) for row in rows]
    parts = [f"## {code(recipe.name)}", "", *_where(where)]
    parts += [*table(summary_header(rows), cells), ""]
    parts += [_note(report, recipe), "", *_plot(recipe, report, rows, where), ""]
    return "\n".join(parts)


def _where(where: Where) -> list[str]:
    if not where.url:
        return []
    at = f", commit {code(where.commit[:12])}" if where.commit else ""
    return [f"Published and verified: {_address(where.url)}{at}.", ""]


def _note(report: Report, recipe: Recipe) -> str:
    machine = report.timings.machine.cpu if report.timings else None
    timed = (
        f" Times are medians on {plain(machine)}; speed is against ONNX FP32." if machine else ""
    )
    return (
        f"{report.encoded.rows:,} rows were scored; in brackets is the"
        f" {100 * recipe.evaluation.confidence:g}% interval."
        f" Flips are answers unlike FP32's.{timed}"
    )


def _plot(recipe: Recipe, report: Report, rows: tuple[SummaryRow, ...], where: Where) -> list[str]:
    figures = {figure.key: figure for figure in figures_of(report, recipe)}
    key = next((key for key in _FIRST if key in figures), None)
    if where.pictures and key is not None:
        picture = f"{_address(where.pictures)}/{figures[key].png}"
        return [f'<img src="{picture}" alt="{plain(key)}" width="{figures[key].width}">']
    return _drawn(rows)


def _drawn(rows: tuple[SummaryRow, ...]) -> list[str]:
    """Bars of the median latency, which GitHub draws from its own language for diagrams."""
    timed = [(row, row.p50_ms) for row in rows if row.p50_ms is not None]
    if not timed:
        return []
    names = ", ".join(f'"{re.sub(r"[^A-Za-z0-9 ._-]", " ", row.variant)}"' for row, _ in timed)
    bars = ", ".join(f"{ms:.4g}" for _, ms in timed)
    return [
        "```mermaid",
        "xychart-beta horizontal",
        f'  title "Median latency, {timed[0][0].batch_size} x {timed[0][0].input_length} tokens"',
        f"  x-axis [{names}]",
        '  y-axis "ms" 0 --> ' + f"{max(ms for _, ms in timed) * 1.05:.4g}",
        f"  bar [{bars}]",
        "```",
    ]


def _address(url: str) -> str:
    if not _ADDRESS.fullmatch(url):
        raise UsageError(f"{url}: not an address", hint="Give it as https://…")
    return url.rstrip("/")
