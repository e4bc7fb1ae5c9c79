"""Push a bundle, verify what came of it, and tag that."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

from hubkit.errors import HubError, StoreError, UsageError, VerifyError
from hubkit.gate import refuse_incomplete
from hubkit.hub.client import connect
from hubkit.hub.manifest import parse_sums
from hubkit.keys import digest_of_value, files_of
from hubkit.recipe import Recipe
from hubkit.recorded import RESULTS_FILE, is_bundle, load_bundle
from hubkit.records import Artifact, Bundle
from hubkit.runner import Runner
from hubkit.stages.push import (
    Pushed,
    PushInput,
    Tagged,
    TagInput,
    commit_message,
    plan_push,
    push,
    tag,
)
from hubkit.stages.verify import Verified, VerifyInput, verify


def push_input(recipe: Recipe, ready: Bundle, *, private: bool | None = None) -> PushInput:
    """What to push, with the recipe's visibility unless told otherwise."""
    return PushInput(
        bundle=ready.artifact,
        repo_id=ready.repo_id,
        private=recipe.publication.private if private is None else private,
        message=commit_message(recipe.name, recipe.publication.formats),
    )


def verify_once(run: Runner, bundle: Artifact, pushed: Pushed) -> Verified | None:
    """Verify a commit, unless it was verified before; a kill between push and verify is made good.

    The receipt is kept by endpoint, commit and content, so a new commit is always verified.
    """
    wanted = VerifyInput(repo_id=pushed.repo_id, revision=pushed.commit, bundle=bundle)
    receipt = digest_of_value(
        {
            "verified": wanted.model_dump(mode="json"),
            "endpoint": connect(run.endpoint, run.token).endpoint,
        }
    )
    if run.store.get_record(receipt, Verified) is not None:
        return None
    try:
        verified = run.run(verify, wanted)
    except (HubError, StoreError) as error:
        # What was pushed may be as it should be; nobody knows yet.
        error.message += f"; {pushed.repo_id} holds commit {pushed.commit[:12]}, not verified yet"
        raise
    if verified.complete:  # else what is missing here today may be checked here tomorrow
        run.store.put_record(receipt, verified)
    return verified


def push_folder(
    run: Runner, folder: Path, repo_id: str, *, private: bool = False, tag_name: str | None = None
) -> tuple[Pushed, Verified | None, Tagged | None]:
    """Push a bundle folder as it is, verify the commit, then tag it.

    Raises UsageError for a folder whose SHA256SUMS does not fit its files: what was edited after it
    was measured is not what was measured; GateError where its recipe demands a complete card, and
    it is not.
    """
    sums = folder / "SHA256SUMS"
    if not sums.is_file():
        raise UsageError(
            f"{folder} is no bundle: it holds no SHA256SUMS",
            hint="hubkit card RECIPE --output FOLDER writes one.",
        )
    found = {name: sha for name, sha in files_of(folder).items() if name != sums.name}
    listed = parse_sums(sums.read_text(encoding="utf-8"))
    if found != listed:
        odd = sorted(n for n in found.keys() | listed.keys() if found.get(n) != listed.get(n))
        raise UsageError(
            f"{folder}: {', '.join(odd)} differ from SHA256SUMS",
            hint="Write the bundle anew: hubkit card RECIPE --output FOLDER.",
        )
    if results_kind(folder) == "sweep":
        refuse_partial(folder)
    elif is_bundle(str(folder)):
        refuse_incomplete(load_bundle(folder))
    card = (folder / "README.md").read_text(encoding="utf-8")
    named = {n for n in re.findall(r'^repo_id = "(.+)"$', card, re.MULTILINE) if n != repo_id}
    if named:
        raise UsageError(
            f"the card in {folder} tells its readers to load {', '.join(sorted(named))}, not"
            f" {repo_id}",
            hint=f"Write one for it: hubkit card RECIPE --repo-id {repo_id} --output FOLDER.",
        )
    with run.store.scratch() as scratch:
        shutil.copytree(folder, scratch / "bundle")
        artifact = run.store.adopt(scratch / "bundle")
    wanted = PushInput(
        bundle=artifact, repo_id=repo_id, private=private, message=f"Publish {folder.name}"
    )
    refuse_taken_tag(run, wanted, tag_name)
    pushed = run.run(push, wanted)
    verified = verify_once(run, artifact, pushed)
    return pushed, verified, tag_commit(run, pushed, verified, tag_name)


def results_kind(folder: Path) -> str | None:
    """What a folder's results.json holds: "sweep", or None for a publication's."""
    path = folder / RESULTS_FILE
    found = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    kind = found.get("kind")
    return kind if isinstance(kind, str) else None


def refuse_partial(folder: Path) -> None:
    """Raise UsageError for the report of a sweep that did not score all rows."""
    found = json.loads((folder / RESULTS_FILE).read_text(encoding="utf-8"))
    if found.get("partial"):
        raise UsageError(
            f"{folder}: partial results are not published ({'; '.join(found['partial'])})",
            hint="Run the sweep without --limit.",
        )


def refuse_taken_tag(run: Runner, wanted: PushInput, name: str | None) -> None:
    """Raise HubError where a push would make a new commit and the tag stands for an older one."""
    hub = connect(run.endpoint, run.token)
    if name is None or hub.state(wanted.repo_id) is None or name not in hub.tags(wanted.repo_id):
        return
    with run.store.scratch() as scratch:
        plan = plan_push(wanted, run.context(scratch))
    if not plan.nothing_to_do:
        raise HubError(
            f"tag {name} of {wanted.repo_id} is there already, and this would make a new commit;"
            " nothing was pushed",
            hint="Choose another tag with --tag: one that others may use is not moved.",
        )


def tag_commit(
    run: Runner, pushed: Pushed, verified: Verified | None, name: str | None
) -> Tagged | None:
    """The tag at a commit that was verified; None where none is wanted.

    Raises VerifyError where a format could not be checked on this machine: a tag is a promise.
    """
    if name is None:
        return None
    missing = [] if verified is None else [c for c in verified.formats if not c.checked]
    if missing:
        reasons = "; ".join(f"{check.format}: {check.reason}" for check in missing)
        raise VerifyError(
            f"{pushed.repo_id} holds commit {pushed.commit[:12]}, and it is not tagged {name}, for"
            f" not all of it could be verified ({reasons})",
            hint="Install what is missing, then run the same command again.",
        )
    return run.run(tag, TagInput(repo_id=pushed.repo_id, tag=name, commit=pushed.commit))
