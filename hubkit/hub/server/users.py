"""Who may do what: users, their tokens (kept as SHA-256 only) and their roles."""

from __future__ import annotations

import hmac
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, RootModel, ValidationError, model_validator

from hubkit.errors import HubError
from hubkit.hub.server.disk import write_atomic
from hubkit.hub.server.names import RESERVED, is_name
from hubkit.keys import digest_of_bytes

DEFAULT_USER = "demo"
EVERY = "*"
"""Among a user's organisations: all of them, as who mirrors other people's repositories needs."""

# A users file, the same as a mapping, or nothing for the single default user.
UsersSource = Path | Mapping[str, Mapping[str, object]] | None


Role = Literal["read", "write", "fineGrained"]
Permission = Literal["repo.content.read", "repo.access.read", "repo.write", "discussion.write"]


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class Entity(_Strict):
    """What a permission is for: all repositories of a user or organisation, or one repository."""

    type: Literal["user", "org", "model", "dataset", "space"]
    name: str

    def covers(self, repo_type: str, namespace: str, name: str | None) -> bool:
        """Whether a repository, or with no name the making of one in a namespace, is meant."""
        if self.type in ("user", "org"):
            return self.name == namespace
        return self.type == repo_type and name is not None and self.name == f"{namespace}/{name}"


class Scoped(_Strict):
    """Permissions on one entity."""

    entity: Entity
    permissions: tuple[Permission, ...]


class TokenEntry(_Strict):
    """One token: in clear or as SHA-256, its role, and for a fine-grained one its permissions."""

    name: str = "hubkit"
    token: str | None = Field(default=None, min_length=8)
    token_sha256: str | None = Field(default=None, pattern="^[0-9a-f]{64}$")
    role: Role = "write"
    can_read_gated_repos: bool = Field(default=False, alias="canReadGatedRepos")
    everywhere: tuple[Literal["discussion.write"], ...] = Field(default=(), alias="global")
    scoped: tuple[Scoped, ...] = ()

    @model_validator(mode="after")
    def _is_one_token(self) -> TokenEntry:
        if (self.token is None) == (self.token_sha256 is None):
            raise ValueError("give either token or token_sha256")
        if self.role != "fineGrained" and (
            self.scoped or self.everywhere or self.can_read_gated_repos
        ):
            raise ValueError("scoped, global and canReadGatedRepos need role: fineGrained")
        return self

    @property
    def digest(self) -> str:
        """The token's SHA-256, all that is kept of it."""
        return self.token_sha256 or digest_of_bytes((self.token or "").encode())


class Org(_Strict):
    """An organisation, where more than its name matters."""

    name: str
    fullname: str = ""
    private: bool = False
    """Whether its new repositories are private unless their maker says otherwise."""


class UserEntry(_Strict):
    """One user of a users file: one token as it is, or a list of them, and organisations."""

    token: str | None = Field(default=None, min_length=8)
    token_sha256: str | None = Field(default=None, pattern="^[0-9a-f]{64}$")
    role: Literal["read", "write"] = "write"
    tokens: tuple[TokenEntry, ...] = ()
    orgs: tuple[str | Org, ...] = ()
    fullname: str = ""

    @model_validator(mode="after")
    def _has_a_token(self) -> UserEntry:
        if (self.token is None) == (self.token_sha256 is None) and (self.token or not self.tokens):
            raise ValueError("give either token or token_sha256, or a list of tokens")
        return self

    @property
    def all_tokens(self) -> tuple[TokenEntry, ...]:
        """Every token of the user."""
        if self.token is None and self.token_sha256 is None:
            return self.tokens
        one = TokenEntry(token=self.token, token_sha256=self.token_sha256, role=self.role)
        return (one, *self.tokens)


class UsersFile(RootModel[dict[str, UserEntry]]):
    """A users file: name -> entry."""


@dataclass(frozen=True)
class User:
    """Somebody who is signed in, with what the token at hand may do."""

    name: str
    role: Role
    orgs: tuple[str, ...] = ()
    token_name: str = "hubkit"
    can_read_gated: bool = False
    everywhere: tuple[str, ...] = ()
    scoped: tuple[Scoped, ...] = ()
    fullname: str = ""
    known_orgs: tuple[Org, ...] = ()

    @property
    def can_write(self) -> bool:
        """Whether the token may change any repository at all."""
        return self.role == "write" or any("repo.write" in s.permissions for s in self.scoped)

    def owns(self, namespace: str) -> bool:
        """Whether the namespace is the user's own or one of the user's organisations."""
        return namespace == self.name or namespace in self.orgs or EVERY in self.orgs

    def may(
        self, permission: Permission, repo_type: str, namespace: str, name: str | None = None
    ) -> bool:
        """Whether the token goes as far, whoever owns the repository; with no name, for the
        namespace as a whole. Who may write may read."""
        if self.role == "write":
            return True
        if self.role == "read":
            return permission == "repo.content.read"
        if permission in self.everywhere:
            return True
        wanted = {permission}
        if permission != "repo.access.read":
            wanted.add("repo.write")
        return any(
            scope.entity.covers(repo_type, namespace, name) and wanted & set(scope.permissions)
            for scope in self.scoped
        )

    def access_token(self) -> dict[str, object]:
        """The token as `whoami-v2` tells of it."""
        found: dict[str, object] = {"displayName": self.token_name, "role": self.role}
        if self.role == "fineGrained":
            found["fineGrained"] = {
                "canReadGatedRepos": self.can_read_gated,
                "global": list(self.everywhere),
                "scoped": [scope.model_dump(mode="json") for scope in self.scoped],
            }
        return found


class Users:
    """Finds the user a token belongs to."""

    def __init__(self, by_digest: Mapping[str, User]) -> None:
        self._by_digest = dict(by_digest)

    def named(self, name: str) -> User | None:
        """A user by name, with one of the user's tokens, or None."""
        return next((user for user in self._by_digest.values() if user.name == name), None)

    def find(self, token: str) -> User | None:
        """The token's user; compares every digest, so time tells nothing about the tokens."""
        digest = digest_of_bytes(token.encode("utf-8", "surrogateescape"))
        found: User | None = None
        for known, user in self._by_digest.items():
            if hmac.compare_digest(known, digest):
                found = user
        return found


def _users_of(entries: UsersFile, source: str) -> Users:
    users: dict[str, User] = {}
    for name, entry in entries.root.items():
        orgs = tuple(Org(name=org) if isinstance(org, str) else org for org in entry.orgs)
        names = tuple(org.name for org in orgs)
        for part in (name, *names):
            if part != EVERY and (not is_name(part) or part in RESERVED):
                raise HubError(
                    f"{source}: {part!r} cannot be a user's or organisation's name",
                    hint="use letters, digits, '-', '_' and '.', and none of: "
                    + ", ".join(sorted(RESERVED)),
                )
        for token in entry.all_tokens:
            if token.digest in users:
                raise HubError(
                    f"{source}: {name} and {users[token.digest].name} have the same token",
                    hint="give every user a token of their own",
                )
            users[token.digest] = User(
                name,
                token.role,
                names,
                token.name,
                token.can_read_gated_repos,
                token.everywhere,
                token.scoped,
                entry.fullname,
                orgs,
            )
    return Users(users)


def _parsed(value: object, source: str) -> Users:
    try:
        return _users_of(UsersFile.model_validate(value), source)
    except ValidationError as error:
        # The input is left out of the message: it holds tokens.
        first = error.errors(include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise HubError(
            f"{source}: {where}: {first['msg']}",
            hint="the format is {NAME: {token: hf_..., role: write}}; see: hubkit hub serve --help",
        ) from None


def load_users(source: UsersSource, root: Path) -> Users:
    """Users from a YAML or JSON file or a mapping; with None the default user of this root.

    The default user is "demo". Its random token is kept in `<root>/token` (mode 0600), so that the
    demo can sign in, and as SHA-256 in `<root>/users.json`.
    """
    if source is None:
        return _default_users(root)
    if isinstance(source, Path):
        import yaml

        try:
            value = yaml.safe_load(source.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise HubError(
                f"no users file at {source}", hint="create it, or leave out --users"
            ) from None
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            kind = type(error).__name__
            raise HubError(
                f"{source} cannot be read as YAML or JSON ({kind})",
                hint="the format is {NAME: {token: hf_..., role: write}}",
            ) from None
        return _parsed(value, str(source))
    return _parsed({name: dict(entry) for name, entry in source.items()}, "users")


def token_of(root: Path) -> str:
    """The default user's token, made on first use and readable by its owner only."""
    path = root / "token"
    if path.is_file() and (token := path.read_text(encoding="ascii").strip()):
        return token
    token = "hf_" + secrets.token_urlsafe(24)
    write_atomic(path, token.encode() + b"\n", mode=0o600)
    return token


def _default_users(root: Path) -> Users:
    digest = digest_of_bytes(token_of(root).encode())
    # The one user of a Hub of one's own may mirror into it what others made.
    users = {DEFAULT_USER: {"token_sha256": digest, "role": "write", "orgs": [EVERY]}}
    write_atomic(root / "users.json", json.dumps(users, indent=1).encode(), mode=0o600)
    return _parsed(users, "users.json")
