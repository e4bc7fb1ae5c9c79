"""`hubkit publish`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hubkit.cli.options import (
    Again,
    Branch,
    CreatePr,
    Demo,
    Endpoint,
    ForceTag,
    FormatOption,
    RepoIdOption,
    SignKey,
    StartAt,
    Tag,
    Target,
    Templates,
    Visibility,
    interruptible,
)
from hubkit.output import output

if TYPE_CHECKING:
    from hubkit.pipeline import Published


@interruptible
def publish(
    target: Target,
    demo: Demo = False,
    repo_id: RepoIdOption = None,
    branch: Branch = None,
    create_pr: CreatePr = False,
    revision: StartAt = None,
    tag: Tag = None,
    force: ForceTag = False,
    sign_key: SignKey = None,
    endpoint: Endpoint = None,
    private: Visibility = None,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Show what would run and what would change on the Hub."),
    ] = False,
    again: Again = None,
    select_from_sweep: Annotated[
        bool,
        typer.Option(
            "--select-from-sweep",
            help="Take the ONNX variant from the recipe's sweep: the preferred one that passes.",
        ),
    ] = False,
    tune: Annotated[
        bool,
        typer.Option("--tune", help="Search for the variant to publish first, as `hubkit tune`."),
    ] = False,
    formats: Annotated[
        Path | None,
        typer.Option(
            "--formats",
            metavar="DIR",
            help="Put the report that `hubkit report formats` wrote there on the card.",
            show_default=False,
        ),
    ] = None,
    templates: Templates = None,
    format_: FormatOption = "human",
) -> None:
    """Quantize, evaluate, benchmark, describe and publish a recipe's model, and verify it.

    What is finished is kept: the same command goes on where a killed one was, and with nothing
    changed it computes nothing and commits nothing. Exit code 3: no variant meets the gate, and
    nothing was pushed.
    """
    from hubkit.formats_published import read_formats
    from hubkit.pushing import Onto

    onto = Onto(branch, create_pr, revision, private, tag, force, sign_key)
    whole = read_formats(formats) if formats is not None else None
    if dry_run:
        from hubkit.cli.show_push import show_preview
        from hubkit.preview import preview

        show_preview(
            preview(
                target,
                demo=demo,
                repo_id=repo_id,
                endpoint=endpoint,
                onto=onto,
                select_from_sweep=select_from_sweep,
                tune=tune,
                formats=whole,
                templates=templates,
            )
        )
        return
    from hubkit.cli.show import show_published
    from hubkit.pipeline import publish as run

    with output().steps() as steps:
        published: Published = run(
            target,
            demo=demo,
            repo_id=repo_id,
            endpoint=endpoint,
            onto=onto,
            again=again or (),
            select_from_sweep=select_from_sweep,
            tune=tune,
            formats=whole,
            templates=templates,
            listener=steps,
        )
    show_published(published)
