"""One bare git repository: revisions, trees, files, and refs moved by compare-and-set."""

from __future__ import annotations

import re
import stat
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dulwich.errors import NotCommitError
from dulwich.objects import Blob, Commit, ObjectID, ShaFile, Tag, Tree
from dulwich.refs import Ref, check_ref_format
from dulwich.repo import Repo

from hubkit.hub.server.blobs import FileInfo, describe
from hubkit.hub.server.disk import sync_folder

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path
    from types import TracebackType

FILE_MODE = 0o100644
MAIN = Ref(b"refs/heads/main")
_SHA = re.compile(r"[0-9a-f]{7,40}")


@dataclass(frozen=True)
class Entry:
    """A file or folder of a tree; `oid` is the git object's id."""

    path: str
    oid: str
    is_folder: bool


# Blobs never change, so what is known of one by its id holds in every repository.
_known: dict[str, FileInfo] = {}
_counts: dict[str, int] = {}  # a commit, whose id says what is before it -> its history's length
_KNOWN_LIMIT = 100_000
# A longer history leaves its oldest files without their last commit.
_LONGEST_WALK = 500


class GitRepo:
    """An open bare repository; use it in a `with` block, in one thread."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.dulwich = Repo(str(path), bare=True)
        self.store = self.dulwich.object_store
        # A millisecond an object; without it a power cut could empty what was acknowledged.
        self.store.fsync_object_files = True
        self._touched: set[Path] = set()

    def __enter__(self) -> GitRepo:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.dulwich.close()

    # revisions

    def refs(self, prefix: str) -> dict[str, str]:
        """Full ref name -> commit id (tags peeled), below a prefix such as "refs/heads/"."""
        found = {}
        for name in sorted(self.dulwich.refs.allkeys()):
            text = name.decode("utf-8", "replace")
            if text.startswith(prefix):
                commit = self._peeled(self.dulwich.refs[name])
                if commit is not None:
                    found[text] = commit
        return found

    def ref(self, name: str) -> str | None:
        """The commit a full ref name points at, tags peeled; None for what can be no name."""
        try:
            ref = Ref(name.encode())
            # git has refs as files: "../" in a name would be another repository's.
            return self._peeled(self.dulwich.refs[ref]) if check_ref_format(ref) else None
        except (KeyError, ValueError, OSError):
            return None

    def target(self, name: str) -> str | None:
        """What a full ref name points at: a commit, or the tag object of an annotated tag."""
        try:
            found: str = self.dulwich.refs[Ref(name.encode())].decode()
        except (KeyError, ValueError, OSError):
            return None
        return found

    def resolve(self, revision: str) -> str | None:
        """Commit id of a branch, tag, full ref or commit id (7 to 40 digits), or None."""
        if revision == "HEAD":
            revision = "main"
        tries = [f"refs/heads/{revision}", f"refs/tags/{revision}"]
        if len(revision) == 40:
            # What is pinned to a commit that is here gets that one, whatever refs are made.
            if _SHA.fullmatch(revision) and (own := self._peeled(ObjectID(revision.encode()))):
                return own
            tries.append(f"refs/origin/{revision}")  # of a mirrored commit, where it comes from
        if revision.startswith("refs/"):
            tries.insert(0, revision)
        for name in tries:
            if (commit := self.ref(name)) is not None:
                return commit
        if _SHA.fullmatch(revision):
            matches = list(self.store.iter_prefix(revision.encode()))
            commits = {self._peeled(sha) for sha in matches} - {None}
            if len(commits) == 1:
                return commits.pop()
        return None

    def _peeled(self, sha: ObjectID) -> str | None:
        try:
            found: ShaFile = self.store[sha]
            while isinstance(found, Tag):
                found = self.store[found.object[1]]
        except KeyError:
            return None
        return found.id.decode() if isinstance(found, Commit) else None

    def commit(self, commit: str) -> Commit:
        """The commit object."""
        found = self.store[ObjectID(commit.encode())]
        if not isinstance(found, Commit):
            raise NotCommitError(commit.encode())
        return found

    def has(self, oid: str) -> bool:
        """Whether an object of this 40-digit id is here."""
        return ObjectID(oid.encode()) in self.store

    def count(self, commit: str) -> int:
        """How many commits `history` gives."""
        known = _counts.get(commit)
        if known is None:
            known = sum(1 for _ in self.history(commit))
            if len(_counts) >= _KNOWN_LIMIT:
                _counts.clear()
            _counts[commit] = known
        return known

    def history(self, commit: str) -> Iterator[Commit]:
        """A commit and those before it, newest first."""
        for entry in self.dulwich.get_walker(include=[ObjectID(commit.encode())]):
            yield entry.commit

    # trees and files

    def _tree(self, sha: ObjectID) -> Tree:
        found = self.store[sha]
        if not isinstance(found, Tree):
            raise KeyError(sha)
        return found

    def entry(self, commit: str, path: str) -> Entry | None:
        """The file or folder at a path; "" is the root."""
        tree = self.commit(commit).tree
        if not path:
            return Entry("", tree.decode(), True)
        parts = path.encode("utf-8", "surrogateescape").split(b"/")
        for position, part in enumerate(parts):
            try:
                mode, sha = self._tree(tree)[part]
            except KeyError:
                return None
            is_folder = stat.S_ISDIR(mode)
            if position == len(parts) - 1:
                return Entry(path, sha.decode(), is_folder)
            if not is_folder:
                return None
            tree = sha
        return None

    def listing(
        self, folder: Entry, *, recursive: bool, folders_first: bool = False
    ) -> Iterator[Entry]:
        """What is in a folder, in git's order or its folders before its files; a folder comes right
        before what is in it."""
        prefix = f"{folder.path}/" if folder.path else ""
        items = self._tree(ObjectID(folder.oid.encode())).iteritems()
        if folders_first:
            items = sorted(items, key=lambda item: not stat.S_ISDIR(item.mode))
        for item in items:
            path = prefix + item.path.decode("utf-8", "surrogateescape")
            found = Entry(path, item.sha.decode(), stat.S_ISDIR(item.mode))
            yield found
            if recursive and found.is_folder:
                yield from self.listing(found, recursive=True, folders_first=folders_first)

    def files(self, commit: str) -> dict[str, Entry]:
        """Path -> entry of every file of a commit."""
        root = Entry("", self.commit(commit).tree.decode(), True)
        return {e.path: e for e in self.listing(root, recursive=True) if not e.is_folder}

    def blob(self, oid: str) -> bytes:
        """A blob's bytes; for an LFS file the pointer's."""
        data: bytes = self.store.get_raw(ObjectID(oid.encode()))[1]
        return data

    def stored_bytes(self, oid: str) -> int:
        """Length of a blob itself, which for an LFS file is its pointer's."""
        return len(self.blob(oid))

    def info(self, entry: Entry) -> FileInfo:
        """Size and LFS pointer of a file."""
        known = _known.get(entry.oid)
        if known is None:
            known = describe(self.blob(entry.oid))
            if len(_known) >= _KNOWN_LIMIT:
                _known.clear()
            _known[entry.oid] = known
        return known

    def last_commits(self, commit: str, entries: Iterable[Entry]) -> dict[str, Commit]:
        """Path -> the newest commit that changed it, following first parents so far as we go."""
        wanted = {entry.path: entry.oid for entry in entries}
        found: dict[str, Commit] = {}
        here = self.commit(commit)
        for _ in range(_LONGEST_WALK):
            parent = here.parents[0].decode() if here.parents else None
            for path, oid in list(wanted.items()):
                before = self.entry(parent, path) if parent else None
                if before is None or before.oid != oid:
                    found[path] = here
                    del wanted[path]
            if parent is None or not wanted:
                break
            here = self.commit(parent)
        return found

    # writing: the caller holds the repository's lock

    def _add(self, made: ShaFile) -> str:
        self.store.add_object(made)
        oid: str = made.id.decode()
        objects = self.path / "objects"
        self._touched |= {objects, objects / oid[:2]}
        return oid

    def write(self, made: ShaFile) -> str:
        """Store any object and answer its id."""
        return self._add(made)

    def write_blob(self, data: bytes) -> str:
        """Store a blob and answer its id."""
        return self._add(Blob.from_string(data))

    def write_tree(self, files: Mapping[str, str]) -> str:
        """Store the trees of path -> blob id, and answer the root's id."""
        blobs: list[tuple[str, str]] = []
        folders: dict[str, dict[str, str]] = {}
        for path, oid in files.items():
            head, slash, rest = path.partition("/")
            if slash:
                folders.setdefault(head, {})[rest] = oid
            else:
                blobs.append((path, oid))
        tree = Tree()
        for name, oid in blobs:
            tree.add(name.encode("utf-8", "surrogateescape"), FILE_MODE, ObjectID(oid.encode()))
        for name, below in folders.items():
            sha = ObjectID(self.write_tree(below).encode())
            tree.add(name.encode("utf-8", "surrogateescape"), stat.S_IFDIR, sha)
        return self._add(tree)

    def write_commit(self, tree: str, parents: Iterable[str], author: str, message: str) -> str:
        """Store a commit and answer its id; nothing points at it yet."""
        made = Commit()
        made.tree = ObjectID(tree.encode())
        made.parents = [ObjectID(parent.encode()) for parent in parents]
        made.author = made.committer = f"{author} <{author}@users.noreply.localhost>".encode()
        made.author_time = made.commit_time = int(time.time())
        made.author_timezone = made.commit_timezone = 0
        made.encoding = b"UTF-8"
        made.message = (message.rstrip() + "\n").encode("utf-8", "replace")
        return self._add(made)

    def write_tag(self, name: str, commit: str, author: str, message: str) -> str:
        """Store an annotated tag and answer its id; nothing points at it yet."""
        made = Tag()
        made.name = name.encode()
        made.object = (Commit, ObjectID(commit.encode()))
        made.tagger = f"{author} <{author}@users.noreply.localhost>".encode()
        made.tag_time = int(time.time())
        made.tag_timezone = 0
        made.message = (message.rstrip() + "\n").encode("utf-8", "replace")
        return self._add(made)

    def move_ref(self, name: str, old: str | None, new: str) -> bool:
        """Point a ref at what was stored, if it still is at `old`; None makes a new ref."""
        # The objects are durable; this makes their names so too, before anything needs them.
        for folder in self._touched:
            sync_folder(folder)
        self._touched.clear()
        ref, sha = Ref(name.encode()), ObjectID(new.encode())
        refs = self.dulwich.refs
        if old is None:
            moved: bool = refs.add_if_new(ref, sha)
        else:
            moved = refs.set_if_equals(ref, ObjectID(old.encode()), sha)
        if moved:
            sync_folder((self.path / name).parent)
        return moved

    def delete_ref(self, name: str) -> bool:
        """Take a ref away; False if there was none."""
        ref = Ref(name.encode())
        if ref not in self.dulwich.refs:
            return False
        removed: bool = self.dulwich.refs.remove_if_equals(ref, None)
        return removed
