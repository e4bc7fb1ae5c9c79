"""Put a bundle on the Hub in one commit, or in none where the Hub has it already; and tag it."""

from __future__ import annotations

from hubkit.errors import HubError
from hubkit.hub.client import Hub, connect
from hubkit.hub.faults import Clash, Moved, outcome
from hubkit.hub.refusals import Place, no_write_access
from hubkit.hub.remote import MAIN, RepoKind, RepoState
from hubkit.hub.upload import additions
from hubkit.records import Artifact, Record
from hubkit.stage import Context, stage
from hubkit.stages.push_plan import Change, Plan, holds, make_plan

# A repository may change under us this often before we say so.
_AGAIN = 3


class PushInput(Record):
    """`message` is the commit's title. `branch` None: main."""

    bundle: Artifact
    repo_id: str
    private: bool = False
    message: str
    branch: str | None = None
    kind: RepoKind = "model"


class Pushed(Record):
    """Where the bundle is now. `made_commit` False: the Hub had it already, at `commit`."""

    repo_id: str
    kind: RepoKind
    branch: str
    commit: str
    url: str
    made_commit: bool
    changes: tuple[Change, ...]


class TagInput(Record):
    repo_id: str
    tag: str
    commit: str
    kind: RepoKind = "model"


class Tagged(Record):
    """`made` False: the tag was there already, at this commit."""

    repo_id: str
    tag: str
    commit: str
    url: str
    made: bool


def commit_message(recipe: str, formats: tuple[str, ...]) -> str:
    """The title of a publication's commit: the same recipe and formats give the same words."""
    names = {"pytorch": "PyTorch INT8", "onnx": "ONNX INT8"}
    return f"Publish {recipe}: {' and '.join(names[f] for f in sorted(formats, reverse=True))}"


def plan_push(given: PushInput, ctx: Context) -> Plan:
    """What `push` would change, by reading the Hub alone; without a token, as far as anybody may
    see."""
    hub = connect(ctx.endpoint, ctx.token)
    repo_id = writable_id(hub, given.repo_id) if hub.token else given.repo_id
    branch = given.branch or MAIN
    state = hub.state(repo_id, branch, kind=given.kind)
    folder = ctx.store.path(given.bundle)
    return make_plan(hub, given.bundle, folder, repo_id, branch, state, kind=given.kind)


def push_to(hub: Hub, given: PushInput, ctx: Context) -> Pushed:
    """`push` on a Hub that is connected already.

    Raises HubError; its message says whether anything was pushed. A KeyboardInterrupt passes
    through: there is one commit, so nothing is ever half there.
    """
    branch = given.branch or MAIN
    with outcome("nothing was pushed"):
        repo_id = writable_id(hub, given.repo_id)
    for _ in range(1 + _AGAIN):
        with outcome("nothing was pushed"):
            state = _make_room(hub, given, repo_id, branch)
            folder = ctx.store.path(given.bundle)
            plan = make_plan(hub, given.bundle, folder, repo_id, branch, state, kind=given.kind)
        if plan.nothing_to_do:
            return _pushed(hub, given, plan, plan.parent or "", made=False)
        sha = _publish(hub, given, ctx, plan)
        if sha is not None:
            return _pushed(hub, given, plan, sha, made=True)
    raise HubError(
        f"{repo_id} was changed by somebody else between reading and writing, {1 + _AGAIN} times"
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
    made = False
    at = hub.tags(repo_id, kind=given.kind).get(given.tag)
    if at is None:
        made = True
        try:
            hub.create_tag(repo_id, given.tag, given.commit, kind=given.kind)
        except Clash:  # made by a call whose answer was lost, or by somebody else just now
            at = hub.tags(repo_id, kind=given.kind).get(given.tag)
    if at not in (None, given.commit):
        # An annotated tag may be listed as the tag object: ask what it stands for.
        at = hub.head(repo_id, given.tag, kind=given.kind)
        if at != given.commit:
            raise HubError(
                f"tag {given.tag} of {repo_id} is at commit {at[:12]}, not at {given.commit[:12]};"
                " a tag that others may use is not moved",
                hint="Choose another tag with --tag, or delete this one on the Hub first.",
            )
    url = f"{_repo_url(hub, repo_id, given.kind)}/tree/{given.tag}"
    return Tagged(repo_id=repo_id, tag=given.tag, commit=given.commit, url=url, made=made)


@stage("tag", version=1, kind="effect", takes=TagInput, gives=Tagged)
def tag(given: TagInput, ctx: Context) -> Tagged:
    """A tag at a commit. Raises HubError where the name stands for another commit."""
    return tag_on(connect(ctx.endpoint, ctx.token), given)


def writable_id(hub: Hub, repo_id: str) -> str:
    """USER/NAME of a repository, with the account's name where it has none.

    Raises HubError where there is no token, or one that may only read.
    """
    account = hub.account()
    full = repo_id if "/" in repo_id else f"{account.name}/{repo_id}"
    if account.role == "read":
        raise no_write_access(Place(hub.endpoint, full, account.name))
    return full


def _make_room(hub: Hub, given: PushInput, repo_id: str, branch: str) -> RepoState:
    """The state of the repository, made first where it is missing, with its branch."""
    state = hub.state(repo_id, branch, kind=given.kind)
    if state is None:
        hub.create_repo(repo_id, private=given.private, kind=given.kind)
        state = hub.state(repo_id, branch, kind=given.kind)
    if state is None:
        raise HubError(
            f"{repo_id} exists and may not be seen with this token",
            hint="Use a token of an account that may write to it, or another --repo-id.",
        )
    if given.private and not state.private:
        raise HubError(
            f"{repo_id} is public, and the recipe wants it private",
            hint=f"Make it private at {_repo_url(hub, repo_id, given.kind)}/settings, or set"
            " publication.private to false.",
        )
    if state.head is None and branch != MAIN:
        hub.create_branch(repo_id, branch, None, kind=given.kind)
        state = hub.state(repo_id, branch, kind=given.kind) or state
    return state


def _publish(hub: Hub, given: PushInput, ctx: Context, plan: Plan) -> str | None:
    """The id of the plan's commit; None: the branch moved first, and nothing was pushed."""
    from huggingface_hub import CommitOperationDelete

    folder = ctx.store.path(given.bundle)

    def landed(on: Hub) -> str | None:
        since = on.commits_since(plan.repo_id, plan.branch, plan.parent, kind=plan.kind)
        for commit in since:
            files = on.remote_files(plan.repo_id, commit.sha, kind=plan.kind)
            if commit.title == given.message and holds(files, given.bundle, folder):
                return commit.sha
        return None

    puts = {change.path: folder / change.path for change in plan.puts}
    adds = additions(puts, lambda done, total: ctx.progress("uploading", done, total))
    deletes = [CommitOperationDelete(change.path) for change in plan.deletes]
    with outcome("nothing was pushed"):
        hub.upload(plan.repo_id, adds, plan.branch, kind=plan.kind)
    ctx.progress("committing", plan.put_bytes, plan.put_bytes)
    try:
        return hub.commit(
            plan.repo_id,
            [*adds, *deletes],
            branch=plan.branch,
            parent=plan.parent,
            message=given.message,
            landed=landed,
            kind=plan.kind,
        )
    except Moved:
        # It may have moved to our own commit: one sent before, whose answer was lost.
        with outcome("the commit may be there"):
            return landed(hub)


def _pushed(hub: Hub, given: PushInput, plan: Plan, sha: str, *, made: bool) -> Pushed:
    return Pushed(
        repo_id=plan.repo_id,
        kind=given.kind,
        branch=plan.branch,
        commit=sha,
        url=_repo_url(hub, plan.repo_id, given.kind),
        made_commit=made,
        changes=plan.changes,
    )


def _repo_url(hub: Hub, repo_id: str, kind: RepoKind) -> str:
    return f"{hub.endpoint}/{'datasets/' if kind == 'dataset' else ''}{repo_id}"
