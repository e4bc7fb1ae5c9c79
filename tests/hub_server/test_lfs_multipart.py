"""LFS objects in parts: with the client itself, and what is refused."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

import pytest
import requests
from huggingface_hub import HfApi

from hubkit.hub.server import lfs_multipart
from hubkit.hub.server.embedded import EmbeddedHub
from tests.hub_server.conftest import OWNER

CONTENT = bytes(range(256)) * 1000
OID = hashlib.sha256(CONTENT).hexdigest()
PART = 100_000


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lfs_multipart, "OVER_BYTES", 200_000)
    monkeypatch.setattr(lfs_multipart, "PART_BYTES", PART)
    monkeypatch.setattr(lfs_multipart, "_BLOCK_BYTES", 1000)


def links(hub: EmbeddedHub, repo: str, oid: str = OID) -> dict[str, object]:
    """The batch's upload action."""
    body = {
        "operation": "upload",
        "transfers": ["basic", "multipart"],
        "objects": [{"oid": oid, "size": len(CONTENT)}],
    }
    url = f"{hub.endpoint}/{repo}.git/info/lfs/objects/batch"
    answer = requests.post(url, json=body, headers={"Authorization": f"Bearer {OWNER}"}, timeout=10)
    upload: dict[str, object] = answer.json()["objects"][0]["actions"]["upload"]
    return upload


def put_all(action: dict[str, object], content: bytes = CONTENT) -> list[dict[str, object]]:
    """PUT every part; what the completion names."""
    header = action["header"]
    assert isinstance(header, dict)
    assert header["chunk_size"] == str(PART)
    found = []
    for number, start in enumerate(range(0, len(content), PART), 1):
        answer = requests.put(header[str(number)], content[start : start + PART], timeout=10)
        assert answer.status_code == 200
        found.append({"partNumber": number, "etag": answer.headers["ETag"]})
    return found


def complete(action: dict[str, object], parts: list[dict[str, object]]) -> requests.Response:
    body = {"oid": OID, "parts": parts}
    return requests.post(str(action["href"]), json=body, timeout=10)


def stored(hub: EmbeddedHub, repo: str) -> list[bytes]:
    folder = hub.root / "repos" / "models" / f"{repo}.git" / "lfs"
    return [path.read_bytes() for path in folder.rglob("*") if path.is_file()]


def test_the_client_sends_a_large_file_in_parts(hub: EmbeddedHub, api: HfApi, repo: str) -> None:
    given = io.BytesIO(CONTENT)
    api.upload_file(path_or_fileobj=given, path_in_repo="large.bin", repo_id=repo)

    puts = [path.rpartition("/")[2] for method, path in hub.requests if method == "PUT"]
    assert puts == ["1", "2", "3"]
    assert stored(hub, repo) == [CONTENT]
    url = f"{hub.endpoint}/{repo}/resolve/main/large.bin"
    assert requests.get(url, timeout=10).content == CONTENT
    assert list((hub.root / "tmp").iterdir()) == []


def test_parts_may_be_sent_again_and_completed_twice(hub: EmbeddedHub, repo: str) -> None:
    action = links(hub, repo)
    put_all(action)
    parts = put_all(links(hub, repo))

    assert complete(action, parts[::-1]).status_code == 200
    assert complete(action, parts).status_code == 200
    assert stored(hub, repo) == [CONTENT]


def test_what_is_not_whole_or_not_right_is_refused(hub: EmbeddedHub, repo: str) -> None:
    action = links(hub, repo)
    parts = put_all(action)
    for wrong in (parts[:2], [*parts, {"partNumber": 4, "etag": "x"}], [{"etag": 1}], []):
        assert complete(action, wrong).status_code == 400
    other = put_all(action, bytes(len(CONTENT)))
    refused = complete(action, [parts[0], other[1], parts[2]])
    assert (refused.status_code, "sha256 is" in refused.text) == (400, True)
    assert complete(action, [{**parts[0], "etag": "0" * 64}, *parts[1:]]).status_code == 400
    assert stored(hub, repo) == []


def test_a_part_has_its_length_and_its_link(hub: EmbeddedHub, repo: str) -> None:
    header = links(hub, repo)["header"]
    assert isinstance(header, dict)
    for content in (b"x" * (PART - 1), b"x" * (PART + 1)):
        assert requests.put(header["1"], content, timeout=10).status_code == 400
    for url in (header["1"].replace(f"{OID}/1", f"{OID}/2"), header["1"].partition("?")[0]):
        assert requests.put(url, b"x" * PART, timeout=10).status_code == 403
    assert (
        requests.post(header["1"].replace(f"{OID}/1", OID), json={}, timeout=10).status_code == 403
    )
    assert list((hub.root / "tmp").iterdir()) == []


def test_who_cannot_send_parts_sends_one_piece(hub: EmbeddedHub, repo: str) -> None:
    body = {"operation": "upload", "objects": [{"oid": OID, "size": len(CONTENT)}]}
    url = f"{hub.endpoint}/{repo}.git/info/lfs/objects/batch"
    answer = requests.post(url, json=body, headers={"Authorization": f"Bearer {OWNER}"}, timeout=10)
    action = answer.json()["objects"][0]["actions"]["upload"]

    assert "header" not in action
    assert requests.put(action["href"], CONTENT, timeout=10).status_code == 200
    assert stored(hub, repo) == [CONTENT]


@pytest.mark.parametrize("size", [5 * 1000**3 + 1, 50 * 1000**3, 500 * 1000**3])
def test_there_are_never_more_parts_than_a_batch_should_hold(
    size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    length = lfs_multipart.part_bytes(size)

    assert -(-size // length) <= lfs_multipart.MOST_PARTS
    assert length >= 64 << 20


def test_the_folder_of_parts_is_no_path_of_the_request(hub: EmbeddedHub, repo: str) -> None:
    put_all(links(hub, repo))
    (folder,) = [path for path in (hub.root / "tmp").iterdir() if path.is_dir()]

    assert len(list(Path(folder).iterdir())) == 3
    url = f"{hub.endpoint}/{repo}.git/info/lfs/objects/{OID}/..%2F..%2Fx?size=1&expires=9999999999"
    assert requests.put(url, b"x", timeout=10).status_code == 403
