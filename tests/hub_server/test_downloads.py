"""What counts as a download, and where it is shown."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
import requests
from huggingface_hub import CommitOperationAdd, HfApi

from hubkit.hub.server import downloads
from hubkit.hub.server.downloads import daily_downloads
from hubkit.hub.server.embedded import EmbeddedHub
from tests.hub_server.conftest import OWNER

FILES = {
    "README.md": b"# x",
    "config.json": b"{}",
    "model.safetensors": b"\0" * 3000,
    "sub/config.json": b"{}",
    "q4.gguf": b"\0gguf",
}


def push(api: HfApi, repo: str, paths: list[str], kind: str = "model") -> None:
    operations = [CommitOperationAdd(path, FILES[path]) for path in paths]
    api.create_commit(repo, operations, repo_type=kind, commit_message="files")


def ask(
    hub: EmbeddedHub, path: str, client: str = "a", method: str = "GET", **more: str
) -> requests.Response:
    headers = {"User-Agent": client, **more}
    return requests.request(method, hub.endpoint + path, headers=headers, timeout=10)


def count(api: HfApi, repo: str, kind: str = "model") -> int:
    return int(api.repo_info(repo, repo_type=kind).downloads)


def test_a_models_first_file_counts_once_a_client(hub: EmbeddedHub, api: HfApi, repo: str) -> None:
    push(api, repo, list(FILES))
    for path in ("README.md", "model.safetensors", "sub/config.json", ".gitattributes", "none"):
        ask(hub, f"/{repo}/resolve/main/{path}")
    assert count(api, repo) == 0
    # One load asks several times, with HEAD and GET.
    for method in ("HEAD", "GET", "HEAD"):
        ask(hub, f"/{repo}/resolve/main/config.json", method=method)
    assert count(api, repo) == 1
    ask(hub, f"/{repo}/resolve/main/config.json", client="b")
    ask(hub, f"/{repo}/resolve/main/config.json", client="b", Authorization=f"Bearer {OWNER}")
    assert count(api, repo) == 3
    ask(hub, f"/{repo}/resolve/main/q4.gguf", client="c", method="HEAD")
    assert count(api, repo) == 4


def test_later_it_is_another_download(
    hub: EmbeddedHub, api: HfApi, repo: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    push(api, repo, ["config.json"])
    ask(hub, f"/{repo}/resolve/main/config.json")
    ask(hub, f"/{repo}/resolve/main/config.json")
    monkeypatch.setattr(downloads, "_ONE_DOWNLOAD_S", 0.0)
    ask(hub, f"/{repo}/resolve/main/config.json")
    ask(hub, f"/{repo}/resolve/main/config.json")
    assert count(api, repo) == 3


def test_of_a_model_without_one_any_file_counts(hub: EmbeddedHub, api: HfApi, repo: str) -> None:
    push(api, repo, ["README.md", "model.safetensors"])
    ask(hub, f"/{repo}/resolve/main/README.md")
    assert count(api, repo) == 0
    ask(hub, f"/{repo}/resolve/main/model.safetensors")
    assert count(api, repo) == 1


def test_of_a_dataset_any_file_counts_but_no_figure(hub: EmbeddedHub, api: HfApi) -> None:
    api.create_repo("ana/rows", repo_type="dataset")
    push(api, "ana/rows", ["README.md", "model.safetensors"], "dataset")
    url = "/datasets/ana/rows/resolve/main"
    ask(hub, f"{url}/README.md")
    ask(hub, f"{url}/model.safetensors", **{"Sec-Fetch-Dest": "image"})
    assert count(api, "ana/rows", "dataset") == 0
    ask(hub, f"{url}/model.safetensors")
    assert count(api, "ana/rows", "dataset") == 1


def test_who_may_not_read_does_not_download(hub: EmbeddedHub, api: HfApi, repo: str) -> None:
    push(api, repo, ["config.json"])
    api.update_repo_settings(repo, private=True)
    assert ask(hub, f"/{repo}/resolve/main/config.json").status_code == 401
    assert count(api, repo) == 0


def test_thirty_days_and_all_of_them(hub: EmbeddedHub, api: HfApi, repo: str) -> None:
    push(api, repo, ["config.json"])
    path = hub.root / "repos" / "models" / f"{repo}.git"
    (path / "downloads").mkdir()
    today = datetime.now(timezone.utc).date()
    for back, number in ((0, 2), (29, 1200), (30, 5000)):
        day = (today - timedelta(days=back)).isoformat()
        (path / "downloads" / day).write_bytes(b"." * number)
    assert count(api, repo) == 1202
    assert api.model_info(repo, expand=["downloadsAllTime"]).downloads_all_time == 6202
    assert next(iter(api.list_models(author="ana"))).downloads == 1202
    assert [n for _, n in daily_downloads(path)][:1] == [1200]
    page = ask(hub, f"/{repo}", Accept="text/html").text
    assert "<b>1,202</b>" in page
    assert "6,202 in all" in page
    assert "1,202 downloads" in ask(hub, "/", Accept="text/html").text


def test_they_are_kept_and_move_along(tmp_path: Path) -> None:
    users = {"ana": {"token": OWNER}}
    with EmbeddedHub(tmp_path / "root", users) as hub:
        api = HfApi(hub.endpoint, token=OWNER)
        api.create_repo("ana/a")
        push(api, "ana/a", ["config.json"])
        ask(hub, "/ana/a/resolve/main/config.json")
        api.move_repo("ana/a", "ana/b")
    with EmbeddedHub(tmp_path / "root", users) as hub:
        assert count(HfApi(hub.endpoint, token=OWNER), "ana/b") == 1


def test_a_client_is_remembered_only_among_the_last(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(downloads, "_REMEMBERED", 10)
    recent = downloads._Recent()
    assert [recent.is_new((str(n % 20),), 0.0) for n in range(25)] == [True] * 25
    assert not recent.is_new(("4",), 1.0)
    assert recent.is_new(("4",), 400.0)
    assert len(recent._last) == 10
