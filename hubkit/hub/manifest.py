"""SHA256SUMS: which files of a repository hubkit wrote, in the format of GNU sha256sum."""

from __future__ import annotations

import re
from collections.abc import Mapping

SUMS = "SHA256SUMS"
# A SHA256SUMS without these is not hubkit's, and what it lists is its author's.
MARKS = frozenset({"lock.json", "results.json"})

_LINE = re.compile(r"^([0-9a-f]{64}) [ *](\S.*)$")


def format_sums(sums: Mapping[str, str]) -> str:
    """The text of SHA256SUMS for path -> SHA-256, sorted by path; `sha256sum -c` reads it."""
    return "".join(f"{sums[path]}  {path}\n" for path in sorted(sums))


def parse_sums(text: str) -> dict[str, str]:
    """Path -> SHA-256. Raises ValueError that names a line which is not of the format."""
    sums: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        match = _LINE.match(line)
        if not match:
            raise ValueError(f"{SUMS}, line {number}: not '<64 hex digits>  <path>'")
        path = match[2]
        if path.startswith("/") or ".." in path.split("/") or path in sums:
            raise ValueError(f"{SUMS}, line {number}: a path that cannot be: {path}")
        sums[path] = match[1]
    return sums
