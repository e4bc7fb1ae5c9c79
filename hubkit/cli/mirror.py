"""`hubkit hub mirror`: a repository of the Hub, copied into the embedded one."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from hubkit.cli.options import FormatOption, Visibility, interruptible
from hubkit.output import output

if TYPE_CHECKING:
    from hubkit.mirror import Mirrored
    from hubkit.mirror_origin import Wanted
    from hubkit.mirror_side import MirrorKind
    from hubkit.output import Json

_KINDS = ("model", "dataset", "space")
_NAME = re.compile(r"(?:[A-Za-z0-9_][A-Za-z0-9_.-]*/)?[A-Za-z0-9_][A-Za-z0-9_.-]*")

Repo = Annotated[
    str,
    typer.Argument(
        metavar="REPO|RECIPE",
        help="A repository, OWNER/NAME, or a recipe: its base model and its dataset.",
        show_default=False,
    ),
]
Revision = Annotated[
    str | None,
    typer.Option(
        metavar="REV",
        help="Branch, tag, commit or refs/convert/parquet. Default: main.",
        show_default=False,
    ),
]
Kind = Annotated[
    str | None,
    typer.Option(
        "--type",
        metavar="model|dataset|space",
        help="What REPO is. Default: model.",
        show_default=False,
    ),
]
From = Annotated[
    str | None,
    typer.Option(
        "--from",
        metavar="URL",
        help="The Hub to copy from, read with HF_TOKEN or the stored login. Default: the public"
        " one.",
        show_default=False,
    ),
]
Root = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        help="Copy into the embedded Hub of this folder, running or not.",
        show_default=False,
    ),
]
To = Annotated[
    str | None,
    typer.Option(
        metavar="URL", help="Copy into the embedded Hub that runs there.", show_default=False
    ),
]
Token = Annotated[
    str | None,
    typer.Option(
        metavar="TOKEN",
        help="The embedded Hub's, with write access; better in $HUBKIT_HUB_TOKEN.",
        envvar="HUBKIT_HUB_TOKEN",
        show_envvar=False,
        show_default=False,
    ),
]
Include = Annotated[
    list[str] | None,
    typer.Option(metavar="PATTERN", help="Copy only such files: '*.json'.", show_default=False),
]
Exclude = Annotated[
    list[str] | None,
    typer.Option(metavar="PATTERN", help="Copy no such files: '*.h5'.", show_default=False),
]


@interruptible
def mirror(
    repo: Repo,
    revision: Revision = None,
    kind: Kind = None,
    source: From = None,
    root: Root = None,
    endpoint: To = None,
    token: Token = None,
    with_datasets: Annotated[
        bool, typer.Option("--with-datasets", help="Copy the datasets that the card names too.")
    ] = False,
    include: Include = None,
    exclude: Exclude = None,
    private: Visibility = None,
    force: Annotated[
        bool, typer.Option("--force", help="Overwrite what was changed on the mirror itself.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be copied, and copy nothing.")
    ] = False,
    style: FormatOption = "human",
) -> None:
    """Copy a repository, or what a recipe reads, into an embedded Hub for a closed network.

    A revision becomes one commit, with its tags; its commit id there stands for it here too. An
    interrupted run goes on where it was, and a second one copies what has changed.
    """
    from hubkit.mirror import mirror_all
    from hubkit.mirror_origin import Selection
    from hubkit.mirror_plan import Options
    from hubkit.mirror_side import mirror_at, origin_at

    wanted = _wanted(repo, revision, kind, with_datasets=with_datasets)
    selection = Selection(tuple(include or ()), tuple(exclude or ()))
    options = Options(selection, private, force=force, dry_run=dry_run)
    found: list[Mirrored] = []
    with mirror_at(root, endpoint, token) as target, output().steps() as steps:
        copied = mirror_all(
            origin_at(source),
            target,
            wanted,
            options,
            lambda what, done, total: steps.update("mirror", what, done, total),
            with_datasets=with_datasets,
        )
        for one in copied:
            found.append(one)
            output().info(_line(one, dry_run=dry_run))
    report: Json = {
        "dry_run": dry_run,
        "mirrored": [cast("Json", one.model_dump(mode="json")) for one in found],
    }
    output().data(report if output().style == "json" else _table(found, dry_run=dry_run))


def _wanted(
    repo: str, revision: str | None, kind: str | None, *, with_datasets: bool
) -> list[Wanted]:
    from hubkit.errors import UsageError
    from hubkit.mirror_origin import Wanted, wanted_of_recipe

    if kind is not None and kind not in _KINDS:
        raise UsageError(f"--type {kind}: no such type", hint=f"Use one of {', '.join(_KINDS)}.")
    found = wanted_of_recipe(repo)
    if found is None:
        if _NAME.fullmatch(repo) is None:
            raise UsageError(
                f"{repo!r} is neither a repository nor a recipe",
                hint="Name a repository as OWNER/NAME, or a recipe's folder or file.",
            )
        return [Wanted(cast("MirrorKind", kind or "model"), repo, revision or "main")]
    given = {"--revision": revision, "--type": kind, "--with-datasets": with_datasets or None}
    for name, value in given.items():
        if value is not None:
            raise UsageError(
                f"{name} does not go with a recipe",
                hint="A recipe names its repositories and their revisions itself: leave it out.",
            )
    return found


def _line(one: Mirrored, *, dry_run: bool) -> str:
    """What has become of one revision, for a person."""
    name = one.id if one.kind == "model" else f"{one.kind}s/{one.id}"
    if one.commit is not None and not one.made_commit:
        return f"  {name} at {one.revision}: there already"
    verb = "would copy" if dry_run else "copied"
    files = "1 file" if one.copied_files == 1 else f"{one.copied_files} files"
    return f"  {name} at {one.revision}: {verb} {files}"


def _table(found: list[Mirrored], *, dry_run: bool) -> str:
    from hubkit.hub.server.templates import size_text

    rows = [
        (
            one.id if one.kind == "model" else f"{one.kind}s/{one.id}",
            one.revision,
            one.origin_commit[:12],
            (one.commit or "")[:12] or "-",
            str(one.files),
            size_text(one.size_bytes),
            size_text(one.copied_bytes),
        )
        for one in found
    ]
    last = "to copy" if dry_run else "copied"
    headers = ("repository", "revision", "commit there", "commit here", "files", "size", last)
    return output().table(headers, rows)
