"""LFS objects of one repository, kept where git-lfs keeps them: `lfs/objects/aa/bb/<sha256>`.

Each repository has its own, so that knowing the digest of a private file does not open it.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import re
import secrets
import time
from typing import TYPE_CHECKING

from hubkit.hub.server.disk import need_room, sync_folder, write_atomic
from hubkit.hub.server.hashing import HashedFile
from hubkit.hub.server.problems import Problem, bad_request, repo_not_found

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterator
    from pathlib import Path

LINK_LIFE_S = 24 * 3600
_OID = re.compile(r"[0-9a-f]{64}")


def is_oid(text: str) -> bool:
    """Whether a text is a SHA-256 in lower-case hex."""
    return _OID.fullmatch(text) is not None


def checked_oid(oid: object) -> str:
    """A SHA-256 in lower-case hex; 400 for anything else."""
    if not isinstance(oid, str) or not is_oid(oid):
        raise bad_request(f"Invalid LFS oid: {oid!r}")
    return oid


def need_repository(folder: Path) -> None:
    """404 for a repository that was deleted or moved meanwhile; hold its lock, and go on to make
    its folders only under the same lock."""
    if not (folder / "hub.json").is_file():
        raise repo_not_found(anonymous=False)


class LfsStore:
    """The LFS objects of one repository."""

    def __init__(self, repository: Path, temporary: Path, lock: threading.RLock) -> None:
        self._repository = repository
        self._folder = repository / "lfs" / "objects"
        self._temporary, self._lock = temporary, lock

    def path(self, oid: str) -> Path:
        """Where an object is or would be."""
        return self._folder / oid[:2] / oid[2:4] / oid

    def size_bytes(self, oid: str) -> int | None:
        """Size of a stored object, or None if it is not there."""
        try:
            return self.path(oid).stat().st_size
        except OSError:
            return None

    def stored(self) -> Iterator[tuple[str, float, int]]:
        """Every stored object: its digest, when it came (seconds since 1970), its bytes."""
        for path in self._folder.glob("??/??/*"):
            if _OID.fullmatch(path.name):
                status = path.stat()
                yield path.name, status.st_mtime, status.st_size

    def remove(self, oid: str) -> None:
        """Delete an object; one that is not there is left so."""
        self.path(oid).unlink(missing_ok=True)
        if self.path(oid).parent.is_dir():
            sync_folder(self.path(oid).parent)

    def take(self, source: Path, oid: str) -> None:
        """Have an object that another repository of this root stores, without its bytes twice."""
        path = self.path(oid)
        if path.exists():
            return
        with self.to_keep(oid), contextlib.suppress(FileExistsError):
            # Objects are never written to, only replaced and removed.
            path.hardlink_to(source)

    @contextlib.contextmanager
    def to_keep(self, oid: str) -> Iterator[Path]:
        """Where to put an object, durable afterwards; 404 if the repository has gone."""
        path = self.path(oid)
        with self._lock:
            need_repository(self._repository)
            path.parent.mkdir(parents=True, exist_ok=True)
            yield path
        try:
            for folder in (path.parent, path.parents[1], path.parents[2]):
                sync_folder(folder)
        except FileNotFoundError:
            raise repo_not_found(anonymous=False) from None

    def receive(self, oid: str, size_bytes: int) -> Upload:
        """Start storing an object of this digest and size."""
        return Upload(self, self._temporary, oid, size_bytes)


class Upload:
    """One object on its way in: hashed while it is written, kept only if digest and size agree."""

    def __init__(self, store: LfsStore, temporary: Path, oid: str, size_bytes: int) -> None:
        self._store, self._oid, self._size = store, oid, size_bytes
        need_room(temporary, size_bytes)
        self._part = temporary / f"lfs-{secrets.token_hex(8)}"
        self._file = HashedFile(self._part)

    def write(self, data: bytes | memoryview) -> None:
        """Take the next bytes."""
        if self._file.size_bytes + len(data) > self._size:
            raise bad_request(f"LFS object {self._oid} is longer than {self._size} bytes")
        try:
            self._file.write(data)
        except OSError as error:
            raise Problem(507, f"The Hub cannot store this: {error.strerror}") from error

    def finish(self) -> None:
        """Check and keep the object; a finished object is whole and durable."""
        if (written := self._file.size_bytes) != self._size:
            raise bad_request(f"LFS object has {written} bytes and not {self._size}")
        if (found := self._file.sha256) != self._oid:
            raise bad_request(f"LFS object's sha256 is {found} and not {self._oid}")
        self._file.sync()
        self._file.close()
        with self._store.to_keep(self._oid) as path:
            self._part.replace(path)

    def abandon(self) -> None:
        """Drop what was received; harmless after `finish`."""
        # On a full disk closing fails too, and what takes the room must still go.
        with contextlib.suppress(OSError):
            self._file.close()
        self._part.unlink(missing_ok=True)


class Signer:
    """Signs upload and download links, since clients send no token with them (as to S3)."""

    def __init__(self, root: Path) -> None:
        path = root / "secret"
        if not path.is_file():
            write_atomic(path, secrets.token_hex(32).encode(), mode=0o600)
        self._key = path.read_bytes()

    def query(self, method: str, repo_path: str, oid: str, size_bytes: int) -> str:
        """Query string that allows one method on one object for a day."""
        expires = int(time.time()) + LINK_LIFE_S
        signature = self._sign(method, repo_path, oid, size_bytes, expires)
        return f"size={size_bytes}&expires={expires}&signature={signature}"

    def allows(self, method: str, repo_path: str, oid: str, query: dict[str, str]) -> bool:
        """Whether a link's query was made by `query` and is not too old."""
        try:
            size, expires = int(query["size"]), int(query["expires"])
        except (KeyError, ValueError):
            return False
        good = self._sign(method, repo_path, oid, size, expires)
        sent = query.get("signature", "").encode("utf-8", "replace")
        return hmac.compare_digest(good.encode(), sent) and time.time() < expires

    def sign(self, text: str) -> str:
        """Signature of a text that says itself what it is for and until when."""
        return hmac.new(self._key, text.encode(), hashlib.sha256).hexdigest()

    def is_signed(self, text: str, signature: str) -> bool:
        """Whether `sign` made this signature of this text."""
        sent = signature.encode("utf-8", "replace")
        return hmac.compare_digest(self.sign(text).encode(), sent)

    def _sign(self, method: str, repo_path: str, oid: str, size_bytes: int, expires: int) -> str:
        method = "GET" if method == "HEAD" else method
        return self.sign(f"{method}\n{repo_path}\n{oid}\n{size_bytes}\n{expires}")
