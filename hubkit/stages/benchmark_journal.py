"""What a benchmark has measured so far, in a file that outlives a kill: a visit a line."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic import ValidationError

from hubkit.stages.benchmark_worker import Measured


def read_journal(path: Path | None) -> list[Measured]:
    """The visits that a journal holds, up to the first line that is not whole."""
    return [measured for measured, _ in _whole_lines(path)]


def _whole_lines(path: Path | None) -> Iterator[tuple[Measured, int]]:
    """Visits, and the position in the file where each ends."""
    if path is None or not path.is_file():
        return
    end = 0
    for line in path.read_bytes().splitlines(keepends=True):
        end += len(line)
        try:
            measured = Measured.model_validate_json(line)
        except ValidationError:
            return
        if line.endswith(b"\n"):
            yield measured, end


@contextmanager
def appended(path: Path | None, kept: int) -> Iterator[Callable[[Measured], None]]:
    """A function that writes a visit after the first `kept` ones; what comes after them goes."""
    if path is None:
        yield lambda measured: None
        return
    ends = [0, *(end for _, end in _whole_lines(path))]
    with path.open("ab") as file:
        os.truncate(path, ends[kept])

        def write(measured: Measured) -> None:
            file.write(measured.model_dump_json().encode() + b"\n")
            file.flush()

        yield write
