"""The load generator against servers whose latency is known."""

from __future__ import annotations

import itertools
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from hubkit.errors import HubkitError
from hubkit.formats_records import ServingPlan
from hubkit.serving.answers import NotHttp, chunks_end, read_head, unchunked
from hubkit.serving.arrivals import arrivals, open_plan
from hubkit.serving.client import request_bytes
from hubkit.serving.codec import Body
from hubkit.serving.load_http import Drive, Target, _Link
from hubkit.serving.load_process import LoadProcess
from hubkit.serving.load_worker import LoadCall, read_requests, write_requests
from hubkit.serving.windows import Meter

_OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
_CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n1;x=y\r\n}\r\n0\r\n\r\n"
_CLOSED = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}"
_LARGE = b"HTTP/1.1 200 OK\r\nContent-Length: 200000\r\n\r\n" + b"x" * 200_000
_BAD = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 4\r\n\r\nbusy"
_BAD_AS_LONG = b"HTTP/1.1 503 \r\nContent-Length: 4\r\n\r\nbusy"  # as _OK

Answer = Callable[[int], tuple[float, bytes]]  # number of the request -> seconds, answer


def _read(sock: socket.socket) -> bytes:
    try:
        return sock.recv(1 << 16)
    except ConnectionResetError:  # the load is over, and leaves what is under way
        return b""


@contextmanager
def answering(answer: Answer, *, one_at_a_time: bool = False) -> Iterator[int]:
    """A server on a port, a thread a connection; each request is a whole one in one packet."""
    listener = socket.create_server(("127.0.0.1", 0))
    numbers, turn, ended = itertools.count(), threading.Lock(), threading.Event()

    def talk(sock: socket.socket) -> None:
        with sock:
            while not ended.is_set() and _read(sock):
                seconds, data = answer(next(numbers))
                if one_at_a_time:
                    with turn:
                        time.sleep(seconds)
                else:
                    time.sleep(seconds)
                try:
                    sock.sendall(data)
                except OSError:
                    return
                if data is _CLOSED:
                    return

    def accept() -> None:
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=talk, args=(sock,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield listener.getsockname()[1]
    finally:
        ended.set()
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()


def _call(folder: Path, port: int, **changes: object) -> LoadCall:
    file = folder / "requests.bin"
    write_requests(file, [request_bytes("127.0.0.1", port, "/x", Body(b"{}"))])
    plan = ServingPlan(window_s=0.2, min_requests=10, max_windows=3, warmup_requests=2)
    given = {"host": "127.0.0.1", "port": port, "requests": str(file), "plan": plan, **changes}
    return LoadCall.model_validate(given)


@pytest.mark.parametrize(
    "data", [_OK, _LARGE, _CHUNKED, _CLOSED], ids=["whole", "in parts", "chunked", "closed"]
)
def test_a_closed_loop_meets_the_latency_of_the_server(tmp_path: Path, data: bytes) -> None:
    with answering(lambda number: (0.01, data)) as port, LoadProcess() as process:
        level = process.level(_call(tmp_path, port, concurrency=4))
    assert level.errors == 0
    assert 10 <= level.p50_ms < 25
    # Little's law: as many under way as there are clients.
    assert level.throughput_per_s * level.mean_ms / 1e3 == pytest.approx(4, rel=0.25)


def test_an_open_loop_counts_waiting_from_when_a_request_was_due(tmp_path: Path) -> None:
    def stalls_once(number: int) -> tuple[float, bytes]:
        return (0.4 if number == 20 else 0.001, _OK)

    with answering(stalls_once, one_at_a_time=True) as port, LoadProcess() as process:
        level = process.level(_call(tmp_path, port, rate_per_s=100.0))
    # Some 40 requests came while the server stood still: they waited, though their own service took
    # a millisecond. A generator that sends no request until it has the last answer sees one.
    late = level.requests * (level.mean_ms / 1e3)
    assert level.requests >= 40
    assert late > 2  # about 0.4² / 2 × 100 seconds of waiting in all
    assert level.p99_ms > 300


@pytest.mark.parametrize("bad", [_BAD, _BAD_AS_LONG], ids=["other", "as long as a good one"])
def test_errors_are_counted_and_are_no_latencies(tmp_path: Path, bad: bytes) -> None:
    def every_fourth(number: int) -> tuple[float, bytes]:
        return 0.002, bad if number % 4 == 3 else _OK

    with answering(every_fourth) as port, LoadProcess() as process:
        level = process.level(_call(tmp_path, port, concurrency=2))
    assert level.errors / (level.errors + level.requests) == pytest.approx(0.25, abs=0.08)


def test_a_server_that_only_fails_ends_the_load(tmp_path: Path) -> None:
    with answering(lambda number: (0.001, _BAD)) as port, LoadProcess() as process:
        with pytest.raises(HubkitError, match="503"):
            process.level(_call(tmp_path, port, concurrency=2))
        with pytest.raises(HubkitError, match="no connection"):  # and the process lives on
            process.level(_call(tmp_path, 1, concurrency=2))


def test_ctrl_c_does_not_end_the_generator(tmp_path: Path) -> None:
    with answering(lambda number: (0.001, _OK)) as port, LoadProcess() as process:
        process.level(_call(tmp_path, port, concurrency=1))
        process._process.send_signal(signal.SIGINT)
        assert process.level(_call(tmp_path, port, concurrency=1)).errors == 0


def test_heads_and_chunks() -> None:
    assert read_head(b"HTTP/1.1 200 OK\r\nContent-Le") is None
    head = read_head(_CHUNKED)
    assert head is not None
    assert head.length is None
    assert chunks_end(_CHUNKED, head.end) == len(_CHUNKED)
    assert chunks_end(_CHUNKED[:-1], head.end) is None
    assert unchunked(_CHUNKED[head.end :]) == b"{}"
    assert read_head(b"HTTP/1.1 200 OK\r\nX: y\r\ncontent-length: 7\r\n\r\n").length == 7  # type: ignore[union-attr]
    for wrong in (b"SSH-2.0-x\r\n", b"HTTP/1.1 2x0 OK\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\n"):
        with pytest.raises(NotHttp):
            read_head(wrong)


def test_requests_come_back_from_their_file(tmp_path: Path) -> None:
    write_requests(tmp_path / "r", [b"a", b"", b"bc" * 500])
    assert read_requests(tmp_path / "r") == [b"a", b"", b"bc" * 500]


def test_arrivals_are_poisson_at_the_rate_and_the_same_again() -> None:
    plan = ServingPlan(window_s=0.3, min_requests=20)
    found = list(itertools.islice(arrivals(plan, 200.0), 4000))
    assert found == sorted(found)
    assert found == list(itertools.islice(arrivals(plan, 200.0), 4000))
    assert found[-1] / 1e9 == pytest.approx(20, rel=0.01)
    gaps = [(b - a) / 1e9 for a, b in itertools.pairwise(found)]
    mean = sum(gaps) / len(gaps)
    spread = (sum((gap - mean) ** 2 for gap in gaps) / len(gaps)) ** 0.5
    assert spread / mean == pytest.approx(1, abs=0.08)  # of exponential gaps it is 1
    assert open_plan(plan, 10.0).window_s == 4.0  # 40 requests at least


def test_the_length_of_an_answer_in_parts_is_of_its_own_head() -> None:
    meter = Meter(ServingPlan())
    drive = Drive(Target("127.0.0.1", 1), [b""], meter)
    pairs = [socket.socketpair() for _ in range(2)]
    servers, links = [one for one, _ in pairs], [_Link(other) for _, other in pairs]
    short, long = (b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % n + b"a" * n for n in (5, 50))
    for number, data in ((0, long[:60]), (1, short), (0, long[60:])):
        servers[number].sendall(data)
        drive._receive(links[number], [])
    assert drive._head_bytes == short[:-5]  # the last head, and nothing of another's length
    assert drive._whole in (-1, len(short))
    assert len(meter._latencies) == 2
    for pair in pairs:
        for sock in pair:
            sock.close()
