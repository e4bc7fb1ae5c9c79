"""Writing so that kill -9 at any moment leaves the old state or the new one."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
from typing import TYPE_CHECKING

from hubkit.errors import HubError

if TYPE_CHECKING:
    from pathlib import Path


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_atomic(path: Path, data: bytes, *, mode: int = 0o644) -> None:
    """Put bytes at a path: written beside it, made durable, then renamed over it."""
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


class RootLock:
    """Holds a root for one server; the system lets go of it however the process ends."""

    def __init__(self, root: Path) -> None:
        import fcntl

        self._handle = os.open(root / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._handle)
            raise HubError(
                f"another Hub serves {root} already",
                hint=f"use the one that runs (its address is in {root / 'server.json'}), "
                "stop it, or give --root another folder",
            ) from error

    def release(self) -> None:
        """Let another server have the root."""
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1


def sweep(root: Path) -> None:
    """Remove what a killed server left half done: uploads, temporary files, stale git locks.

    Call it only while holding the root's lock, before serving.
    """
    temporary = root / "tmp"
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    for leftover in root.glob(".*.tmp"):
        leftover.unlink(missing_ok=True)
    for repository in (root / "repos").glob("*/*/*.git"):
        for pattern in ("*.lock", ".*.tmp"):
            for folder in ("refs", "objects", "discussions", "lfs"):
                for leftover in (repository / folder).rglob(pattern):
                    leftover.unlink(missing_ok=True)
            for leftover in repository.glob(pattern):
                leftover.unlink(missing_ok=True)
        for leftover in (repository / "objects" / "pack").glob("tmp_*"):
            leftover.unlink(missing_ok=True)


def remove_tree(folder: Path, temporary: Path) -> None:
    """Take a folder away in one step, then delete it; the next sweep finishes what a crash cut."""
    grave = temporary / f"gone-{secrets.token_hex(8)}"
    folder.replace(grave)
    sync_folder(folder.parent)
    with contextlib.suppress(OSError):
        shutil.rmtree(grave)
