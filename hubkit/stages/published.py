"""What hubkit put into a repository, by the manifest that it left there."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import ValidationError

from hubkit.hub.client import Hub
from hubkit.hub.manifest import MARKS, SUMS, parse_sums
from hubkit.hub.remote import RemoteFile, RepoKind
from hubkit.keys import digest_of_bytes
from hubkit.records import Lock

_LOCK = "lock.json"


def published_sums(
    hub: Hub, repo_id: str, revision: str, files: Mapping[str, RemoteFile], kind: RepoKind
) -> dict[str, str]:
    """Path -> SHA-256 of what hubkit published last at a revision (whose files these are), as its
    SHA256SUMS has it; empty where there is none of hubkit's."""
    sums = _sums(hub, repo_id, revision, files, kind)
    return sums if sums and _is_lock(hub, repo_id, revision, files, kind) else {}


def vanished(
    hub: Hub,
    repo_id: str,
    revision: str,
    files: Mapping[str, RemoteFile],
    ours: set[str],
    kind: RepoKind,
) -> list[str]:
    """What hubkit wrote before, and is not among `ours` now, and is still as hubkit wrote it."""
    sums = _sums(hub, repo_id, revision, files, kind)
    old = sorted(path for path in sums if path in files and path not in ours)
    if not old or not _is_lock(hub, repo_id, revision, files, kind):
        return []
    return [p for p in old if content_sha256(hub, repo_id, revision, p, files[p], kind) == sums[p]]


def content_sha256(
    hub: Hub, repo_id: str, revision: str, path: str, file: RemoteFile, kind: RepoKind
) -> str:
    """SHA-256 of a file's content; one that is not LFS, and so is small, is read for it."""
    if file.sha256:
        return file.sha256
    data = hub.read(repo_id, revision, path, kind=kind, size_bytes=file.size_bytes)
    return digest_of_bytes(data)


def _sums(
    hub: Hub, repo_id: str, revision: str, files: Mapping[str, RemoteFile], kind: RepoKind
) -> dict[str, str]:
    if SUMS not in files:
        return {}
    try:
        size = files[SUMS].size_bytes
        sums = parse_sums(hub.read(repo_id, revision, SUMS, kind=kind, size_bytes=size).decode())
    except ValueError:
        return {}  # not of our format: it is the author's
    return sums if sums.keys() >= MARKS else {}


def _is_lock(
    hub: Hub, repo_id: str, revision: str, files: Mapping[str, RemoteFile], kind: RepoKind
) -> bool:
    if (file := files.get(_LOCK)) is None:
        return False
    data = hub.read(repo_id, revision, _LOCK, kind=kind, size_bytes=file.size_bytes)
    try:
        Lock.model_validate_json(data)
    except ValidationError:
        return False
    return True
