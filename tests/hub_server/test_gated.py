"""Gated repositories: who may read their files, and how access is asked for and given."""

from __future__ import annotations

from pathlib import Path

import pytest
import requests
from huggingface_hub import HfApi, hf_hub_download
from huggingface_hub.errors import GatedRepoError, HfHubHTTPError

from hubkit.hub.server.embedded import EmbeddedHub
from tests.hub_server.conftest import OTHER, OWNER, READER

# 0.36 asks its global endpoint about access requests, so these are sent as they are.
Answer = requests.Response


def ask(hub: EmbeddedHub, repo: str, token: str) -> Answer:
    return requests.post(
        f"{hub.endpoint}/{repo}/ask-access",
        headers={"Authorization": f"Bearer {token}"},
        allow_redirects=False,
        timeout=10,
    )


def decide(hub: EmbeddedHub, repo: str, what: str, token: str = OWNER, **body: str) -> Answer:
    return requests.post(
        f"{hub.endpoint}/api/models/{repo}/user-access-request/{what}",
        headers={"Authorization": f"Bearer {token}"},
        json=body,
        timeout=10,
    )


def listed(hub: EmbeddedHub, repo: str, status: str) -> list[str]:
    answer = requests.get(
        f"{hub.endpoint}/api/models/{repo}/user-access-request/{status}",
        headers={"Authorization": f"Bearer {OWNER}"},
        timeout=10,
    )
    assert answer.status_code == 200
    return [item["user"]["user"] for item in answer.json()]


@pytest.fixture
def gated(api: HfApi, repo: str) -> str:
    api.upload_file(repo_id=repo, path_in_repo="a.txt", path_or_fileobj=b"hello")
    api.update_repo_settings(repo, gated="manual")
    return repo


def read(hub: EmbeddedHub, repo: str, token: str | bool, cache: Path) -> bytes:
    path = hf_hub_download(repo, "a.txt", endpoint=hub.endpoint, token=token, cache_dir=cache)
    return Path(path).read_bytes()


def test_files_are_for_whom_the_owner_lets_in(
    hub: EmbeddedHub, other: HfApi, gated: str, tmp_path: Path
) -> None:
    for token in (OTHER, False):
        with pytest.raises(GatedRepoError):
            read(hub, gated, token, tmp_path / "before")
    assert other.model_info(gated).gated == "manual"  # the page and the list of files are public

    assert ask(hub, gated, OTHER).status_code == 303
    assert ask(hub, gated, OTHER).status_code == 303  # asked again, it still waits
    assert listed(hub, gated, "pending") == ["bob"]
    with pytest.raises(GatedRepoError):
        read(hub, gated, OTHER, tmp_path / "waiting")

    assert decide(hub, gated, "handle", user="bob", status="accepted").status_code == 200
    assert read(hub, gated, OTHER, tmp_path / "accepted") == b"hello"
    other.auth_check(gated)

    reason = {"rejectionReason": "not today"}
    rejected = decide(hub, gated, "handle", user="bob", status="rejected", **reason)
    assert rejected.status_code == 200
    assert listed(hub, gated, "rejected") == ["bob"]
    with pytest.raises(GatedRepoError):
        read(hub, gated, OTHER, tmp_path / "rejected")


def test_automatic_gates_open_when_asked(
    hub: EmbeddedHub, api: HfApi, gated: str, tmp_path: Path
) -> None:
    api.update_repo_settings(gated, gated="auto")
    with pytest.raises(GatedRepoError):
        read(hub, gated, READER, tmp_path / "before")
    ask(hub, gated, READER)  # a token that can only read may ask
    assert read(hub, gated, READER, tmp_path / "after") == b"hello"


def test_a_grant_needs_no_request(hub: EmbeddedHub, gated: str, tmp_path: Path) -> None:
    assert decide(hub, gated, "grant", user="bob").status_code == 200
    assert read(hub, gated, OTHER, tmp_path) == b"hello"
    assert decide(hub, gated, "grant", user="bob").status_code == 400  # has it already
    assert decide(hub, gated, "grant", user="nobody").status_code == 404


def test_only_the_owner_decides(hub: EmbeddedHub, gated: str) -> None:
    ask(hub, gated, OTHER)
    for token, status in ((OTHER, 403), (READER, 403)):
        answer = decide(hub, gated, "handle", token, user="bob", status="accepted")
        assert answer.status_code == status
    assert listed(hub, gated, "pending") == ["bob"]


def test_what_cannot_be_decided_is_refused(hub: EmbeddedHub, api: HfApi, gated: str) -> None:
    assert decide(hub, gated, "handle", user="bob", status="accepted").status_code == 404
    ask(hub, gated, OTHER)
    assert decide(hub, gated, "handle", user="bob", status="pending").status_code == 404
    assert decide(hub, gated, "handle", user="bob", status="perhaps").status_code == 400
    api.update_repo_settings(gated, gated=False)
    assert decide(hub, gated, "grant", user="bob").status_code == 400  # not gated
    assert ask(hub, gated, OTHER).status_code == 400


def test_refusals_have_the_hubs_words(hub: EmbeddedHub, gated: str, tmp_path: Path) -> None:
    known = "Access to model ana/model is restricted and you are not in the authorized list"
    with pytest.raises(HfHubHTTPError, match=known):
        read(hub, gated, OTHER, tmp_path)
    nobody = "Access to model ana/model is restricted. You must have access to it and be auth"
    with pytest.raises(HfHubHTTPError, match=nobody):
        read(hub, gated, False, tmp_path)
