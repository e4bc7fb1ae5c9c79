"""The options that commands share."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, ParamSpec

import typer

from hubkit.errors import HubkitError, UsageError
from hubkit.output import FORMATS, set_format

P = ParamSpec("P")

INTERRUPTED = 130  # 128 + SIGINT, as shells have it


def interruptible(command: Callable[P, None]) -> Callable[P, None]:
    """A command that says on Ctrl-C what that means, instead of a bare "Aborted"."""

    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            command(*args, **kwargs)
        except KeyboardInterrupt:
            raise HubkitError(
                "interrupted",
                hint="Run the same command again: it goes on after the last finished stage.",
                exit_code=INTERRUPTED,
            ) from None

    return run


def refuse_unattended(what: str) -> None:
    """Raise UsageError where nobody can be asked: it has to be said beforehand, with --yes."""
    if not sys.stdin.isatty():
        raise UsageError(f"{what}, and nobody is here to be asked", hint="Add --yes.")


def confirm(question: str) -> None:
    """Go on after a yes. Raises HubkitError after anything else."""
    try:
        agreed = typer.confirm(question, err=True)
    except typer.Abort:
        agreed = False
    if not agreed:
        raise HubkitError("nothing was changed", hint="Answer y, or add --yes.")


def refuse_together(**given: bool) -> None:
    """Raise UsageError where more than one of the options is given."""
    both = [f"--{name.replace('_', '-')}" for name, there in given.items() if there]
    if len(both) > 1:
        raise UsageError(
            f"{' and '.join(both)} do not go together", hint=f"Give {' or '.join(both)}."
        )


def _choose_format(value: str) -> str:
    for style in FORMATS:
        if style == value:
            set_format(style)
            return value
    raise UsageError(f"--format {value}: not a format", hint=f"Use one of {', '.join(FORMATS)}.")


Target = Annotated[
    str,
    typer.Argument(
        metavar="RECIPE",
        help="A shipped recipe's name, a recipe file, or its folder.",
        show_default=False,
    ),
]
FormatOption = Annotated[
    str,
    typer.Option(
        "--format",
        metavar="human|json|quiet",
        help="How results are printed; $HUBKIT_FORMAT sets the default.",
        callback=_choose_format,
        envvar="HUBKIT_FORMAT",
        show_envvar=False,
        show_default=False,
    ),
]
Demo = Annotated[
    bool,
    typer.Option(
        "--demo", help="Run on the demo model and the embedded Hub: no account, no network Hub."
    ),
]
RepoIdOption = Annotated[
    str | None,
    typer.Option(
        "--repo-id", metavar="USER/NAME", help="The repository to publish to.", show_default=False
    ),
]
Endpoint = Annotated[
    str | None,
    typer.Option(
        "--endpoint",
        metavar="URL",
        help="The Hub's address; default: $HF_ENDPOINT, else the public Hub.",
        show_default=False,
    ),
]
Visibility = Annotated[
    bool | None,
    typer.Option("--private/--public", help="Visibility of a new repository.", show_default=False),
]
Again = Annotated[
    list[str] | None,
    typer.Option(
        "--again",
        metavar="STAGE",
        help="Run this stage anew, kept or not: benchmark, when the machine was busy.",
        show_default=False,
    ),
]
OutputDir = Annotated[
    Path | None,
    typer.Option(
        "--output", "-o", metavar="DIR", help="Write the files here too.", show_default=False
    ),
]
Tag = Annotated[
    str | None,
    typer.Option(
        "--tag", metavar="TAG", help="Tag the commit, once it is verified.", show_default=False
    ),
]
ForceTag = Annotated[
    bool,
    typer.Option("--force", help="With --tag: a tag at another commit is deleted and made anew."),
]
Branch = Annotated[
    str | None,
    typer.Option(
        "--branch",
        metavar="NAME",
        help="Commit to this branch, made where it is missing, or to refs/pr/N. Default: main.",
        show_default=False,
    ),
]
CreatePr = Annotated[
    bool, typer.Option("--create-pr", help="Make the commit a pull request to main.")
]
SignKey = Annotated[
    str | None,
    typer.Option(
        "--sign-key",
        metavar="PATH|keyless",
        help="Sign with this private key, or with CI's identity. Default: $HUBKIT_SIGNING_KEY.",
        show_default=False,
    ),
]
PublicKey = Annotated[
    Path | None,
    typer.Option(
        "--public-key",
        metavar="PATH",
        help="The key that must have signed it, as a PEM file.",
        show_default=False,
    ),
]
Identity = Annotated[
    str | None,
    typer.Option(
        "--identity",
        metavar="WHO",
        help="With --issuer: who must have signed it with Sigstore, such as a workflow's address.",
        show_default=False,
    ),
]
Issuer = Annotated[
    str | None,
    typer.Option(
        "--issuer", metavar="URL", help="With --identity: who vouches for it.", show_default=False
    ),
]
StartAt = Annotated[
    str | None,
    typer.Option(
        "--revision",
        metavar="REV",
        help="Build on this branch, tag or commit: a new branch or pull request starts there.",
        show_default=False,
    ),
]
TargetOrFolder = Annotated[
    str,
    typer.Argument(
        metavar="RECIPE|FOLDER",
        help="A recipe's name, file or folder, or the folder of a model.",
        show_default=False,
    ),
]
LabelledDataset = Annotated[
    str | None,
    typer.Option(
        "--dataset",
        metavar="ID|PATH",
        help="For a model folder: labelled rows, a Hub id or a local CSV, JSON or Parquet file.",
        show_default=False,
    ),
]
TextColumn = Annotated[
    list[str] | None,
    typer.Option(
        "--text-column",
        metavar="NAME",
        help="With --dataset: the text's column; twice for pairs. Default: text.",
        show_default=False,
    ),
]
LabelColumn = Annotated[
    str, typer.Option("--label-column", metavar="NAME", help="With --dataset: the label's column.")
]
Splits = Annotated[
    str | None,
    typer.Option(
        "--splits",
        metavar="EVAL[,CALIBRATION]",
        help="With --dataset: the split to score on, and the one to calibrate static INT8 on.",
        show_default=False,
    ),
]
Lang = Annotated[
    str | None,
    typer.Option(
        "--lang", metavar="CODE", help="Print the card in this language.", show_default=False
    ),
]
AllLangs = Annotated[bool, typer.Option("--all-langs", help="Print it in every language.")]
Check = Annotated[
    bool,
    typer.Option(
        "--check", help="List what only the author can say and has not said; no model is needed."
    ),
]
Diff = Annotated[bool, typer.Option("--diff", help="Compare with the cards on the Hub.")]
Open = Annotated[
    bool, typer.Option("--open", help="Show the card in a browser, as on the Hub's page.")
]
Templates = Annotated[
    Path | None,
    typer.Option(
        "--templates",
        metavar="DIR",
        help="Card templates that go before hubkit's own.",
        show_default=False,
    ),
]
