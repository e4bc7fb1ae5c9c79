"""Commits as clients send them: NDJSON operations applied to a branch, all of them or none."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hubkit.hub.server.attributes import LFS_OVER_BYTES
from hubkit.hub.server.blobs import pointer_bytes
from hubkit.hub.server.bodies import parsed_json
from hubkit.hub.server.cards import parse_card
from hubkit.hub.server.discussions import MOST_TEXT, MOST_TITLE
from hubkit.hub.server.git import GitRepo
from hubkit.hub.server.lfs import checked_oid
from hubkit.hub.server.names import checked_path
from hubkit.hub.server.problems import (
    Problem,
    bad_request,
    conflict,
    entry_not_found,
    revision_not_found,
    stale,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from hubkit.hub.server.lfs import LfsStore
    from hubkit.hub.server.repos import Repository

# A file of the largest regular size in base64, its path, and room for JSON.
_LINE_LIMIT = LFS_OVER_BYTES * 4 // 3 + 64 * 1024
MOST_OPERATIONS = 50_000
_STALE = "The branch was updated since you opened this page. Please refresh and try again."


@dataclass(frozen=True)
class Header:
    """First line of a commit: its message, and the head it was made from if that matters."""

    summary: str
    description: str
    parent: str | None

    @property
    def message(self) -> str:
        """Git's commit message."""
        return f"{self.summary}\n\n{self.description}" if self.description else self.summary


def _lines(body: Path) -> Iterator[tuple[str, dict[str, object]]]:
    count = 0
    with body.open("rb") as stream:
        while line := stream.readline(_LINE_LIMIT + 1):
            if len(line) > _LINE_LIMIT:
                raise Problem(413, f"A regular file is limited to {LFS_OVER_BYTES} bytes; use LFS")
            if not line.strip():
                continue
            try:
                item = parsed_json(line)
            except ValueError:
                raise bad_request("A line of the commit is not JSON") from None
            key = item.get("key") if isinstance(item, dict) else None
            value = item.get("value") if isinstance(item, dict) else None
            if not isinstance(key, str) or not isinstance(value, dict):
                raise bad_request("Each line of a commit is {key, value}")
            count += 1
            if count > MOST_OPERATIONS:
                raise Problem(413, f"A commit is limited to {MOST_OPERATIONS} operations")
            yield key, value


def _header(value: dict[str, object]) -> Header:
    summary, description = value.get("summary"), value.get("description") or ""
    parent = value.get("parentCommit")
    if not isinstance(summary, str) or not summary.strip() or not isinstance(description, str):
        raise bad_request("A commit needs a summary")
    if len(summary) > MOST_TITLE or len(description) > MOST_TEXT:
        raise bad_request(
            f"A summary has at most {MOST_TITLE} characters, a description {MOST_TEXT}"
        )
    if parent is not None and not isinstance(parent, str):
        raise bad_request("parentCommit must be a commit id")
    return Header(summary, description, parent)


class _Changes:
    """Path -> blob id of the commit to be, changed one operation at a time."""

    def __init__(self, git: GitRepo, lfs: LfsStore, head: str, *, check_card: bool) -> None:
        self._git, self._lfs, self._check_card = git, lfs, check_card
        self.files = {path: entry.oid for path, entry in git.files(head).items()}

    def apply(self, key: str, value: dict[str, object]) -> None:
        path = checked_path(self._path_of(key, value))
        if key == "file":
            self.files[path] = self._regular(path, value)
        elif key == "lfsFile":
            self.files[path] = self._pointer(path, value)
        elif key == "deletedFile":
            # The Hub takes a folder here too; clients that were not told send folders so.
            if self.files.pop(path, None) is None and not self._drop_folder(path):
                raise entry_not_found(f"A file with this name doesn't exist: {path}")
        elif key == "deletedFolder":
            if not self._drop_folder(path):
                raise entry_not_found(f"A folder with this name doesn't exist: {path}")
        elif key == "copyFile":
            self.files[path] = self._copied(value)
        else:
            raise bad_request(f"Unknown operation: {key}")

    def _drop_folder(self, path: str) -> bool:
        inside = [name for name in self.files if name.startswith(f"{path}/")]
        for name in inside:
            del self.files[name]
        return bool(inside)

    @staticmethod
    def _path_of(key: str, value: dict[str, object]) -> object:
        path = value.get("path")
        if key == "deletedFolder" and isinstance(path, str):
            return path.removesuffix("/")
        return path

    def _regular(self, path: str, value: dict[str, object]) -> str:
        content, encoding = value.get("content"), value.get("encoding", "base64")
        if not isinstance(content, str) or encoding not in ("base64", "utf-8"):
            raise bad_request(f"{path}: content must be base64 or utf-8")
        try:
            data = (
                base64.b64decode(content, validate=True)
                if encoding == "base64"
                else content.encode()
            )
        except (binascii.Error, ValueError):
            raise bad_request(f"{path}: content is not base64") from None
        if len(data) > LFS_OVER_BYTES:
            raise Problem(413, f"{path}: a regular file is limited to {LFS_OVER_BYTES} bytes")
        checked = self._check_card and path == "README.md"
        if checked and (errors := parse_card(data.decode("utf-8", "replace")).errors):
            raise bad_request("Invalid metadata in README.md: " + "; ".join(errors))
        return self._git.write_blob(data)

    def _pointer(self, path: str, value: dict[str, object]) -> str:
        oid = checked_oid(value.get("oid"))
        size = self._lfs.size_bytes(oid)
        if value.get("algo", "sha256") != "sha256":
            raise bad_request(f"{path}: only sha256 is known")
        if size is None:
            raise bad_request(
                f"Your push was rejected because an LFS pointer pointed to a file that does not "
                f"exist. Upload it first. LFS pointer oid: {oid} (file: {path})"
            )
        if value.get("size") not in (None, size):
            raise bad_request(f"{path}: the LFS object {oid} has {size} bytes")
        return self._git.write_blob(pointer_bytes(oid, size))

    def _copied(self, value: dict[str, object]) -> str:
        source = checked_path(value.get("srcPath", value.get("src_path")))
        revision = value.get("srcRevision", value.get("srcRev"))
        if revision is None:
            found = self.files.get(source)
        else:
            commit = self._git.resolve(str(revision))
            if commit is None:
                raise revision_not_found(str(revision))
            entry = self._git.entry(commit, source)
            found = None if entry is None or entry.is_folder else entry.oid
        if found is None:
            raise entry_not_found(f"A file with this name doesn't exist: {source}")
        return found

    def check(self) -> None:
        """No path may be a file and a folder."""
        for path in self.files:
            parent = path.rpartition("/")[0]
            while parent:
                if parent in self.files:
                    raise bad_request(f"{parent} cannot be a file and a folder")
                parent = parent.rpartition("/")[0]


def _commit_of(git: GitRepo, parent: str) -> str:
    found = git.resolve(parent)
    if found is None or found != parent:
        raise stale(_STALE)
    return found


@dataclass(frozen=True)
class Done:
    """A commit that is in the repository."""

    oid: str
    header: Header
    made: bool
    """False if the operations changed nothing and the head was left as it is."""


def commit(
    repository: Repository,
    head_ref: str,
    body: Path,
    author: str,
    *,
    new_ref: str | None = None,
    check_card: bool = True,
) -> Done:
    """Apply a spooled NDJSON body to a ref, or with `new_ref` to a new ref that starts there.

    A body that changes nothing answers the head and makes no commit. 412 if the body names a parent
    that is not the head, 400 or 404 if an operation does not fit; then nothing has changed.
    """
    with repository.lock, repository.git() as git:
        head = git.ref(head_ref)
        if head is None:
            raise revision_not_found(head_ref.removeprefix("refs/heads/"))
        header: Header | None = None
        changes = _Changes(git, repository.lfs, head, check_card=check_card)
        for key, value in _lines(body):
            if key == "header":
                header = _header(value)
                if new_ref is not None and header.parent is not None:
                    # A pull request is made from the parent, wherever the branch is by now.
                    head = _commit_of(git, header.parent)
                    changes = _Changes(git, repository.lfs, head, check_card=check_card)
                if header.parent not in (None, head):
                    raise stale(_STALE)
            elif header is None:
                raise bad_request("The first line of a commit must be its header")
            else:
                changes.apply(key, value)
        if header is None:
            raise bad_request("The commit is empty")
        changes.check()
        tree = git.write_tree(changes.files)
        made = head
        if new_ref is not None or tree != git.commit(head).tree.decode():
            made = git.write_commit(tree, [head], author, header.message)
        if new_ref is not None:
            if not git.move_ref(new_ref, None, made):
                raise conflict(f"{new_ref} exists already")
        elif made != head and not git.move_ref(head_ref, head, made):
            raise stale(_STALE)
        return Done(made, header, made != head)
