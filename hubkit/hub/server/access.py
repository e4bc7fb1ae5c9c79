"""Who asked for a gated repository's files, and what its owner said: `access.json` beside it."""

from __future__ import annotations

import json
import secrets
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, Field, RootModel

from hubkit.hub.server.disk import write_atomic
from hubkit.hub.server.repos import now_text

if TYPE_CHECKING:
    from hubkit.hub.server.repos import Repository

Status = Literal["pending", "accepted", "rejected"]
_FILE = "access.json"


class Request(BaseModel):
    """One user's request for access, and where it stands."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str = Field(default_factory=lambda: secrets.token_hex(12))
    status: Status
    timestamp: str = Field(default_factory=now_text)
    granted_by: str | None = None
    rejection_reason: str | None = None


class _Requests(RootModel[dict[str, Request]]):
    """User name -> request."""


def requests_of(repository: Repository) -> dict[str, Request]:
    """Every request there is, by user name."""
    try:
        data = (repository.path / _FILE).read_bytes()
    except FileNotFoundError:
        return {}
    return _Requests.model_validate_json(data).root


def record(repository: Repository, user: str, request: Request) -> None:
    """Store how a user's request stands; the caller holds the repository's lock."""
    found = {**requests_of(repository), user: request}
    data = {name: item.model_dump(mode="json") for name, item in found.items()}
    write_atomic(repository.path / _FILE, json.dumps(data).encode())


def is_accepted(repository: Repository, user: str) -> bool:
    """Whether the owner has let a user read the files."""
    request = requests_of(repository).get(user)
    return request is not None and request.status == "accepted"
