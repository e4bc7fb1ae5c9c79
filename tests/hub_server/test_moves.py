"""Old names and other letter cases of a repository's name, as the Hub takes them."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
import requests
from huggingface_hub import HfApi, hf_hub_download
from huggingface_hub.errors import HfHubHTTPError, RepositoryNotFoundError

from hubkit.hub.server.embedded import EmbeddedHub
from tests.hub_server.conftest import OWNER


def upload(api: HfApi, repo: str, text: bytes = b"hello") -> None:
    api.upload_file(repo_id=repo, path_in_repo="a.txt", path_or_fileobj=text)


def test_an_old_name_leads_to_the_new_one(
    hub: EmbeddedHub, api: HfApi, repo: str, tmp_path: Path
) -> None:
    upload(api, repo)
    api.move_repo(repo, "lab/second")
    api.move_repo("lab/second", "lab/third")

    for old in (repo, "lab/second"):
        assert api.model_info(old).id == "lab/third"
        assert "a.txt" in api.list_repo_files(old)
        got = hf_hub_download(
            old, "a.txt", endpoint=hub.endpoint, token=OWNER, cache_dir=tmp_path / old
        )
        assert Path(got).read_bytes() == b"hello"
    upload(api, repo, b"written to the old name")
    assert "a.txt" in api.list_repo_files("lab/third")
    assert len(api.list_repo_commits("lab/third")) == 3
    clone = ["git", "clone", "-q", f"{hub.endpoint}/{repo}", str(tmp_path / "clone")]
    subprocess.run(clone, check=True, capture_output=True)
    assert (tmp_path / "clone/a.txt").read_bytes() == b"written to the old name"


def test_a_redirect_is_relative_and_keeps_the_query(hub: EmbeddedHub, api: HfApi) -> None:
    api.create_repo("ana/old")
    api.move_repo("ana/old", "ana/new")
    answer = requests.get(
        f"{hub.endpoint}/api/models/ana/old/tree/refs%2Fpr%2F1?recursive=true&limit=2",
        allow_redirects=False,
        timeout=10,
    )
    assert answer.status_code == 307
    wanted = "/api/models/ana/new/tree/refs%2Fpr%2F1?recursive=true&limit=2"
    assert answer.headers["location"] == wanted


def test_a_new_repository_takes_an_old_name_back(api: HfApi) -> None:
    api.create_repo("ana/old")
    api.move_repo("ana/old", "ana/new")
    api.create_repo("ana/old")
    upload(api, "ana/old")
    assert "a.txt" not in api.list_repo_files("ana/new")
    api.delete_repo("ana/old")
    # What took the name and is gone leaves nothing to follow.
    with pytest.raises(RepositoryNotFoundError):
        api.model_info("ana/old")


def test_an_old_name_tells_nobody_of_a_private_repository(
    api: HfApi, other: HfApi, anonymous: HfApi
) -> None:
    api.create_repo("ana/old", private=True)
    api.move_repo("ana/old", "ana/secret")
    assert api.model_info("ana/old").id == "ana/secret"
    for stranger in (other, anonymous):
        with pytest.raises(RepositoryNotFoundError) as refused:
            stranger.model_info("ana/old")
        assert "secret" not in str(refused.value)


def test_the_old_name_of_what_is_deleted_is_free(api: HfApi) -> None:
    api.create_repo("ana/old")
    api.move_repo("ana/old", "ana/new")
    api.delete_repo("ana/new")
    with pytest.raises(RepositoryNotFoundError):
        api.model_info("ana/old")


def test_a_move_there_and_back_ends(api: HfApi) -> None:
    api.create_repo("ana/one")
    api.move_repo("ana/one", "ana/two")
    api.move_repo("ana/two", "ana/one")
    assert api.model_info("ana/two").id == "ana/one"
    api.delete_repo("ana/one")
    with pytest.raises(RepositoryNotFoundError):
        api.model_info("ana/two")


def test_a_taken_name_is_refused_in_the_hubs_words(api: HfApi) -> None:
    api.create_repo("ana/one")
    api.create_repo("ana/two")
    with pytest.raises(HfHubHTTPError, match=r"A model repository called .ana/two. already exists"):
        api.move_repo("ana/one", "ana/two")


def test_letter_case_does_not_matter(api: HfApi, other: HfApi) -> None:
    api.create_repo("ana/CamelCase")
    upload(api, "ana/camelcase")
    assert api.model_info("ANA/camelCASE").id == "ana/CamelCase"
    with pytest.raises(HfHubHTTPError) as refused:
        api.create_repo("ana/camelcase")
    assert refused.value.response is not None
    assert refused.value.response.status_code == 409
    assert [found.id for found in api.list_models()] == ["ana/CamelCase"]
    # Another's repository does not become one's own by another spelling.
    with pytest.raises(HfHubHTTPError) as forbidden:
        upload(other, "ANA/camelcase")
    assert forbidden.value.response is not None
    assert forbidden.value.response.status_code == 403
    api.move_repo("ana/CamelCase", "ana/camelcase")
    assert api.model_info("ana/CAMELCASE").id == "ana/camelcase"
