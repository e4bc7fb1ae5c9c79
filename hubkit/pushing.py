"""Push a bundle, verify what came of it, and tag that."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from hubkit.cards.layout import MODEL_FILES
from hubkit.errors import HubError, StoreError, UsageError, VerifyError
from hubkit.gate import refuse_incomplete
from hubkit.hub.client import connect
from hubkit.hub.faults import outcome
from hubkit.hub.manifest import SUMS, parse_sums
from hubkit.hub.remote import MAIN, PR
from hubkit.keys import digest_of_value, files_of
from hubkit.provenance.signing_key import signer_of
from hubkit.recipe import Recipe
from hubkit.recorded import RESULTS_FILE, is_bundle, load_bundle
from hubkit.records import Artifact, Bundle
from hubkit.runner import Runner
from hubkit.secrets_scan.scan import refuse_secrets
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
from hubkit.stages.push_spot import refuse_branch_of_pull_request
from hubkit.stages.rollback import RolledBack
from hubkit.stages.verify import Verified, VerifyInput, verify


@dataclass(frozen=True)
class Onto:
    """How a bundle goes to its repository, beyond what the recipe says.

    `branch`: made where it is missing; refs/pr/N: that pull request; None: main. `create_pr`: as a
    new pull request. `revision`: what a new branch or pull request starts at. `private`: of a new
    repository; None: as the recipe says. `tag`: of the verified commit; with `force` one that
    stands for another commit is moved. `sign_key`: the path of a private key, or "keyless"; None:
    what $HUBKIT_SIGNING_KEY says.
    """

    branch: str | None = None
    create_pr: bool = False
    revision: str | None = None
    private: bool | None = None
    tag: str | None = None
    force: bool = False
    sign_key: str | None = None

    def check(self) -> None:
        """Raise UsageError for what does not go together, before anything is computed."""
        signer_of(self.sign_key)
        if self.create_pr and self.branch not in (None, MAIN):
            refuse_branch_of_pull_request(self.branch)
        if self.force and self.tag is None:
            raise UsageError(
                "--force moves a tag, and there is none to move", hint="Name it with --tag TAG."
            )
        if self.tag is not None and (self.create_pr or (self.branch or "").startswith(PR)):
            raise UsageError(
                "a pull request is not tagged: what comes of it is known when it is merged",
                hint="Leave --tag out; once it is merged, the same command with --tag and without"
                " --create-pr tags it.",
            )


ONTO_MAIN = Onto()


def push_input(recipe: Recipe, ready: Bundle, onto: Onto = ONTO_MAIN) -> PushInput:
    """What to push, with the recipe's visibility unless told otherwise."""
    private = recipe.publication.private if onto.private is None else onto.private
    there = {ref.path for ref in ready.artifact.files}
    formats = tuple(kind for kind in recipe.publication.formats if MODEL_FILES[kind] in there)
    message = commit_message(recipe.name, formats, ready.half)
    return push_folder_input(ready.artifact, ready.repo_id, private, message, onto)


def push_folder_input(
    bundle: Artifact, repo_id: str, private: bool, message: str, onto: Onto
) -> PushInput:
    """What to push of a bundle that no recipe stands behind."""
    return PushInput(
        bundle=bundle,
        repo_id=repo_id,
        private=private,
        message=message,
        branch=onto.branch,
        create_pr=onto.create_pr,
        revision=onto.revision,
        sign_with=signer_of(onto.sign_key),
    )


def verify_once(
    run: Runner, bundle: Artifact | None, pushed: Pushed | RolledBack
) -> Verified | None:
    """Verify a commit, unless it was verified before; a kill between push and verify is made good.

    `bundle` None: what the commit's own SHA256SUMS says. The receipt is kept by endpoint, commit
    and content, so a new commit is always verified; that of a pull request as refs/pr/N, where its
    readers find it.
    """
    in_pr = pushed.branch.startswith(PR)
    at = pushed.branch if in_pr else pushed.commit
    trust = None
    if isinstance(pushed, Pushed):  # which may have given the bundle a signature
        bundle, trust = pushed.bundle or bundle, pushed.trust
    wanted = VerifyInput(repo_id=pushed.repo_id, revision=at, bundle=bundle, trust=trust)
    # The signature is one of the files; whose it is, was looked at when it was laid beside them.
    kept = wanted.model_copy(update={"revision": pushed.commit, "trust": None})
    receipt = digest_of_value(
        {
            "verified": kept.model_dump(mode="json"),
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
    if verified.revision != pushed.commit:
        raise VerifyError(
            f"{at} of {pushed.repo_id} is at commit {verified.revision[:12]} by now, and not at"
            f" {pushed.commit[:12]}, which was pushed: somebody else has added to it",
            hint=f"hubkit verify {pushed.repo_id} --revision {pushed.commit}",
        )
    if verified.complete:  # else what is missing here today may be checked here tomorrow
        run.store.put_record(receipt, verified)
    return verified


def push_folder(
    run: Runner, folder: Path, repo_id: str, onto: Onto = ONTO_MAIN
) -> tuple[Pushed, Verified | None, Tagged | None]:
    """Push a bundle folder as it is, verify the commit, then tag it. Raises what `taken_in` does,
    too."""
    onto.check()
    artifact = taken_in(run, folder, repo_id)
    message = f"Publish {folder.resolve().name}"
    private = recorded_private(folder) if onto.private is None else onto.private
    wanted = push_folder_input(artifact, repo_id, private, message, onto)
    refuse_taken_tag(run, wanted, onto)
    pushed = run.run(push, wanted)
    verified = verify_once(run, artifact, pushed)
    return pushed, verified, tag_commit(run, pushed, verified, onto)


def taken_in(run: Runner, folder: Path, repo_id: str) -> Artifact:
    """A bundle folder as an artifact, where it may be pushed to a repository as it is.

    Raises UsageError for a folder whose SHA256SUMS does not fit its files: what was edited after it
    was measured is not what was measured; GateError where its recipe demands a complete card, and
    it is not; HubkitError where a file holds a secret.
    """
    if not (folder / SUMS).is_file():
        raise UsageError(
            f"{folder} is no bundle: it holds no {SUMS}",
            hint="hubkit card RECIPE --output FOLDER writes one.",
        )
    with run.store.scratch() as scratch:
        # What is looked at is what is pushed: links are followed by now, and nobody edits it.
        taken = shutil.copytree(folder, scratch / folder.resolve().name)
        _refuse_unfit(taken, folder, repo_id)
        return run.store.adopt(taken)


def _refuse_unfit(taken: Path, folder: Path, repo_id: str) -> None:
    found = {name: sha for name, sha in files_of(taken).items() if name != SUMS}
    listed = parse_sums((taken / SUMS).read_text(encoding="utf-8"))
    if found != listed:
        odd = sorted(n for n in found.keys() | listed.keys() if found.get(n) != listed.get(n))
        raise UsageError(
            f"{folder}: {', '.join(odd)} differ from {SUMS}",
            hint="Write the bundle anew: hubkit card RECIPE --output FOLDER.",
        )
    refuse_secrets(taken)
    if results_kind(taken) == "sweep":
        refuse_partial(taken)
    elif is_bundle(str(taken)):
        refuse_incomplete(load_bundle(taken))
    card = (taken / "README.md").read_text(encoding="utf-8")
    named = {n for n in re.findall(r'^repo_id = "(.+)"$', card, re.MULTILINE) if n != repo_id}
    if named:
        raise UsageError(
            f"the card in {folder} tells its readers to load {', '.join(sorted(named))}, not"
            f" {repo_id}",
            hint=f"Write one for it: hubkit card RECIPE --repo-id {repo_id} --output FOLDER.",
        )


def recorded_private(folder: Path) -> bool:
    """Whether a bundle's own recipe wants a new repository private."""
    if results_kind(folder) == "sweep" or not is_bundle(str(folder)):
        return False
    return load_bundle(folder).recipe.publication.private


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


def refuse_taken_tag(run: Runner, wanted: PushInput, onto: Onto) -> None:
    """Raise HubError where a push would make a new commit and the tag stands for an older one."""
    if onto.tag is None or onto.force:
        return
    hub = connect(run.endpoint, run.token)
    with outcome("nothing was pushed"):
        if hub.state(wanted.repo_id) is None or onto.tag not in hub.tags(wanted.repo_id):
            return
        with run.store.scratch() as scratch:
            plan = plan_push(wanted, run.context(scratch))
    if not plan.nothing_to_do:
        raise HubError(
            f"tag {onto.tag} of {wanted.repo_id} is there already, and this would make a new"
            " commit; nothing was pushed",
            hint="Choose another tag with --tag; --force moves one that others may use.",
        )


def tag_commit(run: Runner, pushed: Pushed, verified: Verified | None, onto: Onto) -> Tagged | None:
    """The tag at a commit that was verified; None where none is wanted.

    Raises VerifyError where a format could not be checked on this machine: a tag is a promise.
    """
    name = onto.tag
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
    there = f"{pushed.repo_id} holds commit {pushed.commit[:12]}, not tagged {name} yet"
    wanted = TagInput(repo_id=pushed.repo_id, tag=name, commit=pushed.commit, force=onto.force)
    with outcome(there):
        return run.run(tag, wanted)
