"""Bodies on their way in, in constant memory; large ones past the HTTP parser."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Protocol

from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request

if TYPE_CHECKING:
    from collections.abc import Callable

    Sink = Callable[[bytes | memoryview], None]

BLOCK_BYTES = 256 * 1024
# Length and number of a body's blocks; while many bodies are on their way, and while few are.
_SMALL, _LARGE = (128 * 1024, 2), (1 << 20, 4)
_FEW = 8
# After so many bytes a worker lets another body have its thread.
_TURN_BYTES = 16 << 20
_DRAIN_S = 10.0


class _Owner(Protocol):
    received: int

    def connection_lost(self, exc: Exception | None) -> None: ...

    def pause_writing(self) -> None: ...

    def resume_writing(self) -> None: ...


class LargeBody(asyncio.BufferedProtocol):
    """The rest of a request's body, read from the socket straight into a few blocks.

    A worker thread hands what has arrived to the sink and goes home when there is nothing: a fast
    client keeps it busy without the event loop, a slow one holds no thread. Exactly the body is
    read, and not faster than the sink takes it.
    """

    _open = 0

    def __init__(
        self, owner: _Owner, transport: asyncio.Transport, first: bytes, length: int
    ) -> None:
        self._owner, self._transport = owner, transport
        self._left = length - len(first)
        self._loop = asyncio.get_running_loop()
        self._done = asyncio.Event()
        self._length, self._most = BLOCK_BYTES, 1
        self._free: deque[bytearray] = deque()
        self._made = 0
        self._filling: bytearray | None = None
        self._filled = 0
        self._lost = self._paused = False
        # Shared with the worker, under the lock.
        self._lock = threading.Lock()
        self._ready: deque[tuple[bytearray, int]] = deque()
        self._working = False
        self._error: BaseException | None = None
        self._sink: Sink = _nowhere
        if first:
            self._ready.append((bytearray(first), len(first)))

    async def pour(self, sink: Sink) -> None:
        """Hand the whole body to `sink`, in order, in other threads. Raises what `sink` raises, and
        ClientDisconnect when the client hangs up first."""
        self._sink = sink
        LargeBody._open += 1
        self._length, self._most = _LARGE if LargeBody._open <= _FEW else _SMALL
        self._transport.set_protocol(self)
        try:
            if self._left:
                self._transport.resume_reading()
            self._start_worker()
            await self._done.wait()
            if self._error is not None:
                await self._drain()
        finally:
            LargeBody._open -= 1
        if self._error is not None:
            raise self._error
        if self._left or self._ready:
            raise ClientDisconnect

    async def _drain(self) -> None:
        # Who still sends might never see the answer; but not for ever.
        self._sink = _nowhere
        self._done.clear()
        self._worker_left()
        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._done.wait(), _DRAIN_S)

    # the event loop's side

    @property
    def is_waiting(self) -> bool:
        """Whether it is the client that is waited for."""
        return self._left > 0 and not self._paused

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where asyncio puts the next bytes."""
        if self._filling is None:
            self._filled = 0
            try:
                self._filling = self._free.popleft()
            except IndexError:
                self._made += 1
                self._filling = bytearray(self._length)
        return memoryview(self._filling)[self._filled : self._filled + self._left]

    def buffer_updated(self, nbytes: int) -> None:
        """Bytes have arrived."""
        self._owner.received += nbytes
        self._filled += nbytes
        self._left -= nbytes
        assert self._filling is not None
        if self._filled < self._length and self._left:
            return
        with self._lock:
            self._ready.append((self._filling, self._filled))
        self._filling = None
        if not self._left or (not self._free and self._made >= self._most):
            self._paused = True
            self._transport.pause_reading()
        self._start_worker()

    def eof_received(self) -> None:
        """The client sends no more; asyncio closes the connection."""

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone."""
        self._lost = True
        self._owner.connection_lost(exc)
        self._start_worker()

    def pause_writing(self) -> None:
        """As for any protocol."""
        self._owner.pause_writing()

    def resume_writing(self) -> None:
        """As for any protocol."""
        self._owner.resume_writing()

    @property
    def _failed(self) -> bool:
        """Whether the sink has raised and nothing is drained yet: no more is read or handed on."""
        return self._error is not None and self._sink is not _nowhere

    def _start_worker(self) -> None:
        with self._lock:
            if self._working:
                return
            # What waits for a sink that has raised would keep a worker coming for ever.
            self._working = bool(self._ready) and not self._failed
        if self._working:
            self._loop.run_in_executor(None, self._work)
        elif self._failed or not self._left or self._lost:
            self._done.set()

    def _worker_left(self) -> None:
        self._resume()
        self._start_worker()

    # the worker's side

    def _work(self) -> None:
        for _ in range(_TURN_BYTES // self._length):
            with self._lock:
                if not self._ready or self._failed:
                    break
                block, size = self._ready.popleft()
            try:
                self._sink(memoryview(block)[:size])
            except BaseException as error:
                self._error = error
            if len(block) == self._length:
                self._free.append(block)
                if self._paused:
                    self._loop.call_soon_threadsafe(self._resume)
        with self._lock:
            self._working = False
        with suppress(RuntimeError):  # the loop has been closed
            self._loop.call_soon_threadsafe(self._worker_left)

    def _resume(self) -> None:
        if self._failed or not self._left or self._lost:
            return
        if self._paused and self._free:
            self._paused = False
            self._transport.resume_reading()


def _nowhere(data: bytes | memoryview) -> None:
    """Takes what nobody wants."""


async def pour(request: Request, sink: Sink) -> None:
    """Hand a request's body to `sink` in blocks, in order, in other threads, as it comes.

    Raises ClientDisconnect, and what `sink` raises.
    """
    connection = request.scope.get("extensions", {}).get("hubkit.connection")
    large = connection.large_body() if connection is not None else None
    if large is not None:
        await large.pour(sink)
        return
    block = bytearray()
    async for part in request.stream():
        block += part
        if len(block) >= BLOCK_BYTES:
            await run_in_threadpool(sink, bytes(block))
            block.clear()
    if block:
        await run_in_threadpool(sink, bytes(block))
