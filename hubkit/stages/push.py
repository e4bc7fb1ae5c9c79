"""Put a bundle on the Hub in one commit, or in none where the Hub has it already; and tag it."""

from __future__ import annotations

from contextlib import nullcontext
from functools import partial

from pydantic import Field

from hubkit.errors import HubError
from hubkit.hub.client import Hub, connect
from hubkit.hub.faults import Clash, outcome
from hubkit.hub.refusals import Place, no_write_access
from hubkit.hub.remote import PR, Landed, RepoKind
from hubkit.provenance.signature import Trust
from hubkit.provenance.signing_key import KEYLESS, trust_of
from hubkit.records import Artifact, Record
from hubkit.stage import Context, stage
from hubkit.stages.committing import commit_plan, own_pull_request
from hubkit.stages.push_plan import Change, Plan, described, holds
from hubkit.stages.push_spot import Spot, find_spot, refuse_gone_on
from hubkit.stages.signed import plan_signed

# A repository may change under us this often before we say so.
AGAIN = 3

# What trusted publishing gives a job (huggingface.co/docs/hub/trusted-publishers).
_OF_A_JOB = "hf_jwt_"


class PushInput(Record):
    """`message` is the commit's title. `branch` None: main; refs/pr/N: that pull request.

    `create_pr`: the commit becomes a new pull request. `revision`: what a new branch or pull
    request starts at; None: main.
    """

    bundle: Artifact
    repo_id: str
    private: bool = False
    message: str
    branch: str | None = None
    create_pr: bool = False
    revision: str | None = None
    kind: RepoKind = "model"
    sign_with: str | None = None  # the path of a private key, or "keyless"


class Pushed(Record):
    """Where the bundle is now. `made_commit` False: the Hub had it already, at `commit`.

    `branch` is refs/pr/N, and `pull_request` N, where it went into a pull request.
    """

    repo_id: str
    kind: RepoKind
    branch: str
    commit: str
    url: str
    made_commit: bool
    changes: tuple[Change, ...]
    pull_request: int | None = None
    pull_request_url: str | None = None
    # The files as they are there, and who must have signed them: for verify alone.
    bundle: Artifact | None = Field(None, exclude=True)
    trust: Trust | None = Field(None, exclude=True)


class TagInput(Record):
    """`force`: a tag of that name at another commit is taken away first."""

    repo_id: str
    tag: str
    commit: str
    force: bool = False
    kind: RepoKind = "model"


class Tagged(Record):
    """`made` False: the tag was there already, at this commit. `moved_from`: the commit that it
    stood for before it was deleted and made anew."""

    repo_id: str
    tag: str
    commit: str
    url: str
    made: bool
    moved_from: str | None = None


def commit_message(recipe: str, formats: tuple[str, ...], half: tuple[str, ...] = ()) -> str:
    """The title of a publication's commit: the same recipe and formats give the same words. `half`:
    those of the formats that are in half precision."""
    names = {"pytorch": "PyTorch", "onnx": "ONNX", "openvino": "OpenVINO"}
    said = (f"{names[f]} {'FP16' if f in half else 'INT8'}" for f in sorted(formats, reverse=True))
    return f"Publish {recipe}: {' and '.join(said)}"


def plan_push(given: PushInput, ctx: Context) -> Plan:
    """What `push` would change, by reading the Hub alone; without a token, as far as anybody may
    see. Raises what `push` would raise before it sends anything."""
    hub = connect(ctx.endpoint, ctx.token)
    repo_id = writable_id(hub, given.repo_id) if hub.token else given.repo_id
    spot = _spot(hub, given, repo_id)
    # A keyless signature is an entry in a public log for good: not made for a look.
    sign_with = None if given.sign_with == KEYLESS else given.sign_with
    bundle, plan = plan_signed(hub, ctx.store, given.bundle, spot, sign_with)
    if not plan.nothing_to_do:
        refuse_gone_on(spot)
    now = given.model_copy(update={"bundle": bundle})
    if plan.create_pr and hub.token and (there := _there(hub, now, ctx, plan)):
        branch = there.pull_request.ref if there.pull_request else plan.branch
        return plan.model_copy(update={"changes": (), "branch": branch, "create_pr": False})
    return described(hub, plan, {ref.path: ref.sha256 for ref in bundle.files})


def push_to(hub: Hub, given: PushInput, ctx: Context) -> Pushed:
    """`push` on a Hub that is connected already.

    Raises HubError; its message says whether anything was pushed. A KeyboardInterrupt passes
    through: there is one commit, so nothing is ever half there.
    """
    with outcome("nothing was pushed"):
        repo_id = writable_id(hub, given.repo_id)
    for _ in range(1 + AGAIN):
        with outcome("nothing was pushed"):
            spot = _make_room(hub, given, repo_id)
            bundle, plan = plan_signed(hub, ctx.store, given.bundle, spot, given.sign_with)
            now, folder = given.model_copy(update={"bundle": bundle}), ctx.store.path(bundle)
            if not plan.nothing_to_do:
                refuse_gone_on(spot)
            there = _there(hub, now, ctx, plan)
            if not plan.branch_exists:
                hub.create_branch(repo_id, plan.branch, plan.parent, kind=given.kind)
            if there is not None:
                return _pushed(hub, now, plan, there, made=False)
        landed = commit_plan(
            hub,
            plan,
            folder,
            given.message,
            partial(holds, bundle=bundle, folder=folder),
            ctx.progress,
        )
        if landed is not None:
            return _pushed(hub, now, plan, landed, made=True)
    raise changed_too_often(repo_id)


def changed_too_often(repo_id: str) -> HubError:
    """What to say where a branch moved at every try to commit to it."""
    return HubError(
        f"{repo_id} was changed by somebody else between reading and writing, {1 + AGAIN} times"
        " running; nothing was pushed",
        hint="Wait until the other writer is done, then run the same command again.",
    )


@stage("push", version=1, kind="effect", takes=PushInput, gives=Pushed)
def push(given: PushInput, ctx: Context) -> Pushed:
    """The bundle as the files of a repository: one commit, or none where nothing differs.

    The repository is made if it is missing. Files that an earlier push of hubkit left and this one
    has not are deleted; all other files of the repository stay as they are.
    """
    return push_to(connect(ctx.endpoint, ctx.token), given, ctx)


def tag_on(hub: Hub, given: TagInput) -> Tagged:
    """`tag` on a Hub that is connected already."""
    repo_id = writable_id(hub, given.repo_id)
    made, moved_from = False, None
    at = _tag_at(hub, repo_id, given)
    if at is not None and at != given.commit and given.force:
        hub.delete_tag(repo_id, given.tag, kind=given.kind)
        at, moved_from = None, at
    if at is None:
        made = True
        gone = f"tag {given.tag} was at {(moved_from or '')[:12]} and is deleted"
        with outcome(gone) if moved_from else nullcontext():
            try:
                hub.create_tag(repo_id, given.tag, given.commit, kind=given.kind)
            except Clash:  # made by a call whose answer was lost, or by somebody else just now
                at = _tag_at(hub, repo_id, given)
    if at not in (None, given.commit):
        raise HubError(
            f"tag {given.tag} of {repo_id} is at commit {at[:12]}, not at {given.commit[:12]};"
            " a tag that others may use is not moved",
            hint="Choose another tag with --tag; --force deletes this one and makes it anew.",
        )
    url = f"{repo_url(hub, repo_id, given.kind)}/tree/{given.tag}"
    return Tagged(
        repo_id=repo_id,
        tag=given.tag,
        commit=given.commit,
        url=url,
        made=made,
        moved_from=moved_from,
    )


def _tag_at(hub: Hub, repo_id: str, given: TagInput) -> str | None:
    """The commit that a tag stands for; None: there is no such tag."""
    at = hub.tags(repo_id, kind=given.kind).get(given.tag)
    if at in (None, given.commit):
        return at
    # An annotated tag may be listed as the tag object: ask what it stands for.
    return hub.head(repo_id, given.tag, kind=given.kind)


@stage("tag", version=1, kind="effect", takes=TagInput, gives=Tagged)
def tag(given: TagInput, ctx: Context) -> Tagged:
    """A tag at a commit. Raises HubError where the name stands for another commit, unless it is to
    be moved by force."""
    return tag_on(connect(ctx.endpoint, ctx.token), given)


def writable_id(hub: Hub, repo_id: str) -> str:
    """USER/NAME of a repository, with the account's name where it has none.

    Raises HubError where there is no token, or one that may only read.
    """
    if "/" in repo_id and hub.token and hub.token.startswith(_OF_A_JOB):
        return repo_id  # such a token is for this one repository, and of no account to ask for
    account = hub.account()
    full = repo_id if "/" in repo_id else f"{account.name}/{repo_id}"
    if account.role == "read":
        raise no_write_access(Place(hub.endpoint, full, account.name))
    return full


def repo_url(hub: Hub, repo_id: str, kind: RepoKind) -> str:
    """The page of a repository."""
    return f"{hub.endpoint}/{'datasets/' if kind == 'dataset' else ''}{repo_id}"


def _spot(hub: Hub, given: PushInput, repo_id: str) -> Spot:
    return find_spot(
        hub,
        repo_id,
        given.branch,
        revision=given.revision,
        create_pr=given.create_pr,
        kind=given.kind,
    )


def _make_room(hub: Hub, given: PushInput, repo_id: str) -> Spot:
    """Where to push; the repository is made first where it is missing."""
    spot = _spot(hub, given, repo_id)
    if not spot.exists:
        hub.create_repo(repo_id, private=given.private, kind=given.kind)
        spot = _spot(hub, given, repo_id)
    if not spot.exists:
        raise HubError(
            f"{repo_id} exists and may not be seen with this token",
            hint="Use a token of an account that may write to it, or another --repo-id.",
        )
    if given.private and not spot.private:
        raise HubError(
            f"{repo_id} is public, and this is to be private",
            hint=f"Make it private at {repo_url(hub, repo_id, given.kind)}/settings, or leave"
            " --private out and set publication.private to false.",
        )
    return spot


def _there(hub: Hub, given: PushInput, ctx: Context, plan: Plan) -> Landed | None:
    """Where all of the plan is on the Hub already: the branch, or an open pull request of ours."""
    if plan.nothing_to_do:
        return Landed(plan.parent or "")
    if not plan.create_pr:
        return None
    folder = ctx.store.path(given.bundle)
    return own_pull_request(
        hub, plan, given.message, lambda files: holds(files, given.bundle, folder)
    )


def _pushed(hub: Hub, given: PushInput, plan: Plan, landed: Landed, *, made: bool) -> Pushed:
    url = repo_url(hub, plan.repo_id, plan.kind)
    opened = landed.pull_request
    branch = opened.ref if opened else plan.branch
    number = int(branch.removeprefix(PR)) if branch.startswith(PR) else None
    pages = f"{url}/discussions/{number}" if number is not None else None
    return Pushed(
        repo_id=plan.repo_id,
        kind=plan.kind,
        branch=branch,
        commit=landed.sha,
        url=url,
        made_commit=made,
        changes=plan.changes,
        pull_request=number,
        pull_request_url=opened.url if opened else pages,
        bundle=given.bundle,
        trust=trust_of(given.sign_with),
    )
