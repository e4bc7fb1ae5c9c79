"""An embedded Hub with accounts, and faults on demand, for every test that talks to one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import pytest
from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi

from hubkit.hub.client import Hub, connect
from hubkit.hub.retry import Retry
from hubkit.hub.server.embedded import EmbeddedHub
from hubkit.hub.server.injected import Trouble
from hubkit.hub.session import default_endpoint
from hubkit.records import Artifact
from hubkit.stage import Context
from hubkit.stages.push import PushInput
from hubkit.store import Store

TOKENS = {"alice": "hf_alice_token_1", "bob": "hf_bob_token_22", "rita": "hf_rita_token_3"}
Rule = Callable[[str, str, str], "Trouble | int | str | None"]


@dataclass
class Switchboard:
    """What the embedded Hub asks before and after each request."""

    rule: Rule | None = None
    seen: list[tuple[str, str]] = field(default_factory=list)

    def __call__(self, method: str, path: str, phase: str) -> Trouble | int | str | None:
        if phase == "before":
            self.seen.append((method, path))
        return self.rule(method, path, phase) if self.rule else None

    def fail_at(self, number: int, fault: int | str, phase: str) -> None:
        """Only the request of that number (from 1, counted from now) fails."""
        self.seen.clear()
        self.rule = lambda _m, _p, when: (
            fault if when == phase and len(self.seen) == number else None
        )

    def fail_on(
        self, part: str, fault: int | str, *, phase: str = "before", times: int = 10**9
    ) -> None:
        """The next requests whose path has `part` in it fail."""
        left = [times]

        def rule(_method: str, path: str, when: str) -> int | str | None:
            if when != phase or part not in path or left[0] == 0:
                return None
            left[0] -= 1
            return fault

        self.rule = rule

    def heal(self) -> None:
        self.rule = None
        self.seen.clear()


@dataclass
class World:
    """A Hub, ways to look at it that hubkit has no part in, and a store."""

    server: EmbeddedHub
    switch: Switchboard
    store: Store
    waits: list[float] = field(default_factory=list)

    def hub(self, who: str | None = "alice", *, tries: int = 4) -> Hub:
        retry = Retry(tries=tries, sleep=self.waits.append)
        return connect(self.server.endpoint, TOKENS.get(who or ""), retry=retry)

    def api(self, who: str = "alice") -> HfApi:
        return HfApi(self.server.endpoint, token=TOKENS[who])

    def edit(self, repo_id: str, path: str, data: bytes | None, who: str = "alice") -> str:
        """Somebody else's commit: a small file written, or deleted with None."""
        adds = [] if data is None else [CommitOperationAdd(path, data)]
        deletes = [CommitOperationDelete(path)] if data is None else []
        with default_endpoint(self.server.endpoint):
            commit = self.api(who).create_commit(
                repo_id, [*adds, *deletes], commit_message=f"edit {path}"
            )
        return commit.oid

    def bundle(self, files: Mapping[str, bytes]) -> Artifact:
        with self.store.scratch() as scratch:
            for name, data in files.items():
                path = scratch / "bundle" / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(data)
            return self.store.adopt(scratch / "bundle")

    @contextmanager
    def ctx(self) -> Iterator[Context]:
        with self.store.scratch() as scratch:
            yield Context(self.store, scratch, endpoint=self.server.endpoint, token=TOKENS["alice"])

    def given(self, bundle: Artifact, **changes: object) -> PushInput:
        given = {"bundle": bundle, "repo_id": "alice/model", "message": "Publish tiny: ONNX INT8"}
        return PushInput.model_validate({**given, **changes})

    def titles(self, repo_id: str = "alice/model", **where: str) -> list[str]:
        return [c.title for c in self.api().list_repo_commits(repo_id, **where)]

    def content(self, repo_id: str = "alice/model", revision: str = "main") -> dict[str, bytes]:
        hub, files = self.hub(), self.hub().remote_files(repo_id, revision)
        return {path: hub.read(repo_id, revision, path) for path in sorted(files)}


@pytest.fixture(name="world")
def _world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    # Uploads of huggingface_hub wait by themselves, a second and more: let them not.
    monkeypatch.setattr("huggingface_hub.utils._http.time", SimpleNamespace(sleep=lambda _s: None))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")  # said, or looked for anew at each request
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(tmp_path / "no-token"))
    users = {
        "alice": {"token": TOKENS["alice"]},
        "bob": {"token": TOKENS["bob"]},
        "rita": {"token": TOKENS["rita"], "role": "read", "orgs": ["alice"]},
    }
    switch = Switchboard()
    with EmbeddedHub(tmp_path / "hub", users, faults=switch) as server:
        yield World(server, switch, Store(tmp_path / "store"))
