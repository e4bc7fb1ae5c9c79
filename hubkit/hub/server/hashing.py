"""A file that is hashed while it is written: large blocks by two threads, the disk busy early."""

from __future__ import annotations

import hashlib
import os
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, BinaryIO

from hubkit.hub.server.disk import start_write_back

if TYPE_CHECKING:
    from pathlib import Path

# Smaller blocks are hashed sooner than another thread wakes up.
_PARALLEL_BYTES = 256 * 1024
# So often the disk is set to work, so that little is left to do at the end.
_WRITE_BACK_BYTES = 16 << 20
# Started with the first work. To start a write-back can mean to wait for the disk.
_hashers = ThreadPoolExecutor(4, "hubkit-hash")
_disk = ThreadPoolExecutor(2, "hubkit-disk")


class HashedFile:
    """A new file; the caller writes it in one thread at a time and closes it."""

    def __init__(self, path: Path) -> None:
        self._stream: BinaryIO = path.open("xb")
        self._sha = hashlib.sha256()
        self.size_bytes = self._started = 0
        self._starts: list[Future[None]] = []

    def write(self, data: bytes | memoryview) -> None:
        """Append a block, which may be used again afterwards. OSError when the disk is full."""
        if len(data) < _PARALLEL_BYTES:
            self._sha.update(data)
            self._stream.write(data)
        else:
            hashed = _hashers.submit(self._sha.update, data)
            try:
                self._stream.write(data)
            finally:
                hashed.result()
        self.size_bytes += len(data)
        if self.size_bytes - self._started >= _WRITE_BACK_BYTES:
            handle, start, end = self._stream.fileno(), self._started, self.size_bytes
            self._starts = [start for start in self._starts if not start.done()]
            self._starts.append(_disk.submit(start_write_back, handle, start, end))
            self._started = end

    @property
    def sha256(self) -> str:
        """Digest of what was written, in hex."""
        return self._sha.hexdigest()

    def sync(self) -> None:
        """Make what was written durable."""
        self._stream.flush()
        os.fsync(self._stream.fileno())

    def close(self) -> None:
        """Close the file; harmless the second time."""
        for start in self._starts:
            start.cancel()
        for start in self._starts:
            if not start.cancelled():
                start.result()  # it uses the file's number
        self._starts.clear()
        self._stream.close()
