"""What a commit changed: paths, sizes, and of small texts the lines."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from dulwich.diff_tree import tree_changes

from hubkit.hub.server.attributes import is_text
from hubkit.hub.server.git import Entry

if TYPE_CHECKING:
    from dulwich.objects import Commit

    from hubkit.hub.server.git import GitRepo

# Comparing lines takes up to the square of their number: of longer files only the size is told.
_MOST_BYTES, _MOST_LINES, _LONGEST_LINE = 64 * 1024, 1500, 400
_MOST_DIFFS = 20
_MARKS = {"+": "add", "-": "del", "@": "hunk"}


@dataclass(frozen=True)
class Line:
    """A line of a comparison."""

    kind: Literal["add", "del", "hunk", "same"]
    text: str


@dataclass(frozen=True)
class Change:
    """A file that a commit wrote, changed, moved or deleted; sizes None: it was or is not there.

    `lines`: the comparison, where both sides are small texts.
    """

    kind: Literal["added", "changed", "deleted", "moved"]
    path: str
    was_path: str | None = None
    was_bytes: int | None = None
    size_bytes: int | None = None
    lfs: bool = False
    lines: tuple[Line, ...] = ()

    @property
    def added(self) -> int:
        """Lines that are new."""
        return sum(line.kind == "add" for line in self.lines)

    @property
    def deleted(self) -> int:
        """Lines that are gone."""
        return sum(line.kind == "del" for line in self.lines)


@dataclass(frozen=True)
class _Side:
    path: str
    oid: str


def first_parent(commit: Commit) -> str | None:
    """The commit before, on the branch that it was made on."""
    return commit.parents[0].decode() if commit.parents else None


def count_changes(git: GitRepo, commit: Commit, most: int = 1000) -> int:
    """How many files a commit changed, counted up to `most`."""
    return len(_sides(git, first_parent(commit), commit.id.decode(), most))


def changes(git: GitRepo, before: str | None, after: str, *, most: int = 300) -> list[Change]:
    """What is different in a commit from another one (None: from nothing), by path, at most so
    many files."""
    pairs = _moves(_sides(git, before, after, most))
    diffs = 0
    found = []
    for old, new in pairs:
        lines: tuple[Line, ...] = ()
        if diffs < _MOST_DIFFS:
            lines = _lines(git, old, new)
            diffs += bool(lines)
        found.append(_change(git, old, new, lines))
    return sorted(found, key=lambda change: change.path)


_Pair = tuple["_Side | None", "_Side | None"]


def _sides(git: GitRepo, before: str | None, after: str, most: int) -> list[_Pair]:
    old = git.commit(before).tree if before is not None else None
    found: list[_Pair] = []
    for change in tree_changes(git.store, old, git.commit(after).tree):
        sides = []
        for side in (change.old, change.new):
            there = side is not None and side.path is not None and side.sha is not None
            path = side.path.decode("utf-8", "surrogateescape") if there else ""
            sides.append(_Side(path, side.sha.decode()) if there else None)
        found.append((sides[0], sides[1]))
        if len(found) >= most:
            break
    return found


def _moves(pairs: list[_Pair]) -> list[_Pair]:
    """The same content gone from one path and new at another is one move."""
    gone = {old.oid: old for old, new in pairs if old is not None and new is None}
    found: list[_Pair] = []
    for old, new in pairs:
        if old is None and new is not None:
            found.append((gone.pop(new.oid, None), new))
        elif new is not None:
            found.append((old, new))
    left = {side.path for side in gone.values()}
    return found + [(old, new) for old, new in pairs if old and not new and old.path in left]


def _entry(side: _Side) -> Entry:
    return Entry(side.path, side.oid, False)


def _change(git: GitRepo, old: _Side | None, new: _Side | None, lines: tuple[Line, ...]) -> Change:
    was = git.info(_entry(old)) if old is not None else None
    now = git.info(_entry(new)) if new is not None else None
    last = new or old
    assert last is not None
    kind: Literal["added", "changed", "deleted", "moved"] = "changed"
    if old is None:
        kind = "added"
    elif new is None:
        kind = "deleted"
    elif old.path != new.path:
        kind = "moved"
    return Change(
        kind=kind,
        path=last.path,
        was_path=old.path if old is not None and kind == "moved" else None,
        was_bytes=was.size_bytes if was is not None else None,
        size_bytes=now.size_bytes if now is not None else None,
        lfs=any(info is not None and info.lfs is not None for info in (was, now)),
        lines=lines,
    )


def _lines(git: GitRepo, old: _Side | None, new: _Side | None) -> tuple[Line, ...]:
    if old is not None and new is not None and old.oid == new.oid:
        return ()
    texts = [_text(git, side) for side in (old, new)]
    if texts[0] is None or texts[1] is None:
        return ()
    compared = difflib.unified_diff(texts[0], texts[1], n=3, lineterm="")
    found = []
    for number, line in enumerate(compared):
        if number < 2:  # the two names
            continue
        kind = _MARKS.get(line[:1], "same")
        text = line if kind == "hunk" else line[1:]
        found.append(Line(kind, text[:_LONGEST_LINE]))  # type: ignore[arg-type]
    return tuple(found)


def _text(git: GitRepo, side: _Side | None) -> list[str] | None:
    """The lines of a small text; None for what is no such thing."""
    if side is None:
        return []
    info = git.info(_entry(side))
    if info.lfs is not None or info.size_bytes > _MOST_BYTES:
        return None
    data = git.blob(side.oid)
    if not is_text(data):
        return None
    lines = data.decode("utf-8", "replace").splitlines()
    return lines if len(lines) <= _MOST_LINES else None
