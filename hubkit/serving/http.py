"""HTTP/1.1 for a server of small requests: httptools parses, one asyncio protocol a connection.

Everything that a client can do wrong is answered with a status and a sentence in JSON; what it can
make the server hold is bounded: headers, body, bodies of all connections together, answers that
nobody reads.
"""

from __future__ import annotations

import asyncio
import re
import sys
import time
from collections import deque
from typing import TYPE_CHECKING, cast

from hubkit.serving.messages import Handler, Limits, Reply, Request, head_of, refused
from hubkit.serving.refusal import Refusal

if TYPE_CHECKING:
    import httptools

_SWEEP_S = 1.0
_SOON_S = 1
_LINGER_S = 2.0
_GRACE_S = 0.1
_READ_BYTES = 64 << 10


class Server:
    """What all connections share: the handler, the limits, and whether the end has come."""

    def __init__(self, handler: Handler, limits: Limits) -> None:
        self.handler, self.limits = handler, limits
        self.connections: set[Connection] = set()
        self.held_bytes = 0  # of all bodies that are here
        # What any connection reads, until its parser has copied it: a loop of selectors reads and
        # hands over in one go. asyncio's own way takes 256 KiB for each read and gives most of it
        # back, which leaves holes in the heap: memory that grows with requests.
        self.read = memoryview(bytearray(_READ_BYTES))
        self.stopping = False
        self._idle = asyncio.Event()
        self._sweeper: asyncio.TimerHandle | None = None

    def connection(self) -> Connection:
        """A protocol for a new connection."""
        return Connection(self)

    def sweep(self) -> None:
        """Close what has been idle or slow for too long; then again in a second."""
        now = time.monotonic()
        for one in tuple(self.connections):
            one.check(now)
        self._sweeper = asyncio.get_running_loop().call_later(_SWEEP_S, self.sweep)

    async def drain(self, longest_s: float) -> None:
        """Answer what is in flight, and close each connection after its answer."""
        self.stopping = True
        await asyncio.sleep(_GRACE_S)  # what is on the wire already is still read
        for one in tuple(self.connections):
            one.close_if_idle()
        if self.connections:
            try:
                await asyncio.wait_for(self._idle.wait(), longest_s)
            except asyncio.TimeoutError:
                for one in tuple(self.connections):
                    one.abort()
        if self._sweeper is not None:
            self._sweeper.cancel()

    def left(self, connection: Connection) -> None:
        """A connection is gone."""
        self.connections.discard(connection)
        if not self.connections and self.stopping:
            self._idle.set()


class Connection(asyncio.BufferedProtocol):
    """One client. Requests that it sends without waiting are answered one after another."""

    _transport: asyncio.Transport

    def __init__(self, server: Server) -> None:
        self._server = server
        self._parser: httptools.HttpRequestParser
        self._ready: deque[Request | Refusal] = deque()
        self._now: Request | None = None  # at the handler
        self._clogged = False  # the client does not read
        self._last = False  # nothing after the present answer
        self._seen = time.monotonic()
        self._lingers_until = 0.0
        self._held = 0  # bytes of the present body
        self._requests = 0
        self._broken = False  # what the client sends cannot be made sense of any more
        self._reset()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        import httptools

        self._transport = cast("asyncio.Transport", transport)
        self._parser = httptools.HttpRequestParser(self)
        self._server.connections.add(self)
        if len(self._server.connections) > self._server.limits.connections:
            self._refuse(Refusal(503, "too many connections", retry_after_s=_SOON_S))
        elif self._server.stopping:
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self._last = True
        self._server.held_bytes -= self._held
        self._held = 0
        for one in self._ready:
            if isinstance(one, Request):
                self._server.held_bytes -= len(one.body)
        self._ready.clear()
        if self._now is not None:
            self._server.held_bytes -= len(self._now.body)
            if self._now.gone is not None:
                self._now.gone()
            self._now = None
        # It holds this connection, and a body may be in either: freed now, and not when Python next
        # looks for cycles.
        del self._parser
        self._server.left(self)

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._server.read

    def buffer_updated(self, nbytes: int) -> None:
        self._feed(self._server.read[:nbytes])

    def _feed(self, data: memoryview) -> None:
        import httptools

        if self._last or self._broken or not data:
            return
        self._seen = time.monotonic()
        before = self._requests
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            # Who asks for another protocol and is not given it goes on in this one (RFC 9110, 7.8).
            self._parser = httptools.HttpRequestParser(self)
            self._feed(data[upgrade.args[0] :])
        except (_Stop, httptools.HttpParserCallbackError) as error:
            self._refuse(_refusal_in(error))
        except httptools.HttpParserError as error:
            self._refuse(Refusal(400, f"this is no HTTP request: {_safe(str(error))}"))
        else:
            if self._begun and not self._whole_head and self._requests == before:
                self._head_bytes += len(data)
                if self._head_bytes > self._server.limits.header_bytes:
                    self._refuse(self._too_long())

    def pause_writing(self) -> None:
        self._clogged = True

    def resume_writing(self) -> None:
        self._clogged = False
        self._next()

    # What the parser calls. It passes on exceptions, some as HttpParserCallbackError.

    def on_message_begin(self) -> None:
        self._reset()
        self._begun = time.monotonic()

    def on_url(self, url: bytes) -> None:
        self._url += url
        if len(self._url) > self._server.limits.header_bytes:
            raise _Stop(Refusal(414, "the path is too long"))

    def on_header(self, name: bytes, value: bytes) -> None:
        size = sum(len(k) + len(v) for k, v in self._headers.items()) + len(name) + len(value)
        if size > self._server.limits.header_bytes or len(self._headers) >= 100:
            raise _Stop(self._too_long())
        key = name.decode("latin-1").lower()
        if key in self._headers and key in _ONCE:
            raise _Stop(Refusal(400, f"the header {_safe(key)} is there twice"))
        self._headers[key] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        self._whole_head, self._head_bytes = True, 0
        length = self._headers.get("content-length", "0")
        limit = self._server.limits.body_bytes
        if not re.fullmatch(r"\d{1,18}", length):
            raise _Stop(Refusal(400, f"Content-Length is {_safe(length)!r}"))
        if int(length) > limit:
            raise _Stop(_too_large(int(length), limit))
        if "content-encoding" in self._headers and self._headers["content-encoding"] != "identity":
            raise _Stop(Refusal(415, "compressed bodies are not taken"))
        if self._server.held_bytes + int(length) > self._server.limits.bodies:
            raise _Stop(Refusal(503, "too many large requests at once", retry_after_s=_SOON_S))
        if self._parser.should_upgrade() and (int(length) or "transfer-encoding" in self._headers):
            # The parser takes no body with it.
            raise _Stop(Refusal(400, "HTTP/1.1 alone is spoken here: leave the header Upgrade out"))
        if self._headers.get("expect", "").lower() == "100-continue" and self._now is None:
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, body: bytes) -> None:
        self._parts.append(body)
        self._held += len(body)
        self._server.held_bytes += len(body)
        if self._held > self._server.limits.body_bytes:
            raise _Stop(_too_large(self._held, self._server.limits.body_bytes))
        if self._server.held_bytes > self._server.limits.bodies:
            raise _Stop(Refusal(503, "too many large requests at once", retry_after_s=_SOON_S))

    def on_message_complete(self) -> None:
        method = self._parser.get_method().decode("latin-1")
        # To a client of HTTP/1.0 a kept connection would have to be promised in a header.
        keeps = self._parser.should_keep_alive() and self._parser.get_http_version() != "1.0"
        body = self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
        path = self._url.decode("latin-1").partition("?")[0]
        request = Request(method, path, self._headers, body)
        self._held = 0  # the request has it now
        self._requests += 1
        self._reset()
        self._ready.append(request)
        if not keeps:
            self._ready.append(_NOTHING_MORE)
        self._next()

    # What becomes of requests.

    def _next(self) -> None:
        """Begin with the next request, unless one is under way or the client does not read."""
        while self._ready and self._now is None and not self._clogged and not self._last:
            one = self._ready.popleft()
            if one is _NOTHING_MORE:
                self._last = True
                self._transport.close()
                return
            if isinstance(one, Refusal):
                self._write(refused(one), close=False)
                self._linger()
                return
            self._now = one
            try:
                self._server.handler(one, lambda reply, asked=one: self._answer(asked, reply))  # type: ignore[misc]
            except Refusal as refusal:
                self._answer(one, refused(refusal))
            except Exception as error:  # ours, which must not leave a connection without an end
                sys.stderr.write(f"hubkit serve: {type(error).__name__}: {error}\n")
                self._answer(one, refused(Refusal(500, "this failed; the server's log says how")))
        if self._last:
            return
        # While a request is under way it is read on, or a client that goes would not be noticed.
        if self._ready or self._clogged:
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()

    def _answer(self, request: Request, reply: Reply) -> None:
        if self._now is not request:
            return  # the client is gone
        self._now = None
        request.gone = None  # it holds what answers this request: freed now, as the parser is above
        self._server.held_bytes -= len(request.body)
        self._seen = time.monotonic()
        last = bool(self._ready) and self._ready[0] is _NOTHING_MORE
        close = last or (self._server.stopping and not self._ready)
        self._write(reply, close=close, body=request.method != "HEAD")
        if not self._last:
            asyncio.get_running_loop().call_soon(self._next)

    def _write(self, reply: Reply, *, close: bool, body: bool = True) -> None:
        self._transport.write(head_of(reply, close=close) + (reply.body if body else b""))
        if close:
            self._last = True
            self._transport.close()

    def _refuse(self, refusal: Refusal) -> None:
        """Answer what came before, then this, then close: what follows cannot be made sense of."""
        self._broken = True
        self._ready.append(refusal)
        self._parts.clear()
        self._server.held_bytes -= self._held
        self._held = 0
        self._next()

    def _linger(self) -> None:
        """Say that nothing more comes, and let the client send what it is sending: closed at once,
        it would meet a reset before it has read the answer."""
        self._last = True
        self._ready.clear()
        self._transport.resume_reading()
        if self._transport.can_write_eof():
            self._transport.write_eof()
        self._lingers_until = time.monotonic() + _LINGER_S

    def check(self, now: float) -> None:
        """Close a connection that is slow, idle, or does not read."""
        limits = self._server.limits
        if self._lingers_until:
            if now > self._lingers_until:
                self._transport.abort()
            return
        if self._clogged and now - self._seen > limits.request_s:
            self._transport.abort()
        elif self._now is not None or self._ready:
            return
        elif self._begun and now - self._begun > limits.request_s:
            self._refuse(Refusal(408, "the request did not come to its end"))
        elif now - self._seen > limits.idle_s:
            self._transport.close()

    def close_if_idle(self) -> None:
        """Close a connection with nothing in flight; half a request is refused."""
        if self._now is not None or self._ready or self._lingers_until:
            return
        if self._begun and not self._broken:
            self._refuse(Refusal(503, "the server stops", retry_after_s=_SOON_S))
        else:
            self._last = True
            self._transport.close()

    def abort(self) -> None:
        """Drop the client."""
        self._transport.abort()

    def _reset(self) -> None:
        self._url = b""
        self._headers: dict[str, str] = {}
        self._parts: list[bytes] = []
        self._held = 0
        self._head_bytes = 0
        self._whole_head = False
        self._begun = 0.0

    def _too_long(self) -> Refusal:
        return Refusal(431, f"more than {self._server.limits.header_bytes} bytes of headers")


class _Stop(Exception):
    """Ends the parsing of a connection."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.message)
        self.refusal = refusal


def _refusal_in(error: Exception) -> Refusal:
    """What is wrong with a request. A function, since who keeps an exception in a variable of the
    frame that caught it makes a cycle of both."""
    cause = error if isinstance(error, _Stop) else error.__context__ or error.__cause__
    if isinstance(cause, _Stop):
        return cause.refusal
    return Refusal(400, "a header that cannot be read")


_NOTHING_MORE = Refusal(0, "")
_ONCE = {"content-length", "host", "inference-header-content-length", "transfer-encoding"}


def _too_large(size: int, limit: int) -> Refusal:
    return Refusal(413, f"the body has {size} bytes, and {limit} are the most")


def _safe(text: str) -> str:
    return re.sub(r"[^\x20-\x7e]", "?", text)[:60]
