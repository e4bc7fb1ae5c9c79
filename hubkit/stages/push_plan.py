"""What a push will change: a bundle's files against those of the commit that it builds on."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Literal

from hubkit.errors import HubError
from hubkit.hub.client import Hub
from hubkit.hub.manifest import SUMS
from hubkit.hub.objects import known_objects
from hubkit.hub.remote import RemoteFile, RepoKind
from hubkit.records import Artifact, FileRef, Record
from hubkit.stages.published import content_sha256, published_sums, vanished
from hubkit.stages.push_spot import Spot

# INCModel takes safetensors before pytorch_model.bin, and with them FP32 weights, and says nothing.
# What the Hub itself puts into a new repository, and cards.
_REPLACED = re.compile(r"\.gitattributes|README(\.\w+)?\.md")
_SHADOWS = {"pytorch_model.bin": ("model.safetensors", "model.safetensors.index.json")}


class Change(Record):
    """`size_bytes` is that of the new content, `was_bytes` that of the old; None: there is none.

    `foreign`: what is there, and would be replaced, is not what hubkit put there (if that was
    looked at: `described`).
    """

    path: str
    action: Literal["add", "change", "delete"]
    size_bytes: int | None = None
    was_bytes: int | None = None
    foreign: bool = False


class Plan(Record):
    """What would be committed to a branch on top of `parent`; None: the repository is not there.

    With `create_pr` the commit is that of a new pull request. `send_bytes`: how much of the new
    content the Hub has not got yet, under any path (None: not asked; see `described`).
    """

    repo_id: str
    kind: RepoKind
    branch: str
    exists: bool
    parent: str | None
    changes: tuple[Change, ...]
    unchanged: int
    create_pr: bool = False
    branch_exists: bool = True
    send_bytes: int | None = None

    @property
    def nothing_to_do(self) -> bool:
        return not self.changes

    @property
    def puts(self) -> tuple[Change, ...]:
        return tuple(c for c in self.changes if c.action != "delete")

    @property
    def deletes(self) -> tuple[Change, ...]:
        return tuple(c for c in self.changes if c.action == "delete")

    @property
    def put_bytes(self) -> int:
        return sum(c.size_bytes or 0 for c in self.puts)


def holds(files: Mapping[str, RemoteFile], bundle: Artifact, folder: Path) -> bool:
    """Whether a revision has every file of a bundle as it is in the bundle."""
    return all(_same(files.get(ref.path), ref, folder) for ref in bundle.files)


def make_plan(hub: Hub, bundle: Artifact, folder: Path, spot: Spot) -> Plan:
    """The changes that make a branch hold the bundle (in `folder`), sorted by path.

    Deleted is only what an earlier push of hubkit wrote and nobody has touched since. Raises
    HubError where a file of the author's would hide one of the bundle's, where files other than
    cards would be replaced that no publication put there, or the commit would be more than the Hub
    takes.
    """
    files = files_at(hub, spot)
    puts = [
        Change(
            path=ref.path,
            action="change" if ref.path in files else "add",
            size_bytes=ref.size_bytes,
            was_bytes=files[ref.path].size_bytes if ref.path in files else None,
        )
        for ref in bundle.files
        if not _same(files.get(ref.path), ref, folder)
    ]
    ours = {ref.path for ref in bundle.files}
    if SUMS in ours and SUMS not in files:
        _refuse_foreign(spot, [put.path for put in puts if put.action == "change"])
    return plan_of(hub, spot, files, puts, ours)


def plan_of(
    hub: Hub, spot: Spot, files: Mapping[str, RemoteFile], puts: list[Change], ours: set[str]
) -> Plan:
    """A plan that puts some of `ours` and deletes what hubkit left there that is not of them."""
    gone = vanished(hub, spot.repo_id, spot.parent, files, ours, spot.kind) if spot.parent else []
    deletes = [
        Change(path=path, action="delete", was_bytes=files[path].size_bytes) for path in gone
    ]
    kept = files.keys() - set(gone)
    _refuse_shadows(spot.repo_id, kept, ours)
    hub.limits.refuse_files({put.path: put.size_bytes or 0 for put in puts})
    hub.limits.refuse_folders(kept | ours, [put.path for put in puts if put.action == "add"])
    return Plan(
        repo_id=spot.repo_id,
        kind=spot.kind,
        branch=spot.branch,
        exists=spot.exists,
        parent=spot.parent,
        changes=tuple(sorted([*puts, *deletes], key=lambda change: change.path)),
        unchanged=len(ours) - len(puts),
        create_pr=spot.create_pr,
        branch_exists=spot.branch_exists,
    )


def files_at(hub: Hub, spot: Spot) -> dict[str, RemoteFile]:
    """The files that a commit at a spot would find."""
    return hub.remote_files(spot.repo_id, spot.parent, kind=spot.kind) if spot.parent else {}


def described(hub: Hub, plan: Plan, sha256: Mapping[str, str]) -> Plan:
    """The plan with what a push need not know and a reader wants to: which files it would replace
    are not hubkit's, and how much it would have to send. `sha256`: of each file that is put."""
    there = hub.remote_files(plan.repo_id, plan.parent, kind=plan.kind) if plan.parent else {}
    sizes = {sha256[put.path]: put.size_bytes or 0 for put in plan.puts}
    known = {file.sha256 for file in there.values() if file.sha256}
    if plan.exists:
        known |= known_objects(
            hub, plan.repo_id, {s: n for s, n in sizes.items() if s not in known}, kind=plan.kind
        )
    marked = marked_foreign(hub, plan, there)
    send = sum(size for sha, size in sizes.items() if sha not in known)
    return plan.model_copy(update={"changes": marked, "send_bytes": send})


def marked_foreign(hub: Hub, plan: Plan, there: Mapping[str, RemoteFile]) -> tuple[Change, ...]:
    """The plan's changes, those marked that would replace what hubkit did not put there."""
    if plan.parent is None or all(change.action != "change" for change in plan.changes):
        return plan.changes
    at, kind = plan.parent, plan.kind
    sums = published_sums(hub, plan.repo_id, at, there, kind)

    def is_foreign(path: str) -> bool:
        if path == SUMS:
            return not sums
        if path not in sums:
            return True
        return content_sha256(hub, plan.repo_id, at, path, there[path], kind) != sums[path]

    return tuple(
        change.model_copy(update={"foreign": is_foreign(change.path)})
        if change.action == "change"
        else change
        for change in plan.changes
    )


def _same(remote: RemoteFile | None, ref: FileRef, folder: Path) -> bool:
    if remote is None or remote.size_bytes != ref.size_bytes:
        return False
    if remote.sha256 is not None:
        return remote.sha256 == ref.sha256
    return remote.git_sha1 == _git_sha1(folder / ref.path)


def _git_sha1(path: Path) -> str:
    """The id of a file as a git blob (git-hash-object(1)). A regular file of a Hub is small."""
    data = path.read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()


def _refuse_foreign(spot: Spot, changes: Iterable[str]) -> None:
    """A repository that hubkit has never published to may be given a card, and keeps all else."""
    held = [path for path in changes if not _REPLACED.fullmatch(path)]
    if not held:
        return
    raise HubError(
        f"{spot.repo_id} was not made by hubkit, and holds {', '.join(held)} of its author's, which"
        " this would replace",
        hint="Publish to another repository with --repo-id; or delete these files there first.",
    )


def _refuse_shadows(repo_id: str, kept: Iterable[str], ours: set[str]) -> None:
    foreign = set(kept) - ours
    for hidden, shadows in _SHADOWS.items():
        found = [path for path in shadows if path in foreign]
        if hidden in ours and found:
            raise HubError(
                f"{repo_id} holds {found[0]}, which INCModel would load instead of the INT8"
                f" {hidden}",
                hint=f"Delete {found[0]} from {repo_id}, or publish to another repository with"
                " --repo-id.",
            )
