"""Bodies of API calls: held in memory or kept on disk, within the server's limits."""

from __future__ import annotations

import json
import secrets
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

import anyio.to_thread
from starlette.concurrency import run_in_threadpool

from hubkit.hub.server.disk import need_room
from hubkit.hub.server.problems import bad_request, busy, too_large, unauthorized
from hubkit.hub.server.receiving import pour

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from starlette.requests import Request
    from starlette.responses import Response

    from hubkit.hub.server.call import Call
    from hubkit.hub.server.limits import Limits

# Anybody may call these, so nobody has been asked who they are when the body comes.
_FOR_USERS = ("/api/repos/create", "/api/repos/move", "/api/repos/delete")
_FOR_ANYBODY = "/api/validate-yaml"
_ANYBODYS_BYTES = 2 << 20


class Bodies:
    """Reads bodies for handlers. `temporary` is where large ones wait."""

    def __init__(self, limits: Limits, temporary: Path) -> None:
        self._limits, self._temporary = limits, temporary
        self._held_bytes = 0
        self._commits = anyio.CapacityLimiter(limits.commits_at_once)

    @asynccontextmanager
    async def held(self, request: Request) -> AsyncIterator[bytes]:
        """A small body in memory; 413 if it is not small, 503 if too many are held already."""
        most, data = _most_held(request, self._limits), bytearray()
        if length_of(request) > most:
            raise too_large(f"The body is limited to {most} bytes")
        counted = 0
        try:
            async for part in request.stream():
                counted += len(part)
                self._held_bytes += len(part)
                if counted > most:
                    raise too_large(f"The body is limited to {most} bytes")
                if self._held_bytes > self._limits.buffered_bytes:
                    raise busy()
                data += part
            yield bytes(data)
        finally:
            self._held_bytes -= counted

    @asynccontextmanager
    async def spooled(self, request: Request) -> AsyncIterator[Path]:
        """A large body in a file; 413 if it is too large, 507 if the disk has no room for it."""
        most, length, size = self._limits.commit_bytes, length_of(request), 0
        if length > most:
            raise too_large(f"A commit's body is limited to {most} bytes")
        need_room(self._temporary, length)
        spool = self._temporary / f"body-{secrets.token_hex(8)}"
        stream = await run_in_threadpool(spool.open, "xb")

        def write(data: bytes | memoryview) -> None:
            nonlocal size
            size += len(data)
            if size > most:
                raise too_large(f"A commit's body is limited to {most} bytes")
            stream.write(data)

        try:
            await pour(request, write)
            await run_in_threadpool(stream.close)
            yield spool
        finally:
            with suppress(OSError):  # a full disk
                stream.close()
            spool.unlink(missing_ok=True)

    async def commit(self, handler: Callable[[Call], Response], call: Call) -> Response:
        """Run a handler of a large body, of which only some run at a time."""
        return await anyio.to_thread.run_sync(handler, call, limiter=self._commits)


def parsed_json(data: bytes | str) -> object:
    """The value of a JSON text; ValueError for what is none, or holds half a character."""
    try:
        value: object = json.loads(data)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    escape = "\\u" if isinstance(data, str) else b"\\u"
    if escape in data:  # type: ignore[operator]
        # Half a surrogate pair could be stored, and then never be answered or shown.
        json.dumps(value, ensure_ascii=False).encode()
    return value


def _most_held(request: Request, limits: Limits) -> int:
    """How long a body in memory may be; 401 if nobody is signed in and somebody must be."""
    # A token that is no good has been refused already.
    if "authorization" in request.headers:
        return limits.json_bytes
    if request.scope["path"] in _FOR_USERS:
        raise unauthorized()
    is_open = request.scope["path"] == _FOR_ANYBODY
    return min(limits.json_bytes, _ANYBODYS_BYTES) if is_open else limits.json_bytes


def length_of(request: Request) -> int:
    """The length that a body is said to have, 0 if none is said; 400 for what is no number."""
    text = request.headers.get("content-length", "0")
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        raise bad_request("Content-Length must be a whole number")
    return int(text)
