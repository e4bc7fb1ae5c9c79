"""The Xet protocol's hashes: of a chunk, of a xorb, of a file, and of a range of chunks.

All are keyed BLAKE3 (https://huggingface.co/docs/xet/hashing). A hash is 32 bytes in memory; as
text it is four little-endian 64-bit numbers in hex, which is not the hex of the bytes.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from hubkit.hub.server.problems import bad_request

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

Chunk = tuple[bytes, int]
"""A chunk's hash and its length in bytes."""

HASH_BYTES = 32
_CHUNK_KEY = bytes.fromhex("6697f5775b9550de3135cbaca597181c9de421109beb2b58b4d0b04b93adf229")
_NODE_KEY = bytes.fromhex("017ec5c7a5472996fd946666b48a02e65ddd536f37c76dd2f86352e64a53713f")
_RANGE_KEY = bytes.fromhex("7f1857d6ce56ed66127ff913e7a5c3f3a4cd26d5b5db49e64124987f28fb94c3")
_NO_SALT = bytes(HASH_BYTES)
# A node of the tree has 2 to 9 children and ends at a hash that is divisible by 4.
_LEAST_CHILDREN, _MOST_CHILDREN, _MEAN_CHILDREN = 2, 9, 4
_TEXT = re.compile(r"[0-9a-f]{64}")


def to_text(digest: bytes) -> str:
    """A hash as URLs and JSON write it; its own inverse on the bytes."""
    return b"".join(digest[at : at + 8][::-1] for at in range(0, HASH_BYTES, 8)).hex()


def to_bytes(text: str) -> bytes:
    """The 32 bytes of a hash written as text; 400 for anything else, so it is safe in a path."""
    if not _TEXT.fullmatch(text):
        raise bad_request("A hash is 64 lower-case hexadecimal digits")
    plain = bytes.fromhex(text)
    return b"".join(plain[at : at + 8][::-1] for at in range(0, HASH_BYTES, 8))


def _keyed(key: bytes, data: bytes) -> bytes:
    from blake3 import blake3

    return blake3(data, key=key).digest()


def chunk_hash(data: bytes) -> bytes:
    """Hash of a chunk's uncompressed bytes."""
    return _keyed(_CHUNK_KEY, data)


def range_hash(hashes: Iterable[bytes]) -> bytes:
    """What a shard shows to prove that its sender knows the chunks of a range."""
    return _keyed(_RANGE_KEY, b"".join(hashes))


def xorb_hash(chunks: Sequence[Chunk]) -> bytes:
    """Hash of a sequence of chunks: the root of a tree whose shape depends on the hashes."""
    if not chunks:
        return bytes(HASH_BYTES)
    level = list(chunks)
    while len(level) > 1:
        above, start = [], 0
        while start < len(level):
            end = start + _children(level, start)
            above.append(_node(level[start:end]))
            start = end
        level = above
    return level[0][0]


def file_hash(chunks: Sequence[Chunk]) -> bytes:
    """Hash of a file made of these chunks in this order."""
    if not chunks:
        return bytes(HASH_BYTES)
    return _keyed(_NO_SALT, xorb_hash(chunks))


def _children(level: list[Chunk], start: int) -> int:
    left = len(level) - start
    if left <= _LEAST_CHILDREN:
        return left
    most = min(_MOST_CHILDREN, left)
    for number in range(_LEAST_CHILDREN, most):
        # The hash modulo 4, as a number whose lowest byte is the first of its last eight.
        if level[start + number][0][24] % _MEAN_CHILDREN == 0:
            return number + 1
    return most


def _node(children: list[Chunk]) -> Chunk:
    text = "".join(f"{to_text(digest)} : {size}\n" for digest, size in children)
    return _keyed(_NODE_KEY, text.encode()), sum(size for _, size in children)
