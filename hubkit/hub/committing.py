"""Writing to a repository: content first, unseen, then one commit that shows all of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from hubkit.errors import HubError
from hubkit.hub.client import Hub
from hubkit.hub.faults import LATE, Moved, Unreachable, asked_at, fault_of, outcome
from hubkit.hub.remote import Landed, PullRequest, RepoKind
from hubkit.hub.retry import Transient
from hubkit.hub.session import default_endpoint

if TYPE_CHECKING:
    from huggingface_hub import CommitOperationAdd, CommitOperationCopy, CommitOperationDelete

    Operation = CommitOperationAdd | CommitOperationCopy | CommitOperationDelete


def upload(
    hub: Hub,
    repo_id: str,
    additions: Sequence[CommitOperationAdd],
    branch: str,
    *,
    create_pr: bool = False,
    kind: RepoKind = "model",
) -> None:
    """Send large files' content ahead of `commit`: nobody sees it, and none goes twice.

    Raises HubError where the repository's .gitignore leaves a file out, or what is to go in the
    commit itself is more than the Hub takes.
    """
    hub.call(
        f"uploading to {repo_id}",
        lambda: hub.api.preupload_lfs_files(
            repo_id,
            additions,
            revision=branch,
            create_pr=create_pr,
            repo_type=kind,
            free_memory=False,
        ),
        repo_id,
    )
    ignored = [op.path_in_repo for op in additions if getattr(op, "_should_ignore", False)]
    if ignored:
        raise HubError(
            f"the .gitignore of {repo_id} leaves out {', '.join(ignored)}",
            hint=f"Take the pattern out of {repo_id}'s .gitignore, then run the same command"
            " again.",
        )
    # Only now has the Hub said which files are large ones.
    regular = (op for op in additions if getattr(op, "_upload_mode", "") == "regular")
    hub.limits.refuse_payload(sum(op.upload_info.size for op in regular))


def commit(
    hub: Hub,
    repo_id: str,
    operations: Sequence[Operation],
    *,
    branch: str,
    parent: str | None,
    message: str,
    landed: Callable[[Hub], Landed | None],
    create_pr: bool = False,
    kind: RepoKind = "model",
) -> Landed:
    """Commit once on top of `parent`; with `create_pr` as a pull request that starts there.

    After a lost answer, `landed` is asked whether the commit is there before anything is sent
    again; it gets a Hub that does not retry by itself. `parent` makes the Hub refuse a second one
    even while the first is on its way; of pull requests it would open both, so that after a
    time-out one is only looked for. Raises Moved (412).
    """
    impatient = replace(hub, retry=replace(hub.retry, tries=1))
    sent = False
    may_come = ""  # why, if it may

    def send() -> Landed:
        nonlocal sent, may_come
        if sent and (found := landed(impatient)):
            return found
        if may_come and create_pr:
            raise Transient(may_come)
        sent = True
        try:
            with default_endpoint(hub.endpoint):
                made = hub.api.create_commit(
                    repo_id,
                    operations,
                    commit_message=message,
                    revision=branch,
                    parent_commit=parent,
                    create_pr=create_pr,
                    repo_type=kind,
                )
        except Exception as error:
            may_come = _late(hub, error)
            raise
        if made.pr_url is None:
            return Landed(made.oid)
        return Landed(made.oid, PullRequest(int(made.pr_num or 0), message, made.pr_url))

    try:
        return hub.call(f"committing to {repo_id}", send, repo_id)
    except Moved:
        raise
    except HubError as error:
        try:
            found = landed(impatient)
        except HubError:
            with outcome("the commit may be there"):
                raise error from None
        if found:
            return found
        late = isinstance(error, Unreachable) and error.reason.startswith(LATE)
        with outcome(f"nothing was pushed{', unless the Hub is still at it' if late else ''}"):
            raise


def _late(hub: Hub, error: Exception) -> str:
    """Why the Hub may still do what it was asked for; empty: it will not."""
    fault = fault_of(error, endpoint=hub.endpoint, token=hub.token)
    if fault is None or not fault.detail.startswith(LATE):
        return ""
    # Before it commits, huggingface_hub asks whether the card is right.
    return "" if "/validate-yaml" in asked_at(error) else fault.detail
