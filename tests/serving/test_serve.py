"""`hubkit serve` over real sockets, in its own process."""

from __future__ import annotations

import http.client
import json
import socket
import subprocess
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from hubkit.cli.serve import curl_line
from hubkit.serving.client import Client
from hubkit.serving.codec import encode_request
from tests.serving.conftest import Running, served
from tests.serving.tiny_onnx import NAME, POSITIONS, VOCABULARY, inputs_of

_INFER = f"/v2/models/{NAME}/infer"


def _get(server: Running, path: str, method: str = "GET") -> tuple[int, dict[str, object]]:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    connection.request(method, path)
    answer = connection.getresponse()
    found = json.loads(answer.read())
    connection.close()
    return answer.status, found


def _post(
    server: Running, body: object, headers: dict[str, str] | None = None
) -> tuple[int, dict[str, object]]:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    data = body if isinstance(body, bytes) else json.dumps(body)
    connection.request("POST", _INFER, data, headers or {})
    answer = connection.getresponse()
    found = json.loads(answer.read())
    connection.close()
    return answer.status, found


def test_health_and_metadata(server: Running) -> None:
    assert _get(server, "/v2/health/live") == (200, {"live": True})
    assert _get(server, "/v2/health/ready") == (200, {"ready": True})
    assert _get(server, f"/v2/models/{NAME}/ready") == (200, {"name": NAME, "ready": True})
    assert _get(server, f"/v2/models/{NAME}/versions/1/ready")[0] == 200
    status, found = _get(server, "/v2")
    assert (status, found["name"]) == (200, "hubkit")
    assert found["extensions"] == ["binary_tensor_data", "model_configuration"]
    status, found = _get(server, f"/v2/models/{NAME}")
    assert found == {
        "name": NAME,
        "versions": ["1"],
        "platform": "onnxruntime_onnx",
        "inputs": [
            {"name": "input_ids", "datatype": "INT64", "shape": [-1, -1]},
            {"name": "attention_mask", "datatype": "INT64", "shape": [-1, -1]},
        ],
        "outputs": [
            {"name": "logits", "datatype": "FP32", "shape": [-1, 2]},
            {"name": "tokens", "datatype": "FP32", "shape": [-1, -1, 1]},
        ],
    }
    status, found = _get(server, f"/v2/models/{NAME}/versions/1/config")
    assert (status, found["name"], found["backend"]) == (200, NAME, "onnxruntime")
    assert found["max_batch_size"] == 32
    assert found["input"] == [
        {"name": name, "data_type": "TYPE_INT64", "dims": [-1]}
        for name in ("input_ids", "attention_mask")
    ]
    assert [one["dims"] for one in found["output"]] == [[2], [-1, 1]]


@pytest.mark.parametrize("binary", [True, False])
def test_an_inference(server: Running, binary: bool) -> None:
    client = Client(server.url)
    answer = client.infer(NAME, inputs_of([5, 6, 7], [8]), binary=binary)
    assert answer.model == NAME
    assert answer.outputs["logits"].tolist() == [[18, -18], [8, -8]]
    assert answer.outputs["tokens"].tolist() == [[[5], [6], [7]], [[8], [0], [0]]]
    only = client.infer(NAME, inputs_of([5]), outputs=["logits"], binary=binary)
    assert list(only.outputs) == ["logits"]
    client.close()


def test_concurrent_requests_of_many_lengths_get_their_own_answers(server: Running) -> None:
    wrong: list[object] = []

    def ask(seed: int) -> None:
        draw, client = np.random.default_rng(seed), Client(server.url)
        for _ in range(30):
            rows = [
                draw.integers(4, VOCABULARY, draw.integers(1, 40)).tolist()
                for _ in range(draw.integers(1, 4))
            ]
            outputs = client.infer(NAME, inputs_of(*rows)).outputs
            sums = [[float(sum(row)), -float(sum(row))] for row in rows]
            longest = max(map(len, rows))
            if outputs["logits"].tolist() != sums or outputs["tokens"].shape[1] != longest:
                wrong.append((rows, outputs))
        client.close()

    threads = [threading.Thread(target=ask, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def _body(**changes: object) -> dict[str, object]:
    ids = {"name": "input_ids", "shape": [1, 2], "datatype": "INT64", "data": [5, 6]}
    mask = {"name": "attention_mask", "shape": [1, 2], "datatype": "INT64", "data": [1, 1]}
    return {"inputs": [{**ids, **changes}, mask]}


_LONG = [[1] * (POSITIONS + 1)]


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        (b"{", 400, "no JSON"),
        (_body(datatype="INT32"), 400, "must be INT64"),
        (_body(data=[5]), 400, "1 elements"),
        (_body(shape=[2, 1]), 400, "shape"),
        (_body(shape=[2]), 400, "must be \\[batch, length\\]"),
        (_body(data=[5, VOCABULARY]), 400, "from 0 to 499"),
        (_body(data=[5, -1]), 400, "from 0 to 499"),
        (_body(name="words"), 400, "input_ids is missing"),
        ({"inputs": [*_body()["inputs"], {**_body()["inputs"][0], "name": "more"}]}, 400, "more"),  # type: ignore[index, misc]
        ({**_body(), "outputs": [{"name": "embedding"}]}, 400, "no output embedding"),
        ({"inputs": [{"name": "text", "shape": [1], "datatype": "BYTES", "data": ["x"]}]}, 400,
         "no tokenizer"),
        (b" " * 200_000, 413, "100000 are the most"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_a_4xx_that_says_why(
    server: Running, body: object, status: int, said: str
) -> None:
    found, answer = _post(server, body)
    assert found == status
    assert __import__("re").search(said, str(answer["error"])), answer


def test_too_long_and_too_many(server: Running) -> None:
    for rows, said in ((_LONG, "at most 64"), ([[1]] * 33, "32 are the most"), ([[]], "nothing")):
        body = encode_request(inputs_of(*rows))
        found, answer = _post(server, body.data, body.headers())
        assert found == 400
        assert said in str(answer["error"])


@pytest.mark.parametrize(
    ("path", "method", "status"),
    [
        ("/", "GET", 404),
        ("/v2/models/other", "GET", 404),
        (f"/v2/models/{NAME}/versions/2", "GET", 404),
        (_INFER, "GET", 405),
        (f"/v2/models/{NAME}", "POST", 405),
        ("/v2", "DELETE", 405),
    ],
)
def test_wrong_addresses(server: Running, path: str, method: str, status: int) -> None:
    found, answer = _get(server, path, method)
    assert found == status
    assert answer["error"]


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"GARBAGE\r\n\r\n", 400),
        (b"GET /v2 HTTP/1.1\r\nA B\r\n\r\n", 400),
        (b"POST /x HTTP/1.1\r\nContent-Length: -5\r\n\r\n", 400),
        (b"POST /x HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef", 400),
        (b"POST /x HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n", 413),
        (b"GET /" + b"a" * 70_000, 414),
        (b"GET / HTTP/1.1\r\n" + b"A: " + b"b" * 70_000, 431),
        (b"GET / HTTP/1.1\r\n" + b"".join(b"A%d: b\r\n" % n for n in range(200)) + b"\r\n", 431),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n", 400),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n" + b"8000\r\n" + b"a" * 32768
         + b"\r\n8000\r\n" + b"a" * 32768 + b"\r\n8000\r\n" + b"a" * 32768 + b"\r\n8000\r\n"
         + b"a" * 32768 + b"\r\n", 413),
        (b"POST " + _INFER.encode() + b" HTTP/1.1\r\nInference-Header-Content-Length: x\r\n"
         b"Content-Length: 2\r\n\r\n{}", 400),
        (b"POST /x HTTP/1.1\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}", 415),
    ],
)  # fmt: skip
def test_broken_http_is_a_4xx_in_json(server: Running, sent: bytes, status: int) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as sock:
        sock.sendall(sent)
        sock.shutdown(socket.SHUT_WR) if status == 431 and sent.endswith(b"b") else None
        answer = http.client.HTTPResponse(sock)
        answer.begin()
        assert answer.status == status
        assert json.loads(answer.read())["error"]


def test_requests_sent_without_waiting_are_answered_in_order(server: Running) -> None:
    bodies = [json.dumps({**_body(data=[5, n]), "id": str(n)}).encode() for n in range(5)]
    head = b"POST " + _INFER.encode() + b" HTTP/1.1\r\nContent-Length: %d\r\n\r\n"
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as sock:
        sock.sendall(b"".join(head % len(body) + body for body in bodies))
        # One reader: HTTPResponse would have one each, and keep what it read too much.
        reader = sock.makefile("rb")
        for number in range(5):
            assert reader.readline() == b"HTTP/1.1 200 OK\r\n"
            length = http.client.parse_headers(reader)["Content-Length"]
            found = json.loads(reader.read(int(length)))
            assert found["id"] == str(number)
            assert found["outputs"][0]["data"] == [5 + number, -5 - number]


def test_the_printed_command_is_one(server: Running) -> None:
    line = curl_line(server.url, NAME, text=False)
    done = subprocess.run(["sh", "-c", line], capture_output=True, check=True)
    assert json.loads(done.stdout)["name"] == NAME
    assert '"text"' in curl_line(server.url, NAME, text=True)


def test_sigterm_answers_what_is_in_flight(tiny_folder: Path) -> None:
    # A batch that never fills keeps requests waiting: they are in flight when the signal comes.
    options = ("--max-batch", "64", "--max-delay-ms", "9000", "--instances", "1")
    with served(tiny_folder, *options) as server:
        found: list[object] = []

        def ask(number: int) -> None:
            answer = Client(server.url).infer(NAME, inputs_of([number, 7]))
            found.append(answer.outputs["logits"].tolist() == [[number + 7, -number - 7]])

        idle = socket.create_connection(("127.0.0.1", server.port))
        threads = [threading.Thread(target=ask, args=(n,)) for n in range(6)]
        for thread in threads:
            thread.start()
        time.sleep(0.5)
        assert not found
        start = time.monotonic()
        assert server.stop() == 0
        for thread in threads:
            thread.join(5)
        assert found == [True] * 6
        assert time.monotonic() - start < 5
        assert idle.recv(10) == b""
        idle.close()


@pytest.mark.conformance
def test_a_full_queue_is_a_503_with_a_time_to_come_back(tiny_folder: Path) -> None:
    options = ("--max-batch", "64", "--max-delay-ms", "1500", "--max-queue", "2")
    with served(tiny_folder, *options) as server:
        body = encode_request(inputs_of([5]))
        waiting = []
        for _ in range(2):
            connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
            connection.request("POST", _INFER, body.data, body.headers())
            waiting.append(connection)
        time.sleep(0.3)
        third = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
        third.request("POST", _INFER, body.data, body.headers())
        answer = third.getresponse()
        assert answer.status == 503
        assert answer.getheader("Retry-After") == "1"
        answer.read()
        waiting.pop().close()  # a client that goes makes room
        time.sleep(0.3)
        third.request("POST", _INFER, body.data, body.headers())
        assert third.getresponse().status == 200
        assert waiting[0].getresponse().status == 200
