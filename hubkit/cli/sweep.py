"""`hubkit sweep`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hubkit.cli.options import (
    Again,
    Demo,
    Endpoint,
    FormatOption,
    RepoIdOption,
    Target,
    Visibility,
    interruptible,
)
from hubkit.output import output

if TYPE_CHECKING:
    from hubkit.sweep_pipeline import Swept


@interruptible
def sweep(
    target: Target,
    into: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="DIR",
            help="Where the report goes; default: NAME-sweep here.",
            show_default=False,
        ),
    ] = None,
    where: Annotated[
        str | None,
        typer.Option(
            "--where",
            metavar="CONDITION",
            help="Only the configurations of which it is true: 'static and per_channel'.",
            show_default=False,
        ),
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option(
            "--limit",
            metavar="ROWS",
            help="Score so many rows only: for a first look; such results cannot be published.",
            show_default=False,
        ),
    ] = None,
    guards: Annotated[
        bool,
        typer.Option(
            "--guards/--no-guards",
            help="Without: let static configurations quantize masked attention scores,"
            " which ruins them.",
        ),
    ] = True,
    publish: Annotated[
        bool, typer.Option("--publish", help="Push the report as a repository, and verify it.")
    ] = False,
    repo_id: RepoIdOption = None,
    private: Visibility = None,
    demo: Demo = False,
    endpoint: Endpoint = None,
    again: Again = None,
    format_: FormatOption = "human",
) -> None:
    """Quantize, evaluate and time every configuration of a recipe's sweep, in one report.

    What is finished is kept: the same command goes on where a killed one was. Writes README.md,
    report.html, plot.png, plot.svg and results.json.
    """
    from hubkit.cli.show_sweep import show_swept
    from hubkit.sweep_pipeline import sweep as run
    from hubkit.sweeping import Choice

    if limit is not None:
        output().warn(
            f"--limit {limit}: only so many rows are scored. The results are partial, are marked"
            " so everywhere, and cannot be published."
        )
    with output().steps() as steps:
        swept: Swept = run(
            target,
            output=into,
            choice=Choice(where=where, limit=limit, guards=guards),
            demo=demo,
            publish=publish,
            repo_id=repo_id,
            private=private,
            endpoint=endpoint,
            again=again or (),
            listener=steps,
        )
    show_swept(swept)
