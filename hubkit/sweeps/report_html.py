"""The report of a sweep as one HTML file: nothing is fetched; without the script it is tables."""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from markupsafe import Markup

from hubkit.cards import numbers
from hubkit.paths import templates_dir
from hubkit.sweep_records import SweepReport
from hubkit.sweeps import report_tables as tables
from hubkit.sweeps.report_cells import Code, Column
from hubkit.sweeps.report_full import full_and_pruned
from hubkit.sweeps.report_page import GridRow, grid_columns, grid_rows, page_data
from hubkit.sweeps.report_parameters import fixed
from hubkit.sweeps.report_said import rows_scored, said
from hubkit.sweeps.report_view import View

if TYPE_CHECKING:
    from jinja2 import Environment

_FOLDER = "report"


@dataclass(frozen=True)
class _Grid:
    columns: tuple[Column, ...]
    rows: tuple[GridRow, ...]


def html(report: SweepReport) -> str:
    """The page: a plot to explore, a table to sort and filter, and every number of the Markdown.

    Reads no clock, no network and no model; opens from a disk as from a server. Its policy allows
    the one script and the one style sheet that are in it, by their digests, and nothing else.
    """
    view = View(report)
    style, script = _shipped("sweep.css"), _shipped("sweep.js")
    names: dict[str, object] = {
        "report": report,
        "said": said(view),
        "rows": rows_scored(view),
        "confidence": numbers.percent(view.confidence),
        "point": view.middle,
        "grid": _Grid(grid_columns(view), grid_rows(view)),
        "full_and_pruned": full_and_pruned(view),
        "accuracy": tables.accuracy(view),
        "graphs": tables.graphs(view),
        "noise": tables.noise(view) if report.noise else None,
        "timings": [(point, tables.timings(view, point)) for point in view.grid],
        "fixed": fixed(report),
        "policy": _policy(style, script),
        "style": Markup(style),
        "script": Markup(script),
        "data": Markup(_json(page_data(view))),
    }
    return _environment().get_template(f"{_FOLDER}/sweep.html.j2").render(names)


def _environment() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    made = Environment(
        loader=FileSystemLoader(str(templates_dir())),
        undefined=StrictUndefined,
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    made.tests["code_part"] = lambda part: isinstance(part, Code)
    return made


def _shipped(name: str) -> str:
    return (templates_dir() / _FOLDER / name).read_text(encoding="utf-8")


def _policy(style: str, script: str) -> str:
    """A Content-Security-Policy for a file that needs nothing from anywhere (W3C CSP Level 3)."""
    return (
        f"default-src 'none'; style-src {_source(style)}; script-src {_source(script)};"
        " base-uri 'none'; form-action 'none'"
    )


def _source(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


def _json(value: object) -> str:
    """JSON that can stand in a script element: nothing in it can end that element."""
    text = json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text
