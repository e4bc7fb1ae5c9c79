"""sweep-report: the folder that a sweep leaves, and that is pushed when it is published."""

from __future__ import annotations

from hubkit.cards.layout import RECIPE_FILE
from hubkit.hub.manifest import SUMS, format_sums
from hubkit.keys import files_of
from hubkit.recipe import Recipe
from hubkit.records import Bundle, Record
from hubkit.stage import Context, stage
from hubkit.stages.bundle import (
    recipe_json,
    refuse_machine_paths,
    refuse_secrets_once,
    write_text,
)
from hubkit.stages.report import record_json
from hubkit.sweep_records import SweepReport
from hubkit.sweeps.report_html import html
from hubkit.sweeps.report_markdown import markdown
from hubkit.sweeps.report_plot import plot_png, plot_svg

PAGE, PLOT = "report.html", "plot.png"


class SweepReportInput(Record):
    """What was measured, by which recipe."""

    repo_id: str
    recipe: Recipe
    report: SweepReport


@stage("sweep-report", version=1, kind="pure", takes=SweepReportInput, gives=Bundle)
def sweep_report(given: SweepReportInput, ctx: Context) -> Bundle:
    """README.md (the report), report.html, plot.png, plot.svg, results.json, lock.json, recipe.json
    and SHA256SUMS. Raises HubkitError where a file holds a secret or names a path of this
    machine."""
    root = ctx.scratch / "sweep"
    root.mkdir()
    write_text(root / "README.md", markdown(given.report, plot=PLOT, page=PAGE))
    write_text(root / PAGE, html(given.report))
    write_text(root / "plot.svg", plot_svg(given.report))
    (root / PLOT).write_bytes(plot_png(given.report))
    write_text(root / "results.json", record_json(given.report))
    write_text(root / "lock.json", record_json(given.report.lock))
    write_text(root / RECIPE_FILE, recipe_json(given.recipe, given.report.lock))
    refuse_machine_paths(root)
    sums = files_of(root)
    refuse_secrets_once(root, sums, ctx.store)
    write_text(root / SUMS, format_sums(sums))
    return Bundle(repo_id=given.repo_id, artifact=ctx.store.adopt(root))
