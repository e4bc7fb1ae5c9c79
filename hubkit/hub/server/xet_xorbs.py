"""The chunks a repository has received by Xet: found by xorb and number, kept once.

A xorb's chunks arrive before the file they make. Until then they are `incoming/HASH`; once a shard
has made files of them, they are read from those files (`HASH.where`), and the copy goes away. Each
repository has its own: a digest never opens what is in another.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import time
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate
from typing import TYPE_CHECKING

from hubkit.hub.server.disk import sync_folder, write_atomic
from hubkit.hub.server.lfs import need_repository
from hubkit.hub.server.problems import Problem, bad_request
from hubkit.hub.server.xet_formats import chunks_of_xorb
from hubkit.hub.server.xet_hashes import HASH_BYTES, Chunk, chunk_hash, to_text, xorb_hash

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path
    from typing import BinaryIO

    from hubkit.hub.server.repos import Repository

_ENTRY_BYTES = HASH_BYTES + 4
_BLOCK_BYTES = 1 << 20
ABANDONED_S = 7 * 24 * 3600


@dataclass(frozen=True)
class Piece:
    """Consecutive bytes of a file on disk."""

    path: Path
    offset: int
    size_bytes: int


@dataclass(frozen=True)
class Segment:
    """Chunks `start` to `end` of a xorb, as they are in an LFS object from `offset` on."""

    start: int
    end: int
    oid: str
    offset: int


class MissingChunks(Problem):
    """400: a shard names chunks that are not in this repository, or no longer."""

    def __init__(self, xorb: bytes) -> None:
        super().__init__(400, f"The xorb {to_text(xorb)} is not on this Hub; upload it first")


def pack(chunks: Sequence[Chunk]) -> bytes:
    """A list of chunks as it is kept on disk."""
    return b"".join(digest + size.to_bytes(4, "little") for digest, size in chunks)


def unpack(data: bytes) -> list[Chunk]:
    """The list that `pack` wrote."""
    starts = range(0, len(data), _ENTRY_BYTES)
    return [
        (
            data[at : at + HASH_BYTES],
            int.from_bytes(data[at + HASH_BYTES : at + _ENTRY_BYTES], "little"),
        )
        for at in starts
    ]


class XorbStore:
    """The xorbs of one repository."""

    def __init__(self, repository: Repository, temporary: Path) -> None:
        self._repository, self._temporary = repository, temporary
        self._folder = repository.path / "xet" / "xorbs"
        self._incoming = repository.path / "xet" / "incoming"
        # A file takes ranges of one xorb in turn; a list never changes.
        self._index = lru_cache(32)(self._read_index)

    def _file(self, xorb: bytes, kind: str) -> Path:
        # Digits we have made ourselves of 32 bytes.
        name = to_text(xorb)
        return self._folder / name[:2] / f"{name}.{kind}"

    def _copy(self, xorb: bytes) -> Path:
        return self._incoming / to_text(xorb)

    def _read_index(self, xorb: bytes) -> list[Chunk]:
        return unpack(self._file(xorb, "index").read_bytes())

    def chunks(self, xorb: bytes) -> list[Chunk] | None:
        """The chunks of a xorb in order, or None if it is not here."""
        try:
            return self._index(xorb)
        except FileNotFoundError:
            return None

    def sweep(self) -> None:
        """Drop chunks that nobody has made a file of for a week."""
        with self._repository.lock:
            for path in self._incoming.glob("*"):
                if time.time() - path.stat().st_mtime > ABANDONED_S:
                    path.unlink()

    def receive(self, xorb: bytes, body: BinaryIO) -> bool:
        """Keep a serialized xorb; whether it is new. 400 if its content has another hash.

        Every chunk is decompressed and hashed. What is kept is durable when this returns.
        """
        chunks: list[Chunk] = []
        part = self._temporary / f"xorb-{secrets.token_hex(8)}"
        try:
            with part.open("xb") as stream:
                for data in chunks_of_xorb(body):
                    chunks.append((chunk_hash(data), len(data)))
                    stream.write(data)
                if not chunks or xorb_hash(chunks) != xorb:
                    raise bad_request("The xorb's content does not have the hash it was sent under")
                stream.flush()
                os.fsync(stream.fileno())
            with self._repository.lock:
                need_repository(self._repository.path)
                if self._is_whole(xorb):
                    return False
                index = self._file(xorb, "index")
                for folder in (self._incoming, index.parent):
                    folder.mkdir(parents=True, exist_ok=True)
                part.replace(self._copy(xorb))
                sync_folder(self._incoming)
                write_atomic(index, pack(chunks))
        finally:
            part.unlink(missing_ok=True)
        return True

    def _is_whole(self, xorb: bytes) -> bool:
        chunks = self.chunks(xorb)
        return chunks is not None and self._pieces(xorb, chunks, 0, len(chunks)) is not None

    def blocks(self, xorb: bytes, start: int, end: int) -> Iterator[bytes]:
        """The bytes of chunks `start` to `end` of a xorb, in blocks; raises MissingChunks."""
        with contextlib.ExitStack() as stack:
            with self._repository.lock:
                chunks = self.chunks(xorb)
                pieces = None if chunks is None else self._pieces(xorb, chunks, start, end)
                if pieces is None:
                    raise MissingChunks(xorb)
                # `locate` may remove this file, but only under the lock.
                copy = stack.enter_context(pieces[0].path.open("rb")) if pieces else None
            for number, piece in enumerate(pieces):
                if number == 0 and copy is not None:
                    yield from _read(copy, piece)
                    continue
                with piece.path.open("rb") as stream:
                    yield from _read(stream, piece)

    def _pieces(
        self, xorb: bytes, chunks: Sequence[Chunk], start: int, end: int
    ) -> list[Piece] | None:
        """Where chunks `start` to `end` of a xorb are on disk, or None if some have gone."""
        at = [0, *accumulate(size for _, size in chunks)]
        data = self._copy(xorb)
        if data.is_file():
            return [Piece(data, at[start], at[end] - at[start])]
        found = []
        for segment in self._segments(xorb):
            stop = min(segment.end, end)
            if segment.start <= start < stop:
                path = self._repository.lfs.path(segment.oid)
                if not path.is_file():
                    continue  # deleted for good since
                offset = segment.offset + at[start] - at[segment.start]
                found.append(Piece(path, offset, at[stop] - at[start]))
                start = stop
        return found if start == end else None

    def _segments(self, xorb: bytes) -> list[Segment]:
        try:
            rows = json.loads(self._file(xorb, "where").read_bytes())
        except FileNotFoundError:
            return []
        return [Segment(*row) for row in rows]

    def locate(self, xorb: bytes, segments: Sequence[Segment]) -> None:
        """Note that chunks are in LFS objects too, and drop the copy once all of them are."""
        with self._repository.lock:
            chunks = self.chunks(xorb)
            if chunks is None:
                return
            gone = self._repository.lfs.size_bytes
            kept = [s for s in self._segments(xorb) if gone(s.oid) is not None]
            merged = sorted({*kept, *segments}, key=lambda s: (s.start, -s.end))
            # A segment inside the one before adds nothing; without this the list only grows.
            needed: list[Segment] = []
            for segment in merged:
                if not needed or segment.end > needed[-1].end:
                    needed.append(segment)
            rows = [[s.start, s.end, s.oid, s.offset] for s in needed]
            write_atomic(self._file(xorb, "where"), json.dumps(rows).encode())
            reached = 0
            for segment in needed:
                if segment.start <= reached:
                    reached = max(reached, segment.end)
            if reached == len(chunks):
                self._copy(xorb).unlink(missing_ok=True)


def _read(stream: BinaryIO, piece: Piece) -> Iterator[bytes]:
    stream.seek(piece.offset)
    left = piece.size_bytes
    while left:
        block = stream.read(min(left, _BLOCK_BYTES))
        if not block:
            raise Problem(500, "A stored file is shorter than it was")
        left -= len(block)
        yield block
