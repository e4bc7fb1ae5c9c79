"""Where a commit goes: which branch or pull request, and the commit that it is made on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NoReturn

from hubkit.errors import HubError, UsageError
from hubkit.hub.client import Hub
from hubkit.hub.faults import NotThere
from hubkit.hub.remote import MAIN, PR, RepoKind


@dataclass(frozen=True)
class Spot:
    """A branch as it is now. `parent`: the commit to build on; None: the repository is not there.

    `branch_exists` False: it would be made at `parent`. `start`: the commit that the user wants
    built on, where that was said; it is not `parent` where the branch has gone on from there.
    """

    repo_id: str
    kind: RepoKind
    branch: str
    parent: str | None
    private: bool = False
    branch_exists: bool = True
    create_pr: bool = False
    start: str | None = None

    @property
    def exists(self) -> bool:
        return self.parent is not None


def find_spot(
    hub: Hub,
    repo_id: str,
    branch: str | None = None,
    *,
    revision: str | None = None,
    create_pr: bool = False,
    kind: RepoKind = "model",
) -> Spot:
    """Where a commit to a branch (None: main; refs/pr/N: that pull request) would go, by reading.

    Raises UsageError for what cannot be together, HubError where there is no such revision to build
    on, no such pull request, or a tag has the branch's name.
    """
    if create_pr and branch not in (None, MAIN):
        refuse_branch_of_pull_request(branch)
    name = branch or MAIN
    state = hub.state(repo_id, MAIN, kind=kind)
    if state is None or state.head is None:
        _refuse_missing(repo_id, name, revision)
        private = bool(state and state.private)
        return Spot(repo_id, kind, name, None, private, name == MAIN, create_pr)
    start = _start(hub, repo_id, revision, kind)
    spot = Spot(repo_id, kind, name, state.head, state.private, True, create_pr, start)
    if create_pr:
        return _at(spot, start or state.head)
    if name == MAIN:
        return spot
    refs = hub.refs(repo_id, kind=kind)
    if name.startswith(PR):
        number = name.removeprefix(PR)
        head = refs.pull_requests.get(int(number)) if number.isdigit() else None
        if head is None:
            raise HubError(
                f"{repo_id} has no pull request {name}",
                hint="Name one that is there, or open a new one with --create-pr.",
            )
        return _at(spot, head)
    if (head := refs.branches.get(name)) is not None:
        return _at(spot, head)
    if name in refs.tags:
        raise HubError(
            f"{name} is a tag of {repo_id}, and a branch of that name could not be told from it",
            hint="Choose another --branch.",
        )
    return _at(spot, start or state.head, branch_exists=False)


def refuse_branch_of_pull_request(branch: str | None) -> NoReturn:
    """Raise UsageError: a pull request has no branch but its own."""
    raise UsageError(
        f"a pull request is for {MAIN}, so that --create-pr and --branch {branch} do not go"
        " together",
        hint="Give one of them; --revision says where the pull request starts.",
    )


def refuse_gone_on(spot: Spot) -> None:
    """Raise HubError where the user wants another commit built on than the branch is at."""
    if spot.start in (None, spot.parent):
        return
    raise HubError(
        f"{spot.branch} of {spot.repo_id} is at commit {str(spot.parent)[:12]}, not at"
        f" {str(spot.start)[:12]}, which --revision says to build on",
        hint="Leave --revision out to build on the branch as it is; or build there on a new branch"
        " (--branch NAME) or in a pull request (--create-pr).",
    )


def _at(spot: Spot, parent: str, *, branch_exists: bool = True) -> Spot:
    return Spot(
        spot.repo_id,
        spot.kind,
        spot.branch,
        parent,
        spot.private,
        branch_exists,
        spot.create_pr,
        spot.start,
    )


def _start(hub: Hub, repo_id: str, revision: str | None, kind: RepoKind) -> str | None:
    if revision is None:
        return None
    try:
        return hub.head(repo_id, revision, kind=kind)
    except NotThere:
        raise HubError(
            f"{repo_id} has no branch, tag or commit {revision} to build on",
            hint="Name one that is there with --revision, or leave it out to build on main.",
        ) from None


def _refuse_missing(repo_id: str, branch: str, revision: str | None) -> None:
    wanted = revision or (branch if branch.startswith(PR) else None)
    if wanted is not None:
        raise HubError(
            f"{repo_id} is not on the Hub, or may not be seen, so there is no {wanted} to build on",
            hint="Check the id, or leave --revision and --branch out to make a new repository.",
        )
