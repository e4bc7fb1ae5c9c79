"""Writing so that kill -9 at any moment leaves the old state or the new one."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
from typing import TYPE_CHECKING

from hubkit.errors import HubError
from hubkit.hub.server.problems import Problem

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

KEPT_FREE_BYTES = 64 << 20


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


def start_write_back(handle: int, start: int, end: int) -> None:
    """Have the system begin to write a part of an open file to disk, without waiting for it."""
    if _sync_file_range is not None:
        _sync_file_range(handle, start, end - start, 2)  # SYNC_FILE_RANGE_WRITE


def _library_function() -> Callable[[int, int, int, int], int] | None:
    import ctypes

    try:
        found = ctypes.CDLL(None).sync_file_range
    except (OSError, AttributeError):
        return None  # not Linux
    found.argtypes = (ctypes.c_int, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint)
    call: Callable[[int, int, int, int], int] = found
    return call


_sync_file_range = _library_function()


def need_room(folder: Path, size_bytes: int) -> None:
    """Refuse with 507 what would not leave some room on the disk, before it is sent."""
    if shutil.disk_usage(folder).free - size_bytes < KEPT_FREE_BYTES:
        raise Problem(507, f"The Hub's disk has no room for {size_bytes} bytes")


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
    for pattern in (".*.tmp", "repos/*/*/.*.tmp"):  # the latter: where repositories moved to
        for leftover in root.glob(pattern):
            leftover.unlink(missing_ok=True)
    for repository in (root / "repos").glob("*/*/*.git"):
        for pattern in ("*.lock", ".*.tmp"):
            for folder in ("refs", "objects", "discussions", "lfs", "xet"):
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
