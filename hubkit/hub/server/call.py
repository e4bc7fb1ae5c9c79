"""One request on its way to a handler: who asks, for which repository, with what body."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from starlette.responses import JSONResponse, Response

from hubkit.hub.server.access import is_accepted
from hubkit.hub.server.bodies import parsed_json
from hubkit.hub.server.limits import Limits
from hubkit.hub.server.problems import (
    bad_request,
    forbidden,
    gated,
    repo_not_found,
    revision_not_found,
    unauthorized,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from hubkit.hub.server.git import GitRepo
    from hubkit.hub.server.lfs import Signer
    from hubkit.hub.server.repos import Repository, RepoStore
    from hubkit.hub.server.users import User, Users

# Who may call: everyone; who sees the repository; who may read its files (not gated); any user with
# a write token who sees it; its owner with a write token.
Access = Literal["any", "see", "files", "contribute", "own"]
Body = Literal["json", "spool"]


@dataclass(frozen=True)
class Hub:
    """What every handler needs of the server."""

    store: RepoStore
    users: Users
    signer: Signer
    instance: str
    """Random name of this run; whoever finds a server.json checks it."""
    limits: Limits = field(default_factory=Limits)
    prefers_xet: bool = False
    """Whether clients are told to move files by Xet wherever they can, as on the real Hub. If not,
    they upload by Xet if they insist and download by HTTP, which on one machine is faster."""
    bare_urls: bool = False
    """Whether 0.x clients get a commit's URL without a host: they parse it with their *global*
    endpoint and raise ValueError, after the commit, if they were given another as `endpoint=`."""


@dataclass
class Call:
    """A request, authenticated, its path split before decoding."""

    hub: Hub
    method: str
    base: str
    """Scheme and host the client used, for links it will follow."""
    query: Mapping[str, list[str]]
    headers: Mapping[str, str]
    user: User | None
    rest: tuple[str, ...] = ()
    """Decoded path segments after the repository's id or the list's name."""
    kind: str = "models"
    body: bytes = b""
    spool: Path | None = None
    found: Repository | None = field(default=None, repr=False)

    @property
    def repository(self) -> Repository:
        """The repository the path names; only routes of a repository have one."""
        assert self.found is not None
        return self.found

    @property
    def author(self) -> str:
        """Name of the signed-in user; routes that write always have one."""
        if self.user is None:
            raise unauthorized()
        return self.user.name

    def json(self) -> dict[str, object]:
        """The body as a JSON object; an empty body is an empty object; 400 for anything else."""
        try:
            value = parsed_json(self.body or b"{}")
        except ValueError:
            raise bad_request("The body is not JSON") from None
        if not isinstance(value, dict):
            raise bad_request("The body must be a JSON object")
        return value

    def flag(self, name: str) -> bool:
        """Whether a query parameter is set to something that means yes."""
        return self.query.get(name, [""])[-1].lower() in ("1", "true", "yes")

    def text(self, name: str, default: str = "") -> str:
        """The last value of a query parameter."""
        return self.query.get(name, [default])[-1]

    def number(self, name: str, default: int, *, most: int) -> int:
        """A whole number from the query, from 0 to `most`; 400 for anything else."""
        text = self.text(name, str(default))
        if not text.isascii() or not text.isdigit() or len(text) > 9:
            raise bad_request(f"{name} must be a whole number")
        return min(int(text), most)

    def values(self, *names: str) -> list[str]:
        """All values of query parameters, `name` and `name[]` alike."""
        return [v for n in names for key in (n, f"{n}[]") for v in self.query.get(key, [])]

    def segment(self, number: int) -> str:
        """A decoded segment after the repository's id; 404 style 400 if it is missing."""
        if number >= len(self.rest) or not self.rest[number]:
            raise bad_request("The path is not complete")
        return self.rest[number]

    def revision_and_path(self) -> tuple[str, str]:
        """`rest[1:]` as revision and path; also `refs/pr/1` written with plain slashes."""
        revision, path = self.segment(1), self.rest[2:]
        if revision == "refs" and len(path) >= 2:
            revision, path = "/".join((revision, *path[:2])), path[2:]
        return revision, "/".join(path)

    def commit(self, git: GitRepo, revision: str) -> str:
        """The commit a revision names; 404 if there is none."""
        commit = git.resolve(revision)
        if commit is None:
            raise revision_not_found(revision)
        return commit


@dataclass(frozen=True)
class Route:
    """What answers a method and path, who may call it, and how its body is read."""

    handler: Callable[[Call], Response]
    access: Access
    body: Body = "json"


def sees(user: User | None, repository: Repository) -> bool:
    """Whether a repository exists for this user: it is public, or it is the user's."""
    return _reads_as_owner(user, repository) or not repository.settings.private


def _reads_as_owner(user: User | None, repository: Repository) -> bool:
    if user is None or not user.owns(repository.id.namespace):
        return False
    return user.may("repo.content.read", *_named(repository))


def _reads_all(user: User, repository: Repository) -> bool:
    return user.may("repo.content.read", *_named(repository))


def _named(repository: Repository) -> tuple[str, str, str]:
    return repository.id.type, repository.id.namespace, repository.id.name


def admit(user: User | None, repository: Repository | None, access: Access) -> None:
    """Let a call through or raise the Hub's refusal: 401, 403 or 404."""
    if access == "any":
        return
    if repository is None or not sees(user, repository):
        raise repo_not_found(anonymous=user is None)
    if access == "files" and repository.settings.gated and not _reads_as_owner(user, repository):
        owner = user is not None and user.owns(repository.id.namespace)
        let_in = owner or (user is not None and is_accepted(repository, user.name))
        if user is None or not (let_in and (user.can_read_gated or _reads_all(user, repository))):
            raise gated(f"{repository.id.type} {repository.id.id}", anonymous=user is None)
    if access in ("contribute", "own"):
        if user is None:
            raise unauthorized()
        if not user.may("discussion.write", *_named(repository)):
            raise forbidden("Forbidden: the token has no permission to write to this repository")
        owner = user.owns(repository.id.namespace)
        if access == "own" and not (owner and user.may("repo.write", *_named(repository))):
            raise forbidden(
                "Forbidden: you don't have the rights to write to this repository; pass "
                "`create_pr=1` as a query parameter to create a Pull Request"
            )


def require_writer(user: User | None) -> User:
    """The user, if the token may write; 401 or 403 else."""
    if user is None:
        raise unauthorized()
    if not user.can_write:
        raise forbidden("Forbidden: you must use a write token to change anything")
    return user


def is_mirror(call: Call) -> bool:
    """Whether `hubkit hub mirror` asks: it copies cards as they are, with metadata that no author
    could send today."""
    return call.headers.get("x-hubkit-mirror") == "1"


def answer(value: object, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """A JSON response."""
    return _Json(value, status, headers)


class _Json(JSONResponse):  # type: ignore[misc]
    def render(self, content: object) -> bytes:
        # A file's name that git made need not be text.
        text = json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        return text.encode("utf-8", "replace")
