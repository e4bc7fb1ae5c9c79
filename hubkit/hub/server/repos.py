"""All repositories of a root: `repos/<type>s/<namespace>/<name>.git`, each with its `hub.json`."""

from __future__ import annotations

import json
import secrets
import shutil
import threading
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Literal

from dulwich.repo import Repo

from hubkit.hub.server.attributes import GITATTRIBUTES
from hubkit.hub.server.cards import space_card
from hubkit.hub.server.disk import remove_tree, sync_folder, write_atomic
from hubkit.hub.server.git import MAIN, GitRepo
from hubkit.hub.server.lfs import LfsStore, need_repository
from hubkit.hub.server.names import REPO_TYPES, RepoId
from hubkit.hub.server.problems import conflict

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# So many moves of one repository are followed; a circle of names ends here too.
_LONGEST_TRAIL = 20
Gated = Literal["auto", "manual", False]


@dataclass(frozen=True)
class Settings:
    """What the Hub knows of a repository beside its content."""

    created_at: str
    private: bool = False
    gated: Gated = False
    sdk: str | None = None
    xet_enabled: bool = True
    multipart_over_bytes: int | None = None
    """LFS objects over this are uploaded in parts; None leaves it to the server."""


def now_text() -> str:
    """This moment in the Hub's format, to the millisecond, UTC."""
    return date_text(datetime.now(timezone.utc).timestamp())


def date_text(seconds: float) -> str:
    """A moment in the Hub's format: 2026-01-31T12:00:00.000Z."""
    moment = datetime.fromtimestamp(seconds, timezone.utc)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"


class Repository:
    """One repository on disk."""

    def __init__(self, repo_id: RepoId, path: Path, temporary: Path, lock: threading.RLock) -> None:
        self.id = repo_id
        self.path = path
        self.lfs = LfsStore(path, temporary, lock)
        self.lock = lock
        """Held by whoever writes: git objects, refs, settings, discussions."""

    def git(self) -> GitRepo:
        """The git repository, to be used in a `with` block."""
        return GitRepo(self.path)

    @property
    def settings(self) -> Settings:
        """Settings as they are on disk now."""
        return Settings(**json.loads((self.path / "hub.json").read_bytes()))

    def change(
        self,
        *,
        private: bool | None = None,
        gated: Gated | None = None,
        xet_enabled: bool | None = None,
    ) -> Settings:
        """Change what is given and answer all settings."""
        given = {"private": private, "gated": gated, "xet_enabled": xet_enabled}
        with self.lock:
            update = {key: value for key, value in given.items() if value is not None}
            settings = Settings(**{**asdict(self.settings), **update})
            _write_settings(self.path, settings)
            return settings


def _write_settings(path: Path, settings: Settings) -> None:
    write_atomic(path / "hub.json", json.dumps(asdict(settings)).encode())


class RepoStore:
    """Makes, finds, moves and deletes repositories."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.temporary = root / "tmp"
        self._repos = root / "repos"
        self._locks: dict[RepoId, threading.RLock] = {}
        self._guard = threading.RLock()
        self.temporary.mkdir(parents=True, exist_ok=True)
        self._repos.mkdir(parents=True, exist_ok=True)

    def _path(self, repo_id: RepoId) -> Path:
        return self._repos / f"{repo_id.type}s" / repo_id.namespace / f"{repo_id.name}.git"

    def find(self, repo_id: RepoId) -> Repository | None:
        """The repository, or None. Its name counts in any letter case, as on the Hub; the one that
        is answered has its own."""
        path = self._path(repo_id)
        if not (path / "hub.json").is_file():
            alike = self._alike(repo_id)
            if alike is None:
                return None
            repo_id, path = alike, self._path(alike)
        with self._guard:
            lock = self._locks.setdefault(repo_id, threading.RLock())
        return Repository(repo_id, path, self.temporary, lock)

    def _alike(self, repo_id: RepoId) -> RepoId | None:
        wanted = repo_id.namespace.lower(), f"{repo_id.name}.git".lower()
        folder = self._repos / f"{repo_id.type}s"
        for namespace in folder.iterdir() if folder.is_dir() else ():
            if namespace.name.lower() != wanted[0]:
                continue
            for path in namespace.iterdir():
                if path.name.lower() == wanted[1] and (path / "hub.json").is_file():
                    return RepoId(repo_id.type, namespace.name, path.name[: -len(".git")])
        return None

    def moved(self, repo_id: RepoId) -> Repository | None:
        """The repository that had this name before, or None."""
        for _ in range(_LONGEST_TRAIL):
            try:
                namespace, _, name = self._trail(repo_id).read_text("utf-8").partition("/")
            except OSError:
                return None
            repo_id = RepoId(repo_id.type, namespace, name)
            if (found := self.find(repo_id)) is not None:
                return found
        return None

    def _trail(self, repo_id: RepoId) -> Path:
        return self._path(repo_id).with_suffix(".moved")

    def create(
        self,
        repo_id: RepoId,
        author: str,
        *,
        private: bool,
        sdk: str | None,
        multipart_over_bytes: int | None = None,
    ) -> Repository:
        """A new repository, the Hub's `.gitattributes` its first commit; 409 if it is there."""
        path = self._path(repo_id)
        made = self.temporary / f"new-{secrets.token_hex(8)}.git"
        made.mkdir()
        Repo.init_bare(str(made), default_branch=b"main").close()
        with GitRepo(made) as git:
            files = {".gitattributes": GITATTRIBUTES}
            if repo_id.type == "space":
                files["README.md"] = space_card(repo_id.name, sdk)
            tree = git.write_tree({p: git.write_blob(t.encode()) for p, t in files.items()})
            git.move_ref(MAIN.decode(), None, git.write_commit(tree, [], author, "initial commit"))
        _write_settings(
            made,
            Settings(
                now_text(), private=private, sdk=sdk, multipart_over_bytes=multipart_over_bytes
            ),
        )
        with self._guard:
            if self.find(repo_id) is not None or path.exists():
                remove_tree(made, self.temporary)
                raise conflict(f"You already created this {repo_id.type} repo: {repo_id.id}")
            path.parent.mkdir(parents=True, exist_ok=True)
            made.replace(path)
            self._trail(repo_id).unlink(missing_ok=True)
            sync_folder(path.parent)
        found = self.find(repo_id)
        assert found is not None
        return found

    def move(self, repository: Repository, target: RepoId) -> None:
        """Give a repository another name, and leave word where it went; 409 if that is taken."""
        with repository.lock, self._guard:
            path, there = self._path(target), self.find(target)
            if path.exists() or (there is not None and there.id != repository.id):
                raise conflict(f"A {target.type} repository called `{target.id}` already exists")
            path.parent.mkdir(parents=True, exist_ok=True)
            # Not looked at while the repository is still there.
            write_atomic(self._trail(repository.id), target.id.encode())
            repository.path.replace(path)
            self._trail(target).unlink(missing_ok=True)
            sync_folder(path.parent)
            sync_folder(repository.path.parent)

    def delete(self, repository: Repository) -> None:
        """Delete a repository with everything in it."""
        grave = self.temporary / f"gone-{secrets.token_hex(8)}"
        with repository.lock, self._guard:
            need_repository(repository.path)
            self._trail(repository.id).unlink(missing_ok=True)
            repository.path.replace(grave)
            sync_folder(repository.path.parent)
        # No longer under the locks: a large one takes a while, and every call needs `_guard`.
        with suppress(OSError):
            shutil.rmtree(grave)

    def sweep(self) -> None:
        """Remove what is left of repositories that an upload outlived: it would hold their names.
        Before serving; a folder that is a git repository all the same is let be."""
        for path in self._repos.glob("*/*/*.git"):
            if not any((path / name).exists() for name in ("hub.json", "HEAD")):
                remove_tree(path, self.temporary)

    def all(self, kind: str) -> Iterator[Repository]:
        """Every repository of "models", "datasets" or "spaces", by name."""
        for path in sorted((self._repos / kind).glob("*/*.git")):
            found = self.find(RepoId(REPO_TYPES[kind], path.parent.name, path.name[: -len(".git")]))
            if found is not None:
                yield found
