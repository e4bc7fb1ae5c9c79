"""The server as a process: one for a root, found again, and killed at any moment."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import threading
import time
from pathlib import Path

import pytest
import requests
from huggingface_hub import CommitOperationAdd, HfApi

from hubkit.errors import HubError
from hubkit.hub.server.embedded import EmbeddedHub, find_running, spawn_hub
from tests.hub_server.conftest import USERS


def test_a_root_has_one_server_that_is_found(tmp_path: Path) -> None:
    assert find_running(tmp_path) is None
    with EmbeddedHub(tmp_path, users=USERS) as hub:
        assert find_running(tmp_path) == hub.endpoint
        with pytest.raises(HubError) as error:
            EmbeddedHub(tmp_path)
        assert "server.json" in error.value.hint
    assert find_running(tmp_path) is None
    assert not (tmp_path / "server.json").exists()
    # A server.json that a killed server left, whose port another one has by now.
    with EmbeddedHub(tmp_path / "second", users=USERS) as second:
        state = {"pid": 1, "endpoint": second.endpoint, "instance": "another"}
        (tmp_path / "server.json").write_text(json.dumps(state))
        assert find_running(tmp_path) is None


def commit_url(endpoint: str, token: str, client: str) -> str:
    """What a client of this name is told of an empty commit to demo/model."""
    answer = requests.post(
        f"{endpoint}/api/models/demo/model/commit/main",
        data=json.dumps({"key": "header", "value": {"summary": "nothing"}}),
        headers={"Authorization": f"Bearer {token}", "User-Agent": client},
        timeout=10,
    )
    return str(answer.json()["commitUrl"])


def test_a_spawned_server_is_stopped_and_started(tmp_path: Path) -> None:
    with spawn_hub(tmp_path) as hub:
        assert find_running(tmp_path) == hub.endpoint
        assert hub.pid != os.getpid()
        token = (tmp_path / "token").read_text().strip()
        api = HfApi(endpoint=hub.endpoint, token=token)
        api.create_repo("demo/model")
        # 0.x parses this with its global endpoint, which is another one; 1.x and 2.x do not.
        made = api.upload_file(repo_id="demo/model", path_in_repo="a", path_or_fileobj=b"1")
        assert made.commit_url == f"demo/model/commit/{made.oid}"
        assert commit_url(hub.endpoint, token, "hf_hub/2.4.0").startswith(f"{hub.endpoint}/demo/")
        with pytest.raises(HubError):
            spawn_hub(tmp_path)
        log = (tmp_path / "server.log").read_text()
        assert hub.endpoint in log
        assert token not in log
    assert not (tmp_path / "server.json").exists()
    with EmbeddedHub(tmp_path) as again:
        assert HfApi(endpoint=again.endpoint).model_info("demo/model").id == "demo/model"


def test_a_server_that_cannot_start_says_why(tmp_path: Path) -> None:
    (tmp_path / "users.json").write_text("[]")
    with pytest.raises(HubError, match=r"users\.json"):
        spawn_hub(tmp_path / "root", users=tmp_path / "users.json")


class _Uploader(threading.Thread):
    """Commits until the server dies, and remembers what was acknowledged."""

    def __init__(self, endpoint: str, token: str, name: str) -> None:
        super().__init__(daemon=True)
        self.repo = f"demo/{name}"
        self._api = HfApi(endpoint=endpoint, token=token)
        self._random = random.Random(name)
        self.acknowledged: list[tuple[str, str]] = []

    def run(self) -> None:
        try:
            self._api.create_repo(self.repo, exist_ok=True)
            while True:
                number = self._random.randrange(10**9)
                large = self._random.randbytes(400_000)
                operations = [
                    CommitOperationAdd(f"d/{number}.txt", str(number).encode()),
                    CommitOperationAdd(f"{number}.bin", large),
                ]
                commit = self._api.create_commit(
                    self.repo, operations, commit_message=str(number), num_threads=1
                )
                self.acknowledged.append((commit.oid, f"{number}.bin"))
        except Exception:
            return  # the server was killed, as it should be


def test_kill_9_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    acknowledged: dict[str, list[tuple[str, str]]] = {}
    for life in range(2):
        hub = spawn_hub(tmp_path)
        token = (tmp_path / "token").read_text().strip()
        uploaders = [_Uploader(hub.endpoint, token, f"r{life}{n}") for n in range(2)]
        for uploader in uploaders:
            uploader.start()
        # On a loaded machine the first answer takes its time; then at any moment.
        deadline = time.monotonic() + 30
        while not any(u.acknowledged for u in uploaders) and time.monotonic() < deadline:
            time.sleep(0.02)
        time.sleep(0.11 * life)
        os.kill(hub.pid, signal.SIGKILL)
        hub.terminate()
        for uploader in uploaders:
            # It may still be trying; what it was told by now is what counts.
            uploader.join(timeout=0.5)
            acknowledged[uploader.repo] = list(uploader.acknowledged)
    assert sum(len(commits) for commits in acknowledged.values()) >= 2
    # As if it had been killed in the middle of an upload and of moving a ref.
    (tmp_path / "tmp" / "lfs-half").write_bytes(b"half")
    some = next(iter((tmp_path / "repos/models/demo").glob("*.git")))
    (some / "refs/heads/main.lock").write_bytes(b"")
    with EmbeddedHub(tmp_path) as again:
        assert not list((tmp_path / "tmp").iterdir())
        api = HfApi(endpoint=again.endpoint, token=again.token)
        for repo, commits in acknowledged.items():
            history = {c.commit_id for c in api.list_repo_commits(repo)} if commits else set()
            assert {oid for oid, _ in commits} <= history
            for oid, name in commits[-1:]:
                assert api.get_paths_info(repo, name, revision=oid)[0].size == 400_000  # type: ignore[union-attr]
        api.upload_file(
            repo_id=f"demo/{some.stem}", path_in_repo="after.txt", path_or_fileobj=b"after"
        )
        for folder in (tmp_path / "repos/models/demo").glob("*.git"):
            fsck = subprocess.run(
                ["git", "-C", str(folder), "fsck", "--strict", "--no-dangling"],
                capture_output=True,
                text=True,
                check=False,
            )
            assert (fsck.returncode, fsck.stdout, fsck.stderr) == (0, "", "")
