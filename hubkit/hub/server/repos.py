"""All repositories of a root: `repos/<type>s/<namespace>/<name>.git`, each with its `hub.json`."""

from __future__ import annotations

import json
import secrets
import threading
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Literal

from dulwich.repo import Repo

from hubkit.hub.server.attributes import GITATTRIBUTES
from hubkit.hub.server.disk import remove_tree, sync_folder, write_atomic
from hubkit.hub.server.git import MAIN, GitRepo
from hubkit.hub.server.lfs import LfsStore
from hubkit.hub.server.names import REPO_TYPES, RepoId
from hubkit.hub.server.problems import conflict

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

Gated = Literal["auto", "manual", False]


@dataclass(frozen=True)
class Settings:
    """What the Hub knows of a repository beside its content."""

    created_at: str
    private: bool = False
    gated: Gated = False
    sdk: str | None = None


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
        self.lfs = LfsStore(path, temporary)
        self.lock = lock
        """Held by whoever writes: git objects, refs, settings, discussions."""

    def git(self) -> GitRepo:
        """The git repository, to be used in a `with` block."""
        return GitRepo(self.path)

    @property
    def settings(self) -> Settings:
        """Settings as they are on disk now."""
        return Settings(**json.loads((self.path / "hub.json").read_bytes()))

    def change(self, *, private: bool | None = None, gated: Gated | None = None) -> Settings:
        """Change what is given and answer all settings."""
        with self.lock:
            settings = self.settings
            if private is not None:
                settings = replace(settings, private=private)
            if gated is not None:
                settings = replace(settings, gated=gated)
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
        """The repository, or None."""
        path = self._path(repo_id)
        if not (path / "hub.json").is_file():
            return None
        with self._guard:
            lock = self._locks.setdefault(repo_id, threading.RLock())
        return Repository(repo_id, path, self.temporary, lock)

    def create(self, repo_id: RepoId, author: str, *, private: bool, sdk: str | None) -> Repository:
        """A new repository, the Hub's `.gitattributes` its first commit; 409 if it is there."""
        path = self._path(repo_id)
        made = self.temporary / f"new-{secrets.token_hex(8)}.git"
        made.mkdir()
        Repo.init_bare(str(made), default_branch=b"main").close()
        with GitRepo(made) as git:
            tree = git.write_tree({".gitattributes": git.write_blob(GITATTRIBUTES.encode())})
            git.move_ref(MAIN.decode(), None, git.write_commit(tree, [], author, "initial commit"))
        _write_settings(made, Settings(now_text(), private=private, sdk=sdk))
        with self._guard:
            if path.exists():
                remove_tree(made, self.temporary)
                raise conflict(f"You already created this {repo_id.type} repo: {repo_id.id}")
            path.parent.mkdir(parents=True, exist_ok=True)
            made.replace(path)
            sync_folder(path.parent)
        found = self.find(repo_id)
        assert found is not None
        return found

    def move(self, repository: Repository, target: RepoId) -> None:
        """Give a repository another name; 409 if that is taken."""
        with repository.lock, self._guard:
            path = self._path(target)
            if path.exists():
                raise conflict(f"A repo named {target.id} exists already")
            path.parent.mkdir(parents=True, exist_ok=True)
            repository.path.replace(path)
            sync_folder(path.parent)
            sync_folder(repository.path.parent)

    def delete(self, repository: Repository) -> None:
        """Delete a repository with everything in it."""
        with repository.lock, self._guard:
            remove_tree(repository.path, self.temporary)

    def all(self, kind: str) -> Iterator[Repository]:
        """Every repository of "models", "datasets" or "spaces", by name."""
        for path in sorted((self._repos / kind).glob("*/*.git")):
            found = self.find(RepoId(REPO_TYPES[kind], path.parent.name, path.name[: -len(".git")]))
            if found is not None:
                yield found
