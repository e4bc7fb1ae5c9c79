"""The levels that were measured so far, in a file that outlives a kill: one a line."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from hubkit.formats_records import Level


def kept_levels(path: Path | None) -> list[Level]:
    """The levels that a journal holds, up to the first line that is not whole, which goes with all
    after it."""
    if path is None or not path.is_file():
        return []
    found, end = [], 0
    data = path.read_bytes()
    for line in data.splitlines(keepends=True):
        try:
            level = Level.model_validate_json(line)
        except ValidationError:
            break
        if not line.endswith(b"\n"):
            break
        found.append(level)
        end += len(line)
    if end < len(data):
        path.write_bytes(data[:end])
    return found


def keep_level(path: Path | None, level: Level) -> None:
    """Add a level."""
    if path is not None:
        with path.open("ab") as file:
            file.write(level.model_dump_json().encode() + b"\n")
