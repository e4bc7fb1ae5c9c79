"""Limits: how much, how many and how slow; the server goes on whatever a client does."""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest
import requests
from huggingface_hub import HfApi

from hubkit.hub.server import commits, disk, protocol
from hubkit.hub.server.embedded import EmbeddedHub, spawn_hub
from hubkit.hub.server.limits import Limits
from tests.hub_server.conftest import OWNER, USERS

SMALL = Limits(
    json_bytes=20_000,
    buffered_bytes=60_000,
    commit_bytes=3_000_000,
    file_bytes=5_000_000,
    header_bytes=8_000,
    header_s=0.5,
    window_s=0.6,
    window_bytes=2_000,
    requests_a_connection=5,
)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[EmbeddedHub]:
    monkeypatch.setattr(protocol, "_CHECK_S", 0.1)
    with EmbeddedHub(tmp_path / "root", users=USERS, limits=SMALL) as running:
        HfApi(endpoint=running.endpoint, token=OWNER).create_repo("ana/model")
        yield running


def sent(hub: EmbeddedHub, method: str, path: str, **more: object) -> requests.Response:
    headers = {"Authorization": f"Bearer {OWNER}"}
    return requests.request(
        method,
        hub.endpoint + path,
        timeout=20,
        **{"headers": headers, **more},  # type: ignore[arg-type]
    )


def connected(hub: EmbeddedHub) -> socket.socket:
    parts = urlsplit(hub.endpoint)
    return socket.create_connection((parts.hostname or "", parts.port or 0), timeout=10)


def link(endpoint: str, data: bytes, repo: str = "ana/model") -> str:
    ask: dict[str, object] = {
        "operation": "upload",
        "objects": [{"oid": hashlib.sha256(data).hexdigest(), "size": len(data)}],
    }
    headers = {"Authorization": f"Bearer {OWNER}"}
    url = f"{endpoint}/{repo}.git/info/lfs/objects/batch"
    said = requests.post(url, json=ask, headers=headers, timeout=60).json()
    href: str = said["objects"][0]["actions"]["upload"]["href"]
    return href


def test_bodies_have_a_size(hub: EmbeddedHub, monkeypatch: pytest.MonkeyPatch) -> None:
    info = "/api/models/ana/model/paths-info/main"
    large = b'{"paths": ["' + b"a" * 30_000 + b'"]}'
    assert sent(hub, "POST", info, data=large).status_code == 413
    assert sent(hub, "POST", info, data=iter([large])).status_code == 413  # chunked
    commit = "/api/models/ana/model/commit/main"
    assert sent(hub, "POST", commit, data=b" " * 3_000_001).status_code == 413
    assert sent(hub, "POST", commit, data=iter([b" " * 2_000_000] * 2)).status_code == 413
    monkeypatch.setattr(commits, "MOST_OPERATIONS", 10)
    header = json.dumps({"key": "header", "value": {"summary": "s"}})
    line = json.dumps({"key": "file", "value": {"path": "a", "content": ""}})
    answer = sent(hub, "POST", commit, data="\n".join([header, *[line] * 10]))
    assert (answer.status_code, answer.json()["error"]) == (
        413,
        "A commit is limited to 10 operations",
    )
    ask = {"operation": "upload", "objects": [{"oid": "0" * 64, "size": 5_000_001}]}
    said = sent(hub, "POST", "/ana/model.git/info/lfs/objects/batch", json=ask).json()
    assert said["objects"][0]["error"]["code"] == 422
    assert list((hub.root / "tmp").iterdir()) == []


def test_json_that_cannot_be_stored_or_shown_is_refused(hub: EmbeddedHub) -> None:
    talk = "/api/models/ana/model/discussions"
    for body in (b'{"title": "half \\ud800 a pair"}', b"[" * 9_000, b'{"title": 1e999}', b"\xff"):
        assert sent(hub, "POST", talk, data=body).status_code == 400
    whole = b'{"title": "a whole \\ud83e\\udd17 pair", "description": ""}'
    assert sent(hub, "POST", talk, data=whole).status_code == 200
    assert sent(hub, "GET", talk).json()["discussions"][0]["title"] == "a whole 🤗 pair"


def test_a_full_disk_is_said_before_anything_is_sent(
    hub: EmbeddedHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = b"x" * 2_000_000
    url = link(hub.endpoint, data)
    monkeypatch.setattr(disk, "KEPT_FREE_BYTES", 1 << 60)
    answer = requests.put(url, data=data, timeout=20)
    assert answer.status_code == 507
    commit = "/api/models/ana/model/commit/main"
    assert sent(hub, "POST", commit, data=b"{}").status_code == 507
    assert list((hub.root / "tmp").iterdir()) == []


def _closed_after(connection: socket.socket, keep: Callable[[], None]) -> tuple[float, bytes]:
    """Seconds until the server hangs up, and what it said; `keep` is done meanwhile."""
    started, said = time.monotonic(), b""
    connection.settimeout(0.1)
    while time.monotonic() - started < 15:
        try:
            keep()
            got = connection.recv(65536)
            if not got:
                break
            said += got
        except TimeoutError:
            continue
        except OSError:
            break
    else:
        raise AssertionError("the server waits for ever")
    return time.monotonic() - started, said


def test_slow_clients_are_cut_off_and_others_are_not(hub: EmbeddedHub) -> None:
    data = b"x" * 1_500_000
    target = _target(link(hub.endpoint, data))
    slow: dict[str, tuple[bytes, bytes]] = {
        "says nothing": (b"", b""),
        "headers by the letter": (b"GET / HTTP/1.1\r\nHost: x\r\nA: ", b"a"),
        "a small body by the letter": (
            b"POST /api/validate-yaml HTTP/1.1\r\nHost: x\r\nContent-Length: 9000\r\n\r\n",
            b"a",
        ),
        "a large body by the letter": (
            f"PUT {target} HTTP/1.1\r\nHost: x\r\nContent-Length: 1500000\r\n\r\n".encode(),
            b"x",
        ),
        "a refused body by the letter": (
            b"POST /api/models/ana/none/commit/main HTTP/1.1\r\nHost: x\r\n"
            b"Content-Length: 2000000\r\n\r\n",
            b"x",
        ),
    }
    for what, (start, drop) in slow.items():
        with connected(hub) as connection:
            connection.sendall(start)
            seconds, said = _closed_after(connection, lambda: connection.sendall(drop))  # noqa: B023
            assert 0.4 < seconds < 8, what
            if what == "headers by the letter":
                assert said.startswith(b"HTTP/1.1 408 ")
        assert sent(hub, "GET", "/healthz").status_code == 200
    # As slow, but going forward: it is let be.
    with connected(hub) as connection:
        connection.sendall(slow["a large body by the letter"][0])
        for _ in range(15):
            connection.sendall(b"x" * 100_000)
            time.sleep(0.1)
        assert connection.recv(100).startswith(b"HTTP/1.1 200 ")
    assert list((hub.root / "tmp").iterdir()) == []


def test_who_does_not_take_an_answer_is_cut_off(hub: EmbeddedHub) -> None:
    api = HfApi(endpoint=hub.endpoint, token=OWNER)
    for name, data in (("large.bin", os.urandom(4_900_000)), ("small.txt", b"a" * 2_000_000)):
        api.upload_file(repo_id="ana/model", path_in_repo=name, path_or_fileobj=data)
        target = f"/ana/model/resolve/main/{name}"
        answer = requests.get(hub.endpoint + target, allow_redirects=False, timeout=20)
        target = _target(answer.headers.get("Location", target))
        with connected(hub) as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            for _ in range(3):
                connection.sendall(f"GET {target} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            deadline = time.monotonic() + 20
            while not _is_open(hub, connection):  # until the server has taken it
                assert time.monotonic() < deadline
                time.sleep(0.01)
            while _is_open(hub, connection) and time.monotonic() < deadline:
                time.sleep(0.1)
            assert not _is_open(hub, connection)
    assert sent(hub, "GET", "/healthz").status_code == 200


def _is_open(hub: EmbeddedHub, connection: socket.socket) -> bool:
    """Whether the server's end of a connection is."""
    ports = (urlsplit(hub.endpoint).port, connection.getsockname()[1])
    return any(
        c.raddr and (c.laddr.port, c.raddr.port) == ports and c.status == psutil.CONN_ESTABLISHED
        for c in psutil.Process().net_connections("tcp")
    )


def _target(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.path}?{parts.query}"


def test_headers_and_requests_are_counted(hub: EmbeddedHub) -> None:
    with connected(hub) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nA: " + b"a" * 20_000)
        assert connection.recv(100).startswith(b"HTTP/1.1 431 ")
    with connected(hub) as connection:
        connection.sendall(b"nonsense\r\n\r\n")
        assert connection.recv(100).startswith(b"HTTP/1.1 400 ")
    parts = urlsplit(hub.endpoint)
    client = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=20)
    closing = []
    for _ in range(5):
        client.request("GET", "/healthz")
        answer = client.getresponse()
        answer.read()
        closing.append(answer.headers.get("connection"))
    assert closing == [None] * 4 + ["close"]


def test_many_bodies_in_memory_are_refused_for_a_while(hub: EmbeddedHub) -> None:
    head = b"POST /api/validate-yaml HTTP/1.1\r\nHost: x\r\nContent-Length: 20000\r\n\r\n"
    held = [connected(hub) for _ in range(3)]
    for connection in held:
        connection.sendall(head + b"a" * 19_500)
    with connected(hub) as one_more:
        one_more.sendall(head + b"a" * 19_500)
        said = one_more.recv(1000)
        assert said.startswith(b"HTTP/1.1 503 ")
        assert b"retry-after: 2" in said.lower()
    for connection in held:
        connection.sendall(b"a" * 500)
        assert connection.recv(100).startswith(b"HTTP/1.1 400 ")
        connection.close()
    assert sent(hub, "POST", "/api/validate-yaml", json={"content": "x"}).status_code == 200


@pytest.mark.parametrize(
    "count", [50, pytest.param(200, marks=pytest.mark.conformance)], ids=["fifty", "two hundred"]
)
def test_uploads_at_once(tmp_path: Path, count: int) -> None:
    users = tmp_path / "users.json"
    users.write_text(json.dumps(USERS))
    data = [bytes([n]) * 1_200_000 for n in range(count)]
    with spawn_hub(tmp_path / "root", users=users) as hub, ThreadPoolExecutor(count) as pool:
        api = HfApi(endpoint=hub.endpoint, token=OWNER)
        api.create_repo("ana/model")
        server = psutil.Process(hub.pid)
        before = server.memory_info().rss
        links = [link(hub.endpoint, each) for each in data]

        def upload(number: int) -> int:
            return requests.put(links[number], data=data[number], timeout=120).status_code

        statuses = list(pool.map(upload, range(count)))
        assert set(statuses) <= {200, 429, 503}
        assert statuses.count(200) > count / 2
        # At most some blocks for each, never the bodies themselves (1.2 MB each).
        assert server.memory_info().rss - before < 40e6 + count * 0.55e6
        for number, status in enumerate(statuses):
            if status == 200:
                oid = hashlib.sha256(data[number]).hexdigest()
                url = f"{hub.endpoint}/ana/model.git/info/lfs/objects/{oid}"
                if number % 20 == 0:
                    assert requests.get(url, timeout=20).content == data[number]
        assert api.repo_exists("ana/model")
        assert list((tmp_path / "root" / "tmp").iterdir()) == []
