"""What a Hub tells of itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

RepoKind = Literal["model", "dataset"]
MAIN = "main"


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
class Account:
    """Who the token belongs to; `role` is read, write or fineGrained where the Hub says it."""

    name: str
    role: str | None
