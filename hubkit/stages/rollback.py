"""Put a branch back to what hubkit published at an earlier revision, in one new commit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hubkit.errors import HubError
from hubkit.hub.client import Hub, connect
from hubkit.hub.faults import NotThere, outcome
from hubkit.hub.manifest import SUMS
from hubkit.hub.remote import RemoteFile, RepoKind
from hubkit.keys import digest_of_bytes
from hubkit.records import Record
from hubkit.stage import Context, stage
from hubkit.stages.committing import commit_plan
from hubkit.stages.published import published_sums
from hubkit.stages.push import AGAIN, changed_too_often, repo_url, writable_id
from hubkit.stages.push_plan import Change, Plan, files_at, marked_foreign, plan_of
from hubkit.stages.push_spot import Spot, find_spot

if TYPE_CHECKING:
    from huggingface_hub import CommitOperationCopy


class RollbackInput(Record):
    """`to`: the tag, branch or commit to go back to. `branch` None: main. `force`: replace files of
    hubkit's, too, that somebody has edited on the Hub since."""

    repo_id: str
    to: str
    branch: str | None = None
    force: bool = False
    kind: RepoKind = "model"


class RollbackPlan(Record):
    """What a rollback would commit; `source`: the commit that `to` stands for."""

    to: str
    source: str
    plan: Plan


class RolledBack(Record):
    """A branch that holds again what hubkit published at `source`, in `commit`.

    `made_commit` False: it did already.
    """

    repo_id: str
    kind: RepoKind
    branch: str
    to: str
    source: str
    commit: str
    url: str
    made_commit: bool
    changes: tuple[Change, ...]


@dataclass(frozen=True)
class _Source:
    """What hubkit published at a commit. `texts`: the content of those files that are not LFS."""

    commit: str
    files: Mapping[str, RemoteFile]
    texts: Mapping[str, bytes]


def plan_rollback(given: RollbackInput, ctx: Context) -> RollbackPlan:
    """What `rollback` would change, by reading the Hub alone. Raises what it would raise."""
    hub = connect(ctx.endpoint, ctx.token)
    repo_id = writable_id(hub, given.repo_id) if hub.token else given.repo_id
    source = _source(hub, given, repo_id)
    plan = _plan(hub, given, _spot(hub, given, repo_id), source)
    return RollbackPlan(to=given.to, source=source.commit, plan=plan)


def rollback_on(hub: Hub, given: RollbackInput, ctx: Context) -> RolledBack:
    """`rollback` on a Hub that is connected already."""
    with outcome("nothing was pushed"):
        repo_id = writable_id(hub, given.repo_id)
        source = _source(hub, given, repo_id)
        folder = _written(source, ctx.scratch / "texts")
    message = f"Roll back to {given.to} ({source.commit[:12]})"
    for _ in range(1 + AGAIN):
        with outcome("nothing was pushed"):
            plan = _plan(hub, given, _spot(hub, given, repo_id), source)
        if plan.nothing_to_do:
            return _done(hub, given, source, plan, plan.parent or "", made=False)
        landed = commit_plan(
            hub,
            plan,
            folder,
            message,
            lambda files: all(_equal(files.get(p), f) for p, f in source.files.items()),
            ctx.progress,
            copies=_copies(source, plan),
        )
        if landed is not None:
            return _done(hub, given, source, plan, landed.sha, made=True)
    raise changed_too_often(repo_id)


@stage("rollback", version=1, kind="effect", takes=RollbackInput, gives=RolledBack)
def rollback(given: RollbackInput, ctx: Context) -> RolledBack:
    """A branch as hubkit published it at an earlier revision: one new commit on top of the branch,
    or none where nothing differs.

    Large files are copied on the Hub and not sent. Files that hubkit never wrote stay as they are;
    one of the author's that lies where a file would be restored is refused. Raises HubError.
    """
    return rollback_on(connect(ctx.endpoint, ctx.token), given, ctx)


def _spot(hub: Hub, given: RollbackInput, repo_id: str) -> Spot:
    spot = find_spot(hub, repo_id, given.branch, kind=given.kind)
    if spot.exists and spot.branch_exists:
        return spot
    what = f"branch {spot.branch}" if spot.exists else "such repository"
    raise HubError(
        f"{repo_id}: there is no {what} to roll back, or it may not be seen",
        hint="Check the id, --branch, and that you are logged in.",
    )


def _source(hub: Hub, given: RollbackInput, repo_id: str) -> _Source:
    """What hubkit published at `to`, whole. Raises HubError where it did not, or it is no more."""
    try:
        commit = hub.head(repo_id, given.to, kind=given.kind)
    except NotThere:
        raise HubError(
            f"{repo_id} has no tag, branch or commit {given.to}, or may not be seen",
            hint=f"Its tags: {_names(hub, repo_id, given.kind)}.",
        ) from None
    files = hub.remote_files(repo_id, commit, kind=given.kind)
    sums = published_sums(hub, repo_id, commit, files, given.kind)
    if not sums:
        raise HubError(
            f"hubkit published nothing at {given.to} ({commit[:12]}) of {repo_id}",
            hint="Name the tag or the commit of a publication; `git log` of the repository, or its"
            " page of commits, lists them.",
        )
    wanted = {path: files[path] for path in (*sums, SUMS) if path in files}
    texts = {
        path: hub.read(repo_id, commit, path, kind=given.kind)
        for path, file in wanted.items()
        if file.sha256 is None
    }
    shas = {path: wanted[path].sha256 or digest_of_bytes(texts[path]) for path in wanted}
    odd = sorted(path for path, sha in sums.items() if shas.get(path) != sha)
    if odd:
        raise HubError(
            f"{', '.join(odd)} at {given.to} ({commit[:12]}) of {repo_id} is not as hubkit"
            " published it, so there is no publication to restore",
            hint="Name the commit of the publication itself: one that `hubkit verify REPO"
            " --revision COMMIT` passes.",
        )
    return _Source(commit, wanted, texts)


def _names(hub: Hub, repo_id: str, kind: RepoKind) -> str:
    try:
        return ", ".join(sorted(hub.tags(repo_id, kind=kind))) or "none"
    except NotThere:
        return "not to be seen"


def _plan(hub: Hub, given: RollbackInput, spot: Spot, source: _Source) -> Plan:
    now = files_at(hub, spot)
    puts = [
        Change(
            path=path,
            action="change" if path in now else "add",
            size_bytes=file.size_bytes,
            was_bytes=now[path].size_bytes if path in now else None,
        )
        for path, file in sorted(source.files.items())
        if not _equal(now.get(path), file)
    ]
    plan = plan_of(hub, spot, now, puts, set(source.files))
    changes = marked_foreign(hub, plan, now)
    foreign = [change.path for change in changes if change.foreign]
    if foreign:
        sums = published_sums(hub, spot.repo_id, spot.parent or "", now, spot.kind)
        _refuse_own(spot, [path for path in foreign if path not in sums])
        if not given.force:
            _refuse_edited(spot, foreign)
    sent = sum(c.size_bytes or 0 for c in plan.puts if c.path in source.texts)
    return plan.model_copy(update={"changes": changes, "send_bytes": sent})


def _refuse_own(spot: Spot, paths: list[str]) -> None:
    if paths:
        raise HubError(
            f"{', '.join(paths)} on {spot.branch} of {spot.repo_id} is not hubkit's, and lies where"
            " a rollback would restore a file",
            hint="Rename it on the Hub, then run the same command again.",
        )


def _refuse_edited(spot: Spot, paths: list[str]) -> None:
    raise HubError(
        f"{', '.join(paths)} on {spot.branch} of {spot.repo_id} was edited since hubkit published"
        " it, and a rollback would replace it",
        hint="Add --force to replace it; what is replaced stays in the history.",
    )


def _equal(one: RemoteFile | None, other: RemoteFile) -> bool:
    if one is None:
        return False
    if one.sha256 is not None and other.sha256 is not None:
        return one.sha256 == other.sha256
    return one.git_sha1 == other.git_sha1


def _written(source: _Source, folder: Path) -> Path:
    for path, data in source.texts.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)
    return folder


def _copies(source: _Source, plan: Plan) -> list[CommitOperationCopy]:
    """What brings large files back without sending them."""
    from huggingface_hub import CommitOperationCopy

    return [
        CommitOperationCopy(put.path, put.path, src_revision=source.commit)
        for put in plan.puts
        if put.path not in source.texts
    ]


def _done(
    hub: Hub, given: RollbackInput, source: _Source, plan: Plan, sha: str, *, made: bool
) -> RolledBack:
    return RolledBack(
        repo_id=plan.repo_id,
        kind=plan.kind,
        branch=plan.branch,
        to=given.to,
        source=source.commit,
        commit=sha,
        url=repo_url(hub, plan.repo_id, plan.kind),
        made_commit=made,
        changes=plan.changes,
    )
