"""What Xet clients send: xorbs (chunks, each compressed) and shards (files made of chunk ranges).

Formats: https://huggingface.co/docs/xet/xorb and https://huggingface.co/docs/xet/shard. Nothing
here trusts a length: each is held against a limit before memory is taken for it.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

from hubkit.hub.server.problems import bad_request, too_large
from hubkit.hub.server.xet_hashes import HASH_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterator

MOST_CHUNK_BYTES = 128 * 1024
MOST_XORB_BYTES = 64 * 1024 * 1024
MOST_XORB_CHUNKS = 8 * 1024
# A xorb that does not compress, the header of each chunk, and a footer.
MOST_XORB_BODY_BYTES = MOST_XORB_BYTES + 1024 * 1024
MOST_SHARD_BODY_BYTES = 64 * 1024 * 1024
MOST_TERMS = 200_000
"""Of all files of a shard: a file of 50 GB has some thousand."""

CHUNK_HEADER_BYTES = 8
_FOOTER = b"XETBLOB"
_STORED, _LZ4, _LZ4_OF_PLANES = 0, 1, 2

_SHARD_TAG = bytes.fromhex("4846526570 6f4d65746144617461 00 5569 67456a7b81 5783a5bdd95ccdd14aa9")
_SHARD_VERSION = 2
_RECORD_BYTES = 48
_WITH_VERIFICATION, _WITH_METADATA = 1 << 31, 1 << 30
_BOOKEND = b"\xff" * HASH_BYTES


def chunk_header(size_bytes: int) -> bytes:
    """Header of a chunk that is sent uncompressed."""
    size = size_bytes.to_bytes(3, "little")
    return b"\0" + size + bytes([_STORED]) + size


def chunks_of_xorb(stream: BinaryIO) -> Iterator[bytes]:
    """The uncompressed chunks of a serialized xorb, one at a time; 400 if it is not one."""
    count = total = 0
    while header := stream.read(CHUNK_HEADER_BYTES):
        if header.startswith(_FOOTER):
            return  # an index of the chunks, which we make ourselves
        if len(header) < CHUNK_HEADER_BYTES or header[0] != 0:
            raise bad_request("The xorb has a chunk with a header of an unknown version")
        packed_bytes = int.from_bytes(header[1:4], "little")
        size_bytes = int.from_bytes(header[5:8], "little")
        count, total = count + 1, total + size_bytes
        if (
            not 0 < size_bytes <= MOST_CHUNK_BYTES
            or packed_bytes > 2 * MOST_CHUNK_BYTES
            or count > MOST_XORB_CHUNKS
            or total > MOST_XORB_BYTES
        ):
            raise bad_request("The xorb or one of its chunks is too large")
        packed = stream.read(packed_bytes)
        data = _unpacked(packed, header[4], size_bytes)
        if len(packed) != packed_bytes or len(data) != size_bytes:
            raise bad_request("A chunk of the xorb has another length than its header says")
        yield data


def _unpacked(packed: bytes, scheme: int, size_bytes: int) -> bytes:
    if scheme == _STORED:
        return packed
    if scheme not in (_LZ4, _LZ4_OF_PLANES):
        raise bad_request(f"The xorb's compression scheme {scheme} is not known")
    import pyarrow

    try:
        # A stream and not a codec: it never answers more than it has decompressed.
        with pyarrow.CompressedInputStream(pyarrow.BufferReader(packed), "lz4") as stream:
            data: bytes = stream.read(size_bytes + 1)
    except OSError:
        raise bad_request("A chunk of the xorb cannot be decompressed") from None
    return _interleaved(data) if scheme == _LZ4_OF_PLANES else data


def _interleaved(planes: bytes) -> bytes:
    """Undo the grouping by four: first every 1st byte, then every 2nd, 3rd and 4th."""
    import numpy

    source = numpy.frombuffer(planes, numpy.uint8)
    data = numpy.empty(len(planes), numpy.uint8)
    start = 0
    for plane in range(4):
        size = (len(planes) - plane + 3) // 4
        data[plane::4] = source[start : start + size]
        start += size
    return data.tobytes()


@dataclass(frozen=True)
class Term:
    """A range of a xorb's chunks, its length in bytes, and the proof that its chunks are known."""

    xorb: bytes
    start: int
    end: int
    size_bytes: int
    proof: bytes


@dataclass(frozen=True)
class ShardFile:
    """A file as a shard describes it: its Xet hash, its SHA-256 in hex, and its terms in order."""

    hash: bytes
    sha256: bytes
    terms: tuple[Term, ...]

    @property
    def size_bytes(self) -> int:
        """Size of the whole file."""
        return sum(term.size_bytes for term in self.terms)


def files_of_shard(stream: BinaryIO) -> list[ShardFile]:
    """The files that a shard describes; 400 if it is not a shard, or one without proofs.

    What it says of its xorbs is not read: that was found out when they came.
    """
    header = stream.read(_RECORD_BYTES)
    if header[:40] != _SHARD_TAG + _SHARD_VERSION.to_bytes(8, "little"):
        raise bad_request("The body is not a shard of version 2")
    files: list[ShardFile] = []
    left = MOST_TERMS
    while (record := _record(stream))[:HASH_BYTES] != _BOOKEND:
        digest, flags, count, _ = struct.unpack("<32sIIQ", record)
        if not flags & _WITH_VERIFICATION or not flags & _WITH_METADATA:
            raise bad_request("A file of the shard lacks its verification or its SHA-256")
        left -= count + 1
        if left < 0:
            raise too_large(f"A shard is limited to {MOST_TERMS} files and terms")
        entries = [struct.unpack("<32sIIII", _record(stream)) for _ in range(count)]
        proofs = [_record(stream)[:HASH_BYTES] for _ in range(count)]
        terms = tuple(
            Term(xorb, start, end, size, proof)
            for (xorb, _, size, start, end), proof in zip(entries, proofs, strict=True)
        )
        files.append(ShardFile(digest, _record(stream)[:HASH_BYTES], terms))
    return files


def _record(stream: BinaryIO) -> bytes:
    data = stream.read(_RECORD_BYTES)
    if len(data) < _RECORD_BYTES:
        raise bad_request("The shard is cut off")
    return data
