"""What a push will change: a bundle's files against those of a branch."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from hubkit.errors import HubError
from hubkit.hub.client import Hub
from hubkit.hub.faults import NotThere
from hubkit.hub.manifest import MARKS, SUMS, parse_sums
from hubkit.hub.remote import RemoteFile, RepoKind, RepoState
from hubkit.keys import digest_of_bytes
from hubkit.records import Artifact, FileRef, Lock, Record

# INCModel takes safetensors before pytorch_model.bin, and with them FP32 weights, and says nothing.
_SHADOWS = {"pytorch_model.bin": ("model.safetensors", "model.safetensors.index.json")}


class Change(Record):
    """`size_bytes` is that of the new content, `was_bytes` that of the old; None: there is none."""

    path: str
    action: Literal["add", "change", "delete"]
    size_bytes: int | None = None
    was_bytes: int | None = None


class Plan(Record):
    """What would be committed on top of `parent` (None: there is no such branch yet)."""

    repo_id: str
    kind: RepoKind
    branch: str
    exists: bool
    parent: str | None
    changes: tuple[Change, ...]
    unchanged: int

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


def make_plan(
    hub: Hub,
    bundle: Artifact,
    folder: Path,
    repo_id: str,
    branch: str,
    state: RepoState | None,
    *,
    kind: RepoKind = "model",
) -> Plan:
    """The changes that make a branch hold the bundle (in `folder`), sorted by path.

    Deleted is only what an earlier push of hubkit wrote and nobody has touched since. Raises
    HubError where a file of the author's would hide one of the bundle's.
    """
    head = state.head if state else None
    files = hub.remote_files(repo_id, head, kind=kind) if head else {}
    changes = [
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
    if head:
        gone = _vanished(hub, repo_id, head, files, ours, kind)
        changes += [
            Change(path=path, action="delete", was_bytes=files[path].size_bytes) for path in gone
        ]
        _refuse_shadows(repo_id, files.keys() - set(gone), ours)
    return Plan(
        repo_id=repo_id,
        kind=kind,
        branch=branch,
        exists=state is not None,
        parent=head,
        changes=tuple(sorted(changes, key=lambda change: change.path)),
        unchanged=len(bundle.files) - sum(c.action != "delete" for c in changes),
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


def _vanished(
    hub: Hub,
    repo_id: str,
    head: str,
    files: Mapping[str, RemoteFile],
    ours: set[str],
    kind: RepoKind,
) -> list[str]:
    """What hubkit wrote before, and is not in the bundle, and is still as hubkit wrote it."""
    if SUMS not in files:
        return []
    text = hub.read(repo_id, head, SUMS, kind=kind)
    try:
        sums = parse_sums(text.decode())
    except ValueError:
        return []  # not of our format: it is the author's
    old = sorted(path for path in sums if path in files and path not in ours)
    if not old or not sums.keys() >= MARKS or not _is_lock(hub, repo_id, head, kind):
        return []
    return [p for p in old if _content_sha256(hub, repo_id, head, p, files[p], kind) == sums[p]]


def _is_lock(hub: Hub, repo_id: str, head: str, kind: RepoKind) -> bool:
    try:
        Lock.model_validate_json(hub.read(repo_id, head, "lock.json", kind=kind))
    except (ValidationError, NotThere):
        return False
    return True


def _content_sha256(
    hub: Hub, repo_id: str, head: str, path: str, file: RemoteFile, kind: RepoKind
) -> str:
    return file.sha256 or digest_of_bytes(hub.read(repo_id, head, path, kind=kind))


def _refuse_shadows(repo_id: str, kept: set[str], ours: set[str]) -> None:
    for hidden, shadows in _SHADOWS.items():
        found = [path for path in shadows if path in kept - ours]
        if hidden in ours and found:
            raise HubError(
                f"{repo_id} holds {found[0]}, which INCModel would load instead of the INT8"
                f" {hidden}",
                hint=f"Delete {found[0]} from {repo_id}, or publish to another repository with"
                " --repo-id.",
            )
