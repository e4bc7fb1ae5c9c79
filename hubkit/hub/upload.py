"""Files on their way to a Hub: what to send, and how much of it has gone."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from huggingface_hub import CommitOperationAdd

Sent = Callable[[int, int], None]  # (bytes sent, bytes in all)


class _Meter:
    """Counts the bytes of several files that several threads read."""

    def __init__(self, total: int, sent: Sent) -> None:
        self._positions: dict[str, int] = {}
        self._total, self._sent = total, sent
        self._lock = threading.Lock()

    def at(self, path: str, position: int) -> None:
        with self._lock:
            # Multipart uploads read from several places: only going on counts.
            if position > self._positions.get(path, 0):
                self._positions[path] = position
                self._sent(min(sum(self._positions.values()), self._total), self._total)


class _Metered(io.BufferedReader):
    """A file that tells its meter how far it has been read."""

    def __init__(self, path: Path, name: str, meter: _Meter) -> None:
        super().__init__(io.FileIO(path, "rb"))
        self._meter, self._name_in_repo = meter, name

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(size)
        self._meter.at(self._name_in_repo, self.tell())
        return data


def additions(files: Mapping[str, Path], sent: Sent) -> list[CommitOperationAdd]:
    """An operation for each path in the repository -> local file, hashed now; `sent` hears of the
    bytes of large files as they go. Keep the objects: they know what has been uploaded."""
    from huggingface_hub import CommitOperationAdd

    class Metered(CommitOperationAdd):
        @property
        def _local_oid(self) -> None:
            """None: what goes into the commit is decided by its parent. huggingface_hub would leave
            out what the branch has already, though a pull request may start at another commit."""

        @contextmanager
        def as_file(self, with_tqdm: bool = False) -> Iterator[BinaryIO]:
            if not with_tqdm:  # it is read to be looked at, not to be sent
                with super().as_file() as stream:
                    yield stream
                return
            with _Metered(Path(str(self.path_or_fileobj)), self.path_in_repo, meter) as stream:
                yield stream

    meter = _Meter(sum(path.stat().st_size for path in files.values()), sent)
    return [Metered(path_in_repo=name, path_or_fileobj=path) for name, path in files.items()]
