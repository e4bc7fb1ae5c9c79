"""The report of a sweep as the README.md of a Hub repository."""

from __future__ import annotations

import re
from collections.abc import Iterable

from markupsafe import Markup

from hubkit.cards import escape
from hubkit.cards.environment import render
from hubkit.sweep_records import SweepReport
from hubkit.sweeps import report_tables as tables
from hubkit.sweeps.report_cells import Align, Cell, Code, Column, Table
from hubkit.sweeps.report_front_matter import front_matter
from hubkit.sweeps.report_full import full_and_pruned
from hubkit.sweeps.report_parameters import fixed, text_of
from hubkit.sweeps.report_said import said
from hubkit.sweeps.report_view import View

_RULES: dict[Align, tuple[str, str]] = {
    "left": (":", "-"),
    "center": (":", ":"),
    "right": ("-", ":"),
}

_INSIDE_A_WORD = re.compile(r"(?<=[A-Za-z0-9])\\_(?=[A-Za-z0-9])")
_INDENTS = (Markup(""), Markup("    "))
_BREAK = Markup("  ")  # at the end of a line: a line break


def markdown(report: SweepReport, *, plot: str | None = None, page: str | None = None) -> str:
    """README.md of a sweep: front matter, the reference's sections, then what goes beyond it.

    Reads no clock, no network and no model. `plot`, `page`: names of the plot and of the HTML
    report in the same repository, to show and to link to.
    """
    view = View(report)
    names = _names(view) | {"plot": plot, "page": page}
    body = _squeezed(render("report/sweep.md.j2", names))
    return f"{front_matter(view)}\n{body}"


def _names(view: View) -> dict[str, object]:
    """Everything that the template can name; tables are Markdown that is ready."""
    report = view.report
    metric, middle = view.main_metric, view.middle
    words_said = said(view)
    both = full_and_pruned(view)
    return {
        "report": report,
        "view": view,
        "partial": words_said.partial,
        "counted": _joined(words_said.counted),
        "flips": words_said.flips,
        "failures": words_said.failures,
        "facts": [(fact.title, _joined(fact.said)) for fact in words_said.facts],
        "backend_args": text_of(report.sweep.backend_args.model_dump()),
        "samples": "All dataset" if view.is_whole else str(report.dataset.eval_rows),
        "fixed": [(_INDENTS[it.level], title(it.key), it.value) for it in fixed(report)],
        "benchmarked": [(title(it.key), it.values) for it in view.benchmarked],
        "br": _BREAK,
        "duration": f"{report.sweep.time_benchmark_args.duration:g}",
        "non_time": markdown_table(tables.non_time(view)),
        "times": [(point, markdown_table(tables.time(view, point))) for point in view.grid],
        "full_and_pruned": markdown_table(both) if both else None,
        "configurations": markdown_table(tables.configurations(view)),
        "graphs": markdown_table(tables.graphs(view)),
        "accuracy": markdown_table(tables.accuracy(view)),
        "noise": markdown_table(tables.noise(view)) if report.noise else None,
        "timings": [
            (point, _floor(view, point), markdown_table(tables.timings(view, point)))
            for point in view.grid
        ],
        "front": markdown_table(tables.front(view, metric, middle)) if metric and middle else None,
    }


def _floor(view: View, point: tuple[int, int]) -> str | None:
    noise = view.noise_at(point)
    return tables.floor(noise) if noise else None


def markdown_table(table: Table) -> Markup:
    """A Markdown table, padded as the reference's are, so that its source can be read too."""
    header = [title(column.title) for column in table.columns]
    rows = [
        [_cell(cell, column) for cell, column in zip(row, table.columns, strict=True)]
        for row in table.rows
    ]
    cells = zip(*([header, *rows]), strict=True)
    widths = [max(3, *map(_width, column)) for column in cells]
    lines = [_line(header, table.columns, widths), _rule(table.columns, widths)]
    lines += [_line(row, table.columns, widths) for row in rows]
    return Markup("\n".join(lines))


def title(value: str) -> Markup:
    """Text of unknown origin; an underscore inside a word stays as it is, since it is no markup."""
    return Markup(_INSIDE_A_WORD.sub("_", escape.plain(value)))


def _cell(cell: Cell, column: Column) -> Markup:
    return Markup(r"\|") if column.bar else _joined(cell)


def _joined(cell: Iterable[str]) -> Markup:
    parts = (escape.code(part) if isinstance(part, Code) else escape.plain(part) for part in cell)
    return Markup("").join(parts)


def _width(cell: str) -> int:
    # As a reader sees it: a pipe that is escaped is one character wide.
    return len(cell.replace(r"\|", "|"))


def _line(cells: list[Markup], columns: tuple[Column, ...], widths: list[int]) -> str:
    padded = (
        _padded(cell, column.align, width)
        for cell, column, width in zip(cells, columns, widths, strict=True)
    )
    return f"| {' | '.join(padded)} |"


def _padded(cell: str, align: Align, width: int) -> str:
    free = width - _width(cell)
    before = {"left": 0, "center": free // 2, "right": free}[align]
    return " " * before + cell + " " * (free - before)


def _rule(columns: tuple[Column, ...], widths: list[int]) -> str:
    cells = []
    for column, width in zip(columns, widths, strict=True):
        first, last = _RULES[column.align]
        cells.append(first + "-" * (width - 2) + last)
    return f"| {' | '.join(cells)} |"


def _squeezed(body: str) -> str:
    """At most two empty lines together, as in the reference, and one line break at the end.

    Two spaces at the end of a line stay: in Markdown they break it.
    """
    lines: list[str] = []
    for line in body.splitlines():
        if line.strip() or lines[-2:] != ["", ""]:
            lines.append(line if line.strip() else "")
    return "\n".join(lines).strip("\n") + "\n"
