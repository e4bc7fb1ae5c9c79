"""What the API tells of repositories, files and commits, in the Hub's field names."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from hubkit.hub.server.cards import Card, parse_card, tags_of, texts
from hubkit.hub.server.downloads import all_downloads, recent_downloads
from hubkit.hub.server.repos import date_text

if TYPE_CHECKING:
    from collections.abc import Callable

    from dulwich.objects import Commit

    from hubkit.hub.server.git import Entry, GitRepo
    from hubkit.hub.server.repos import Repository

_CARD_LIMIT_BYTES = 2 * 1024 * 1024


def card_at(git: GitRepo, commit: str, path: str = "README.md") -> Card | None:
    """The card of a commit, or None if there is no README.md or it is not text."""
    entry = git.entry(commit, path)
    if entry is None or entry.is_folder or git.info(entry).lfs is not None:
        return None
    if git.info(entry).size_bytes > _CARD_LIMIT_BYTES:
        return None
    return parse_card(git.blob(entry.oid).decode("utf-8", "replace"))


def commit_message(commit: Commit) -> tuple[str, str]:
    """Title and the rest of a commit's message."""
    title, _, rest = commit.message.decode("utf-8", "replace").partition("\n")
    return title, rest.strip("\n")


def commit_author(commit: Commit) -> str:
    """Name of a commit's author."""
    author: str = commit.author.decode("utf-8", "replace")
    return author.rpartition(" <")[0]


def commit_date(commit: Commit) -> str:
    """When a commit was made."""
    return date_text(commit.commit_time)


def commit_json(commit: Commit, *, formatted: bool = False) -> dict[str, object]:
    """A commit as `/commits` gives it."""
    title, message = commit_message(commit)
    found: dict[str, object] = {
        "id": commit.id.decode(),
        "title": title,
        "message": message,
        "authors": [{"user": commit_author(commit), "avatar": ""}],
        "date": commit_date(commit),
    }
    if formatted:
        found["formatted"] = {"title": title, "message": message}
    return found


def entry_json(
    git: GitRepo,
    entry: Entry,
    last: Commit | None = None,
    xet_hash: Callable[[str], str | None] | None = None,
) -> dict[str, object]:
    """A file or folder as `/tree` and `/paths-info` give it; `last` adds the expanded fields,
    `xet_hash` the Xet hash of those LFS objects that have one."""
    found: dict[str, object] = {"oid": entry.oid, "path": entry.path, "size": 0}
    if entry.is_folder:
        found["type"] = "directory"
    else:
        info = git.info(entry)
        found |= {"type": "file", "size": info.size_bytes}
        if info.lfs is not None:
            found["lfs"] = {
                "oid": info.lfs.oid,
                "size": info.lfs.size_bytes,
                "pointerSize": info.lfs.pointer_size_bytes,
            }
            if xet_hash is not None and (digest := xet_hash(info.lfs.oid)) is not None:
                found["xetHash"] = digest
    if last is not None:
        found["lastCommit"] = {
            "id": last.id.decode(),
            "title": commit_message(last)[0],
            "date": commit_date(last),
        }
        if not entry.is_folder:
            # Nothing is scanned here, and the client needs every one of these keys.
            unscanned = {"status": "unscanned"}
            found["securityFileStatus"] = {
                "status": "unscanned",
                "avScan": unscanned,
                "pickleImportScan": unscanned,
            }
    return found


def _siblings(git: GitRepo, commit: str, *, blobs: bool) -> list[dict[str, object]]:
    found = []
    for entry in git.files(commit).values():
        sibling: dict[str, object] = {"rfilename": entry.path}
        if blobs:
            info = git.info(entry)
            sibling |= {"size": info.size_bytes, "blobId": entry.oid}
            if info.lfs is not None:
                sibling["lfs"] = {
                    "sha256": info.lfs.oid,
                    "size": info.lfs.size_bytes,
                    "pointerSize": info.lfs.pointer_size_bytes,
                }
        found.append(sibling)
    return found


def used_bytes(git: GitRepo, commit: str) -> int:
    """Size of all files of a commit."""
    return sum(git.info(entry).size_bytes for entry in git.files(commit).values())


def repo_json(
    repository: Repository, git: GitRepo, commit: str, *, blobs: bool = False, full: bool = True
) -> dict[str, object]:
    """A repository at a commit as `/api/models/…` gives it; lists leave out files and card."""
    settings = repository.settings
    card = card_at(git, commit)
    data = card.data if card is not None else {}
    repo_id = repository.id
    found: dict[str, object] = {
        "_id": hashlib.sha256(f"{repo_id.type}s/{repo_id.id}".encode()).hexdigest()[:24],
        "id": repo_id.id,
        "author": repo_id.namespace,
        "sha": commit,
        "lastModified": commit_date(git.commit(commit)),
        "createdAt": settings.created_at,
        "private": settings.private,
        "gated": settings.gated,
        "disabled": False,
        "downloads": recent_downloads(repository.path),
        "likes": 0,
        "tags": tags_of(data),
    }
    if repo_id.type == "model":
        found["modelId"] = repo_id.id
        for key in ("pipeline_tag", "library_name"):
            if value := texts(data.get(key)):
                found[key] = value[0]
        if data.get("model-index") is not None:
            found["model-index"] = data["model-index"]
    if repo_id.type == "space":
        found["sdk"] = settings.sdk or next(iter(texts(data.get("sdk"))), None)
    if full:
        if data:
            found["cardData"] = data
        found["siblings"] = _siblings(git, commit, blobs=blobs)
        found["spaces"] = []
        found["downloadsAllTime"] = all_downloads(repository.path)
        found["usedStorage"] = used_bytes(git, commit)
    return found
