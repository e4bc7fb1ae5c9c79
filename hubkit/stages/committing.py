"""A plan made into one commit, found again where the answer to it was lost."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from hubkit.hub.client import Hub
from hubkit.hub.committing import commit, upload
from hubkit.hub.faults import Moved, outcome
from hubkit.hub.remote import Landed, RemoteFile
from hubkit.hub.upload import additions
from hubkit.stage import Progress
from hubkit.stages.push_plan import Plan

if TYPE_CHECKING:
    from huggingface_hub import CommitOperationCopy

# Whether a revision with these files is what was to be made.
IsMade = Callable[[Mapping[str, RemoteFile]], bool]


def commit_plan(
    hub: Hub,
    plan: Plan,
    folder: Path,
    message: str,
    is_made: IsMade,
    progress: Progress,
    *,
    copies: Sequence[CommitOperationCopy] = (),
) -> Landed | None:
    """The plan's commit; None: the branch moved first, and nothing was pushed.

    What is put comes from `folder`, but for what is copied on the Hub.
    """
    from huggingface_hub import CommitOperationDelete

    def landed(on: Hub) -> Landed | None:
        if plan.create_pr:
            return own_pull_request(on, plan, message, is_made)
        return _own_commit(on, plan, message, is_made)

    copied = {copy.path_in_repo for copy in copies}
    puts = {put.path: folder / put.path for put in plan.puts if put.path not in copied}
    adds = additions(puts, lambda done, total: progress("uploading", done, total))
    deletes = [CommitOperationDelete(change.path) for change in plan.deletes]
    with outcome("nothing was pushed"):
        upload(hub, plan.repo_id, adds, plan.branch, create_pr=plan.create_pr, kind=plan.kind)
    progress("committing", plan.put_bytes, plan.put_bytes)
    try:
        return commit(
            hub,
            plan.repo_id,
            [*adds, *copies, *deletes],
            branch=plan.branch,
            parent=plan.parent,
            message=message,
            landed=landed,
            create_pr=plan.create_pr,
            kind=plan.kind,
        )
    except Moved:
        # It may have moved to our own commit: one sent before, whose answer was lost.
        with outcome("the commit may be there"):
            return landed(hub)


def own_pull_request(hub: Hub, plan: Plan, message: str, is_made: IsMade) -> Landed | None:
    """An open pull request of this account that is what the plan would open."""
    mine = hub.open_pull_requests(plan.repo_id, hub.account().name, kind=plan.kind)
    mine = [one for one in mine if one.title == message]
    if not mine:
        return None
    heads = hub.refs(plan.repo_id, kind=plan.kind).pull_requests
    gone = {change.path for change in plan.deletes}
    for one in mine:
        if (head := heads.get(one.number)) is None:
            continue
        files = hub.remote_files(plan.repo_id, head, kind=plan.kind)
        if is_made(files) and gone.isdisjoint(files):
            return Landed(head, one)
    return None


def _own_commit(hub: Hub, plan: Plan, message: str, is_made: IsMade) -> Landed | None:
    for found in hub.commits_since(plan.repo_id, plan.branch, plan.parent, kind=plan.kind):
        if found.title == message and is_made(
            hub.remote_files(plan.repo_id, found.sha, kind=plan.kind)
        ):
            return Landed(found.sha)
    return None
