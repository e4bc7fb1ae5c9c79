"""uvicorn's HTTP/1.1 protocol with limits, and with two short cuts for large files.

Limits: a request's headers, a body on its way in and an answer on its way out must go forward, so
that a slow client costs a connection for a while and nothing else. Short cuts: a large body is
received past the parser (`Connection.large_body`), and a file is
sent by the system (the ASGI extension `http.response.zerocopysend`).
"""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, BinaryIO, cast

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

from hubkit.hub.server.limits import Limits
from hubkit.hub.server.receiving import LargeBody

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

# Smaller bodies are not worth a connection, which a large one uses up.
LARGE_BYTES = 1 << 20
_CHECK_S = 5.0
_SEND_BYTES = 4 << 20
_CLOSE = (b"connection", b"close")
_REFUSED = b"HTTP/1.1 %s\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"


class _Sent:
    """Stands in the parser's books for bytes that the system sends."""

    def __init__(self, count: int) -> None:
        self._count = count

    def __len__(self) -> int:
        return self._count


class Connection:
    """What the application may do with the connection of one request."""

    def __init__(self, protocol: HubProtocol, cycle: RequestResponseCycle) -> None:
        self._protocol, self._cycle = protocol, cycle
        self.used_up = False
        """Whether nothing can follow on this connection."""
        self.reading = False
        """Whether the body has been asked for in the ordinary way."""

    def drop(self) -> None:
        """Hang up without an answer."""
        self._protocol.transport.abort()

    def large_body(self) -> LargeBody | None:
        """The body, to be poured once; None where it is small or of unknown length, or has been
        asked for already."""
        protocol, cycle = self._protocol, self._cycle
        length = dict(protocol.headers).get(b"content-length", b"")
        if self.reading or not length.isdigit() or int(length) < LARGE_BYTES:
            return None
        if not cycle.more_body or protocol.conn.trailing_data[0]:
            return None
        if cycle.waiting_for_100_continue:
            event = h11.InformationalResponse(status_code=100, headers=[], reason="Continue")
            protocol.transport.write(protocol.conn.send(event))
            cycle.waiting_for_100_continue = False
        first, cycle.body = bytes(cycle.body), bytearray()
        self.used_up = self.reading = True
        protocol.flow.read_paused = False
        protocol.large = LargeBody(protocol, protocol.transport, first, int(length))
        return protocol.large


class HubProtocol(H11Protocol):  # type: ignore[misc]
    """One connection."""

    limits = Limits()

    def connection_made(self, transport: asyncio.Transport) -> None:
        """A client has connected."""
        super().connection_made(transport)
        self._inner: ASGIApp = self.config.loaded_app
        self.app = self._call
        self.large: LargeBody | None = None
        self.received = self._written = self._requests = 0
        self._sending = False
        self._asked: float | None = self.loop.time()
        self._mark: tuple[str, int, float] = ("", 0, 0.0)
        self._timer = self.loop.call_later(_CHECK_S, self._check)

    def connection_lost(self, exc: Exception | None) -> None:
        """The client, or this side, has hung up."""
        self._timer.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Bytes for the parser."""
        self.received += len(data)
        if self._asked is None and self.conn.their_state is h11.IDLE:
            self._asked = self.loop.time()
        super().data_received(data)
        if self.conn.their_state is not h11.IDLE:
            self._asked = None

    def send_400_response(self, msg: str) -> None:
        """Refuse what is not HTTP, or has headers without end, and hang up."""
        if self.conn.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            self.transport.abort()
        elif getattr(sys.exc_info()[1], "error_status_hint", 400) == 431:
            self.transport.write(_REFUSED % b"431 Request Header Fields Too Large")
            self.transport.close()
        else:
            super().send_400_response(msg)

    # time limits

    def _check(self) -> None:
        self._timer = self.loop.call_later(_CHECK_S, self._check)
        now = self.loop.time()
        if self._is_idle():
            self._mark = ("", 0, now)
            if self._asked is not None and now - self._asked > self.limits.header_s:
                if self.conn.their_state is h11.IDLE and not self.transport.is_closing():
                    self.transport.write(_REFUSED % b"408 Request Timeout")
                self.transport.close()
            return
        what, count = self._progress()
        before, mark, since = self._mark
        if not what or what != before or count - mark >= self.limits.window_bytes:
            self._mark = (what, count, now)
        elif now - since > self.limits.window_s:
            self.transport.abort()

    def _progress(self) -> tuple[str, int]:
        """What the client is waited for, if at all, and how many bytes of it are over."""
        if unsent := self.transport.get_write_buffer_size():
            return "taking", self._written - unsent
        return ("sending", self.received) if self._awaits_body() else ("", 0)

    def _is_idle(self) -> bool:
        waits = self.conn.their_state is h11.IDLE and self.conn.our_state is h11.IDLE
        return waits and not self.transport.get_write_buffer_size()

    def _awaits_body(self) -> bool:
        if self._sending:
            return False
        if self.large is not None:
            return self.large.is_waiting
        return self.conn.their_state is h11.SEND_BODY and not self.flow.read_paused

    # what the application gets

    async def _call(self, scope: Scope, receive: Receive, send: Send) -> None:
        cycle = self.cycle
        connection = Connection(self, cycle)
        self._requests += 1
        if self._requests >= self.limits.requests_a_connection:
            connection.used_up = True
        scope["extensions"] = {"http.response.zerocopysend": {}, "hubkit.connection": connection}

        async def received() -> Message:
            connection.reading = True
            message: Message = await receive()
            return message

        async def sent(message: Message) -> None:
            if message["type"] == "http.response.zerocopysend":
                await self._send_file(cycle, message["file"], message["offset"], message["count"])
                message = {"type": "http.response.body", "more_body": message["more_body"]}
            elif message["type"] == "http.response.start" and connection.used_up:
                cycle.keep_alive = False
                message["headers"] = [*message["headers"], _CLOSE]
            self._written += len(message.get("body", b""))
            await send(message)

        names = {name for name, _ in scope["headers"]}
        if {b"content-length", b"transfer-encoding"} <= names:
            # Whoever stands in between may have read another length (RFC 9112, 6.3).
            connection.used_up = True
            await sent({"type": "http.response.start", "status": 400, "headers": []})
            await sent({"type": "http.response.body", "body": b"Two lengths"})
            return
        await self._inner(scope, received, sent)

    async def _send_file(
        self, cycle: RequestResponseCycle, file: BinaryIO, offset: int, count: int
    ) -> None:
        if cycle.disconnected:
            return
        self.conn.send_with_data_passthrough(h11.Data(data=cast("bytes", _Sent(count))))
        self._sending = True
        end = offset + count
        # As fast as a body must be in the other direction.
        limit_s = self.limits.window_s * max(2.0, _SEND_BYTES / 2**20 / 2)
        try:
            while offset < end:
                step = min(_SEND_BYTES, end - offset)
                sent = self.loop.sendfile(self.transport, file, offset, step, fallback=False)
                offset += await asyncio.wait_for(sent, limit_s)
        except (OSError, RuntimeError, asyncio.TimeoutError):
            # Gone, going, or too slow; what is half sent cannot be taken back.
            self.transport.abort()
        finally:
            self._sending = False


def protocol_with(limits: Limits) -> type[HubProtocol]:
    """The protocol with other limits."""
    return type("LimitedProtocol", (HubProtocol,), {"limits": limits})


def hang_up(scope: Scope) -> None:
    """Drop the connection of a request without an answer."""
    scope["extensions"]["hubkit.connection"].drop()
