"""Xorbs and shards as a client makes them, of chunks that the test chooses."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow

from hubkit.hub.server import xet_formats
from hubkit.hub.server.xet_hashes import (
    Chunk,
    chunk_hash,
    file_hash,
    range_hash,
    to_bytes,
    to_text,
    xorb_hash,
)

STORED, LZ4, LZ4_OF_PLANES = 0, 1, 2


def chunks_of(parts: Sequence[bytes]) -> list[Chunk]:
    """Hash and length of each."""
    return [(chunk_hash(part), len(part)) for part in parts]


def packed(data: bytes, scheme: int) -> bytes:
    """A chunk, compressed, behind its header."""
    body = data
    if scheme == LZ4_OF_PLANES:
        body = b"".join(data[plane::4] for plane in range(4))
    if scheme != STORED:
        body = bytes(pyarrow.Codec("lz4").compress(body))
    sizes = len(body).to_bytes(3, "little") + bytes([scheme]) + len(data).to_bytes(3, "little")
    return b"\0" + sizes + body


def xorb_of(parts: Sequence[bytes], scheme: int = STORED) -> tuple[str, bytes]:
    """A xorb's hash as text, and its body."""
    return to_text(xorb_hash(chunks_of(parts))), b"".join(packed(part, scheme) for part in parts)


@dataclass
class Term:
    """Chunks `start` to `end` of the xorb that `parts` make; a test may change what it says."""

    parts: Sequence[bytes]
    start: int
    end: int
    proof: bytes | None = None

    @property
    def content(self) -> bytes:
        """The bytes it stands for."""
        return b"".join(self.parts[self.start : self.end])


def shard_of(terms: Sequence[Term], sha256: str | None = None) -> tuple[str, bytes]:
    """A shard of one file, and the file's Xet hash as text."""
    content = b"".join(term.content for term in terms)
    digest = file_hash(chunks_of([p for term in terms for p in term.parts[term.start : term.end]]))
    flags = 1 << 31 | 1 << 30
    entries = [
        struct.pack(
            "<32sIIII",
            xorb_hash(chunks_of(term.parts)),
            0,
            len(term.content),
            term.start,
            term.end,
        )
        for term in terms
    ]
    proofs = [
        (term.proof or range_hash(h for h, _ in chunks_of(term.parts[term.start : term.end])))
        + bytes(16)
        for term in terms
    ]
    sha = to_bytes(sha256 or hashlib.sha256(content).hexdigest()) + bytes(16)
    header = xet_formats._SHARD_TAG + struct.pack("<QQ", 2, 0)
    file = struct.pack("<32sIIQ", digest, flags, len(terms), 0)
    bookend = b"\xff" * 32 + bytes(16)
    return to_text(digest), b"".join([header, file, *entries, *proofs, sha, bookend, bookend])
