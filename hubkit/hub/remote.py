"""What a Hub tells of itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

RepoKind = Literal["model", "dataset"]
MAIN = "main"
PR = "refs/pr/"


@dataclass(frozen=True)
class RemoteFile:
    """A file at a revision: `git_sha1` of its blob, and `sha256` of its content where it is LFS."""

    size_bytes: int
    git_sha1: str
    sha256: str | None


@dataclass(frozen=True)
class RepoState:
    """A repository as it is now: the commit at the tip of a branch (None: no such branch)."""

    head: str | None
    private: bool


@dataclass(frozen=True)
class RemoteCommit:
    sha: str
    title: str


@dataclass(frozen=True)
class Refs:
    """What has a name in a repository: branch or tag -> commit, pull request's number -> commit."""

    branches: Mapping[str, str]
    tags: Mapping[str, str]
    pull_requests: Mapping[int, str]


@dataclass(frozen=True)
class PullRequest:
    number: int
    title: str
    url: str

    @property
    def ref(self) -> str:
        """The revision that stands for it."""
        return f"{PR}{self.number}"


@dataclass(frozen=True)
class Landed:
    """A commit that is on the Hub, and the pull request that it was made as."""

    sha: str
    pull_request: PullRequest | None = None


@dataclass(frozen=True)
class Account:
    """Who the token belongs to; `role` is read, write or fineGrained where the Hub says it."""

    name: str
    role: str | None
