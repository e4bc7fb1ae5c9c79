"""Which files go to LFS: the `.gitattributes`, the size, the content."""

from __future__ import annotations

import codecs
from fnmatch import fnmatchcase

LFS_OVER_BYTES = 10 * 1024 * 1024
"""Text larger than this goes to LFS whatever it is called."""

_EXTENSIONS = (
    "7z arrow bin bz2 ckpt ftz gz h5 joblib lfs.* mlmodel model msgpack npy npz onnx ot parquet pb "
    "pickle pkl pt pth rar safetensors"
)
_MORE = "tar.* tar tflite tgz wasm xz zip zst"
_PATTERNS = [
    *(f"*.{extension}" for extension in _EXTENSIONS.split()),
    "saved_model/**/*",
    *(f"*.{extension}" for extension in _MORE.split()),
    "*tfevents*",
]
GITATTRIBUTES = "".join(f"{p} filter=lfs diff=lfs merge=lfs -text\n" for p in _PATTERNS)
"""What a new repository starts with."""


def lfs_patterns(gitattributes: str) -> list[tuple[str, bool]]:
    """(pattern, goes to LFS) of each line that says something about it, in order."""
    found = []
    for line in gitattributes.splitlines():
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        if "filter=lfs" in words[1:]:
            found.append((words[0], True))
        elif "-filter" in words[1:] or "!filter" in words[1:]:
            found.append((words[0], False))
    return found


def _matches(path: str, pattern: str) -> bool:
    if "/" not in pattern:
        return fnmatchcase(path.rsplit("/", 1)[-1], pattern)
    # fnmatch's * crosses slashes, so ** needs no more than to be one.
    return fnmatchcase(path, pattern.lstrip("/").replace("**/*", "*").replace("**", "*"))


def is_text(sample: bytes) -> bool:
    """Whether a file's first bytes are UTF-8 text; a character cut at the end does not count."""
    if b"\0" in sample:
        return False
    try:
        codecs.getincrementaldecoder("utf-8")().decode(sample, final=False)
    except UnicodeDecodeError:
        return False
    return True


def goes_to_lfs(
    path: str, size_bytes: int, sample: bytes, patterns: list[tuple[str, bool]]
) -> bool:
    """Whether a file is stored as an LFS object; an empty file never is."""
    if size_bytes == 0:
        return False
    chosen: bool | None = None
    for pattern, lfs in patterns:
        if _matches(path, pattern):
            chosen = lfs
    if chosen:
        return True
    return size_bytes > LFS_OVER_BYTES or (chosen is None and not is_text(sample))
