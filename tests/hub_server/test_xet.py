"""The Xet storage: with hf_xet itself, and with requests that no honest client sends."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from huggingface_hub import HfApi, hf_hub_download

from hubkit.hub.server import xet_api, xet_files, xet_tokens, xet_xorbs
from hubkit.hub.server.disk import write_atomic
from hubkit.hub.server.embedded import EmbeddedHub
from hubkit.hub.server.limits import Limits
from tests.hub_server.conftest import OTHER, OWNER, READER, USERS
from tests.hub_server.xet import LZ4, Term, shard_of, xorb_of

PARTS = [random.Random(n).randbytes(9000) for n in range(6)]
CONTENT = b"".join(PARTS)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[EmbeddedHub]:
    monkeypatch.setenv("HF_XET_CACHE", str(tmp_path / "xet-cache"))
    with EmbeddedHub(tmp_path / "root", users=USERS, prefer_xet=True) as running:
        yield running


class Storage:
    """The storage of one repository, with one token."""

    def __init__(self, hub: EmbeddedHub, repo: str, kind: str, user: str | None) -> None:
        headers = {"Authorization": f"Bearer {user}"} if user else {}
        url = f"{hub.endpoint}/api/models/{repo}/xet-{kind}-token/main"
        self.answer = requests.get(url, headers=headers, timeout=10)
        self.url = self.answer.json().get("casUrl", "")
        token = self.answer.json().get("accessToken", "")
        self.headers = {"Authorization": f"Bearer {token}"}

    def get(self, path: str, **headers: str) -> requests.Response:
        return requests.get(f"{self.url}/{path}", headers={**self.headers, **headers}, timeout=10)

    def post(self, path: str, body: bytes) -> requests.Response:
        return requests.post(f"{self.url}/{path}", data=body, headers=self.headers, timeout=10)

    def upload(self, terms: list[Term], version: str = "v1") -> requests.Response:
        for term in terms:
            digest, body = xorb_of(term.parts, LZ4)
            assert self.post(f"v1/xorbs/default/{digest}", body).status_code == 200
        return self.post(f"{version}/shards", shard_of(terms)[1])


def objects(hub: EmbeddedHub, repo: str) -> list[str]:
    """SHA-256 of every LFS object, each held against its content."""
    folder = hub.root / "repos" / "models" / f"{repo}.git" / "lfs" / "objects"
    found = [path for path in folder.rglob("*") if path.is_file()]
    assert all(hashlib.sha256(path.read_bytes()).hexdigest() == path.name for path in found)
    return [path.name for path in found]


def copies(hub: EmbeddedHub, repo: str) -> list[Path]:
    """Chunks that are kept beside the files they are in."""
    return list((hub.root / "repos" / "models" / f"{repo}.git" / "xet" / "incoming").iterdir())


def test_the_real_client_uploads_downloads_and_sends_only_what_is_new(
    hub: EmbeddedHub, api: HfApi, repo: str, tmp_path: Path
) -> None:
    source = random.Random(1)
    first = source.randbytes(3_000_000) + b"\0" * 500_000
    second = first[:2_000_000] + source.randbytes(200_000) + first[2_000_000:]
    for name, content in (("a.safetensors", first), ("b.safetensors", second)):
        (tmp_path / name).write_bytes(content)
        api.upload_file(path_or_fileobj=tmp_path / name, path_in_repo=name, repo_id=repo)

    for name, content in (("a.safetensors", first), ("b.safetensors", second)):
        path = hf_hub_download(
            repo, name, endpoint=hub.endpoint, token=OWNER, cache_dir=tmp_path / "cache"
        )
        assert Path(path).read_bytes() == content
    paths = [path for _, path in hub.requests]
    assert sum("/v1/xorbs/" in path for path in paths) == 2
    assert sum("/reconstructions/" in path for path in paths) >= 2
    assert not [path for path in paths if "/info/lfs/objects/" in path and "batch" not in path]
    xorbs = hub.root / "repos" / "models" / f"{repo}.git" / "xet" / "xorbs"
    chunks = [path.stat().st_size // 36 for path in xorbs.rglob("*.index")]
    assert min(chunks) < max(chunks) / 3  # of the second file only what changed came
    assert copies(hub, repo) == []
    assert len(objects(hub, repo)) == 2


def test_what_was_deleted_for_good_is_uploaded_again(
    hub: EmbeddedHub, api: HfApi, repo: str, tmp_path: Path
) -> None:
    (tmp_path / "w.bin").write_bytes(CONTENT)
    given = {"path_or_fileobj": tmp_path / "w.bin", "path_in_repo": "w.bin", "repo_id": repo}
    api.upload_file(**given)
    for path in (hub.root / "repos").rglob(hashlib.sha256(CONTENT).hexdigest()):
        if "lfs" in path.parts:
            path.unlink()
    api.delete_file("w.bin", repo)

    # The client believes that its chunks are there; once it has heard of it, it sends them.
    with pytest.raises(Exception, match=r"400|upload it first"):
        api.upload_file(**given)
    api.upload_file(**given)

    assert objects(hub, repo) == [hashlib.sha256(CONTENT).hexdigest()]


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_a_shard_makes_a_file_that_can_be_read_in_ranges(
    hub: EmbeddedHub, api: HfApi, repo: str, version: str
) -> None:
    storage = Storage(hub, repo, "write", OWNER)
    terms = [Term(PARTS[:4], 1, 4), Term(PARTS[:4], 0, 2), Term(PARTS[4:], 0, 2)]
    answer = storage.upload(terms, version)
    content = b"".join(term.content for term in terms)

    last = json.loads(answer.content.splitlines()[-1])
    assert last == ({"type": "result"} if version == "v2" else {"result": 1})
    assert objects(hub, repo) == [hashlib.sha256(content).hexdigest()]
    assert copies(hub, repo) == []
    name = shard_of(terms)[0]
    for first, end in ((0, len(content)), (8_999, 9_001), (20_000, 40_000), (62_999, 63_000)):
        wanted = f"bytes={first}-{end - 1}"
        found = storage.get(f"{version}/reconstructions/{name}", Range=wanted).json()
        assert _assembled(found, version)[: end - first] == content[first:end]
    past = storage.get(f"{version}/reconstructions/{name}", Range=f"bytes={len(content)}-")
    assert past.status_code == 416


def _assembled(found: dict[str, object], version: str) -> bytes:
    """What a client makes of a reconstruction, up to the end of its last chunk."""
    assert isinstance(found["terms"], list)
    data = b""
    for term in found["terms"]:
        fetches = found["fetch_info" if version == "v1" else "xorbs"]
        assert isinstance(fetches, dict)
        (fetch,) = fetches[term["hash"]]
        span = fetch["url_range"] if version == "v1" else fetch["ranges"][0]["bytes"]
        wanted = {"Range": f"bytes={span['start']}-{span['end']}"}
        answer = requests.get(fetch["url"], headers=wanted, timeout=10)
        assert answer.status_code == 206
        assert len(answer.content) == span["end"] - span["start"] + 1
        body, piece = answer.content, b""
        while body:
            size = int.from_bytes(body[5:8], "little")
            piece, body = piece + body[8 : 8 + size], body[8 + size :]
        assert len(piece) == term["unpacked_length"]
        data += piece
    return data[int(str(found["offset_into_first_range"])) :]


def test_nothing_of_another_repository_can_be_used(
    hub: EmbeddedHub, api: HfApi, other: HfApi, repo: str
) -> None:
    api.update_repo_settings(repo, private=True)
    Storage(hub, repo, "write", OWNER).upload([Term(PARTS, 0, 6)])
    other.create_repo("bob/model")
    thief = Storage(hub, "bob/model", "write", OTHER)
    name, shard = shard_of([Term(PARTS, 0, 6)])

    before = thief.url
    refused = thief.post("v1/shards", shard)
    assert (refused.status_code, "upload it first" in refused.text) == (400, True)
    assert objects(hub, "bob/model") == []
    assert thief.get(f"v1/reconstructions/{name}").status_code == 404
    thief.url = Storage(hub, repo, "write", OWNER).url
    for answer in (thief.get(f"v1/reconstructions/{name}"), thief.post("v1/shards", shard)):
        assert answer.status_code == 401
    assert Storage(hub, repo, "read", OTHER).answer.status_code == 404
    assert Storage(hub, repo, "read", None).answer.status_code == 401
    # Whoever was refused gets another address, where a client's cache of uploads does not hold.
    assert Storage(hub, "bob/model", "write", OTHER).url != before


def test_a_link_to_chunks_is_for_those_chunks(hub: EmbeddedHub, api: HfApi, repo: str) -> None:
    storage = Storage(hub, repo, "write", OWNER)
    storage.upload([Term(PARTS[:3], 0, 3)])
    storage.upload([Term(PARTS[3:], 0, 3)])
    names = [shard_of([Term(parts, 0, 3)])[0] for parts in (PARTS[:3], PARTS[3:])]
    found = storage.get(f"v1/reconstructions/{names[0]}").json()
    ((fetch,),) = found["fetch_info"].values()

    assert _status(fetch["url"]) == 200
    swapped = fetch["url"].replace(f"data/{names[0]}", f"data/{names[1]}")
    for url in (swapped, fetch["url"].partition("?")[0], fetch["url"] + "0"):
        assert _status(url) == 403
    assert _status(fetch["url"], Range="bytes=99999-") == 416


def _status(url: str, **headers: str) -> int:
    return requests.get(url, headers=headers, timeout=10).status_code


def test_tokens_allow_what_their_holder_may_do(
    hub: EmbeddedHub, api: HfApi, repo: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, shard = shard_of([Term(PARTS, 0, 6)])
    digest, body = xorb_of(PARTS)
    reader = Storage(hub, repo, "read", OWNER)
    for answer in (
        reader.post("v1/shards", shard),
        reader.post(f"v1/xorbs/default/{digest}", body),
    ):
        assert answer.status_code == 403
    assert Storage(hub, repo, "write", READER).answer.status_code == 403
    assert Storage(hub, repo, "write", None).answer.status_code == 401

    api.update_repo_settings(repo, gated="manual")
    contributor = Storage(hub, repo, "write", OTHER)
    assert contributor.upload([Term(PARTS, 0, 6)]).status_code == 200
    assert contributor.get(f"v1/reconstructions/{name}").status_code == 403
    assert Storage(hub, repo, "read", OTHER).answer.status_code == 403

    owner = Storage(hub, repo, "write", OWNER)
    assert owner.get(f"v1/reconstructions/{name}").status_code == 200
    good = owner.headers["Authorization"]
    for bad in (
        "",
        good[:-1] + ("0" if good[-1] != "0" else "1"),
        "Bearer xet_e30.",
        f"Bearer {OWNER}",
    ):
        owner.headers["Authorization"] = bad
        assert owner.get(f"v1/reconstructions/{name}").status_code == 401
    monkeypatch.setattr(xet_tokens, "TOKEN_LIFE_S", -1)
    assert Storage(hub, repo, "read", OWNER).get(f"v1/reconstructions/{name}").status_code == 401


def test_a_token_ends_with_its_repository(hub: EmbeddedHub, api: HfApi, repo: str) -> None:
    old = Storage(hub, repo, "write", OWNER)
    api.delete_repo(repo)
    api.create_repo(repo)
    new = Storage(hub, repo, "write", OWNER)
    digest, body = xorb_of(PARTS)

    assert old.url != new.url
    assert old.post(f"v1/xorbs/default/{digest}", body).status_code == 401
    old.url = new.url
    assert old.post(f"v1/xorbs/default/{digest}", body).status_code == 401


def test_content_is_hashed_on_arrival(hub: EmbeddedHub, api: HfApi, repo: str) -> None:
    storage = Storage(hub, repo, "write", OWNER)
    digest, body = xorb_of(PARTS)
    wrong = storage.post(f"v1/xorbs/default/{digest}", xorb_of(PARTS[::-1])[1])
    assert (wrong.status_code, "does not have the hash" in wrong.text) == (400, True)

    assert storage.post(f"v1/xorbs/default/{digest}", body).json() == {"was_inserted": True}
    assert storage.post(f"v1/xorbs/default/{digest}", body).json() == {"was_inserted": False}
    liar = hashlib.sha256(b"something else").hexdigest()
    for shard, why in (
        (shard_of([Term(PARTS, 0, 6)], sha256=liar)[1], "sha256 is"),
        (shard_of([Term(PARTS, 0, 6, proof=b"x" * 32)])[1], "not proven"),
        (_renamed(shard_of([Term(PARTS, 0, 6)])[1]), "has another hash"),
        (shard_of([Term(PARTS, 4, 4)])[1], "names chunks that the xorb has not"),
    ):
        refused = storage.post("v1/shards", shard)
        assert (refused.status_code, why in refused.text) == (400, True), refused.text
    streamed = storage.post("v2/shards", shard_of([Term(PARTS, 0, 6)], sha256=liar)[1])
    last = json.loads(streamed.content.splitlines()[-1])
    assert (last["type"], last["retryable"]) == ("error", False)
    assert objects(hub, repo) == []


def _renamed(shard: bytes) -> bytes:
    return shard[:48] + b"y" * 32 + shard[80:]


@pytest.mark.parametrize(
    "path",
    [
        "v1/xorbs/default/..%2F..%2Fhub.json",
        "v1/xorbs/default/" + "0" * 63 + "%00",
        "v1/xorbs/default/" + "Z" * 64,
    ],
)
def test_no_path_comes_of_a_hash(hub: EmbeddedHub, api: HfApi, repo: str, path: str) -> None:
    assert Storage(hub, repo, "write", OWNER).post(path, xorb_of(PARTS)[1]).status_code == 400


def test_sizes_are_limited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    terms = [Term(PARTS, 0, 6)] * 50
    limits = Limits(file_bytes=len(CONTENT) * 50 - 1)
    with EmbeddedHub(tmp_path / "root", users=USERS, limits=limits) as hub:
        HfApi(endpoint=hub.endpoint, token=OWNER).create_repo("ana/model")
        storage = Storage(hub, "ana/model", "write", OWNER)
        assert storage.upload(terms[:1]).status_code == 200
        assert storage.post("v1/shards", shard_of(terms)[1]).status_code == 413
        monkeypatch.setattr(xet_api, "MOST_XORB_BODY_BYTES", 50_000)
        digest, body = xorb_of(PARTS)
        assert storage.post(f"v1/xorbs/default/{digest}", body).status_code == 413
        assert list((hub.root / "tmp").iterdir()) == []


def test_an_upload_that_was_cut_off_goes_on_after_a_restart(tmp_path: Path) -> None:
    root = tmp_path / "root"
    with EmbeddedHub(root, users=USERS) as hub:
        HfApi(endpoint=hub.endpoint, token=OWNER).create_repo("ana/model")
        storage = Storage(hub, "ana/model", "write", OWNER)
        digest, body = xorb_of(PARTS)
        assert storage.post(f"v1/xorbs/default/{digest}", body).status_code == 200
        before = storage.url.rpartition("/")[2]
    with EmbeddedHub(root, users=USERS) as hub:
        storage = Storage(hub, "ana/model", "write", OWNER)
        assert storage.url.rpartition("/")[2] == before
        assert storage.post("v1/shards", shard_of([Term(PARTS, 0, 6)])[1]).status_code == 200
        assert objects(hub, "ana/model") == [hashlib.sha256(CONTENT).hexdigest()]


def test_chunks_without_a_file_go_after_a_week(
    hub: EmbeddedHub, api: HfApi, repo: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest, body = xorb_of(PARTS)
    storage = Storage(hub, repo, "write", OWNER)
    storage.post(f"v1/xorbs/default/{digest}", body)
    Storage(hub, repo, "write", OWNER)
    assert len(copies(hub, repo)) == 1

    monkeypatch.setattr(xet_xorbs, "ABANDONED_S", -1)
    assert Storage(hub, repo, "write", OWNER).upload([Term(PARTS, 0, 6)]).status_code == 200
    storage.post(f"v1/xorbs/default/{xorb_of(PARTS[:1])[0]}", xorb_of(PARTS[:1])[1])
    Storage(hub, repo, "write", OWNER)
    assert copies(hub, repo) == []
    # What is a file needs no copy: the same xorb is known, and makes another file.
    assert storage.post(f"v1/xorbs/default/{digest}", body).json() == {"was_inserted": False}
    assert storage.post("v1/shards", shard_of([Term(PARTS, 2, 5)])[1]).status_code == 200
    refused = storage.post("v1/shards", shard_of([Term(PARTS[:1], 0, 1)])[1])
    assert refused.status_code == 400


def test_an_upload_that_fails_at_any_step_is_completed_by_the_next(
    hub: EmbeddedHub, api: HfApi, repo: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each write that names something fails once, as the end of the process would make it."""
    countdown = [0]

    def failing(path: Path, data: bytes) -> None:
        countdown[0] -= 1
        if countdown[0] == 0:
            raise OSError("the process ends here")
        write_atomic(path, data)

    for module in (xet_xorbs, xet_files):
        monkeypatch.setattr(module, "write_atomic", failing)
    failures, step = 0, 0
    while failures == step:
        step += 1
        parts = [part + bytes([step]) for part in PARTS]
        terms = [Term(parts, 0, 6)]
        digest, body = xorb_of(parts)
        storage = Storage(hub, repo, "write", OWNER)
        countdown[0] = step
        sent = [storage.post(f"v1/xorbs/default/{digest}", body)]
        sent.append(storage.post("v1/shards", shard_of(terms)[1]))
        failures += any(answer.status_code == 500 for answer in sent)
        countdown[0] = 0
        assert storage.upload(terms).status_code == 200
        assert hashlib.sha256(b"".join(parts)).hexdigest() in objects(hub, repo)
        name = shard_of(terms)[0]
        found = storage.get(f"v1/reconstructions/{name}").json()
        assert _assembled(found, "v1") == b"".join(parts)
        assert copies(hub, repo) == []
    assert failures == 4  # the xorb's list; the file's list, its name, and where its chunks are


def test_downloads_are_by_http_unless_xet_is_preferred(tmp_path: Path) -> None:
    with EmbeddedHub(tmp_path / "root", users=USERS) as hub:
        api = HfApi(endpoint=hub.endpoint, token=OWNER)
        api.create_repo("ana/model")
        Storage(hub, "ana/model", "write", OWNER).upload([Term(PARTS, 0, 6)])
        api.upload_file(path_or_fileobj=CONTENT, path_in_repo="w.bin", repo_id="ana/model")
        url = f"{hub.endpoint}/ana/model/resolve/main/w.bin"
        assert "X-Xet-Hash" not in requests.head(url, timeout=10).headers
        assert requests.get(url, timeout=10).content == CONTENT
