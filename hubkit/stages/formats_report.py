"""formats-report: the folder that a report on formats and serving leaves."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field

from hubkit.cards.layout import RECIPE_FILE, card_path
from hubkit.formats.plots import plots
from hubkit.formats.report_page import html, markdown, page_path
from hubkit.formats_records import FormatsReport
from hubkit.hub.manifest import SUMS, format_sums
from hubkit.keys import files_of
from hubkit.recipe import Recipe
from hubkit.records import Bundle, Record
from hubkit.stage import Context, stage
from hubkit.stages.bundle import (
    FORMATS_FILE,
    recipe_json,
    refuse_machine_paths,
    refuse_secrets_once,
    write_text,
)
from hubkit.stages.report import record_json

RECORDS = FORMATS_FILE
PLOTS = "plots"


class FormatsReportInput(Record):
    """What was measured, by which recipe, and the languages to write it in, README.md's first."""

    repo_id: str
    recipe: Recipe
    report: FormatsReport
    languages: Annotated[tuple[str, ...], Field(min_length=1)]


@stage("formats-report", version=2, kind="pure", takes=FormatsReportInput, gives=Bundle)
def formats_report(given: FormatsReportInput, ctx: Context) -> Bundle:
    """README.md and report.html in the first language, README.<lang>.md and report.<lang>.html in
    the others, plots/ in all of them, formats.json, lock.json, recipe.json and SHA256SUMS.
    Raises HubkitError where a file holds a secret or names a path of this machine."""
    root = ctx.scratch / "formats"
    (root / PLOTS).mkdir(parents=True)
    report, first = given.report, given.languages[0]
    for code in dict.fromkeys(given.languages):
        text = markdown(report, code, given.languages, plots=True, page=True)
        write_text(root / card_path(code, primary=first), text)
        write_text(root / page_path(code, primary=first), html(report, code, given.languages))
        _draw(report, code, root / PLOTS, "" if code == first else f".{code}")
    write_text(root / RECORDS, record_json(report))
    write_text(root / "lock.json", record_json(report.lock))
    write_text(root / RECIPE_FILE, recipe_json(given.recipe, report.lock))
    refuse_machine_paths(root)
    sums = files_of(root)
    refuse_secrets_once(root, sums, ctx.store)
    write_text(root / SUMS, format_sums(sums))
    return Bundle(repo_id=given.repo_id, artifact=ctx.store.adopt(root))


def _draw(report: FormatsReport, code: str, folder: Path, stem: str) -> None:
    for name, drawn in plots(report, code).items():
        (folder / f"{name}{stem}.svg").write_bytes(drawn.svg)
        if drawn.png is not None:
            (folder / f"{name}{stem}.png").write_bytes(drawn.png)
