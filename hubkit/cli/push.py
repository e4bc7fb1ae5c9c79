"""`hubkit push`, `hubkit diff` and `hubkit rollback`: what a repository holds, and held."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hubkit.cli.options import (
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
    confirm,
    interruptible,
    refuse_unattended,
)
from hubkit.output import output


@interruptible
def push(
    target: Annotated[
        str,
        typer.Argument(
            metavar="FOLDER|RECIPE",
            help="A bundle that `hubkit card --output` wrote, or a recipe.",
            show_default=False,
        ),
    ],
    repo_id: RepoIdOption = None,
    branch: Branch = None,
    create_pr: CreatePr = False,
    revision: StartAt = None,
    tag: Tag = None,
    force: ForceTag = False,
    sign_key: SignKey = None,
    demo: Demo = False,
    endpoint: Endpoint = None,
    private: Annotated[
        bool, typer.Option("--private", help="Make a new repository private.")
    ] = False,
    format_: FormatOption = "human",
) -> None:
    """Push a bundle in one commit, or in none where nothing differs, and verify it.

    A recipe's stages are looked up, and run where they are missing, as `hubkit publish` does.
    """
    from hubkit.cli.show import show_published
    from hubkit.cli.show_push import show_pushed
    from hubkit.errors import UsageError
    from hubkit.pipeline import publish, running
    from hubkit.pushing import Onto, push_folder

    onto = Onto(branch, create_pr, revision, private or None, tag, force, sign_key)
    with output().steps() as steps:
        if not (Path(target) / "SHA256SUMS").is_file():
            published = publish(
                target, demo=demo, repo_id=repo_id, endpoint=endpoint, onto=onto, listener=steps
            )
        elif repo_id is None:
            raise UsageError("no repository to push to", hint="Add --repo-id USER/NAME.")
        else:
            with running(endpoint=endpoint, listener=steps) as run:
                done = push_folder(run, Path(target), repo_id, onto)
            show_pushed(*done)
            return
    show_published(published)


@interruptible
def diff(
    repo_id: Annotated[str, typer.Argument(metavar="USER/NAME", help="The repository to compare.")],
    target: Annotated[
        str,
        typer.Argument(
            metavar="FOLDER|RECIPE",
            help="A bundle, or a recipe that has run; default: the folder you are in.",
            show_default=False,
        ),
    ] = ".",
    branch: Annotated[
        str | None,
        typer.Option(
            "--branch",
            metavar="NAME",
            help="Compare with this branch, or refs/pr/N; default: main.",
            show_default=False,
        ),
    ] = None,
    demo: Demo = False,
    endpoint: Endpoint = None,
    format_: FormatOption = "human",
) -> None:
    """Show what a push would change: each file, its sizes, and how much would be sent.

    Nothing is sent and nothing is computed. What lies on the Hub already, under whatever name, is
    not counted as to be sent.
    """
    from hubkit.cli.show_push import show_plan
    from hubkit.push_diff import push_diff

    show_plan(push_diff(repo_id, target, branch=branch, demo=demo, endpoint=endpoint))


@interruptible
def rollback(
    repo_id: Annotated[str, typer.Argument(metavar="USER/NAME", help="The repository.")],
    to: Annotated[
        str,
        typer.Option(
            "--to", metavar="TAG|COMMIT", help="The publication to restore.", show_default=False
        ),
    ],
    branch: Annotated[
        str | None,
        typer.Option(
            "--branch",
            metavar="NAME",
            help="The branch to roll back; default: main.",
            show_default=False,
        ),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Replace what was edited on the Hub since, too.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would change on the Hub.")
    ] = False,
    endpoint: Endpoint = None,
    format_: FormatOption = "human",
) -> None:
    """Restore what hubkit published at a tag or commit, in one new commit, and verify it.

    The history stays: nothing is deleted from it. Large files are copied on the Hub, not sent.
    Files that hubkit did not write are not touched. No commit where it is restored already.
    """
    from hubkit.cli.show_push import plan_text, show_rollback_plan, show_rolled_back
    from hubkit.pipeline import running
    from hubkit.rollback import roll_back, rollback_plan
    from hubkit.stages.rollback import RollbackInput

    if not dry_run and not yes:
        refuse_unattended("a rollback changes what others see")
    given = RollbackInput(repo_id=repo_id, to=to, branch=branch, force=force)
    with running(endpoint=endpoint) as run:
        if dry_run:
            show_rollback_plan(rollback_plan(run, given))
            return
        if not yes and not (plan := rollback_plan(run, given).plan).nothing_to_do:
            output().info(plan_text(plan))
            confirm(f"Roll {plan.repo_id} ({plan.branch}) back to {to}?")
    with output().steps() as steps, running(endpoint=endpoint, listener=steps) as run:
        done = roll_back(run, given)
    show_rolled_back(*done)
