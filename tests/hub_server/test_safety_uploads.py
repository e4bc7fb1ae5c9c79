"""Uploads that fail on the way, outlive their repository, or ask for more than they send."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import socket
import threading
import time
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests
from huggingface_hub import HfApi

from hubkit.hub.server import xet_files
from hubkit.hub.server.embedded import EmbeddedHub
from hubkit.hub.server.hashing import HashedFile
from hubkit.hub.server.names import RepoId
from hubkit.hub.server.problems import Problem
from hubkit.hub.server.receiving import LargeBody
from hubkit.hub.server.repos import RepoStore
from hubkit.hub.server.xet_files import XetFiles
from hubkit.hub.server.xet_formats import ShardFile, Term
from hubkit.hub.server.xet_hashes import to_bytes
from hubkit.hub.server.xet_xorbs import XorbStore
from tests.hub_server.conftest import OWNER
from tests.hub_server.test_safety_limits import link
from tests.hub_server.xet import xorb_of

SMALL = b"0123456789" * 5
REPO = RepoId("model", "ana", "model")
AS_OWNER = {"Authorization": f"Bearer {OWNER}"}


def connected(hub: EmbeddedHub) -> socket.socket:
    parts = urlsplit(hub.endpoint)
    return socket.create_connection((parts.hostname or "", parts.port or 0), timeout=20)


def put_head(url: str, length: int) -> bytes:
    parts = urlsplit(url)
    return (
        f"PUT {parts.path}?{parts.query} HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n"
    ).encode()


def test_a_full_disk_on_the_way_is_answered(
    hub: EmbeddedHub, repo: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[int] = []
    write, buffer = HashedFile.write, LargeBody.get_buffer

    def full(self: HashedFile, data: bytes | memoryview) -> None:
        if self.size_bytes > 3 << 20:
            raise OSError(28, os.strerror(28))
        write(self, data)

    def counted(self: LargeBody, sizehint: int) -> memoryview:
        found = buffer(self, sizehint)
        made.append(self._made)
        return found

    monkeypatch.setattr(HashedFile, "write", full)
    monkeypatch.setattr(LargeBody, "get_buffer", counted)
    data = bytes(40 << 20)
    url = link(hub.endpoint, data, repo)

    started = time.monotonic()
    assert requests.put(url, data=data, timeout=8).status_code == 507

    assert time.monotonic() - started < 8
    assert max(made) <= 4
    assert list((hub.root / "tmp").iterdir()) == []
    assert requests.get(f"{hub.endpoint}/healthz", timeout=10).status_code == 200


@pytest.mark.parametrize("how", ["deleted", "moved"])
def test_an_upload_that_outlives_its_repository_leaves_nothing(
    hub: EmbeddedHub, api: HfApi, repo: str, how: str
) -> None:
    url = link(hub.endpoint, SMALL, repo)
    with connected(hub) as connection:
        connection.sendall(put_head(url, len(SMALL)) + SMALL[:10])
        deadline = time.monotonic() + 10
        while not list((hub.root / "tmp").glob("lfs-*")) and time.monotonic() < deadline:
            time.sleep(0.01)
        if how == "deleted":
            api.delete_repo(repo)
        else:
            api.move_repo(repo, "ana/other")
        connection.sendall(SMALL[10:])
        assert connection.recv(100).startswith(b"HTTP/1.1 404 ")

    assert not (hub.root / "repos" / "models" / "ana" / "model.git").exists()
    api.create_repo(repo)
    assert api.repo_exists(repo)


def test_nothing_is_taken_over_into_a_repository_that_has_gone(tmp_path: Path) -> None:
    store = RepoStore(tmp_path)
    found = store.create(REPO, "ana", private=False, sdk=None)
    files, digest = XetFiles(found, store.temporary), "0" * 64
    (tmp_path / "object").write_bytes(SMALL)
    name, body = xorb_of([SMALL])
    (tmp_path / "xorb").write_bytes(body)
    store.delete(found)

    with pytest.raises(Problem, match="not found"):
        found.lfs.take(tmp_path / "object", digest)
    with pytest.raises(Problem, match="not found"):
        files._write(digest, digest, b"record")
    with (tmp_path / "xorb").open("rb") as stream, pytest.raises(Problem, match="not found"):
        XorbStore(found, store.temporary).receive(to_bytes(name), stream)
    with pytest.raises(Problem, match="not found"):
        store.delete(found)
    assert not found.path.exists()


def test_a_start_sweeps_what_has_no_repository(tmp_path: Path) -> None:
    store = RepoStore(tmp_path)
    kept = store.create(REPO, "ana", private=False, sdk=None)
    ghost, theirs = kept.path.with_name("ghost.git"), kept.path.with_name("theirs.git")
    (ghost / "lfs" / "objects").mkdir(parents=True)
    theirs.mkdir()
    (theirs / "HEAD").write_text("ref: refs/heads/main\n")
    store.sweep()
    assert sorted(kept.path.parent.glob("*.git")) == [kept.path, theirs]


def test_others_go_on_while_a_repository_is_deleted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = RepoStore(tmp_path)
    found = store.create(REPO, "ana", private=False, sdk=None)
    blocked: list[bool] = []

    def make() -> None:
        store.create(RepoId("model", "ana", "other"), "ana", private=False, sdk=None)

    def slow(folder: Path) -> None:
        # In another thread, since this one may take its locks again.
        other = threading.Thread(target=make, daemon=True)
        other.start()
        other.join(timeout=5)
        blocked.append(other.is_alive())

    monkeypatch.setattr(shutil, "rmtree", slow)
    store.delete(found)
    assert blocked == [False]


def test_a_short_shard_is_not_a_long_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = RepoStore(tmp_path)
    files = XetFiles(store.create(REPO, "ana", private=False, sdk=None), store.temporary)

    def none(self: XorbStore, xorb: bytes) -> None:
        raise AssertionError("no list is looked at")

    monkeypatch.setattr(XorbStore, "chunks", none)
    back = Term(bytes(32), xet_files.MOST_CHUNKS, 0, 0, bytes(32))
    term = Term(bytes(32), 0, 8000, 0, bytes(32))
    terms = (back, *[term] * (xet_files.MOST_CHUNKS // 8000 + 1))
    with pytest.raises(Problem) as error:
        files.check([ShardFile(bytes(32), bytes(32), terms)], 1 << 40)
    assert error.value.status == 413


def said(hub: EmbeddedHub, request: str) -> bytes:
    """The answer to headers alone: nothing of the body is sent."""
    with connected(hub) as connection:
        connection.sendall(request.encode())
        return connection.recv(100)


@pytest.mark.parametrize(
    ("request_line", "status"),
    [
        ("POST /api/repos/create", 401),
        ("POST /api/repos/move", 401),
        ("DELETE /api/repos/delete", 401),
        ("POST /api/validate-yaml", 413),
    ],
)
def test_nobody_is_refused_before_the_body(
    hub: EmbeddedHub, request_line: str, status: int
) -> None:
    more = f" HTTP/1.1\r\nHost: x\r\nContent-Length: {3 << 20}\r\n\r\n"
    assert said(hub, request_line + more).startswith(b"HTTP/1.1 %d " % status)


def test_the_length_alone_refuses_parts_and_xorbs(hub: EmbeddedHub, repo: str) -> None:
    url = f"{hub.endpoint}/api/models/{repo}/xet-write-token/main"
    token = requests.get(url, headers=AS_OWNER, timeout=10).json()
    path = urlsplit(token["casUrl"]).path
    more = f"Authorization: Bearer {token['accessToken']}\r\nContent-Length: 99999999\r\n\r\n"
    xorb = f"POST {path}/v1/xorbs/default/{'0' * 64} HTTP/1.1\r\nHost: x\r\n{more}"
    assert said(hub, xorb).startswith(b"HTTP/1.1 413 ")

    ask = {
        "operation": "upload",
        "transfers": ["multipart"],
        "objects": [{"oid": hashlib.sha256(SMALL).hexdigest(), "size": 5 * 1000**3 + 1}],
    }
    batch = f"{hub.endpoint}/{repo}.git/info/lfs/objects/batch"
    answer = requests.post(batch, data=json.dumps(ask), headers=AS_OWNER, timeout=10).json()
    part = answer["objects"][0]["actions"]["upload"]["header"]["1"]
    with connected(hub) as connection:
        connection.sendall(put_head(part, 99999999))
        assert connection.recv(100).startswith(b"HTTP/1.1 400 ")
