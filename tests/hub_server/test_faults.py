"""Injected faults: refusals, lost answers and dropped connections, for the publisher's tests."""

from __future__ import annotations

from pathlib import Path

import pytest
import requests
from huggingface_hub import HfApi
from huggingface_hub.errors import HfHubHTTPError

from hubkit.hub.server.embedded import EmbeddedHub
from tests.hub_server.conftest import OWNER, USERS

Plan = dict[tuple[str, str], list[int | str]]


def faulty(root: Path, plan: Plan) -> EmbeddedHub:
    """A Hub that for a commit's phase answers what the plan lists, each once."""

    def faults(method: str, path: str, phase: str) -> int | str | None:
        queue = plan.get((phase, "commit" if "/commit/" in path else method), [])
        return queue.pop(0) if queue else None

    return EmbeddedHub(root, users=USERS, faults=faults)


@pytest.mark.parametrize(
    ("phase", "fault", "arrives"),
    [
        ("before", 503, False),
        ("after", 503, True),
        ("before", "reset", False),
        ("after", "reset", True),
    ],
)
def test_a_commit_is_lost_before_or_after_it_is_made(
    tmp_path: Path, phase: str, fault: int | str, arrives: bool
) -> None:
    with faulty(tmp_path, {(phase, "commit"): [fault]}) as hub:
        api = HfApi(endpoint=hub.endpoint, token=OWNER)
        api.create_repo("ana/model")
        head = api.repo_info("ana/model").sha
        expected = requests.ConnectionError if fault == "reset" else HfHubHTTPError
        with pytest.raises(expected) as error:
            api.upload_file(repo_id="ana/model", path_in_repo="a", path_or_fileobj=b"a")
        if fault != "reset":
            assert error.value.response.status_code == fault  # type: ignore[union-attr]
        assert (api.repo_info("ana/model").sha != head) == arrives
        assert api.file_exists("ana/model", "a") == arrives
        api.upload_file(repo_id="ana/model", path_in_repo="b", path_or_fileobj=b"b")
        assert ("POST", "/api/models/ana/model/commit/main") in hub.requests


def test_a_large_upload_that_is_reset_is_sent_again(tmp_path: Path) -> None:
    plan: Plan = {("before", "PUT"): ["reset", 503]}
    with faulty(tmp_path, plan) as hub:
        api = HfApi(endpoint=hub.endpoint, token=OWNER)
        api.create_repo("ana/model")
        api.upload_file(repo_id="ana/model", path_in_repo="w.bin", path_or_fileobj=b"w" * 500_000)
        assert plan == {("before", "PUT"): []}
        assert len([r for r in hub.requests if r[0] == "PUT"]) == 3
