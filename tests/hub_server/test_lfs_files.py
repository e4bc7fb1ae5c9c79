"""LFS objects listed, taken over by another repository, and deleted for good."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import requests
from huggingface_hub import HfApi
from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError

from hubkit.hub.server.embedded import EmbeddedHub
from tests.hub_server.conftest import OTHER, OWNER, USERS
from tests.hub_server.test_protocol import bare, git
from tests.hub_server.test_xet import Storage
from tests.hub_server.xet import Term, shard_of

SECRET, KEPT = b"weights that must go", b"weights that stay"


def objects(hub: EmbeddedHub, repo: str) -> set[str]:
    folder = bare(hub, repo) / "lfs" / "objects"
    return {path.name for path in folder.rglob("*") if path.is_file()}


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.fixture
def filled(api: HfApi, repo: str) -> str:
    """Two LFS files on main, one of them on a branch, a tag and a pull request too."""
    api.upload_file(repo_id=repo, path_in_repo="a.txt", path_or_fileobj=b"text")
    api.upload_file(repo_id=repo, path_in_repo="w/secret.bin", path_or_fileobj=SECRET)
    api.create_tag(repo, tag="v1", tag_message="annotated")
    api.create_tag(repo, tag="light")
    api.create_branch(repo, branch="side")
    api.upload_file(repo_id=repo, path_in_repo="kept.bin", path_or_fileobj=KEPT)
    api.upload_file(repo_id=repo, path_in_repo="b.txt", path_or_fileobj=b"pr", create_pr=True)
    return repo


def test_the_list_says_what_is_stored_and_where(api: HfApi, filled: str) -> None:
    found = {file.filename: file for file in api.list_lfs_files(filled)}
    assert set(found) == {"w/secret.bin", "kept.bin"}
    assert found["w/secret.bin"].file_oid == digest(SECRET)
    assert found["w/secret.bin"].size == len(SECRET)
    assert found["kept.bin"].ref == "main"


def test_deleted_for_good_means_in_every_revision(
    hub: EmbeddedHub, api: HfApi, filled: str
) -> None:
    before = [commit.title for commit in api.list_repo_commits(filled)]
    wanted = [file for file in api.list_lfs_files(filled) if file.filename == "w/secret.bin"]
    api.permanently_delete_lfs_files(filled, wanted)

    assert objects(hub, filled) == {digest(KEPT)}
    for revision in ("main", "side", "v1", "light", "refs/pr/1"):
        files = api.list_repo_files(filled, revision=revision)
        assert "w/secret.bin" not in files
        assert "a.txt" in files
    with pytest.raises(EntryNotFoundError):
        api.hf_hub_download(filled, "w/secret.bin")
    assert [commit.title for commit in api.list_repo_commits(filled)] == before
    reachable = git(bare(hub, filled), "log", "--all", "--format=%H", "--", "w/secret.bin")
    assert reachable == ""
    assert git(bare(hub, filled), "cat-file", "-t", "v1").strip() == "tag"
    subprocess.run(["git", "-C", str(bare(hub, filled)), "fsck", "--strict"], check=True)


def test_without_rewriting_only_the_objects_go(hub: EmbeddedHub, api: HfApi, filled: str) -> None:
    head = api.model_info(filled).sha
    api.permanently_delete_lfs_files(filled, api.list_lfs_files(filled), rewrite_history=False)
    assert objects(hub, filled) == set()
    assert api.model_info(filled).sha == head
    assert "w/secret.bin" in api.list_repo_files(filled)
    with pytest.raises(EntryNotFoundError):
        api.hf_hub_download(filled, "w/secret.bin")


def test_a_history_without_the_objects_stays_as_it_is(api: HfApi, repo: str) -> None:
    api.upload_file(repo_id=repo, path_in_repo="kept.bin", path_or_fileobj=KEPT)
    head = api.model_info(repo).sha
    api.upload_file(repo_id=repo, path_in_repo="secret.bin", path_or_fileobj=SECRET)
    wanted = [file for file in api.list_lfs_files(repo) if file.filename == "secret.bin"]
    api.permanently_delete_lfs_files(repo, wanted)
    assert api.list_repo_commits(repo)[1].commit_id == head


def test_only_the_owner_lists_and_deletes(other: HfApi, hub: EmbeddedHub, filled: str) -> None:
    with pytest.raises(HfHubHTTPError):
        list(other.list_lfs_files(filled))
    answer = requests.post(
        f"{hub.endpoint}/api/models/{filled}/lfs-files/batch",
        json={"deletions": {"sha": [digest(SECRET)], "rewriteHistory": True}},
        headers={"Authorization": f"Bearer {OTHER}"},
        timeout=10,
    )
    assert answer.status_code == 403
    assert digest(SECRET) in objects(hub, filled)


def take(hub: EmbeddedHub, source: str, target: str, data: bytes, token: str) -> requests.Response:
    return requests.post(
        f"{hub.endpoint}/api/models/{source}/lfs-files/duplicate",
        json={
            "target": {"type": "model", "name": target},
            "files": [{"sha256": digest(data), "xetHash": "0" * 64, "filename": "w.bin"}],
        },
        headers={"Authorization": f"Bearer {token}"},
        timeout=10,
    )


def test_another_repository_takes_objects_over(
    hub: EmbeddedHub, api: HfApi, filled: str, tmp_path: Path
) -> None:
    api.create_repo("lab/copy")
    assert take(hub, filled, "lab/copy", SECRET, OWNER).json()["failed"] == []
    assert objects(hub, "lab/copy") == {digest(SECRET)}
    # Each has its own: what one deletes stays with the other.
    api.permanently_delete_lfs_files(filled, api.list_lfs_files(filled))
    assert objects(hub, "lab/copy") == {digest(SECRET)}


def test_a_private_object_is_not_taken_by_its_digest(
    hub: EmbeddedHub, api: HfApi, other: HfApi, filled: str
) -> None:
    other.create_repo("bob/mine")
    assert take(hub, filled, "bob/mine", SECRET, OTHER).status_code == 200  # it is public
    api.update_repo_settings(filled, private=True)
    assert take(hub, filled, "bob/mine", KEPT, OTHER).status_code == 404
    assert take(hub, "bob/mine", filled, SECRET, OTHER).status_code == 404
    answer = take(hub, "bob/mine", "bob/mine", b"unknown", OTHER).json()
    assert [item["sha256"] for item in answer["failed"]] == [digest(b"unknown")]


def commit_pointer(hub: EmbeddedHub, repo: str, path: str, data: bytes) -> None:
    """As a client commits an object that it knows to be there."""
    lines: list[dict[str, object]] = [
        {"key": "header", "value": {"summary": path}},
        {"key": "lfsFile", "value": {"path": path, "oid": digest(data), "size": len(data)}},
    ]
    answer = requests.post(
        f"{hub.endpoint}/api/models/{repo}/commit/main",
        data="\n".join(map(json.dumps, lines)),
        headers={"Authorization": f"Bearer {OWNER}"},
        timeout=10,
    )
    assert answer.status_code == 200


@pytest.mark.parametrize("prefer_xet", [True, False])
def test_xet_hashes_are_told_and_go_along(tmp_path: Path, prefer_xet: bool) -> None:
    terms = [Term([b"one" * 3000, b"two" * 3000], 0, 2)]
    (wanted, _), content = shard_of(terms), terms[0].content
    with EmbeddedHub(tmp_path / "root", users=USERS, prefer_xet=prefer_xet) as hub:
        api = HfApi(endpoint=hub.endpoint, token=OWNER)
        for repo in ("ana/model", "lab/copy"):
            api.create_repo(repo)
        assert Storage(hub, "ana/model", "write", OWNER).upload(terms).status_code == 200
        assert take(hub, "ana/model", "lab/copy", content, OWNER).json()["failed"] == []
        for repo in ("ana/model", "lab/copy"):
            commit_pointer(hub, repo, "w.bin", content)
            url = f"{hub.endpoint}/api/models/{repo}"
            # 2.x copies a file to another repository only if it is told its Xet hash here.
            asked = {"paths": ["w.bin", ".gitattributes"]}
            told = requests.post(f"{url}/paths-info/main", json=asked, timeout=10).json()
            assert [item.get("xetHash") for item in told] == [wanted, None]
            # In a list, a hash makes a client download by Xet.
            listed = requests.get(f"{url}/tree/main", timeout=10).json()
            hashes = [item.get("xetHash") for item in listed if item["path"] == "w.bin"]
            assert hashes == [wanted if prefer_xet else None]
            api.upload_file(
                repo_id=repo, path_in_repo="by-lfs.bin", path_or_fileobj=io.BytesIO(KEPT)
            )
            (by_lfs,) = requests.post(
                f"{url}/paths-info/main", json={"paths": ["by-lfs.bin"]}, timeout=10
            ).json()
            assert bool(by_lfs.get("xetHash")) == prefer_xet
            reader = Storage(hub, repo, "read", OWNER)
            for told_hash in (wanted, *([by_lfs["xetHash"]] if prefer_xet else [])):
                assert reader.get(f"v1/reconstructions/{told_hash}").status_code == 200


# What git-lfs does for one file, for machines that have git only.
_SMUDGE = """
import base64, json, sys, urllib.parse, urllib.request
remote = urllib.parse.urlsplit(sys.argv[1])
lines = dict(line.split(" ", 1) for line in sys.stdin.read().splitlines())
item = {"oid": lines["oid"].removeprefix("sha256:"), "size": int(lines["size"])}
where = f"http://{remote.hostname}:{remote.port}{remote.path}.git/info/lfs/objects/batch"
user = base64.b64encode(f"{remote.username}:{remote.password}".encode()).decode()
mime = "application/vnd.git-lfs+json"
headers = {"Authorization": f"Basic {user}", "Accept": mime, "Content-Type": mime}
asked = {"operation": "download", "transfers": ["basic"], "objects": [item]}
request = urllib.request.Request(where, json.dumps(asked).encode(), headers)
link = json.load(urllib.request.urlopen(request))["objects"][0]["actions"]["download"]["href"]
sys.stdout.buffer.write(urllib.request.urlopen(link).read())
"""


@pytest.mark.parametrize(
    "program",
    [
        "stand-in",
        pytest.param(
            "git-lfs", marks=pytest.mark.skipif(not shutil.which("git-lfs"), reason="no git-lfs")
        ),
    ],
)
def test_git_clones_with_lfs(
    hub: EmbeddedHub, api: HfApi, filled: str, tmp_path: Path, program: str
) -> None:
    api.update_repo_settings(filled, private=True)
    remote = f"http://ana:{OWNER}@{hub.endpoint.removeprefix('http://')}/{filled}"
    (tmp_path / "smudge.py").write_text(_SMUDGE)
    smudge = f'"{sys.executable}" "{tmp_path / "smudge.py"}" {remote}'
    if program == "git-lfs":
        smudge = "git-lfs smudge -- %f"
    environment = os.environ | {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_TERMINAL_PROMPT": "0"}
    options = ["-c", f"filter.lfs.smudge={smudge}", "-c", "filter.lfs.required=true"]
    command = ["git", *options, "clone", "-q", remote, str(tmp_path / "clone")]
    subprocess.run(command, check=True, capture_output=True, env=environment)

    assert (tmp_path / "clone/w/secret.bin").read_bytes() == SECRET
    assert (tmp_path / "clone/kept.bin").read_bytes() == KEPT
    assert (tmp_path / "clone/a.txt").read_bytes() == b"text"
