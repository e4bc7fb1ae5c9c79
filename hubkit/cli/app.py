"""The command line: one error boundary over thin commands."""

from __future__ import annotations

import os
import sys

import typer

from hubkit.cli import (
    card,
    ci,
    hub,
    mirror,
    publish,
    push,
    recipe,
    report,
    serve,
    stages,
    sweep,
    tune,
)
from hubkit.errors import HubkitError
from hubkit.hub.retry import waits_told
from hubkit.output import output

_WORTH_A_WORD_S = 1.0
_ABOUT = "Quantize, evaluate, benchmark and publish a Transformer on the Hugging Face Hub."

app = typer.Typer(
    name="hubkit",
    help=_ABOUT,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=True,
)
for command, short in (
    (publish.publish, "All of the below, in one go."),
    (sweep.sweep, "Measure every configuration of a recipe's sweep."),
    (tune.tune, "Search for the best INT8 that keeps the accuracy."),
    (stages.quantize, "Make the INT8 variants."),
    (stages.evaluate, "Score the variants on labelled rows."),
    (stages.benchmark, "Time the variants on this machine."),
    (card.card, "Print the model card, check it, or write the bundle."),
    (push.diff, "Show what a push would change on the Hub."),
    (push.push, "Push a bundle in one commit, and verify it."),
    (push.rollback, "Restore an earlier publication in a new commit."),
    (stages.verify, "Check what is on the Hub against its records."),
    (serve.serve, "Serve a model over KServe v2, with dynamic batching."),
):
    app.command(short_help=short)(command)
app.command("exec", hidden=True)(stages.exec_call)
app.add_typer(report.app, name="report", short_help="Report on formats and serving.")
app.add_typer(recipe.app, name="recipe", short_help="Write, check and list recipes.")
hub.app.command(short_help="Copy repositories into an embedded Hub.")(mirror.mirror)
app.add_typer(hub.app, name="hub", short_help="Run the embedded Hub.")
app.add_typer(ci.app, name="ci", short_help="Publish from GitHub Actions, and compare there.")


def _version(value: bool) -> None:
    if value:
        from importlib.metadata import version

        output().data(version("hubkit"))
        raise typer.Exit


@app.callback(help=_ABOUT)
def _root(
    version: bool = typer.Option(
        False, "--version", help="Show the version.", callback=_version, is_eager=True
    ),
) -> None:
    """Nothing but what all commands share."""


def _tell_wait(reason: str, wait_s: float) -> None:
    if wait_s >= _WORTH_A_WORD_S:
        said = " answered" if reason[:1].isdigit() else ":"
        output().info(f"  the Hub{said} {reason}, trying again in {wait_s:.0f} s")


def main() -> None:
    """Run the command line; a HubkitError becomes its message, its hint and its exit code."""
    try:
        with waits_told(_tell_wait):
            app()
    except HubkitError as error:
        if os.environ.get("HUBKIT_DEBUG"):
            raise
        output().error(error.message, error.hint, error.exit_code)
        sys.exit(error.exit_code)
