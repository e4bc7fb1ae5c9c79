"""Content keys: canonical JSON and SHA-256 of values, files and folders."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import BinaryIO


def canonical_json(value: object) -> str:
    """The one JSON text of a value: sorted keys, no spaces, UTF-8, no NaN."""
    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )


def digest_of_bytes(data: bytes) -> str:
    """SHA-256 of bytes, 64 hex digits."""
    return hashlib.sha256(data).hexdigest()


def digest_of_value(value: object) -> str:
    """SHA-256 of a value's canonical JSON, 64 hex digits."""
    return digest_of_bytes(canonical_json(value).encode())


def _stream_digest(stream: BinaryIO) -> str:
    # hashlib.file_digest is Python 3.11+, and 3.10 is supported.
    sha = hashlib.sha256()
    while block := stream.read(1 << 20):
        sha.update(block)
    return sha.hexdigest()


def digest_of_file(path: Path) -> str:
    """SHA-256 of a file's bytes, 64 hex digits."""
    with path.open("rb") as stream:
        return _stream_digest(stream)


def files_of(folder: Path) -> dict[str, str]:
    """Relative POSIX path -> SHA-256 of every regular file below a folder, sorted by path."""
    paths = sorted(p for p in folder.rglob("*") if p.is_file())
    return {p.relative_to(folder).as_posix(): digest_of_file(p) for p in paths}


def digest_of_folder(folder: Path) -> str:
    """SHA-256 over the sorted (path, file digest) pairs of a folder: equal content, equal
    digest."""
    return digest_of_value(files_of(folder))
