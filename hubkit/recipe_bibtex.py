"""BibTeX of a recipe: which entries it has, and what keeps it from being read."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bibtexparser.library import Library
    from bibtexparser.model import Entry

_HEAD = re.compile(r"@\w+\s*[{(]\s*[^\s,{}()]+\s*,")
_KEY = re.compile(r"^[^\s,{}()\"#%'~\\=]+$")
# What may stand for itself as a value: a number, or the name of a @string or a month.
_BARE = re.compile(r"^(\d+|[A-Za-z][\w:.-]*)$")
_NO_KEY = "expected @type{key, with a comma after the key"
_MONTHS = {"jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"}


@dataclass(frozen=True)
class BibProblem:
    """`line`: of the text, from 1."""

    line: int
    what: str


def entries(text: str) -> tuple[str, ...]:
    """The citation keys, in order: those of what can be read."""
    return tuple(entry.key for entry in _parsed(text).entries)


def problems(text: str) -> tuple[BibProblem, ...]:
    """Everything that BibTeX would stumble over, by line; empty when there is nothing."""
    library = _parsed(text)
    if not library.entries and not library.failed_blocks:
        return (BibProblem(1, "expected BibTeX entries, @misc{key, ...}"),)
    found = [*_failed(library, text), *_outside(library)]
    known = {string.key.lower() for string in library.strings} | _MONTHS
    for entry in library.entries:
        found += _entry_problems(entry, known)
    return tuple(sorted(found, key=lambda problem: problem.line))


def _parsed(text: str) -> Library:
    from bibtexparser.entrypoint import parse_string

    # It says on stderr what its result says too.
    logger = logging.getLogger("bibtexparser")
    before = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        # Values as they are written: only then can it be seen whether their braces match.
        return parse_string(text, parse_stack=[])
    finally:
        logger.setLevel(before)


def _failed(library: Library, text: str) -> Iterator[BibProblem]:
    from bibtexparser.model import DuplicateBlockKeyBlock, DuplicateFieldKeyBlock

    for block in library.failed_blocks:
        line = (block.start_line or 0) + 1
        head = text.split("\n")[line - 1].strip()
        if isinstance(block, DuplicateBlockKeyBlock):
            yield BibProblem(line, f"{head}: the key {block.key} is given twice")
        elif isinstance(block, DuplicateFieldKeyBlock):
            fields = ", ".join(sorted(block.duplicate_keys))
            yield BibProblem(line, f"{head}: it has the field {fields} twice")
        elif not _HEAD.match((block.raw or "").strip()):
            yield BibProblem(line, f"{head}: {_NO_KEY}")
        else:
            yield BibProblem(line, f"{head}: the braces of this entry do not match")


def _outside(library: Library) -> Iterator[BibProblem]:
    """BibTeX passes over text between entries, in which a comma or brace too many ends up."""
    from bibtexparser.model import ImplicitComment, ParsingFailedBlock

    before = None
    for block in library.blocks:
        # What follows an entry that could not be read is the rest of it.
        rest, before = isinstance(before, ParsingFailedBlock), block
        if isinstance(block, ImplicitComment) and not rest:
            for at, line in enumerate(block.comment.splitlines()):
                if line.strip() and not line.lstrip().startswith("%"):
                    number = (block.start_line or 0) + at + 1
                    what = (
                        "the braces of this entry do not match: there is a } too many"
                        if line.strip().startswith("}")
                        else "outside of any entry, expected @misc{key, ...}"
                    )
                    yield BibProblem(number, f"{line.strip()}: {what}")


def _entry_problems(entry: Entry, known: set[str]) -> Iterator[BibProblem]:
    line = (entry.start_line or 0) + 1
    head = f"@{entry.entry_type}{{{entry.key}"
    if not _KEY.match(entry.key):
        yield BibProblem(line, f"{head}: {_NO_KEY}")
    elif not entry.fields:
        yield BibProblem(line, f"{head}: it has no field")
    for field in entry.fields:
        what = "the field has no name" if not field.key.strip() else None
        what = what or _value_problem(str(field.value), known)
        if what:
            yield BibProblem((field.start_line or line - 1) + 1, f"{head}: {field.key}: {what}")


def _value_problem(value: str, known: set[str]) -> str | None:
    parts = _parts(value)
    if parts is None:
        return "expected {text} in braces that match, and a comma after it"
    for part in parts:
        if not part or (part[0] not in '{"' and not _BARE.match(part)):
            return "expected {text}, a number or the name of a @string"
        if part[0] not in '{"' and not part.isdigit() and part.lower() not in known:
            return f"there is no @string {part}; put text in braces"
    return None


def _parts(value: str) -> list[str] | None:
    """The pieces that `#` joins, each with its braces or quotes; None where these do not match."""
    parts, depth, start, quoted, closed = [], 0, 0, False, False
    for at, character in enumerate(value):
        if character == "#" and depth == 0 and not quoted:
            parts.append(value[start:at].strip())
            start, closed = at + 1, False
            continue
        if closed and not character.isspace():
            return None
        if character == '"' and depth == 0:
            closed, quoted = quoted, not quoted
        elif character in "{}":
            depth += 1 if character == "{" else -1
            closed = depth == 0 and not quoted
        if depth < 0:
            return None
    parts.append(value[start:].strip())
    return parts if depth == 0 and not quoted else None
