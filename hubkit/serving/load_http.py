"""Load on a server: one thread over non-blocking sockets, with requests made beforehand.

Not asyncio: its loop takes longer over a request than the kernel does, and the time would be
counted as the server's.
"""

from __future__ import annotations

import errno
import itertools
import select
import socket
from collections import deque
from collections.abc import Iterator, Sequence
from time import perf_counter_ns

from hubkit.errors import HubkitError
from hubkit.serving.answers import Head, NotHttp, chunks_end, read_head
from hubkit.serving.windows import Meter

# An open loop opens connections as it needs them, up to so many; what is due then waits for one.
MOST_CONNECTIONS = 256
_READ = 1 << 16
_SILENT_S = 60.0  # without any answer
_CONNECT_S = 5.0
_WOULD_BLOCK = (errno.EAGAIN, errno.EWOULDBLOCK)


class _Link:
    """A connection with at most one request under way."""

    __slots__ = ("data", "fd", "head", "receive", "send", "since_ns", "sock")

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.fd = sock.fileno()
        self.send, self.receive = sock.send, sock.recv_into
        self.since_ns = 0
        self.data = bytearray()
        self.head: Head | None = None


class Target:
    """Where the server is."""

    def __init__(self, host: str, port: int) -> None:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        self._family, self._address = found[0], found[4]
        self.name = f"{host}:{port}"

    def connect(self) -> socket.socket:
        """A connection that sends at once. Raises HubkitError where nobody listens."""
        made = socket.socket(self._family, socket.SOCK_STREAM)
        made.settimeout(_CONNECT_S)
        try:
            made.connect(self._address)
        except OSError as error:
            made.close()
            raise HubkitError(
                f"no connection to {self.name}: {error.strerror or error}",
                hint="Is the server running there?",
            ) from error
        made.setblocking(False)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return made


class Drive:
    """Sends `requests` round and round and tells the meter of the answers."""

    def __init__(self, target: Target, requests: Sequence[bytes], meter: Meter) -> None:
        self._target, self._meter = target, meter
        self._requests = itertools.cycle(requests)
        self._links: dict[int, _Link] = {}
        self._poll = select.epoll() if hasattr(select, "epoll") else None
        self._heard_ns = perf_counter_ns()
        self._buffer = bytearray(_READ)
        self._view = memoryview(self._buffer)
        # Answers of one server mostly begin alike, and are as long: the last head, what it says,
        # and the length of a good answer that begins so.
        self._head_bytes = b"\0"
        self._head: Head | None = None
        self._whole = -1

    def closed(self, concurrency: int) -> None:
        """`concurrency` connections, each with one request under way, until the meter has enough.

        Raises HubkitError where the server cannot be reached, does not answer, or answers nothing
        but errors.
        """
        try:
            for _ in range(concurrency):
                self._send(self._open())
            while True:
                # What has come is read before anything is sent: the time that sending takes is
                # then no part of the latency of an answer that lies there already.
                free: list[_Link] = []
                for link in self._ready(0.05):
                    self._receive(link, free)
                for link in free:
                    self._send(link)
                now = perf_counter_ns()
                if self._meter.tick(now):
                    return
                self._check(now)
        finally:
            self._close()

    def opened(self, due_ns: Iterator[int]) -> None:
        """Requests that are due at `due_ns` from the start, whatever became of those before, each
        timed from then, until the meter has enough. Raises as `closed` does."""
        free: list[_Link] = []
        waiting: deque[int] = deque()
        start = perf_counter_ns()
        due = start + next(due_ns)
        try:
            while True:
                now = perf_counter_ns()
                while due <= now:
                    waiting.append(due)
                    due = start + next(due_ns)
                while waiting and (free or len(self._links) < MOST_CONNECTIONS):
                    self._send(free.pop() if free else self._open(), waiting.popleft())
                left = (due - perf_counter_ns()) / 1e9
                for link in self._ready(max(0.0, min(0.05, left))):
                    self._receive(link, free)
                now = perf_counter_ns()
                if self._meter.tick(now):
                    return
                self._check(now)
        finally:
            self._close()

    def _open(self) -> _Link:
        link = _Link(self._target.connect())
        self._links[link.fd] = link
        if self._poll is not None:
            self._poll.register(link.fd, select.EPOLLIN)
        return link

    def _drop(self, link: _Link) -> None:
        if self._poll is not None:
            self._poll.unregister(link.fd)
        del self._links[link.fd]
        link.sock.close()

    def _close(self) -> None:
        for link in tuple(self._links.values()):
            self._drop(link)
        if self._poll is not None:
            self._poll.close()

    def _ready(self, timeout_s: float) -> list[_Link]:
        """Connections on which something has come."""
        links = self._links
        if self._poll is None:
            found, _, _ = select.select(list(links), [], [], timeout_s)
            return [links[fd] for fd in found]
        if timeout_s < 0.02:
            # epoll counts in whole milliseconds, and would be late by up to one.
            select.select([self._poll], [], [], timeout_s)
            timeout_s = 0
        return [links[fd] for fd, _ in self._poll.poll(timeout_s, max(1, len(links)))]

    def _send(self, link: _Link, due_ns: int = 0) -> None:
        """Send the next request, timed from `due_ns` (0: from now). One that the socket does not
        take whole is waited for."""
        request = next(self._requests)
        sent = 0
        link.since_ns = due_ns or perf_counter_ns()
        while True:
            try:
                sent += link.send(request[sent:] if sent else request)
            except OSError as error:
                if error.errno not in _WOULD_BLOCK:
                    return  # reading tells of it
                select.select([], [link.fd], [], _CONNECT_S)
            if sent == len(request):
                return

    def _receive(self, link: _Link, free: list[_Link]) -> None:
        """Read; adds to `free` what can take the next request: this connection after a whole
        answer, a new one in its place after its end."""
        try:
            count = link.receive(self._buffer)
        except OSError as error:
            if error.errno in _WOULD_BLOCK:
                return
            count = 0
        now = perf_counter_ns()
        if count == self._whole and not link.data and self._buffer.startswith(self._head_bytes):
            self._heard_ns = now
            self._meter.add(now - link.since_ns)
            free.append(link)
        elif count:
            link.data += self._view[:count]
            self._judge(link, now, free)
        else:
            self._meter.fail("the server closed the connection")
            self._drop(link)
            free.append(self._open())

    def _judge(self, link: _Link, now: int, free: list[_Link]) -> None:
        """What has come of an answer, as `_receive` does."""
        try:
            end = self._end(link)
        except NotHttp as error:
            raise HubkitError(
                f"{self._target.name} answers something that is no HTTP: {error.args[0]!r}"
            ) from None
        if end is None:
            return
        head = link.head
        assert head is not None
        self._heard_ns = now
        if head.status == 200:
            self._meter.add(now - link.since_ns)
            # Of an older head than the last, which came in parts, the length is of no use.
            if not head.close and head.length is not None and head is self._head:
                self._whole = end
        else:
            self._meter.fail(f"{head.status}: {bytes(link.data[head.end : end])[:300]!r}")
        link.data.clear()
        link.head = None
        if head.close:
            self._drop(link)
            free.append(self._open())
        else:
            free.append(link)

    def _end(self, link: _Link) -> int | None:
        """Where the answer ends, once it is whole."""
        if link.head is None:
            if not link.data.startswith(self._head_bytes):
                self._head, self._whole = read_head(link.data), -1
                if self._head is None:
                    self._head_bytes = b"\0"
                    return None
                self._head_bytes = bytes(link.data[: self._head.end])
            link.head = self._head
            assert link.head is not None
        head = link.head
        if head.length is None:
            return chunks_end(link.data, head.end)
        end = head.end + head.length
        return end if len(link.data) >= end else None

    def _check(self, now_ns: int) -> None:
        if self._meter.hopeless:
            raise HubkitError(
                f"{self._target.name} answers nothing but errors: {self._meter.first_error}",
                hint="See what the server logs; is the model's name right?",
            )
        if now_ns - self._heard_ns > _SILENT_S * 1e9:
            raise HubkitError(f"{self._target.name} has not answered for {_SILENT_S:.0f} s")
