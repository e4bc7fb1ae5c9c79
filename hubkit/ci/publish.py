"""Push a bundle with what a job has to prove who it is, and lay out what its release shows."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from hubkit.cards.layout import published_variants
from hubkit.ci.attach import NOTES
from hubkit.ci.oidc import exchange, has_identity
from hubkit.ci.summary import Where, summary
from hubkit.errors import HubError, UsageError
from hubkit.hub.client import connect
from hubkit.pipeline import running
from hubkit.pushing import (
    Onto,
    push_input,
    refuse_taken_tag,
    tag_commit,
    taken_in,
    verify_once,
)
from hubkit.recipe import Recipe
from hubkit.recorded import RESULTS_FILE, is_bundle, is_card, load_bundle
from hubkit.records import Bundle, Format, Report
from hubkit.runner import Listener, Runner
from hubkit.stages.push import Pushed, push
from hubkit.stages.verify import Verified

# Beside the cards and the figures: what a reader of a release needs to check and repeat it.
_RECORDS = (
    "results.json",
    "lock.json",
    "recipe.json",
    "sweep.json",
    "tune.json",
    "formats.json",
    "SHA256SUMS",
    "CITATION.cff",
)
_RECORD_ENDINGS = (".cdx.json", ".spdx.json", ".sig", ".sigstore.json", ".pem", ".pub")
_FIGURES = (".png", ".svg")


@dataclass(frozen=True)
class PushedBundle:
    """A bundle on a Hub. `verified` None: this very commit was verified before. `private`: not for
    all to see."""

    pushed: Pushed
    verified: Verified | None
    tag: str | None
    private: bool


def push_bundle(run: Runner, folder: Path, repo_id: str, *, tag: str | None = None) -> PushedBundle:
    """Push a bundle as its recipe says, verify the commit, then tag it; no commit where nothing
    differs. Raises UsageError for a folder that is no bundle, and what `push_folder` raises."""
    _refuse_no_bundle(folder)
    recipe = load_bundle(folder).recipe
    onto = Onto(tag=tag)
    ready = Bundle(
        repo_id=repo_id, artifact=taken_in(run, folder, repo_id), half=_half(folder, recipe)
    )
    wanted = push_input(recipe, ready, onto)
    refuse_taken_tag(run, wanted, onto)
    pushed = run.run(push, wanted)
    verified = verify_once(run, ready.artifact, pushed)
    tagged = tag_commit(run, pushed, verified, onto)
    state = connect(run.endpoint, run.token).state(pushed.repo_id)
    private = state is None or state.private
    return PushedBundle(pushed, verified, tagged.tag if tagged else None, private)


def _half(folder: Path, recipe: Recipe) -> tuple[Format, ...]:
    """The formats of a bundle whose model is in half precision, by its own report."""
    report = Report.model_validate_json((folder / RESULTS_FILE).read_bytes())
    published = published_variants(recipe, report)
    return tuple(kind for kind, variant in published.items() if variant.precision == "fp16")


def publish_bundle(
    folder: Path,
    repo_id: str,
    *,
    tag: str | None = None,
    endpoint: str | None = None,
    listener: Listener | None = None,
    environ: Mapping[str, str] = os.environ,
) -> PushedBundle:
    """`push_bundle` with HF_TOKEN, or where there is none with a token that this job's identity is
    exchanged for, which no other process but hubkit's own ever sees.

    Raises HubError where there is neither, and what `push_bundle` and `exchange` raise.
    """
    if "/" not in repo_id:
        raise UsageError(f"{repo_id}: not USER/NAME", hint="Give --repo-id with its owner.")
    _refuse_no_bundle(folder)  # before a token is asked for
    hub = connect(endpoint, None)
    token = hub.token
    if token is None:
        if not has_identity(environ):
            raise HubError(
                f"nothing here may write to {repo_id}",
                hint="Add the secret HF_TOKEN, or give the job `permissions: id-token: write` and"
                f" add a trusted publisher at {hub.endpoint}/{repo_id}/settings.",
            )
        token = exchange(hub.endpoint, repo_id, environ)
    with running(endpoint=endpoint, token=token, listener=listener) as run:
        return push_bundle(run, folder, repo_id, tag=tag)


def _refuse_no_bundle(folder: Path) -> None:
    if not is_bundle(str(folder)):
        raise UsageError(
            f"{folder} is no bundle", hint="`hubkit card RECIPE --output FOLDER` writes one."
        )


def outputs_of(done: PushedBundle, records: Path | None) -> dict[str, str]:
    """What the steps after this one are told. `pictures`: "" where they are not for all to see."""
    pushed = done.pushed
    public = not done.private and pushed.url.startswith("https://")
    return {
        "url": pushed.url,
        "commit": pushed.commit,
        "made-commit": "true" if pushed.made_commit else "false",
        "pictures": f"{pushed.url}/resolve/{pushed.commit}" if public else "",
        "records": str(records) if records else "",
    }


def lay_out(folder: Path, into: Path, where: Where) -> tuple[str, ...]:
    """Copy a bundle's cards, results and figures, but no weights, side by side into a new folder,
    with the text of the release; the names, sorted. Raises UsageError where it is not empty."""
    if into.exists() and (not into.is_dir() or any(into.iterdir())):
        raise UsageError(f"{into} is not empty", hint="Name a new folder with --records.")
    into.mkdir(parents=True, exist_ok=True)
    for path in sorted(folder.rglob("*")):
        inside = path.relative_to(folder)
        if path.is_file() and _is_record(inside):
            shutil.copyfile(path, into / "-".join(inside.parts))
    (into / NOTES).write_text(summary(folder, where), encoding="utf-8")
    return tuple(sorted(path.name for path in into.iterdir()))


def _is_record(path: Path) -> bool:
    if len(path.parts) > 1:
        return path.suffix in _FIGURES
    name = path.name
    return is_card(name) or name in _RECORDS or name.endswith(_RECORD_ENDINGS)
