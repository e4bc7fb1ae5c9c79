"""What a request leaves behind: nothing that waits for the collector, no holes in the heap."""

from __future__ import annotations

import asyncio
import gc
import http.client
import threading
import tracemalloc
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hubkit.formats_records import ServingConfig
from hubkit.serving.app import App
from hubkit.serving.codec import encode_request
from hubkit.serving.http import Server
from hubkit.serving.messages import Limits
from hubkit.serving_target import find_model
from hubkit.stages.serving_model import load_served
from tests.serving.tiny_onnx import NAME, inputs_of

_PATH = f"/v2/models/{NAME}/infer"
# asyncio's own, one for each connection: a transport and its socket know each other.
_OF_ASYNCIO = {"_SelectorSocketTransport", "TransportSocket", "socket", "method", "dict", "tuple"}


@pytest.fixture(scope="module", name="port")
def _port(tiny_folder: Path) -> Iterator[int]:
    """The port of the tiny model's server, in a thread of this process."""
    found = find_model(str(tiny_folder))
    served, pool = load_served(found.files, found.engine, ServingConfig(instances=2), 100)
    loop = asyncio.new_event_loop()
    server = Server(App(served, pool, "1"), Limits(body_bytes=100_000))

    async def begin() -> int:
        listener = await loop.create_server(server.connection, "127.0.0.1", 0)
        return int(listener.sockets[0].getsockname()[1])

    port = loop.run_until_complete(begin())
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield port
    finally:
        asyncio.run_coroutine_threadsafe(server.drain(1), loop).result(5)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
        pool.close()


def _ask(port: int, *bodies: bytes, headers: dict[str, str] | None = None) -> set[int]:
    """The statuses of requests over one connection."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    statuses = set()
    for body in bodies:
        connection.request("POST", _PATH, body, headers or {})
        answer = connection.getresponse()
        answer.read()
        statuses.add(answer.status)
    connection.close()
    return statuses


def _good(port: int, count: int = 20) -> set[int]:
    body = encode_request(inputs_of([5, 6, 7]))
    return _ask(port, *[body.data] * count, headers=body.headers())


def _huge(port: int) -> set[int]:
    return set.union(*(_ask(port, b" " * 150_000) for _ in range(20)))


def _broken(port: int) -> set[int]:
    return set.union(*(_ask(port, b"{", headers={"Content-Encoding": "x"}) for _ in range(20)))


@pytest.mark.parametrize(
    ("asking", "status"), [(_good, 200), (_huge, 413), (_broken, 415)], ids=["good", "413", "415"]
)
def test_a_request_leaves_no_cycle_behind(
    port: int, asking: Callable[[int], set[int]], status: int
) -> None:
    _good(port)
    gc.collect()
    gc.disable()
    try:
        assert asking(port) == {status}
        _good(port, 1)  # what came before is gone when this is answered
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        left = Counter(type(one).__name__ for one in gc.garbage)
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()
    assert set(left) <= _OF_ASYNCIO


def test_reading_takes_no_more_than_comes(port: int) -> None:
    """asyncio's own way takes 256 KiB for each read, of which holes in the heap remain."""
    _good(port)
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        _good(port)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak - before < 128 << 10
