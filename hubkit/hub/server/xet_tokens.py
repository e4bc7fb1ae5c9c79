"""Tokens of the Xet storage: short-lived, signed, for one repository and what may be done there."""

from __future__ import annotations

import base64
import binascii
import json
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Literal

from hubkit.hub.server.problems import forbidden, unauthorized

if TYPE_CHECKING:
    from hubkit.hub.server.lfs import Signer

TOKEN_LIFE_S = 15 * 60
Scope = Literal["read", "write"]
_PREFIX = "xet_"


@dataclass(frozen=True)
class Grant:
    """What a token allows, in which repository, until when (seconds since 1970)."""

    repository: str
    """Path of the repository's page, and when it was made: a new one of that name is another."""
    scopes: tuple[Scope, ...]
    expires: int


def make_token(signer: Signer, repository: str, scopes: tuple[Scope, ...]) -> tuple[str, int]:
    """A token, and when it ends."""
    grant = Grant(repository, scopes, int(time.time()) + TOKEN_LIFE_S)
    body = base64.urlsafe_b64encode(json.dumps(asdict(grant)).encode()).decode().rstrip("=")
    return f"{_PREFIX}{body}.{signer.sign(_PREFIX + body)}", grant.expires


def check_token(signer: Signer, header: str | None, repository: str, scope: Scope | None) -> None:
    """Let a call with this Authorization header through; 401 or 403 else. No scope is any."""
    scheme, _, token = (header or "").partition(" ")
    body, _, signature = token.strip().partition(".")
    if scheme.lower() != "bearer" or not signer.is_signed(body, signature):
        raise unauthorized("The Xet token is not valid")
    try:
        text = body.removeprefix(_PREFIX)
        grant = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    except (binascii.Error, ValueError):
        raise unauthorized("The Xet token is not valid") from None
    if grant["repository"] != repository or grant["expires"] <= time.time():
        raise unauthorized("The Xet token is too old or for another repository")
    if scope is not None and scope not in grant["scopes"]:
        raise forbidden(f"The Xet token does not allow to {scope}")
