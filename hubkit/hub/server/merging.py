"""What a pull request changes, and what comes out of merging it."""

from __future__ import annotations

from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING

from dulwich.graph import find_merge_base
from dulwich.objects import ObjectID
from dulwich.patch import write_tree_diff

if TYPE_CHECKING:
    from hubkit.hub.server.git import GitRepo

# Comparing lines takes long where there are many; the pages show what is larger by size.
_DIFF_LIMIT_BYTES = 512 * 1024


@dataclass(frozen=True)
class Merge:
    """Path -> blob id after a merge, and the paths that both sides changed differently."""

    files: dict[str, str]
    conflicts: tuple[str, ...]


def _base(git: GitRepo, ours: str, theirs: str) -> str | None:
    found = find_merge_base(git.dulwich, [ObjectID(ours.encode()), ObjectID(theirs.encode())])
    return found[0].decode() if found else None


def _files(git: GitRepo, commit: str | None) -> dict[str, str]:
    return {path: e.oid for path, e in git.files(commit).items()} if commit is not None else {}


def merge_of(git: GitRepo, ours: str, theirs: str) -> Merge:
    """Merge commits file by file; of a path in conflict, ours is kept."""
    before = _files(git, _base(git, ours, theirs))
    here, there = _files(git, ours), _files(git, theirs)
    conflicts = []
    for path in sorted(before.keys() | there.keys()):
        was, wanted, is_now = before.get(path), there.get(path), here.get(path)
        if wanted in (was, is_now):
            continue
        if is_now != was:
            conflicts.append(path)
        elif wanted is None:
            del here[path]
        else:
            here[path] = wanted
    return Merge(here, tuple(conflicts))


def diff_of(git: GitRepo, ours: str, theirs: str) -> str:
    """What theirs changed since it left ours, as `git diff` writes it; empty where that is long."""
    base = _base(git, ours, theirs)
    before, after = _files(git, base), _files(git, theirs)
    changed = {path for path in before.keys() | after.keys() if before.get(path) != after.get(path)}
    oids = {side[path] for side in (before, after) for path in changed if path in side}
    if sum(git.stored_bytes(oid) for oid in oids) > _DIFF_LIMIT_BYTES:
        return ""
    out = BytesIO()
    trees = (git.commit(base).tree if base is not None else None, git.commit(theirs).tree)
    write_tree_diff(out, git.store, *trees)
    return out.getvalue().decode("utf-8", "replace")
