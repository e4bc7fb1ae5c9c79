"""Taking LFS objects out of a repository for good: which there are, and history without them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from dulwich.objects import Commit, ObjectID, Tag
from dulwich.walk import ORDER_TOPO

from hubkit.hub.server.git import Entry
from hubkit.hub.server.repos import date_text

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from hubkit.hub.server.git import GitRepo
    from hubkit.hub.server.repos import Repository


@dataclass(frozen=True)
class LfsFile:
    """An LFS object, and the oldest place in the history that names it, if any does."""

    oid: str
    size_bytes: int
    pushed_at: str
    filename: str
    ref: str | None


def _ordered_refs(git: GitRepo) -> dict[str, str]:
    """Every ref, main first, then branches, pull requests and the rest."""
    refs = git.refs("refs/")

    def rank(name: str) -> tuple[bool, bool, bool, str]:
        branch, pull = name.startswith("refs/heads/"), name.startswith("refs/pr/")
        return name != "refs/heads/main", not branch, not pull, name

    return {name: refs[name] for name in sorted(refs, key=rank)}


def _oldest_first(git: GitRepo, head: str) -> list[Commit]:
    """The commits of a history, each after its parents."""
    walker = git.dulwich.get_walker(include=[ObjectID(head.encode())], order=ORDER_TOPO)
    return [entry.commit for entry in walker][::-1]


def lfs_files(repository: Repository, git: GitRepo) -> Iterator[LfsFile]:
    """Every stored LFS object once, newest first, those that no commit names too."""
    places: dict[str, tuple[str, str | None]] = {}
    seen: set[str] = set()
    for ref, head in _ordered_refs(git).items():
        for commit in _oldest_first(git, head):
            oid: str = commit.id.decode()
            if oid in seen:
                continue
            seen.add(oid)
            for path, entry in git.files(oid).items():
                pointer = git.info(entry).lfs
                if pointer is not None:
                    places.setdefault(pointer.oid, (path, ref.removeprefix("refs/heads/")))
    for oid, pushed_at, size in sorted(repository.lfs.stored(), key=lambda item: -item[1]):
        path, place = places.get(oid, (oid, None))
        yield LfsFile(oid, size, date_text(pushed_at), path, place)


def forget(repository: Repository, git: GitRepo, oids: Collection[str], *, rewrite: bool) -> None:
    """Delete LFS objects; with `rewrite` every commit loses the files that point at them first.

    The caller holds the repository's lock. Cut short, it leaves every ref at its old or its new
    commit and all objects that are named; the same call again completes it.
    """
    if rewrite:
        _rewrite_all(git, frozenset(oids))
    for oid in oids:
        repository.lfs.remove(oid)


def _rewrite_all(git: GitRepo, oids: frozenset[str]) -> None:
    made: dict[str, str] = {}
    for ref, head in _ordered_refs(git).items():
        for commit in _oldest_first(git, head):
            oid = commit.id.decode()
            if oid not in made:
                made[oid] = _without(git, commit, oids, made)
        if made[head] == head:
            continue
        new = made[head]
        pointed = git.target(ref)
        if pointed is not None and pointed != head:
            new = _same_tag(git, pointed, new)
        git.move_ref(ref, pointed, new)


def _without(git: GitRepo, commit: Commit, oids: frozenset[str], made: dict[str, str]) -> str:
    oid: str = commit.id.decode()
    files = git.files(oid)
    kept = {path: e.oid for path, e in files.items() if not _points_at(git, e, oids)}
    parents = [ObjectID(made[parent.decode()].encode()) for parent in commit.parents]
    if len(kept) == len(files) and parents == commit.parents:
        return oid
    copy = commit.copy()
    assert isinstance(copy, Commit)
    copy.tree = ObjectID(git.write_tree(kept).encode())
    copy.parents = parents
    return git.write(copy)


def _points_at(git: GitRepo, entry: Entry, oids: frozenset[str]) -> bool:
    pointer = git.info(entry).lfs
    return pointer is not None and pointer.oid in oids


def _same_tag(git: GitRepo, tag: str, commit: str) -> str:
    found = git.store[ObjectID(tag.encode())]
    assert isinstance(found, Tag)
    copy = found.copy()
    assert isinstance(copy, Tag)
    copy.object = (Commit, ObjectID(commit.encode()))
    return git.write(copy)
