"""What a mirror lacks of a revision, and where on it the revision goes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from hubkit.errors import HubError, UsageError
from hubkit.hub.faults import NotThere
from hubkit.hub.remote import MAIN, RemoteFile
from hubkit.mirror_copy import is_same
from hubkit.mirror_origin import Origin, Selection
from hubkit.mirror_side import Side

TITLE = "Mirror of "
"""How the title of each commit of a mirror begins."""


@dataclass(frozen=True)
class Options:
    """How to copy. `private` None: as the origin is, and what is gated there is private here.
    `force`: what was changed on the mirror itself is overwritten."""

    selection: Selection = field(default_factory=Selection)
    private: bool | None = None
    force: bool = False
    dry_run: bool = False


@dataclass(frozen=True)
class State:
    """A repository of the mirror: its branches with refs/convert/…, its tags, and the commit that
    stands for the origin's."""

    exists: bool
    branches: Mapping[str, str]
    tags: Mapping[str, str]
    known: str | None


@dataclass(frozen=True)
class Plan:
    """What has to change at `branch`, which is to be made at `start` (None: at main) where it is
    not there (`is_new`). `commit`: that of the mirror that is as it should be, with nothing to do.
    """

    branch: str
    is_new: bool
    start: str | None
    puts: tuple[str, ...]
    deletes: tuple[str, ...]
    commit: str | None


def read_state(mirror: Side, origin: Origin) -> State:
    """What the mirror has of a repository now."""
    doing, kind = f"reading {origin.id}", origin.wanted.kind
    try:
        refs = mirror.ask(
            doing, origin.id, lambda api: api.list_repo_refs(origin.id, repo_type=kind)
        )
    except NotThere:
        return State(False, {}, {}, None)
    try:
        known = mirror.ask(
            doing,
            origin.id,
            lambda api: api.repo_info(origin.id, revision=origin.commit, repo_type=kind),
        ).sha
    except NotThere:
        known = None
    branches = {ref.name: ref.target_commit for ref in refs.branches}
    branches |= {ref.ref: ref.target_commit for ref in refs.converts}
    return State(True, branches, {ref.name: ref.target_commit for ref in refs.tags}, known)


def work_branch(origin: Origin) -> str:
    """A branch on which a revision is put together that has none on the mirror yet: nobody sees it
    half done under its own name."""
    return f"mirror-{origin.commit[:12]}"


def make_plan(mirror: Side, origin: Origin, state: State, options: Options) -> Plan:
    """What to do for a revision. Raises HubError where that would undo what was committed on the
    mirror itself, and UsageError where no file is to be copied at all."""
    if origin.files and not any(options.selection.takes(path) for path in origin.files):
        some = ", ".join(list(origin.files)[:4])
        raise UsageError(
            f"none of the {len(origin.files)} files of {origin.id} is wanted",
            hint=f"Change --include and --exclude: its files are {some} …",
        )
    work = work_branch(origin)
    if origin.branch in state.branches and origin.branch is not None:
        branch, head = origin.branch, state.branches[origin.branch]
    elif origin.branch == MAIN:  # of a repository that is not there: it is made with it
        branch, head = MAIN, None
    else:
        branch, head = work, state.branches.get(work, state.known)
    there = mirror.files(origin.id, origin.wanted.kind, head) if head else {}
    puts = tuple(
        path
        for path, file in origin.files.items()
        if options.selection.takes(path) and (path not in there or not is_same(file, there[path]))
    )
    deletes = tuple(path for path in there if path not in origin.files)
    if not puts and not deletes and head is not None:
        return Plan(branch, False, None, (), (), head)
    if head is not None:
        _refuse_changed(mirror, origin, head, there, options)
    return Plan(branch, branch not in state.branches, state.known, puts, deletes, None)


def _refuse_changed(
    mirror: Side, origin: Origin, head: str, there: Mapping[str, RemoteFile], options: Options
) -> None:
    """What was committed on the mirror itself is not overwritten unasked."""
    if options.force or set(there) <= {".gitattributes"}:
        return
    last = mirror.ask(
        f"reading the history of {origin.id}",
        origin.id,
        lambda api: api.list_repo_commits(origin.id, revision=head, repo_type=origin.wanted.kind),
    )[0]
    if last.title.startswith(TITLE):
        return
    raise HubError(
        f"{origin.id} on {mirror.endpoint} has changes of its own: commit {last.commit_id[:12]},"
        f' "{last.title}"',
        hint="Keep them in a repository of another name, or overwrite them with --force.",
    )
