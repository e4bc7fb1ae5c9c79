"""The store: records by key and artifact folders by digest, safe against a kill at any moment.

Layout below the root: records/<key>.json, artifacts/<digest>/, scratch/<random>/,
journals/<key>.jsonl. Records and artifacts are written under scratch/ and renamed into place, so
what has a final name is whole; of a journal the last line may be cut.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from hubkit.errors import HubkitError, StoreError
from hubkit.keys import digest_of_file, digest_of_value
from hubkit.records import Artifact, FileRef, Record

R = TypeVar("R", bound=Record)

_FULL = (errno.ENOSPC, errno.EDQUOT)
_FULL_BYTES = 1 << 20  # with less than this free, a failure that nobody explains is the disk's


@contextmanager
def disk_errors(root: Path) -> Iterator[None]:
    """Turn a full or read-only disk into an error that names the folder and the cure."""
    try:
        yield
    except Exception as error:
        if _is_full(error, root):
            raise StoreError(
                f"no space left on the disk of {root}",
                hint="Free some space, or set HUBKIT_HOME to a folder on a larger disk, and run the"
                " same command again: finished stages are kept.",
            ) from error
        if isinstance(error, OSError) and _is_refused(error, root):
            raise StoreError(
                f"cannot write below {root}: {error.strerror}",
                hint="Set HUBKIT_HOME to a folder that you may write to.",
            ) from error
        raise


def _is_refused(error: OSError, root: Path) -> bool:
    """Whether we may not write below root; a file elsewhere that may not be read is not that."""
    refused = error.errno in (errno.EROFS, errno.EACCES, errno.EPERM)
    return refused and Path(str(error.filename)).is_relative_to(root)


def _is_full(error: Exception, root: Path) -> bool:
    """Whether an error comes of a full disk. Some libraries wrap the system's error in their own;
    onnx writes files without looking, and stumbles over what is missing when it reads them."""
    if isinstance(error, StoreError):
        return False  # it says what it is
    causes: list[BaseException] = [error]
    for cause in causes:  # which may form a ring
        if isinstance(cause, OSError) and cause.errno in _FULL:
            return True
        # copytree goes on with the other files, and keeps of each error nothing but its text.
        if isinstance(cause, shutil.Error) and any(f"[Errno {n}]" in str(cause) for n in _FULL):
            return True
        more = cause.__cause__ or cause.__context__
        if more is not None and all(more is not one for one in causes):
            causes.append(more)
    if isinstance(error, HubkitError | OSError):
        return False
    with suppress(OSError):
        return shutil.disk_usage(root).free < _FULL_BYTES
    return False


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def describe(folder: Path) -> Artifact:
    """The artifact record of a folder: every regular file with size and SHA-256."""
    refs = []
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            relative = path.relative_to(folder).as_posix()
            refs.append(
                FileRef(path=relative, size_bytes=path.stat().st_size, sha256=digest_of_file(path))
            )
    digest = digest_of_value({ref.path: ref.sha256 for ref in refs})
    return Artifact(digest=digest, files=tuple(refs))


class Store:
    """Records and artifacts below one folder; several processes may use it at once."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._records = root / "records"
        self._artifacts = root / "artifacts"
        self._scratch = root / "scratch"
        self._journals = root / "journals"
        with disk_errors(root):
            for folder in (self._records, self._artifacts, self._scratch, self._journals):
                folder.mkdir(parents=True, exist_ok=True)

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """A fresh folder on the store's own disk, removed at the end. Its name holds the owner's
        pid, so
        that `sweep` can tell a dead owner's leftovers."""
        with disk_errors(self.root):
            folder = Path(tempfile.mkdtemp(prefix=f"{os.getpid()}-", dir=self._scratch))
        try:
            with disk_errors(self.root):
                yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def sweep(self) -> None:
        """Remove what killed processes left in scratch/."""
        for folder in self._scratch.iterdir():
            pid = folder.name.split("-", 1)[0]
            if pid.isdigit() and not _alive(int(pid)):
                shutil.rmtree(folder, ignore_errors=True)

    def adopt(self, folder: Path) -> Artifact:
        """Move a finished folder (below `scratch()`) into the store; equal content is kept once."""
        with disk_errors(self.root):
            artifact = describe(folder)
            target = self._artifacts / artifact.digest
            if self.has(artifact):
                shutil.rmtree(folder, ignore_errors=True)
                return artifact
            self._discard(target)
            for ref in artifact.files:
                path = folder / ref.path
                path.chmod(stat.S_IRUSR | stat.S_IRGRP | stat.S_IROTH)
                _sync(path)
            try:
                folder.rename(target)
            except OSError as error:  # another process was first with the same content
                if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
                    raise
                shutil.rmtree(folder, ignore_errors=True)
            _sync(self._artifacts)
            return artifact

    def _discard(self, target: Path) -> None:
        """Take a damaged artifact away, in one step: nobody meets half of it."""
        with suppress(FileNotFoundError), self.scratch() as scratch:
            target.rename(scratch / target.name)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Wait until no other process that uses this store is inside, and keep them out."""
        import fcntl

        with disk_errors(self.root), (self.root / "alone.lock").open("wb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # it ends with the process, however that ends
            yield

    @contextmanager
    def turn(self, key: str, waits: Callable[[], None]) -> Iterator[bool]:
        """Wait until no other process is at what has that key, and keep them out of it; gives
        whether there was one. `waits` is called before a wait."""
        import fcntl

        # A byte for each key, and one file for all of them.
        at = int(digest_of_value(key)[:15], 16)
        with disk_errors(self.root):
            lock = (self.root / "turns.lock").open("ab")
        with lock:  # it ends with the process, however that ends
            try:
                fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, at)
                waited = False
            except (BlockingIOError, PermissionError):
                waits()
                fcntl.lockf(lock, fcntl.LOCK_EX, 1, at)
                waited = True
            yield waited

    def path(self, artifact: Artifact) -> Path:
        """The artifact's folder. Its files are read-only: copy before changing.

        Raises StoreError where it is gone or a file has another size than recorded.
        """
        folder = self._artifacts / artifact.digest
        for ref in artifact.files:
            file = folder / ref.path
            if not file.is_file() or file.stat().st_size != ref.size_bytes:
                raise StoreError(
                    f"{ref.path} of stored artifact {artifact.digest[:12]} is missing or damaged",
                    hint=f"Remove {folder} and run the same command again: it will be made anew.",
                )
        return folder

    def has(self, artifact: Artifact) -> bool:
        """Whether the artifact is here with every file at its recorded size."""
        with suppress(StoreError):
            self.path(artifact)
            return True
        return False

    def journal(self, key: str) -> Path:
        """The file in which a stage writes down how far it is; it may not be there yet."""
        return self._journals / f"{key}.jsonl"

    def put_record(self, key: str, record: Record) -> None:
        """Write a record under its key, atomically."""
        with self.scratch() as folder:
            draft = folder / "record.json"
            draft.write_text(record.model_dump_json(by_alias=True, indent=1), encoding="utf-8")
            _sync(draft)
            draft.replace(self._records / f"{key}.json")

    def get_record(self, key: str, kind: type[R]) -> R | None:
        """The record under a key; None when there is none, or when it is damaged or of an older
        form."""
        try:
            text = (self._records / f"{key}.json").read_bytes()
        except FileNotFoundError:
            return None
        try:
            return kind.model_validate_json(text)
        except ValidationError:
            return None


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
