"""Names that may come from anywhere: repository ids, paths in a repository, branches, tags."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import Literal

from hubkit.hub.server.problems import bad_request

RepoType = Literal["model", "dataset", "space"]
REPO_TYPES: dict[str, RepoType] = {"models": "model", "datasets": "dataset", "spaces": "space"}
# First segments of a URL that mean something else, so nobody may be called so.
_TAKEN = "api models datasets spaces login healthz parquet favicon.ico robots.txt"
RESERVED = frozenset(_TAKEN.split())

_NAME = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,94}[A-Za-z0-9_])?")
_MIRRORED = re.compile(r"refs/(?:convert/[A-Za-z0-9_-]{1,100}|origin/[0-9a-f]{40})")
# Characters that macOS leaves out when it compares names (Apple TN1150, as git's utf8.c has them).
_UNSEEN = re.compile("[\u200c-\u200f\u202a-\u202e\u206a-\u206f\ufeff]")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def is_name(text: str) -> bool:
    """True for a user's or a repository's name by the Hub's rules."""
    return (
        _NAME.fullmatch(text) is not None
        and "--" not in text
        and ".." not in text
        and not text.endswith(".git")
    )


@dataclass(frozen=True)
class RepoId:
    """A repository's full name: what it is, whose it is, and what it is called."""

    type: RepoType
    namespace: str
    name: str

    @property
    def id(self) -> str:
        """`namespace/name`, as users write it."""
        return f"{self.namespace}/{self.name}"

    @property
    def url_path(self) -> str:
        """Path of its page: models have no prefix."""
        return f"/{self.id}" if self.type == "model" else f"/{self.type}s/{self.id}"

    @property
    def api_path(self) -> str:
        """Path of its API."""
        return f"/api/{self.type}s/{self.id}"


def repo_id_of(kind: object, full_name: object) -> RepoId:
    """A checked id from "model", "dataset", "space" or null, and `namespace/name`; 400 else."""
    kind = "model" if kind is None else kind
    found: RepoType | None = next((t for t in REPO_TYPES.values() if t == kind), None)
    if found is None:
        raise bad_request(f"Invalid repo type: {kind}")
    parts = full_name.split("/") if isinstance(full_name, str) else []
    if len(parts) != 2 or not all(is_name(part) for part in parts):
        raise bad_request(f"Invalid repo name: {full_name}")
    if parts[0] in RESERVED:
        raise bad_request(f"Reserved namespace: {parts[0]}")
    return RepoId(found, parts[0], parts[1])


def checked_path(path: object) -> str:
    """A file's path that stays inside its repository; 400 for anything else."""
    if not isinstance(path, str) or not path:
        raise bad_request("A path must be a non-empty string")
    if len(path.encode("utf-8", "surrogatepass")) > 4096:
        raise bad_request("A path is longer than 4096 bytes")
    if "\\" in path or _CONTROL.search(path) or any("\ud800" <= c <= "\udfff" for c in path):
        raise bad_request(f"Forbidden character in path: {path!r}")
    if any(part == "" or len(part.encode()) > 255 for part in path.split("/")):
        raise bad_request(f"Invalid path: {path!r}")
    # What a reader's file system may take the name for counts as well: full-width dots and slashes
    # for plain ones, and all that macOS and Windows read as .git.
    plain = _UNSEEN.sub("", unicodedata.normalize("NFKC", path)).replace("\\", "/")
    if any(part in (".", "..") or _is_dot_git(part) for part in plain.split("/")):
        raise bad_request(f"Invalid path: {path!r}")
    return path


def _is_dot_git(part: str) -> bool:
    # Windows drops dots and spaces at the end and what follows a colon, and has git~1 for .git
    # (https://git-scm.com/docs/git-config, core.protectNTFS, core.protectHFS).
    return part.partition(":")[0].rstrip(" .").casefold() in (".git", "git~1")


def branch_ref(name: object) -> str:
    """The full ref of a branch to be made: below refs/heads/, or as it is one of the two that a
    mirror needs (hubkit.mirror): refs/convert/NAME, as the Hub has of datasets, and
    refs/origin/COMMIT, under which a mirrored commit is found by the id it has elsewhere; 400 else.
    """
    if isinstance(name, str) and _MIRRORED.fullmatch(name):
        return name
    return f"refs/heads/{checked_ref_name(name, 'branch')}"


def checked_ref_name(name: object, what: str) -> str:
    """A branch's or tag's name that git accepts and that is no full ref or commit id; 400 else."""
    from dulwich.refs import Ref, check_ref_format

    if not isinstance(name, str) or not name or len(name) > 200:
        raise bad_request(f"Invalid {what} name: {name!r}")
    if (
        name.startswith(("refs/", "-"))
        or name == "HEAD"
        or re.fullmatch(r"[0-9a-f]{40}", name)
        or _CONTROL.search(name)
        or any("\ud800" <= c <= "\udfff" for c in name)
        or max(len(part.encode()) for part in name.split("/")) > 240
        or not check_ref_format(Ref(b"refs/heads/" + name.encode()))
    ):
        raise bad_request(f"Invalid {what} name: {name!r}")
    return name
