"""Publishing, resolving and loading, with the unmodified client."""

from __future__ import annotations

import hashlib
import io
import os
import subprocess
from pathlib import Path

import pytest
import requests
from huggingface_hub import (
    CommitOperationAdd,
    CommitOperationCopy,
    CommitOperationDelete,
    HfApi,
    HfFileSystem,
    hf_hub_download,
    snapshot_download,
)
from huggingface_hub.errors import (
    EntryNotFoundError,
    HfHubHTTPError,
    RevisionNotFoundError,
)

from hubkit.hub.server.embedded import EmbeddedHub
from tests.hub_server.conftest import OWNER

BIG = os.urandom(11_000_000)


def status_of(error: pytest.ExceptionInfo[HfHubHTTPError]) -> int:
    assert error.value.response is not None
    return error.value.response.status_code


def bare(hub: EmbeddedHub, repo: str, kind: str = "models") -> Path:
    return hub.root / "repos" / kind / f"{repo}.git"


def git(folder: Path, *arguments: str) -> str:
    command = ["git", "-C", str(folder), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def test_one_commit_adds_deletes_and_copies(hub: EmbeddedHub, api: HfApi, repo: str) -> None:
    api.upload_file(repo_id=repo, path_in_repo="old.bin", path_or_fileobj=io.BytesIO(b"x" * 900))
    api.create_commit(
        repo,
        [
            CommitOperationAdd("README.md", b"---\nlicense: mit\n---\n# Hi\n"),
            CommitOperationAdd("onnx/model.onnx", BIG),
            CommitOperationCopy("old.bin", "copy.bin"),
            CommitOperationDelete("old.bin"),
        ],
        commit_message="everything",
        commit_description="at once",
    )
    info = api.model_info(repo, files_metadata=True)
    files = {sibling.rfilename: sibling for sibling in info.siblings or []}
    assert set(files) == {".gitattributes", "README.md", "onnx/model.onnx", "copy.bin"}
    lfs = files["onnx/model.onnx"].lfs
    assert lfs is not None
    assert lfs["sha256"] == hashlib.sha256(BIG).hexdigest()
    assert lfs["size"] == len(BIG)
    assert info.card_data is not None
    assert info.card_data["license"] == "mit"
    assert next(c.title for c in api.list_repo_commits(repo)) == "everything"
    assert (
        git(bare(hub, repo), "log", "-1", "--format=%s|%b|%an").strip()
        == "everything|at once\n|ana"
    )
    assert git(bare(hub, repo), "cat-file", "-p", "main:README.md").endswith("# Hi\n")


def test_what_is_uploaded_comes_back(
    hub: EmbeddedHub, api: HfApi, repo: str, tmp_path: Path
) -> None:
    text = "ünïcode\n".encode() * 100
    for name, data in {"a b/ü#?.txt": text, "model.safetensors": BIG, "empty.bin": b""}.items():
        api.upload_file(repo_id=repo, path_in_repo=name, path_or_fileobj=data)
        path = hf_hub_download(
            repo, name, endpoint=hub.endpoint, token=OWNER, cache_dir=tmp_path / "cache"
        )
        assert Path(path).read_bytes() == data
    folder = Path(
        snapshot_download(repo, endpoint=hub.endpoint, token=OWNER, cache_dir=tmp_path / "second")
    )
    assert (folder / "a b/ü#?.txt").read_bytes() == text
    assert (folder / "model.safetensors").read_bytes() == BIG
    entry = hashlib.sha256(BIG).hexdigest()
    assert (folder / "model.safetensors").resolve().name == entry


def test_unchanged_files_are_not_sent_again(hub: EmbeddedHub, api: HfApi, repo: str) -> None:
    api.upload_file(repo_id=repo, path_in_repo="m.bin", path_or_fileobj=BIG)
    head = api.repo_info(repo).sha
    sent = [
        CommitOperationAdd("m.bin", BIG),
        CommitOperationAdd("x.txt", b"new"),
    ]
    hub.requests.clear()
    commit = api.create_commit(repo, sent, commit_message="again", parent_commit=head)
    assert commit.oid != head
    assert not [path for method, path in hub.requests if method == "PUT"]


def test_a_commit_without_a_change_is_the_head(hub: EmbeddedHub, api: HfApi, repo: str) -> None:
    head = api.upload_file(repo_id=repo, path_in_repo="a.txt", path_or_fileobj=b"a").oid
    body = (
        '{"key": "header", "value": {"summary": "same"}}\n'
        '{"key": "file", "value": {"path": "a.txt", "content": "a", "encoding": "utf-8"}}\n'
    )
    answer = requests.post(
        f"{hub.endpoint}/api/models/{repo}/commit/main",
        data=body,
        headers={"Authorization": f"Bearer {OWNER}"},
        timeout=10,
    )
    assert answer.json()["commitOid"] == head
    assert answer.json()["commitUrl"] == f"{hub.endpoint}/{repo}/commit/{head}"


def test_a_stale_parent_is_412_and_changes_nothing(api: HfApi, repo: str) -> None:
    head = api.repo_info(repo).sha
    second = api.upload_file(
        repo_id=repo, path_in_repo="a", path_or_fileobj=b"1", parent_commit=head
    ).oid
    with pytest.raises(HfHubHTTPError) as error:
        api.upload_file(repo_id=repo, path_in_repo="a", path_or_fileobj=b"2", parent_commit=head)
    assert status_of(error) == 412
    assert api.repo_info(repo).sha == second


def test_branches_tags_and_refs(api: HfApi, repo: str) -> None:
    first = api.repo_info(repo).sha
    api.create_tag(repo, tag="v1.0", tag_message="release")
    api.create_tag(repo, tag="light")
    api.create_branch(repo, branch="feat/x", revision="v1.0")
    api.upload_file(repo_id=repo, path_in_repo="x", path_or_fileobj=b"1", revision="feat/x")
    refs = api.list_repo_refs(repo)
    assert {b.name for b in refs.branches} == {"main", "feat/x"}
    assert {t.name: t.target_commit for t in refs.tags} == {"v1.0": first, "light": first}
    assert api.file_exists(repo, "x", revision="feat/x")
    assert not api.file_exists(repo, "x")
    for again in (
        lambda: api.create_tag(repo, tag="v1.0"),
        lambda: api.create_branch(repo, branch="feat/x"),
        lambda: api.create_branch(repo, branch="feat"),
    ):
        with pytest.raises(HfHubHTTPError) as error:
            again()
        assert status_of(error) == 409
    api.delete_branch(repo, branch="feat/x")
    api.delete_tag(repo, tag="light")
    for gone in (
        lambda: api.delete_tag(repo, tag="light"),
        lambda: api.repo_info(repo, revision="feat/x"),
        lambda: api.upload_file(
            repo_id=repo, path_in_repo="x", path_or_fileobj=b"1", revision="feat/x"
        ),
    ):
        with pytest.raises(RevisionNotFoundError):
            gone()
    api.create_branch(repo, branch="feat")
    with pytest.raises(HfHubHTTPError) as error:
        api.delete_branch(repo, branch="main")
    assert status_of(error) == 403


def test_trees_are_paged_and_expanded(hub: EmbeddedHub, api: HfApi, repo: str) -> None:
    operations = [CommitOperationAdd(f"d/{n:03}.txt", b"%d" % n) for n in range(120)]
    api.create_commit(repo, operations, commit_message="many")
    api.upload_file(
        repo_id=repo, path_in_repo="d/000.txt", path_or_fileobj=b"new", commit_message="one"
    )
    hub.requests.clear()
    tree = {item.path: item for item in api.list_repo_tree(repo, recursive=True, expand=True)}
    assert len(tree) == 122
    assert len([r for r in hub.requests if "/tree/" in r[1]]) == 3
    assert tree["d/000.txt"].last_commit.title == "one"  # type: ignore[union-attr]
    assert tree["d/001.txt"].last_commit.title == "many"  # type: ignore[union-attr]
    # Folders first, as the Hub lists them; clients show them in this order.
    assert [item.path for item in api.list_repo_tree(repo)] == ["d", ".gitattributes"]
    assert len(list(api.list_repo_tree(repo, "d"))) == 120
    with pytest.raises(EntryNotFoundError):
        list(api.list_repo_tree(repo, "nothing"))
    info = api.get_paths_info(repo, ["d", "d/000.txt", "nothing"], expand=True)
    assert [item.path for item in info] == ["d", "d/000.txt"]


def test_ranges_and_redirects(hub: EmbeddedHub, api: HfApi, repo: str) -> None:
    api.create_commit(
        repo,
        [CommitOperationAdd("a.txt", b"0123456789"), CommitOperationAdd("w.bin", BIG)],
        commit_message="two",
    )
    url = f"{hub.endpoint}/{repo}/resolve/main"
    for ask, status, body in (
        ("bytes=2-4", 206, b"234"),
        ("bytes=7-", 206, b"789"),
        ("bytes=-3", 206, b"789"),
        ("bytes=5-99", 206, b"56789"),
        ("bytes=10-", 416, None),
    ):
        answer = requests.get(f"{url}/a.txt", headers={"Range": ask}, timeout=10)
        assert answer.status_code == status
        assert body is None or answer.content == body
    head = requests.head(f"{url}/w.bin", timeout=10)
    assert head.status_code == 302
    assert head.headers["X-Linked-Size"] == str(len(BIG))
    assert head.headers["X-Repo-Commit"] == api.repo_info(repo).sha
    target = requests.head(head.headers["Location"], timeout=10)
    for name in ("X-Linked-Size", "X-Linked-Etag", "X-Repo-Commit", "ETag"):
        assert target.headers[name] == head.headers[name]
    part = requests.get(f"{url}/w.bin", headers={"Range": "bytes=5-104"}, timeout=10)
    assert part.status_code == 206
    assert part.content == BIG[5:105]


def test_pages_of_this_machine_may_read_files_and_no_other(
    hub: EmbeddedHub, api: HfApi, repo: str
) -> None:
    api.create_commit(
        repo,
        [CommitOperationAdd("a.txt", b"0123456789"), CommitOperationAdd("w.bin", BIG)],
        commit_message="two",
    )

    def allowed(name: str, origin: str) -> list[str | None]:
        url = f"{hub.endpoint}/{repo}/resolve/main/{name}"
        found = requests.get(url, headers={"Origin": origin}, timeout=10)
        answers = [*found.history, found]
        assert [answer.headers["Vary"] for answer in answers] == ["Origin"] * len(answers)
        return [answer.headers.get("Access-Control-Allow-Origin") for answer in answers]

    for origin in ("http://localhost:5173", "http://127.0.0.1:80", "https://[::1]"):
        assert allowed("a.txt", origin) == [origin]
        assert allowed("w.bin", origin) == [origin, origin]  # the redirect too
    for origin in ("https://example.org", "http://localhost.example.org", "null", ""):
        assert allowed("a.txt", origin) == [None]
        assert allowed("w.bin", origin) == [None, None]


def test_pull_requests(api: HfApi, other: HfApi, repo: str) -> None:
    mine = other.upload_file(
        repo_id=repo, path_in_repo="pr.txt", path_or_fileobj=b"pr", create_pr=True
    )
    assert mine.pr_num == 1
    assert api.file_exists(repo, "pr.txt", revision="refs/pr/1")
    assert not api.file_exists(repo, "pr.txt")
    with pytest.raises(HfHubHTTPError) as error:
        other.upload_file(repo_id=repo, path_in_repo="o.txt", path_or_fileobj=b"o")
    assert status_of(error) == 403
    api.upload_file(repo_id=repo, path_in_repo="main.txt", path_or_fileobj=b"main")
    api.comment_discussion(repo, 1, "looks good")
    api.merge_pull_request(repo, 1)
    assert {"pr.txt", "main.txt"} <= set(api.list_repo_files(repo))
    details = api.get_discussion_details(repo, 1)
    assert details.status == "merged"
    draft = api.create_pull_request(repo, "Another change")
    assert draft.num == 2
    assert draft.status == "draft"
    api.upload_file(
        repo_id=repo, path_in_repo="main.txt", path_or_fileobj=b"theirs", revision="refs/pr/2"
    )
    api.upload_file(repo_id=repo, path_in_repo="main.txt", path_or_fileobj=b"ours")
    with pytest.raises(HfHubHTTPError) as error:
        api.merge_pull_request(repo, 2)
    assert status_of(error) == 409


def test_datasets_spaces_lists_move_and_delete(api: HfApi, anonymous: HfApi, repo: str) -> None:
    api.create_repo("ana/data", repo_type="dataset")
    api.create_repo("ana/app", repo_type="space", space_sdk="static")
    api.create_repo("lab/shared", private=True)
    assert api.space_info("ana/app").sdk == "static"
    assert api.dataset_info("ana/data").id == "ana/data"
    assert [m.id for m in api.list_models()] == ["ana/model", "lab/shared"]
    assert [m.id for m in anonymous.list_models()] == ["ana/model"]
    assert [m.id for m in api.list_models(author="lab", search="SHARE")] == ["lab/shared"]
    api.move_repo("ana/model", "lab/renamed")
    assert api.model_info("ana/model").id == "lab/renamed"
    assert api.repo_exists("lab/renamed")
    api.delete_repo("lab/renamed")
    assert not api.repo_exists("lab/renamed")


def test_squash_keeps_the_files(api: HfApi, repo: str) -> None:
    api.upload_file(repo_id=repo, path_in_repo="a", path_or_fileobj=b"1")
    api.super_squash_history(repo)
    assert len(api.list_repo_commits(repo)) == 1
    assert api.file_exists(repo, "a")


def test_file_system(hub: EmbeddedHub, api: HfApi, repo: str) -> None:
    api.upload_file(repo_id=repo, path_in_repo="w.bin", path_or_fileobj=BIG)
    system = HfFileSystem(endpoint=hub.endpoint, token=OWNER)
    assert f"{repo}/w.bin" in system.ls(repo, detail=False)
    with system.open(f"{repo}/w.bin", "rb") as stream:
        stream.seek(1000)
        assert stream.read(10) == BIG[1000:1010]


def test_gitattributes_and_gitignore_decide(api: HfApi, repo: str) -> None:
    operations = [
        CommitOperationAdd("text.bin", b"text"),
        CommitOperationAdd("image", b"\x89PNG\r\n\x1a\n\0\0"),
        CommitOperationAdd("logs/tfevents.1", b"x"),
        CommitOperationAdd("cut.txt", b"a" * 511 + "ü".encode()),
        CommitOperationAdd(".gitignore", b"*.log\nout/\n"),
        CommitOperationAdd("out/a.txt", b"x"),
        CommitOperationAdd("a.log", b"x"),
    ]
    api.create_commit(repo, operations, commit_message="kinds")
    files = {i.path: i for i in api.list_repo_tree(repo, recursive=True) if hasattr(i, "lfs")}
    lfs = {path for path, item in files.items() if item.lfs}
    assert lfs == {"text.bin", "image", "logs/tfevents.1"}
    assert "a.log" not in files
    assert "out/a.txt" not in files


def test_git_clones_over_http_and_from_disk(
    hub: EmbeddedHub, api: HfApi, repo: str, tmp_path: Path
) -> None:
    api.upload_file(repo_id=repo, path_in_repo="d/a.txt", path_or_fileobj=b"hello")
    api.create_tag(repo, tag="v1", tag_message="one")
    git(tmp_path, "clone", "-q", str(bare(hub, repo)), "from-disk")
    git(tmp_path, "clone", "-q", f"{hub.endpoint}/{repo}", "from-http")
    for clone in ("from-disk", "from-http"):
        assert (tmp_path / clone / "d/a.txt").read_bytes() == b"hello"
        assert git(tmp_path / clone, "tag").split() == ["v1"]
    assert git(bare(hub, repo), "fsck", "--strict") == ""


def test_git_clones_a_private_repository_with_a_token(
    hub: EmbeddedHub, api: HfApi, tmp_path: Path
) -> None:
    api.create_repo("ana/secret", private=True)
    host = hub.endpoint.removeprefix("http://")
    git(tmp_path, "clone", "-q", f"http://ana:{OWNER}@{host}/ana/secret", "clone")
    assert (tmp_path / "clone/.gitattributes").is_file()
