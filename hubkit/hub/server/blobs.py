"""What a git blob is: a file of its own, or a pointer to an LFS object."""

from __future__ import annotations

import re
from dataclasses import dataclass

_POINTER = re.compile(
    rb"version https://git-lfs\.github\.com/spec/v1\noid sha256:([0-9a-f]{64})\nsize (\d{1,18})\n"
)
_POINTER_LIMIT = 1024


@dataclass(frozen=True)
class Pointer:
    """A git blob that stands for an LFS object."""

    oid: str
    size_bytes: int
    pointer_size_bytes: int


@dataclass(frozen=True)
class FileInfo:
    """What a blob is: its real size in bytes, and its LFS pointer if it is one."""

    size_bytes: int
    lfs: Pointer | None


def pointer_bytes(oid: str, size_bytes: int) -> bytes:
    """The text of an LFS pointer (https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md)."""
    text = f"version https://git-lfs.github.com/spec/v1\noid sha256:{oid}\nsize {size_bytes}\n"
    return text.encode()


def describe(data: bytes) -> FileInfo:
    """What a blob's bytes are."""
    if len(data) < _POINTER_LIMIT and (found := _POINTER.fullmatch(data)):
        size = int(found[2])
        return FileInfo(size, Pointer(found[1].decode(), size, len(data)))
    return FileInfo(len(data), None)
