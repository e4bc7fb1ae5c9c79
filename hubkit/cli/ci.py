"""`hubkit ci`: what a repository's workflows on GitHub call, and what writes them."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from hubkit.cli.options import Demo, FormatOption, RepoIdOption, Tag, interruptible
from hubkit.output import output

app = typer.Typer(help="Publish and compare from GitHub Actions.", no_args_is_help=True)

Bundle = Annotated[
    Path,
    typer.Argument(
        metavar="BUNDLE", help="A bundle that `hubkit card --output` wrote.", show_default=False
    ),
]


@app.callback()
def _group() -> None:
    """Publish and compare from GitHub Actions."""


@app.command()
@interruptible
def init(
    recipe: Annotated[
        str | None,
        typer.Option(
            "--recipe",
            metavar="PATH",
            help="The recipe's folder, from the root of the repository; default: the only one.",
            show_default=False,
        ),
    ] = None,
    folder: Annotated[
        Path, typer.Option("--dir", metavar="DIR", help="Root of the repository.")
    ] = Path(),
    repo_id: RepoIdOption = None,
    requirement: Annotated[
        str | None,
        typer.Option(
            "--hubkit",
            metavar="REQUIREMENT",
            help="What pip gets hubkit from; default: where this one came from.",
            show_default=False,
        ),
    ] = None,
    trusted: Annotated[
        bool,
        typer.Option(
            "--trusted-publishing",
            help="Publish with the job's identity, without the secret HF_TOKEN.",
        ),
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Overwrite what is there.")] = False,
    format_: FormatOption = "human",
) -> None:
    """Write the action and two workflows into a repository, and say what is left to set.

    The one publishes the recipe when a tag v* is pushed; the other measures each pull request
    beside the branch that it is for. Run again, it writes nothing.
    """
    from hubkit.ci.init import init as run

    done = run(
        folder,
        recipe=recipe,
        repo_id=repo_id,
        requirement=requirement,
        trusted=trusted,
        force=force,
    )
    out = output()
    if out.style == "json":
        out.data(asdict(done))
        return
    for path in done.written:
        out.data(f"wrote      {path}")
    for path in done.unchanged:
        out.data(f"unchanged  {path}")
    out.info("\nWhat is left to do:")
    for number, what in enumerate(done.to_do, 1):
        out.info(f"{number}. {what}")


@app.command()
@interruptible
def rehearse(
    target: Annotated[
        str,
        typer.Argument(
            metavar="RECIPE",
            help="A shipped recipe's name, a recipe file, or its folder.",
            show_default=False,
        ),
    ],
    into: Annotated[
        Path,
        typer.Option("--output", "-o", metavar="DIR", help="A new folder for what came of it."),
    ],
    repo_id: RepoIdOption = None,
    push: Annotated[
        bool, typer.Option("--push/--no-push", help="Push it to an embedded Hub, and verify it.")
    ] = True,
    demo: Demo = False,
    format_: FormatOption = "human",
) -> None:
    """Measure a recipe, and publish it on an embedded Hub that is gone afterwards.

    DIR/bundle is then what `hubkit ci publish` publishes. Exit code 3: a gate is not met;
    DIR/outcome.json says why, and DIR/results.json holds what was measured.
    """
    from hubkit.ci.rehearse import rehearse as run
    from hubkit.cli.show import as_json

    with output().steps() as steps:
        outcome = run(target, into, repo_id=repo_id, demo=demo, push=push, listener=steps)
    if output().style == "json":
        output().data(as_json(outcome))
        return
    output().data(str(into / "bundle"))


@app.command()
@interruptible
def compare(
    base: Annotated[
        Path,
        typer.Argument(
            metavar="BASE",
            help="Before: what `hubkit ci rehearse` wrote, a bundle, or a results.json.",
            show_default=False,
        ),
    ],
    new: Annotated[
        Path, typer.Argument(metavar="NEW", help="After: the same.", show_default=False)
    ],
    name: Annotated[
        str | None,
        typer.Option(
            "--name",
            metavar="NAME",
            help="What is compared; each name has its own comment. Default: the recipe's.",
            show_default=False,
        ),
    ] = None,
    format_: FormatOption = "human",
) -> None:
    """Print the comparison of two results as a comment for GitHub, in Markdown.

    Accuracy, flips, size and latency of each model, what went in, and how the card changes.
    """
    from hubkit.ci.compare import compare as run
    from hubkit.ci.markdown import comparison
    from hubkit.ci.sides import read_side
    from hubkit.cli.show import as_json

    before, after = read_side(base), read_side(new)
    report = after.report or before.report
    found = run(before, after, name or (report.recipe if report else str(new)))
    out = output()
    out.data(as_json(found) if out.style == "json" else comparison(found))


@app.command()
@interruptible
def comment(
    text: Annotated[
        Path,
        typer.Argument(
            metavar="FILE", help="What `hubkit ci compare` printed.", show_default=False
        ),
    ],
    number: Annotated[
        int | None,
        typer.Option(
            "--number",
            metavar="N",
            help="The pull request; default: that of the job.",
            show_default=False,
        ),
    ] = None,
    format_: FormatOption = "human",
) -> None:
    """Make a file the one comment of its kind on a pull request, in a job of GitHub Actions.

    It takes GITHUB_TOKEN with `pull-requests: write`; where the token may not comment, as on a pull
    request from a fork, it says so and goes on.
    """
    from hubkit.ci.comment import stick
    from hubkit.ci.github import Refused, annotation, github_here, pull_request_here

    github = github_here()
    found = pull_request_here() if number is None else number
    try:
        done = stick(github, found, _read(text))
    except Refused as error:
        if error.status != 403:
            raise
        output().data(
            annotation("warning", "This job may not comment: see its summary for the comparison.")
        )
        return
    output().data({"comment": done, "number": found} if output().style == "json" else done)


@app.command()
@interruptible
def publish(
    bundle: Bundle,
    repo_id: Annotated[
        str,
        typer.Option("--repo-id", metavar="USER/NAME", help="The repository to publish to."),
    ],
    tag: Tag = None,
    endpoint: Annotated[
        str | None,
        typer.Option(
            "--endpoint",
            metavar="URL",
            help="The Hub's address; default: $HF_ENDPOINT, else the public Hub.",
            show_default=False,
        ),
    ] = None,
    records: Annotated[
        Path | None,
        typer.Option(
            "--records",
            metavar="DIR",
            help="A new folder for the cards, results and figures, without weights.",
            show_default=False,
        ),
    ] = None,
    format_: FormatOption = "human",
) -> None:
    """Push a bundle, verify it and tag it, with HF_TOKEN or else with the job's own identity.

    Trusted publishing: without HF_TOKEN the job's identity (`permissions: id-token: write`) is
    exchanged for a token that ends within the hour and may write to this repository alone. url,
    commit, made-commit, pictures and records become outputs of the step.
    """
    from hubkit.ci.github import set_outputs
    from hubkit.ci.publish import lay_out, outputs_of, publish_bundle
    from hubkit.ci.summary import Where

    with output().steps() as steps:
        done = publish_bundle(
            bundle, repo_id, tag=tag or None, endpoint=endpoint or None, listener=steps
        )
    told = outputs_of(done, records)
    if records is not None:
        lay_out(bundle, records, Where(told["url"], told["commit"], told["pictures"] or None))
    set_outputs(told)
    output().data({**told} if output().style == "json" else told["url"])


@app.command()
@interruptible
def summary(
    bundle: Bundle,
    url: Annotated[str, typer.Option("--url", metavar="URL", help="Where it is published.")] = "",
    commit: Annotated[str, typer.Option("--commit", metavar="SHA", help="Its commit.")] = "",
    pictures: Annotated[
        str,
        typer.Option(
            "--pictures",
            metavar="URL",
            help="Where its files can be seen by all; else GitHub draws the plot itself.",
        ),
    ] = "",
    format_: FormatOption = "human",
) -> None:
    """Print a publication's table and plot as a job summary for GitHub, in Markdown."""
    from hubkit.ci.summary import Where
    from hubkit.ci.summary import summary as run

    text = run(bundle, Where(url or None, commit or None, pictures or None))
    output().data({"markdown": text} if output().style == "json" else text)


@app.command()
@interruptible
def attach(
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="DIR", help="What `hubkit ci publish --records` wrote.", show_default=False
        ),
    ],
    tag: Annotated[str, typer.Option("--tag", metavar="TAG", help="The release's tag.")],
    format_: FormatOption = "human",
) -> None:
    """Attach a folder's files to the GitHub release of a tag; a release that is missing is made.

    It takes GITHUB_TOKEN with `contents: write`. Run again, it goes on where it was.
    """
    from hubkit.ci.attach import attach as run
    from hubkit.ci.github import github_here

    done = run(github_here(), tag, folder)
    out = output()
    if out.style == "json":
        out.data(asdict(done))
        return
    out.info(f"{len(done.added)} added, {len(done.replaced)} replaced, {len(done.kept)} kept.")
    out.data(done.url)


def _read(path: Path) -> str:
    from hubkit.errors import UsageError

    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be read: {error}") from None
