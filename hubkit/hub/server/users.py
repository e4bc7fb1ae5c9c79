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

# A users file, the same as a mapping, or nothing for the single default user.
UsersSource = Path | Mapping[str, Mapping[str, object]] | None


class UserEntry(BaseModel):
    """One user of a users file: a token, in clear or as SHA-256, a role, and organisations."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    token: str | None = Field(default=None, min_length=8)
    token_sha256: str | None = Field(default=None, pattern="^[0-9a-f]{64}$")
    role: Literal["read", "write"] = "write"
    orgs: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _has_one_token(self) -> UserEntry:
        if (self.token is None) == (self.token_sha256 is None):
            raise ValueError("give either token or token_sha256")
        return self


class UsersFile(RootModel[dict[str, UserEntry]]):
    """A users file: name -> entry."""


@dataclass(frozen=True)
class User:
    """Somebody who is signed in."""

    name: str
    role: Literal["read", "write"]
    orgs: tuple[str, ...] = ()

    @property
    def can_write(self) -> bool:
        """Whether the token may change anything at all."""
        return self.role == "write"

    def owns(self, namespace: str) -> bool:
        """Whether the namespace is the user's own or one of the user's organisations."""
        return namespace == self.name or namespace in self.orgs


class Users:
    """Finds the user a token belongs to."""

    def __init__(self, by_digest: Mapping[str, User]) -> None:
        self._by_digest = dict(by_digest)

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
        for part in (name, *entry.orgs):
            if not is_name(part) or part in RESERVED:
                raise HubError(
                    f"{source}: {part!r} cannot be a user's or organisation's name",
                    hint="use letters, digits, '-', '_' and '.', and none of: "
                    + ", ".join(sorted(RESERVED)),
                )
        digest = entry.token_sha256 or digest_of_bytes((entry.token or "").encode())
        if digest in users:
            raise HubError(
                f"{source}: {name} and {users[digest].name} have the same token",
                hint="give every user a token of their own",
            )
        users[digest] = User(name, entry.role, entry.orgs)
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
    entry = {"token_sha256": digest_of_bytes(token_of(root).encode()), "role": "write"}
    users = {DEFAULT_USER: entry}
    write_atomic(root / "users.json", json.dumps(users, indent=1).encode(), mode=0o600)
    return _parsed(users, "users.json")
