"""10,000 requests of 32 clients on `hubkit serve`, some cancelled, some malformed, some huge.

Every good one has to be answered rightly, every bad one with a clear 4xx, memory has to stay flat,
and a SIGTERM with requests in flight has to end the server with 0 after it has answered them.

What is right: an answer is compared with what the same model gives for that request alone, in this
process. FP32: within TOLERANCE. A batch takes another path through the GEMM kernels (other block
sizes, so another order of sums) than a single sentence; of sums of some hundreds of products in
float32 that is a relative 1e-6 a layer, and 1e-4 of a logit is far above it and far below what any
other request's answer would differ by. Dynamic INT8: the scale of its activations is taken over the
whole batch, so that an answer depends on who else was in it, and no tolerance tells such a shift
from a wrong answer. There an answer must be nearer to its own reference than to four fifths of the
others': it would not be, were rows mixed up.
"""

from __future__ import annotations

import http.client
import itertools
import json
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hubkit.serving.codec import Body, decode_answer, encode_request

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Inputs = Mapping[str, NDArray[np.int64]]
    Outputs = Mapping[str, NDArray[np.float32]]

TOLERANCE = 1e-4
# What the heap may move by while requests of ever other sizes come and go: a share of what it is
# after the first fifth, and MB. A kilobyte left behind by each of 40,000 requests would be 40 MB.
GROWTH, GROWTH_MB = 0.02, 5.0
_SLOW_S = 60.0


@dataclass
class Seen:
    """What came of it all."""

    good: int = 0
    wrong: list[str] = field(default_factory=list)
    cancelled: int = 0
    statuses: Counter[str] = field(default_factory=Counter)  # "malformed 400" -> how often
    rss_mb: list[float] = field(default_factory=list)
    seconds: float = 0.0
    in_flight: int = 0  # when the signal came
    answered: int = 0  # of those
    refused: int = 0  # of those: connections that were not taken any more
    exit_code: int | None = None
    largest: float = 0.0  # difference of a good answer from its reference

    def summary(self) -> dict[str, object]:
        """The figures."""
        return {
            "good": self.good,
            "wrong": len(self.wrong),
            "first_wrong": self.wrong[:3],
            "cancelled": self.cancelled,
            "bad": dict(sorted(self.statuses.items())),
            "largest_difference": self.largest,
            "rss_mb": [round(one, 1) for one in self.rss_mb[:: max(1, len(self.rss_mb) // 12)]],
            "seconds": round(self.seconds, 1),
            "in_flight_at_sigterm": self.in_flight,
            "answered_after_sigterm": self.answered,
            "refused_after_sigterm": self.refused,
            "exit_code": self.exit_code,
        }

    def check(self) -> None:
        """Raises AssertionError for what must not be."""
        assert not self.wrong, self.wrong[:3]
        unclear = [key for key in self.statuses if not key.split()[-1].startswith("4")]
        assert not unclear, unclear
        assert self.exit_code == 0, self.exit_code
        assert self.answered + self.refused == self.in_flight
        assert self.answered > 0
        # The first fifth warms caches and arenas up; after it nothing may grow with requests.
        later = self.rss_mb[len(self.rss_mb) // 5 :]
        assert max(later) - later[0] < GROWTH * later[0] + GROWTH_MB, self.rss_mb


@dataclass(frozen=True)
class Given:
    """A request, and what the model gives for it alone."""

    inputs: Inputs
    reference: Outputs
    body: Body


def given(requests: Sequence[Inputs], references: Sequence[Outputs]) -> list[Given]:
    """Requests with their bodies."""
    return [
        Given(inputs, reference, encode_request(inputs, binary=number % 2 == 0))
        for number, (inputs, reference) in enumerate(zip(requests, references, strict=True))
    ]


class Soak:
    """Clients against a server's port."""

    def __init__(
        self, port: int, model: str, requests: Sequence[Given], *, exact: bool, body_bytes: int
    ) -> None:
        self._port, self._path = port, f"/v2/models/{model}/infer"
        self._requests, self._exact, self._limit = requests, exact, body_bytes
        self._numbers = itertools.count()
        self._lock = threading.Lock()
        self.seen = Seen()

    def run(self, total: int, clients: int, pid: int) -> Seen:
        """Send `total` requests: of ten, seven good, one cancelled, one malformed, one huge."""
        start = time.monotonic()
        threads = [
            threading.Thread(target=self._client, args=(total, seed), daemon=True)
            for seed in range(clients)
        ]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            self.seen.rss_mb.append(rss_mb(pid))
            time.sleep(max(0.2, (time.monotonic() - start) / 40))
        self.seen.seconds = time.monotonic() - start
        self.seen.rss_mb.append(rss_mb(pid))
        return self.seen

    def terminate(self, process: subprocess.Popen[str], clients: int) -> Seen:
        """Stop the server while each client has a request in flight, and count what comes back."""
        sent = threading.Barrier(clients + 1)
        answers: list[bool | None] = []

        def ask(number: int) -> None:
            one = self._requests[number % len(self._requests)]
            connection = self._connect()
            connection.request("POST", self._path, one.body.data, one.body.headers())
            sent.wait()
            try:
                status, data, length = _answer(connection)
                answers.append(status == 200 and self._is_right(one, data, length))
            except (OSError, http.client.HTTPException):
                answers.append(None)

        threads = [threading.Thread(target=ask, args=(n,)) for n in range(clients)]
        for thread in threads:
            thread.start()
        sent.wait()
        process.send_signal(signal.SIGTERM)
        for thread in threads:
            thread.join(_SLOW_S)
        self.seen.exit_code = process.wait(_SLOW_S)
        self.seen.in_flight = clients
        self.seen.answered = answers.count(True)
        self.seen.refused = answers.count(None)
        self.seen.wrong += ["a wrong answer after SIGTERM"] * answers.count(False)
        return self.seen

    def _client(self, total: int, seed: int) -> None:
        draw, connection = random.Random(seed), self._connect()
        kinds = {7: self._cancel, 8: self._malformed, 9: self._huge}
        while (number := next(self._numbers)) < total:
            one = self._requests[number % len(self._requests)]
            kind = kinds.get(number % 10)
            try:
                if kind is not None:
                    kind(one, draw)
                else:
                    self._good(connection, one)
            except (OSError, http.client.HTTPException) as error:
                with self._lock:
                    self.seen.wrong.append(f"{number}: {type(error).__name__}: {error}")
                connection.close()
                connection = self._connect()

    def _good(self, connection: http.client.HTTPConnection, one: Given) -> None:
        connection.request("POST", self._path, one.body.data, one.body.headers())
        status, data, length = _answer(connection)
        right = status == 200 and self._is_right(one, data, length)
        with self._lock:
            self.seen.good += right
            if not right:
                self.seen.wrong.append(f"{status}: {data[:200]!r}")

    def _cancel(self, one: Given, draw: random.Random) -> None:
        """Go away in the middle of the request, or before its answer."""
        head = f"POST {self._path} HTTP/1.1\r\n"
        lines = "".join(f"{name}: {value}\r\n" for name, value in one.body.headers().items())
        data = (head + lines + "\r\n").encode() + one.body.data
        with socket.create_connection(("127.0.0.1", self._port), timeout=_SLOW_S) as sock:
            whole = draw.random() < 0.5
            sock.sendall(data if whole else data[: draw.randrange(1, len(data))])
            time.sleep(draw.random() * 0.02)
        with self._lock:
            self.seen.cancelled += 1

    def _malformed(self, one: Given, draw: random.Random) -> None:
        ids = one.inputs["input_ids"]
        wrong = draw.choice(
            [
                Body(b'{"inputs": ['),
                Body(b"\x00\xff" * 40),
                Body(json.dumps({"inputs": []}).encode()),
                encode_request({"input_ids": ids.astype(np.float32)}),
                encode_request({**one.inputs, "input_ids": ids + 10**7}),
                encode_request({**one.inputs, "input_ids": ids[:, :1]}) if ids.shape[1] > 1
                else Body(b"[]"),
                encode_request({name: np.tile(array, (1, 2000)) for name, array in
                                one.inputs.items()}),
                Body(one.body.data[:-3], one.body.json_length),
            ]
        )  # fmt: skip
        self._refused("malformed", wrong)

    def _huge(self, one: Given, draw: random.Random) -> None:
        self._refused("huge", Body(b" " * (self._limit + draw.randrange(1, self._limit))))

    def _refused(self, kind: str, body: Body) -> None:
        connection = self._connect()
        connection.request("POST", self._path, body.data, body.headers())
        status, data, _ = _answer(connection)
        connection.close()
        clear = isinstance(json.loads(data).get("error"), str)
        with self._lock:
            self.seen.statuses[f"{kind} {status if clear else 'unclear'}"] += 1

    def _is_right(self, one: Given, data: bytes, length: int | None) -> bool:
        found = decode_answer(data, length).outputs
        if set(found) != set(one.reference):
            return False
        for name, expected in one.reference.items():
            if found[name].shape != expected.shape:
                return False
            difference = float(np.abs(found[name].astype(np.float64) - expected).max())
            with self._lock:
                self.seen.largest = max(self.seen.largest, difference)
            if self._exact and difference > TOLERANCE * max(1.0, float(np.abs(expected).max())):
                return False
            if not self._exact and not self._is_nearest(name, found[name], expected, difference):
                return False
        return True

    def _is_nearest(
        self, name: str, found: NDArray[np.generic], expected: NDArray[np.float32], own: float
    ) -> bool:
        """Whether an answer is nearer to its own reference than to four fifths of the others."""
        others = [one.reference[name] for one in self._requests]
        far = [
            float(np.abs(found.astype(np.float64) - other).max())
            for other in others
            if other.shape == expected.shape
        ]
        return sum(own <= one for one in far) >= 0.8 * len(far)

    def _connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self._port, timeout=_SLOW_S)


def _answer(connection: http.client.HTTPConnection) -> tuple[int, bytes, int | None]:
    answer = connection.getresponse()
    length = answer.getheader("Inference-Header-Content-Length")
    return answer.status, answer.read(), int(length) if length else None


def rss_mb(pid: int) -> float:
    """The memory that a process holds now, in 10**6 bytes."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * 4096 / 1e6


def report(seen: Seen) -> None:
    """Print the figures."""
    found = seen.summary()
    sys.stdout.write(json.dumps(found, indent=1) + "\n")
