"""Who gets at what by ways that nobody had in mind, and how much work a request may make."""

from __future__ import annotations

import base64
import time
from collections.abc import Iterator
from typing import Any

import pytest
import requests
from huggingface_hub import CommitOperationAdd, HfApi

from hubkit.hub.server import downloads, git, git_http
from hubkit.hub.server.embedded import EmbeddedHub
from hubkit.hub.server.git import GitRepo
from hubkit.hub.server.ignoring import Ignored
from tests.hub_server.conftest import OTHER, OWNER
from tests.hub_server.test_safety_roles import client, fine, refused, scoped

API = "/api/models/ana/model"


def sent(
    hub: EmbeddedHub, method: str, path: str, token: str | None = OWNER, **more: Any
) -> requests.Response:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    more = {"headers": headers, "timeout": 20, "allow_redirects": False, **more}
    return requests.request(method, hub.endpoint + path, **more)


def test_a_gitignore_is_matched_in_linear_time(hub: EmbeddedHub, repo: str) -> None:
    path = "a" * 200
    for pattern in ("*a" * 12 + "b", "**/" * 40 + "b", "?*" * 40 + "b", "[a-z]*" * 40 + "[!a]"):
        start = time.perf_counter()
        body = {"gitIgnore": pattern, "files": [{"path": path, "size": 1}]}
        found = sent(hub, "POST", f"{API}/preupload/main", json=body)
        assert found.json()["files"][0]["shouldIgnore"] is False
        assert time.perf_counter() - start < 2
    deep = "/".join("a" * 1000)
    start = time.perf_counter()
    assert not Ignored("**/a/" * 20 + "b")(deep)
    assert time.perf_counter() - start < 5


@pytest.mark.parametrize(
    ("text", "ignored", "kept"),
    [
        ("*.log\nout/\n", "a.log x/a.log out/a x/out/a", "log a.logs out"),
        ("/a\nb/c\n", "a a/x b/c b/c/d", "x/a x/b/c b"),
        ("**/a/b\n", "a/b x/y/a/b", "a/x/b"),
        ("a/**/b\nc/**\n", "a/b a/x/y/b c/d c/d/e", "x/a/b c"),
        ("*.txt\n!keep.txt\n", "a.txt x/a.txt", "keep.txt x/keep.txt"),
        ("out/\n!out/keep\n", "out/keep", "keep"),
        ("out/*\n!out/keep\n", "out/a", "out/keep"),
        ("# a\n\\#b\n\\!c\na\\*\nd  \n", "#b !c a* d", "a ab b"),
        ("[ab].x\n[!a]y\n[^a]z\n[q\n[z-a]\n", "a.x by bz [q", "c.x ay az q"),
        ("/\n!\n\n  \n", "", "a b/c"),
    ],
)
def test_a_gitignore_means_what_git_takes_it_to_mean(text: str, ignored: str, kept: str) -> None:
    found = Ignored(text)
    assert [path for path in ignored.split() if not found(path)] == []
    assert [path for path in kept.split() if found(path)] == []


def test_a_gated_repositorys_changes_are_not_told(
    hub: EmbeddedHub, api: HfApi, other: HfApi, repo: str
) -> None:
    add = [CommitOperationAdd("a.txt", b"a secret")]
    api.create_commit(repo, add, commit_message="a pr", create_pr=True)
    assert "a secret" in (other.get_discussion_details(repo, 1).diff or "")
    api.update_repo_settings(repo, gated="manual")
    for token in (None, OTHER):
        found = sent(hub, "GET", f"{API}/discussions/1", token).json()
        assert (found["diff"], found["filesWithConflicts"], found["num"]) == ("", [], 1)
    assert "a secret" in sent(hub, "GET", f"{API}/discussions/1").json()["diff"]


def test_what_a_browser_sends_unasked_writes_nothing(
    hub: EmbeddedHub, api: HfApi, repo: str
) -> None:
    api.create_pull_request(repo, title="A change")
    value = base64.b64encode(f"ana:{OWNER}".encode()).decode()
    basic: dict[str, Any] = {"headers": {"Authorization": f"Basic {value}"}}
    merge = f"{API}/discussions/1/merge"
    for path in (merge, f"{merge}/x.git/", f"{merge}/info/refs", f"{API}/x.git/git-upload-pack"):
        assert sent(hub, "POST", path, **basic).status_code == 401
    assert sent(hub, "POST", "/ana/model/ask-access/x.git/", **basic).status_code == 401
    assert api.get_discussion_details(repo, 1).status == "draft"
    for path in ("/ana/model.git/info/refs", "/ana/model/info/refs"):
        assert sent(hub, "GET", f"{path}?service=git-upload-pack", **basic).status_code == 200
    batch = "/ana/model.git/info/lfs/objects/batch"
    body = {"operation": "upload", "objects": []}
    assert sent(hub, "POST", batch, json=body, **basic).status_code == 200


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "discussions/1/merge/more"),
        ("POST", "discussions/1/comment/more"),
        ("GET", "discussions/1/more"),
        ("GET", "refs/more"),
        ("PUT", "settings/more"),
        ("GET", "commits/main/more"),
        ("POST", "preupload/main/more"),
        ("POST", "super-squash/main/more"),
    ],
)
def test_a_path_with_more_than_it_needs_is_none(
    hub: EmbeddedHub, api: HfApi, repo: str, method: str, path: str
) -> None:
    api.create_pull_request(repo, title="A change")
    body = {"files": [], "comment": "a"} if method != "GET" else None
    assert sent(hub, method, f"{API}/{path}", json=body).status_code == 404


def test_a_commits_id_is_that_commits(hub: EmbeddedHub, api: HfApi, repo: str) -> None:
    first = str(api.model_info(repo).sha)
    second = api.create_commit(repo, [CommitOperationAdd("b", b"b")], commit_message="b").oid
    # It is not made where the commit is here, and counts for nothing where it was made before.
    made = sent(hub, "POST", f"{API}/branch/refs%2Forigin%2F{first}", json={})
    assert made.status_code == 409
    with GitRepo(hub.root / "repos" / "models" / "ana" / "model.git") as found:
        assert found.move_ref(f"refs/origin/{first}", None, second)
    assert api.model_info(repo, revision=first).sha == first
    elsewhere = "1" * 40
    assert sent(hub, "POST", f"{API}/branch/refs%2Forigin%2F{elsewhere}", json={}).ok
    assert api.model_info(repo, revision=elsewhere).sha == second


@pytest.fixture
def scoped_hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedHub]:
    tokens = [
        {"name": "all", "token": OWNER},
        fine("hf_one_repo", scoped("model", "ana/model", "repo.write")),
        fine("hf_namespace", scoped("user", "ana", "repo.write")),
    ]
    root = tmp_path_factory.mktemp("scoped") / "root"
    with EmbeddedHub(root, users={"ana": {"tokens": tokens, "orgs": ["lab"]}}) as running:
        client(running, OWNER).create_repo("ana/model")
        yield running


def test_a_token_of_one_repository_neither_deletes_nor_moves_it(scoped_hub: EmbeddedHub) -> None:
    one = client(scoped_hub, "hf_one_repo")
    one.create_commit("ana/model", [CommitOperationAdd("a", b"a")], commit_message="a")
    refused(403, lambda: one.delete_repo("ana/model"))
    refused(403, lambda: one.move_repo("ana/model", "ana/moved"))
    whole = client(scoped_hub, "hf_namespace")
    whole.move_repo("ana/model", "ana/moved")
    whole.delete_repo("ana/moved")


@pytest.mark.parametrize("oid", ["0" * 64, "none"])
@pytest.mark.parametrize("token", [None, OTHER])
def test_a_private_name_is_not_confirmed_by_its_objects(
    hub: EmbeddedHub, api: HfApi, oid: str, token: str | None
) -> None:
    api.create_repo("ana/private", private=True)
    for method in ("GET", "PUT"):
        told = [
            sent(hub, method, f"/ana/{name}.git/info/lfs/objects/{oid}", token)
            for name in ("private", "missing")
        ]
        assert told[0].status_code == told[1].status_code == (404 if token else 401)
        assert told[0].text == told[1].text
    path = f"/ana/private.git/info/lfs/objects/{'0' * 64}"
    assert sent(hub, "PUT", f"{path}/1", token).status_code == (404 if token else 401)
    assert sent(hub, "POST", path, token).status_code == (404 if token else 401)


def test_a_private_name_is_not_confirmed_by_the_xet_storage(hub: EmbeddedHub, api: HfApi) -> None:
    api.create_repo("ana/private", private=True)
    for path in ("v1/reconstructions/" + "0" * 64, f"data/{'0' * 64}/0"):
        told = [
            sent(hub, "GET", f"/ana/{name}.git/xet/cas/{path}", None)
            for name in ("private", "missing")
        ]
        assert told[0].status_code == told[1].status_code == 401
        assert told[0].text == told[1].text


def large(api: HfApi, repo: str) -> None:
    api.upload_file(repo_id=repo, path_in_repo="w.bin", path_or_fileobj=b"\0" * 100)


def link(hub: EmbeddedHub) -> str:
    url: str = sent(hub, "GET", "/ana/model/resolve/main/w.bin").headers["location"]
    return url.removeprefix(hub.endpoint)


def test_a_download_link_ends_when_the_repository_closes(
    hub: EmbeddedHub, api: HfApi, repo: str
) -> None:
    large(api, repo)
    url = link(hub)
    assert sent(hub, "GET", url, None).status_code == 200
    for closed, status in (({"gated": "manual"}, 401), ({"private": True, "gated": False}, 401)):
        api.update_repo_settings(repo, **closed)
        assert sent(hub, "GET", url, None).status_code == status
        assert sent(hub, "GET", link(hub), None).status_code == 200
    old = link(hub)
    api.delete_repo(repo)
    api.create_repo(repo, private=True)
    large(api, repo)
    assert sent(hub, "GET", old, None).status_code == 401


def test_a_download_link_is_good_for_an_hour(
    hub: EmbeddedHub, api: HfApi, repo: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    large(api, repo)
    api.update_repo_settings(repo, private=True)
    url, now = link(hub), time.time()
    monkeypatch.setattr(time, "time", lambda: now + 3500)
    assert sent(hub, "GET", url, None).status_code == 200
    monkeypatch.setattr(time, "time", lambda: now + 3700)
    assert sent(hub, "GET", url, None).status_code == 401


def test_what_people_write_has_an_end(hub: EmbeddedHub, api: HfApi, repo: str) -> None:
    most, add = "t" * 65_536, [CommitOperationAdd("a", b"a")]
    number = api.create_discussion(repo, title="A word", description=most).num
    for call in (
        lambda: api.create_discussion(repo, title="A word", description=most + "t"),
        lambda: api.comment_discussion(repo, number, most + "t"),
        lambda: api.rename_discussion(repo, number, new_title="t" * 4097),
        lambda: api.create_commit(repo, add, commit_message="t" * 4097),
        lambda: api.create_commit(repo, add, commit_message="t", commit_description=most + "t"),
        lambda: api.super_squash_history(repo, commit_message=most + "t"),
    ):
        refused(400, call)
    api.create_commit(repo, add, commit_message="t" * 500, commit_description=most)


def test_a_list_reads_what_it_shows(hub: EmbeddedHub, api: HfApi, repo: str) -> None:
    for number in range(52):
        api.create_discussion(repo, title=f"Discussion {number}")
    folder = hub.root / "repos" / "models" / "ana" / "model.git" / "discussions"
    (folder / "1.json").write_bytes(b"none")
    found = sent(hub, "GET", f"{API}/discussions").json()
    assert (found["count"], found["start"], len(found["discussions"])) == (52, 0, 50)
    assert [item["num"] for item in found["discussions"]][:2] == [52, 51]


def test_commits_come_a_page_at_a_time(hub: EmbeddedHub, api: HfApi, repo: str) -> None:
    for name in "abcde":
        api.create_commit(repo, [CommitOperationAdd(name, b"a")], commit_message=name)
    every = [commit.commit_id for commit in api.list_repo_commits(repo)]
    assert len(every) == 6
    pages = [sent(hub, "GET", f"{API}/commits/main?limit=4&cursor={n}") for n in (0, 4, 9)]
    assert [page.headers["X-Total-Count"] for page in pages] == ["6"] * 3
    assert [item["id"] for page in pages for item in page.json()] == every
    assert ["Link" in page.headers for page in pages] == [True, False, False]


def test_the_last_commits_are_sought_so_far(
    hub: EmbeddedHub, api: HfApi, repo: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in "abcd":
        api.create_commit(repo, [CommitOperationAdd(name, b"a")], commit_message=name)
    monkeypatch.setattr(git, "_LONGEST_WALK", 2)
    found = {item.path: item.last_commit for item in api.list_repo_tree(repo, expand=True)}
    assert found["d"] is not None
    assert found["c"] is not None
    assert found["a"] is None
    paths = [f"{number}" for number in range(101)]
    assert api.get_paths_info(repo, paths) == []
    refused(400, lambda: api.get_paths_info(repo, paths, expand=True))


def test_a_user_agent_is_not_kept_whole(
    hub: EmbeddedHub, api: HfApi, repo: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    recent = downloads._Recent()
    monkeypatch.setattr(downloads, "_recent", recent)
    api.create_commit(repo, [CommitOperationAdd("config.json", b"{}")], commit_message="a")
    headers = {"User-Agent": "a" * 5000}
    assert sent(hub, "GET", "/ana/model/resolve/main/config.json", headers=headers).ok
    assert [len(who[2]) for who in recent._last] == [100]


def test_a_clone_larger_than_memory_holds_is_the_same(
    hub: EmbeddedHub, api: HfApi, repo: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    head = str(api.model_info(repo).sha)
    want = f"want {head} side-band-64k thin-pack ofs-delta\n"
    wanted = f"{len(want) + 4:04x}{want}00000009done\n".encode()
    answers = []
    for held in (8 << 20, 10):
        monkeypatch.setattr(git_http, "_HELD_BYTES", held)
        found = sent(hub, "POST", "/ana/model.git/git-upload-pack", data=wanted)
        assert found.headers["Content-Length"] == str(len(found.content))
        answers.append(found.content)
    assert answers[0] == answers[1]
    assert b"PACK" in answers[0]
