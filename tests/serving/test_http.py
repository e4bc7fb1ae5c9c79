"""Connections: what they may hold, how long they may take, and clients that go."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable

import pytest

from hubkit.serving.http import Server
from hubkit.serving.messages import Limits, Reply, Request

Answered = Callable[[Reply], None]
_POST = b"POST /x HTTP/1.1\r\nContent-Length: %d\r\n\r\n%s"


class _Handler:
    """Answers with the body, unless the path asks it to wait for ever."""

    def __init__(self) -> None:
        self.gone = 0
        self.seen: list[Request] = []
        self.held: list[Answered] = []

    def __call__(self, request: Request, answer: Answered) -> None:
        self.seen.append(request)
        request.gone = self._count
        if request.path == "/broken":
            raise ValueError("something that nobody thought of")
        if request.path == "/wait":
            self.held.append(answer)
        else:
            answer(Reply(200, request.body))

    def _count(self) -> None:
        self.gone += 1


Talk = Callable[[Callable[[], Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]]],
                 _Handler, Server], Awaitable[None]]  # fmt: skip


def _run(talk: Talk, **limits: float) -> None:
    async def main() -> None:
        handler = _Handler()
        server = Server(handler, Limits(**limits))  # type: ignore[arg-type]
        loop = asyncio.get_running_loop()
        listener = await loop.create_server(server.connection, "127.0.0.1", 0)
        port = listener.sockets[0].getsockname()[1]
        server.sweep()

        async def connect() -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
            return await asyncio.open_connection("127.0.0.1", port)

        await asyncio.wait_for(talk(connect, handler, server), 10)
        listener.close()
        await server.drain(0.1)
        assert server.held_bytes == 0
        assert not server.connections

    asyncio.run(main())


async def _status(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length: ")[2].split()[0])
    return int(head[9:12]), await reader.readexactly(length)


def test_a_request_in_pieces_is_one() -> None:
    async def talk(connect, handler, server) -> None:  # type: ignore[no-untyped-def]
        reader, writer = await connect()
        for at in range(0, len(_POST % (5, b"hello")), 7):
            writer.write((_POST % (5, b"hello"))[at : at + 7])
            await writer.drain()
            await asyncio.sleep(0)
        assert await _status(reader) == (200, b"hello")
        writer.write(b"POST /x HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n")
        writer.write(b"2\r\nab\r\n3\r\ncde\r\n0\r\n\r\n")
        assert await _status(reader) == (200, b"abcde")
        writer.close()

    _run(talk)


def test_who_asks_before_sending_is_told_to_go_on_or_not() -> None:
    async def talk(connect, handler, server) -> None:  # type: ignore[no-untyped-def]
        expect = b"POST /x HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n"
        reader, writer = await connect()
        writer.write(expect % 2)
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(b"ab")
        assert await _status(reader) == (200, b"ab")
        writer.write(expect % 1000)
        status, body = await _status(reader)
        assert status == 413
        assert "100 are the most" in json.loads(body)["error"]
        writer.close()

    _run(talk, body_bytes=100)


def test_a_client_that_goes_is_noticed_while_its_answer_is_made() -> None:
    async def talk(connect, handler, server) -> None:  # type: ignore[no-untyped-def]
        _, writer = await connect()
        writer.write(b"GET /wait HTTP/1.1\r\n\r\n")
        while not handler.held:
            await asyncio.sleep(0.01)
        assert handler.gone == 0
        writer.close()
        while not handler.gone:
            await asyncio.sleep(0.01)
        handler.held[0](Reply(200, b"too late"))  # which harms nobody

    _run(talk)


def test_half_a_request_has_its_time_and_so_has_a_silent_connection() -> None:
    async def talk(connect, handler, server) -> None:  # type: ignore[no-untyped-def]
        slow, writing = await connect()
        idle, _ = await connect()
        writing.write(b"POST /x HTTP/1.1\r\nContent-Length: 5\r\n\r\nab")
        status, body = await _status(slow)
        assert status == 408
        assert "end" in json.loads(body)["error"]
        assert await idle.read() == b""

    _run(talk, request_s=0.3, idle_s=0.5)


def test_more_connections_than_allowed_are_told_to_come_back() -> None:
    async def talk(connect, handler, server) -> None:  # type: ignore[no-untyped-def]
        first = [await connect() for _ in range(2)]
        for reader, writer in first:
            writer.write(_POST % (1, b"a"))
            assert await _status(reader) == (200, b"a")
        reader, _ = await connect()
        assert (await _status(reader))[0] == 503

    _run(talk, connections=2)


def test_all_bodies_together_are_bounded() -> None:
    async def talk(connect, handler, server) -> None:  # type: ignore[no-untyped-def]
        half = b"POST /x HTTP/1.1\r\nContent-Length: 100\r\n\r\n" + b"a" * 90
        held = [await connect() for _ in range(4)]
        for _, writer in held:
            writer.write(half)
        while server.held_bytes < 360:
            await asyncio.sleep(0.01)
        reader, writer = await connect()
        writer.write(half)
        assert (await _status(reader))[0] == 503
        for _, writer in held:
            writer.close()
        while server.held_bytes:
            await asyncio.sleep(0.01)
        reader, writer = await connect()
        writer.write(_POST % (3, b"abc"))
        assert await _status(reader) == (200, b"abc")

    _run(talk, body_bytes=100, all_bodies_bytes=400)


def test_an_error_of_ours_is_a_500_and_the_connection_goes_on() -> None:
    async def talk(connect, handler, server) -> None:  # type: ignore[no-untyped-def]
        reader, writer = await connect()
        writer.write(b"GET /broken HTTP/1.1\r\n\r\n" + _POST % (3, b"abc"))
        assert (await _status(reader))[0] == 500
        assert await _status(reader) == (200, b"abc")
        writer.close()

    _run(talk)


def test_who_asks_for_another_protocol_is_answered_in_this_one() -> None:
    upgrade = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AA\r\n"

    async def talk(connect, handler, server) -> None:  # type: ignore[no-untyped-def]
        reader, writer = await connect()
        writer.write(b"GET /x HTTP/1.1\r\n" + upgrade + b"\r\n" + _POST % (3, b"abc"))
        assert await _status(reader) == (200, b"")
        assert await _status(reader) == (200, b"abc")
        writer.write(b"POST /x HTTP/1.1\r\nContent-Length: 3\r\n" + upgrade + b"\r\nabc")
        status, body = await _status(reader)
        assert (status, b"Upgrade" in body) == (400, True)
        assert not await reader.read()
        assert len(handler.seen) == 2
        writer.close()

    _run(talk)


def test_an_answer_to_head_has_no_body() -> None:
    async def talk(connect, handler, server) -> None:  # type: ignore[no-untyped-def]
        reader, writer = await connect()
        writer.write(b"HEAD /x HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc" + _POST % (2, b"de"))
        assert b"Content-Length: 3" in await reader.readuntil(b"\r\n\r\n")
        assert await _status(reader) == (200, b"de")
        writer.close()

    _run(talk)


@pytest.mark.parametrize("head", [b"GET /x HTTP/1.0\r\n\r\n",
                                  b"GET /x HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
                                  b"GET /x HTTP/1.1\r\nConnection: close\r\n\r\n"])  # fmt: skip
def test_who_wants_the_connection_closed_gets_it(head: bytes) -> None:
    async def talk(connect, handler, server) -> None:  # type: ignore[no-untyped-def]
        reader, writer = await connect()
        writer.write(head)
        found = await reader.read()
        assert found.startswith(b"HTTP/1.1 200 OK\r\n")
        assert b"Connection: close" in found

    _run(talk)


def test_an_end_waits_for_the_answer_and_refuses_half_a_request() -> None:
    async def talk(connect, handler, server) -> None:  # type: ignore[no-untyped-def]
        waiting, first = await connect()
        half, second = await connect()
        first.write(b"GET /wait HTTP/1.1\r\n\r\n")
        second.write(b"POST /x HTTP/1.1\r\nContent-Length: 5\r\n\r\nab")
        while not handler.held or not server.held_bytes:
            await asyncio.sleep(0.01)
        ending = asyncio.create_task(server.drain(5))
        assert (await _status(half))[0] == 503
        second.close()
        assert not ending.done()
        handler.held[0](Reply(200, b"done"))
        assert await _status(waiting) == (200, b"done")
        await ending

    _run(talk)
