"""Files that came by Xet: put together from chunks into LFS objects, and told apart into chunks.

To a reader a file is made of runs of its own chunks, each a xorb by itself, which are read from
the file's LFS object. So no file needs what another one may lose, and nothing is kept twice.
"""

from __future__ import annotations

import contextlib
import secrets
from bisect import bisect_right
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING

from hubkit.hub.server.disk import need_room, write_atomic
from hubkit.hub.server.lfs import need_repository
from hubkit.hub.server.problems import bad_request, too_large
from hubkit.hub.server.xet_formats import CHUNK_HEADER_BYTES, chunk_header
from hubkit.hub.server.xet_hashes import (
    Chunk,
    chunk_hash,
    file_hash,
    range_hash,
    to_text,
    xorb_hash,
)
from hubkit.hub.server.xet_xorbs import MissingChunks, Segment, XorbStore, pack, unpack

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from hubkit.hub.server.repos import Repository
    from hubkit.hub.server.xet_formats import ShardFile

_BLOCK_BYTES = 1 << 20
_SILENT_BYTES = 256 * 1024 * 1024
# Clients cut where the content says; readers take any chunks.
_CHUNK_BYTES = 64 * 1024
_MOST_DESCRIBED_BYTES = 1 << 30
# Of all files of a shard, in memory at once: 600 GB as clients cut them.
MOST_CHUNKS = 10_000_000
RUN_CHUNKS = 512
"""Chunks of a run: at most 64 MiB, as much as a xorb may hold."""


@dataclass(frozen=True)
class Run:
    """Chunks `first` to `first + len(chunks)` of a file, which start at `offset` in it."""

    number: int
    offset: int
    chunks: tuple[Chunk, ...]

    @property
    def hash(self) -> bytes:
        """Hash of the xorb that these chunks make."""
        return xorb_hash(self.chunks)

    def size_bytes(self, start: int, end: int) -> int:
        """Length of some of its chunks, uncompressed."""
        return sum(size for _, size in self.chunks[start:end])

    def serialized_bytes(self, start: int, end: int) -> int:
        """Length of some of its chunks as a serialized xorb has them."""
        return self.size_bytes(start, end) + CHUNK_HEADER_BYTES * (end - start)


@dataclass(frozen=True)
class XetFile:
    """A file's LFS object and its chunks."""

    oid: str
    chunks: tuple[Chunk, ...]

    @property
    def size_bytes(self) -> int:
        """Size of the file."""
        return sum(size for _, size in self.chunks)

    def runs(self) -> Iterator[Run]:
        """All runs, in order."""
        offset = 0
        for number, start in enumerate(range(0, len(self.chunks), RUN_CHUNKS)):
            run = Run(number, offset, self.chunks[start : start + RUN_CHUNKS])
            yield run
            offset += run.size_bytes(0, RUN_CHUNKS)


class XetFiles:
    """The files of one repository that came by Xet."""

    def __init__(self, repository: Repository, temporary: Path) -> None:
        self._repository, self._temporary = repository, temporary
        self.xorbs = XorbStore(repository, temporary)
        self._folder = repository.path / "xet"

    @property
    def cas_id(self) -> str:
        """A name for what clients believe to be here: see `forget_caches`."""
        path = self._folder / "id"
        with self._repository.lock:
            if not path.is_file():
                path.parent.mkdir(exist_ok=True)
                write_atomic(path, secrets.token_hex(16).encode())
            return path.read_text(encoding="ascii")

    def forget_caches(self) -> None:
        """Take another name, so that clients, which cache by URL what they have uploaded, upload
        again what has been deleted here since."""
        with self._repository.lock:
            (self._folder / "id").unlink(missing_ok=True)

    def _record(self, name: str) -> Path:
        return self._folder / "files" / name[:2] / name

    def _link(self, oid: str) -> Path:
        return self._folder / "objects" / oid[:2] / oid

    def find(self, digest: bytes) -> XetFile | None:
        """The file with a Xet hash, if its content is still here."""
        try:
            oid, _, packed = self._record(to_text(digest)).read_bytes().partition(b"\n")
        except FileNotFoundError:
            return None
        if self._repository.lfs.size_bytes(oid.decode()) is None:
            return None
        return XetFile(oid.decode(), tuple(unpack(packed)))

    def path_of(self, file: XetFile) -> Path:
        """Where the file's content is."""
        return self._repository.lfs.path(file.oid)

    def hash_of(self, oid: str) -> str | None:
        """The Xet hash, as text, of an LFS object that came by Xet."""
        try:
            return self._link(oid).read_text(encoding="ascii")
        except FileNotFoundError:
            return None

    def described(self, oid: str) -> str | None:
        """The same of any LFS object: of one that came by LFS it is made of its content, unless
        that takes longer than a client would wait."""
        size = self._repository.lfs.size_bytes(oid)
        if (name := self.hash_of(oid)) is not None or not size or size > _MOST_DESCRIBED_BYTES:
            return name
        chunks: list[Chunk] = []
        try:
            with self._repository.lfs.path(oid).open("rb") as stream:
                while part := stream.read(_CHUNK_BYTES):
                    chunks.append((chunk_hash(part), len(part)))
        except FileNotFoundError:  # deleted meanwhile
            return None
        name = to_text(file_hash(chunks))
        self._write(name, oid, oid.encode() + b"\n" + pack(chunks))
        return name

    def take(self, source: XetFiles, oid: str) -> None:
        """Have the chunks of an LFS object that was taken over from another repository too."""
        name = source.hash_of(oid)
        if name is None or self.hash_of(oid) is not None:
            return
        with contextlib.suppress(FileNotFoundError):  # deleted there meanwhile
            self._write(name, oid, source._record(name).read_bytes())

    def _write(self, name: str, oid: str, record: bytes) -> None:
        with self._repository.lock:
            need_repository(self._repository.path)
            for path, data in ((self._record(name), record), (self._link(oid), name.encode())):
                path.parent.mkdir(parents=True, exist_ok=True)
                write_atomic(path, data)

    def check(self, files: Sequence[ShardFile], most_bytes: int) -> None:
        """Raise 400 unless the chunks of these files are here and their sender knows them, 413 if
        a file has over `most_bytes`: a short shard may name the same chunks very often."""
        known: dict[bytes, list[Chunk] | None] = {}
        # A term that ends before it starts must not pay for another one.
        if sum(max(0, term.end - term.start) for f in files for term in f.terms) > MOST_CHUNKS:
            raise too_large(f"A shard is limited to {MOST_CHUNKS} chunks")
        for file in files:
            if file.size_bytes > most_bytes:
                raise too_large(f"A file is limited to {most_bytes} bytes")
            for term in file.terms:
                chunks = known.setdefault(term.xorb, self.xorbs.chunks(term.xorb))
                if chunks is None:
                    raise MissingChunks(term.xorb)
                part = chunks[term.start : term.end]
                if not term.start < term.end <= len(chunks):
                    raise bad_request("A term of the shard names chunks that the xorb has not")
                if term.size_bytes != sum(size for _, size in part):
                    raise bad_request("A term of the shard has another length than its chunks")
                if term.proof != range_hash(digest for digest, _ in part):
                    raise bad_request("A term of the shard is not proven by its chunks' hashes")
        need_room(self._temporary, sum(file.size_bytes for file in files))

    def add(self, file: ShardFile) -> Iterator[None]:
        """Put a checked file together and keep it as an LFS object; yields every 256 MiB.

        It is kept only if its SHA-256 and its Xet hash are those that the shard gives: 400 else.
        """
        oid = to_text(file.sha256)
        chunks: list[Chunk] = []
        written = 0
        upload = self._repository.lfs.receive(oid, file.size_bytes)
        try:
            for term in file.terms:
                chunks += (self.xorbs.chunks(term.xorb) or [])[term.start : term.end]
                for block in self.xorbs.blocks(term.xorb, term.start, term.end):
                    upload.write(block)
                    written += len(block)
                    if written >= _SILENT_BYTES:
                        written = 0
                        yield
            if file_hash(chunks) != file.hash:
                raise bad_request(f"The file {to_text(file.hash)} has another hash")
            upload.finish()
        finally:
            upload.abandon()
        self._keep(file, oid, chunks)

    def _keep(self, file: ShardFile, oid: str, chunks: list[Chunk]) -> None:
        self._write(to_text(file.hash), oid, oid.encode() + b"\n" + pack(chunks))
        offset = 0
        segments: dict[bytes, list[Segment]] = {}
        for term in file.terms:
            segment = Segment(term.start, term.end, oid, offset)
            segments.setdefault(term.xorb, []).append(segment)
            offset += term.size_bytes
        for xorb, found in segments.items():
            self.xorbs.locate(xorb, found)


def serialized(path: Path, run: Run, first: int, last: int) -> Iterator[bytes]:
    """Bytes `first` to `last` (inclusive) of a run as a serialized xorb, read from its file."""
    at = [0, *accumulate(CHUNK_HEADER_BYTES + size for _, size in run.chunks)]
    number = bisect_right(at, first) - 1
    block = bytearray()
    with path.open("rb") as stream:
        stream.seek(run.offset + at[number] - CHUNK_HEADER_BYTES * number)
        while number < len(run.chunks) and at[number] <= last:
            size = run.chunks[number][1]
            data = chunk_header(size) + stream.read(size)
            block += data[max(0, first - at[number]) : last + 1 - at[number]]
            if len(block) >= _BLOCK_BYTES:
                yield bytes(block)
                block.clear()
            number += 1
    yield bytes(block)
