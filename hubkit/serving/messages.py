"""What goes over a connection: requests, answers, and how much of them there may be."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Protocol

from hubkit.serving.refusal import Refusal


@dataclass(frozen=True)
class Limits:
    """What one server takes. Times in seconds: of a request from its first byte to its last, and of
    a connection on which nothing happens."""

    body_bytes: int = 4 << 20
    header_bytes: int = 16 << 10
    connections: int = 512
    all_bodies_bytes: int = 64 << 20
    request_s: float = 30.0
    idle_s: float = 75.0

    @property
    def bodies(self) -> int:
        """Bytes of all bodies together."""
        return max(self.all_bodies_bytes, 4 * self.body_bytes)


@dataclass
class Request:
    """A whole request. `gone` is called when its client goes before the answer."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    gone: Callable[[], None] | None = None


@dataclass(frozen=True)
class Reply:
    """An answer: status, body, and headers beside Content-Length."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


class Handler(Protocol):
    """Answers requests, now or later, by calling `answer` once in the loop's thread."""

    def __call__(self, request: Request, answer: Callable[[Reply], None]) -> None:
        """Begin; raises Refusal for a request that is not answered."""


def refused(refusal: Refusal) -> Reply:
    """A refusal as the protocol has it: {"error": …}."""
    headers = {"Content-Type": "application/json"}
    if refusal.retry_after_s is not None:
        headers["Retry-After"] = str(refusal.retry_after_s)
    return Reply(refusal.status, json.dumps({"error": refusal.message}).encode(), headers)


def head_of(reply: Reply, *, close: bool) -> bytes:
    """The status line and the headers of an answer."""
    lines = [f"HTTP/1.1 {reply.status} {HTTPStatus(reply.status).phrase}"]
    lines += [f"{name}: {value}" for name, value in reply.headers.items()]
    lines += [f"Content-Length: {len(reply.body)}"]
    if close:
        lines.append("Connection: close")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
