"""Tokens: kept as digests, compared in constant time; fine-grained ones go as far as they say."""

from __future__ import annotations

import gc
import hashlib
import hmac
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests
from huggingface_hub import CommitOperationAdd, HfApi
from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, RepositoryNotFoundError

from hubkit.errors import HubError
from hubkit.hub.server import users as users_module
from hubkit.hub.server.embedded import EmbeddedHub
from hubkit.hub.server.users import load_users


def scoped(kind: str, name: str, *permissions: str) -> dict[str, object]:
    return {"entity": {"type": kind, "name": name}, "permissions": list(permissions)}


def fine(token: str, *scopes: dict[str, object], **more: object) -> dict[str, object]:
    return {
        "name": token[3:],
        "token": token,
        "role": "fineGrained",
        "scoped": list(scopes),
        **more,
    }


USERS: dict[str, dict[str, object]] = {
    "ana": {
        "orgs": ["lab"],
        "tokens": [
            {"name": "laptop", "token": "hf_laptop"},
            {"name": "viewer", "token": "hf_viewer", "role": "read"},
            fine("hf_one_repo", scoped("model", "ana/model", "repo.write")),
            fine("hf_reads_one", scoped("model", "ana/secret", "repo.content.read")),
            fine("hf_namespace", scoped("user", "ana", "repo.content.read", "repo.write")),
            fine("hf_the_lab", scoped("org", "lab", "repo.write")),
            fine("hf_greedy", scoped("user", "bob", "repo.write")),
            fine("hf_talks_all", **{"global": ["discussion.write"]}),
            fine("hf_talks_one", scoped("model", "bob/model", "discussion.write")),
            fine("hf_gated", canReadGatedRepos=True),
            fine("hf_nothing"),
        ],
    },
    "bob": {"token": "hf_bobs_own"},
}


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedHub]:
    with EmbeddedHub(tmp_path_factory.mktemp("roles") / "root", users=USERS) as running:
        ana, bob = client(running, "hf_laptop"), client(running, "hf_bobs_own")
        for name in ("ana/model", "ana/other", "ana/gated", "lab/model"):
            ana.create_repo(name)
        ana.create_repo("ana/secret", private=True)
        ana.create_repo("ana/model", repo_type="dataset")
        ana.update_repo_settings("ana/gated", gated="manual")
        bob.create_repo("bob/model")
        yield running


def client(hub: EmbeddedHub, token: str) -> HfApi:
    return HfApi(endpoint=hub.endpoint, token=token)


def refused(status: int, call: Callable[[], object]) -> None:
    with pytest.raises(HfHubHTTPError) as error:
        call()
    assert error.value.response is not None
    assert error.value.response.status_code == status


def add(path: str = "a") -> list[CommitOperationAdd]:
    return [CommitOperationAdd(path, b"a")]


def test_whoami_tells_of_the_token_as_the_hub_does(hub: EmbeddedHub) -> None:
    def token(name: str) -> dict[str, object]:
        found: dict[str, object] = client(hub, name).whoami()["auth"]["accessToken"]
        return found

    assert token("hf_laptop") == {"displayName": "laptop", "role": "write"}
    assert token("hf_viewer")["role"] == "read"
    assert token("hf_talks_all")["fineGrained"] == {
        "canReadGatedRepos": False,
        "global": ["discussion.write"],
        "scoped": [],
    }
    assert token("hf_one_repo") == {
        "displayName": "one_repo",
        "role": "fineGrained",
        "fineGrained": {
            "canReadGatedRepos": False,
            "global": [],
            "scoped": [
                {
                    "entity": {"type": "model", "name": "ana/model"},
                    "permissions": ["repo.write"],
                }
            ],
        },
    }
    assert client(hub, "hf_one_repo").get_token_permission() == "fineGrained"


def test_a_token_of_one_repository_writes_there_and_nowhere_else(hub: EmbeddedHub) -> None:
    api = client(hub, "hf_one_repo")
    api.create_commit("ana/model", add(), commit_message="a")
    api.upload_file(repo_id="ana/model", path_in_repo="w.bin", path_or_fileobj=b"w" * 20)
    api.create_tag("ana/model", tag="v1")
    assert api.model_info("ana/other").id == "ana/other"
    for call in (
        lambda: api.create_commit("ana/other", add(), commit_message="a"),
        lambda: api.create_commit("ana/other", add(), commit_message="a", create_pr=True),
        lambda: api.create_commit("bob/model", add(), commit_message="a", create_pr=True),
        lambda: api.create_commit("ana/model", add(), commit_message="a", repo_type="dataset"),
        lambda: api.create_repo("ana/new"),
        lambda: api.create_repo("lab/new"),
        lambda: api.delete_repo("ana/other"),
        lambda: api.move_repo("ana/model", "ana/renamed"),
        lambda: api.update_repo_settings("ana/other", private=True),
        lambda: api.create_tag("lab/model", tag="v1"),
    ):
        refused(403, call)
    with pytest.raises(RepositoryNotFoundError):
        api.model_info("ana/secret")
    assert "ana/secret" not in {model.id for model in api.list_models(author="ana")}


def test_a_token_that_reads_one_private_repository(hub: EmbeddedHub) -> None:
    api = client(hub, "hf_reads_one")
    assert api.model_info("ana/secret").private
    assert api.hf_hub_download("ana/secret", ".gitattributes", force_download=True)
    refused(403, lambda: api.create_commit("ana/secret", add(), commit_message="a"))
    with pytest.raises(GatedRepoError):
        api.hf_hub_download("ana/gated", ".gitattributes")


def test_a_token_of_a_namespace_makes_and_deletes_there(hub: EmbeddedHub) -> None:
    for token, namespace, others in (("hf_namespace", "ana", "lab"), ("hf_the_lab", "lab", "ana")):
        api = client(hub, token)
        name = f"{namespace}/made"
        api.create_repo(name, private=True)
        api.create_commit(name, add(), commit_message="a")
        api.move_repo(name, f"{namespace}/renamed")
        api.delete_repo(f"{namespace}/renamed")
        refused(403, lambda: api.create_repo(f"{others}/made"))  # noqa: B023
        refused(403, lambda: api.delete_repo(f"{others}/model"))  # noqa: B023
    # A permission does not make a namespace one's own.
    greedy = client(hub, "hf_greedy")
    refused(403, lambda: greedy.create_commit("bob/model", add(), commit_message="a"))
    refused(403, lambda: greedy.create_repo("bob/taken"))


def test_tokens_that_only_talk(hub: EmbeddedHub) -> None:
    api, one = client(hub, "hf_talks_all"), client(hub, "hf_talks_one")
    assert api.create_discussion("ana/model", title="A word").num
    assert api.create_commit("bob/model", add(), commit_message="a pr", create_pr=True).pr_num
    assert one.create_discussion("bob/model", title="A word").num
    refused(403, lambda: one.create_discussion("ana/model", title="A word"))
    for token in (api, one):
        refused(403, lambda: token.create_commit("ana/model", add(), commit_message="a"))  # noqa: B023
        refused(403, lambda: token.create_repo("ana/new"))  # noqa: B023
    number = api.create_discussion("ana/other", title="A word").num
    refused(403, lambda: api.merge_pull_request("ana/other", number))
    for token in ("hf_nothing", "hf_viewer", "hf_gated"):
        refused(403, lambda: client(hub, token).create_discussion("ana/model", title="A word"))  # noqa: B023


def test_gated_files_need_their_permission(hub: EmbeddedHub, tmp_path: Path) -> None:
    for token, opens in (
        ("hf_laptop", True),
        ("hf_viewer", True),
        ("hf_gated", True),
        ("hf_namespace", True),
        ("hf_nothing", False),
        ("hf_one_repo", False),
    ):
        api = client(hub, token)
        if opens:
            assert api.hf_hub_download("ana/gated", ".gitattributes", cache_dir=tmp_path / token)
        else:
            with pytest.raises(GatedRepoError):
                api.hf_hub_download("ana/gated", ".gitattributes", cache_dir=tmp_path / token)


def test_no_token_is_kept_or_told(hub: EmbeddedHub) -> None:
    gc.collect()
    kept = [thing for thing in gc.get_objects() if isinstance(thing, users_module.Users)]
    assert kept
    for found in kept:
        assert "hf_laptop" not in repr(vars(found))
    for path in hub.root.rglob("*"):
        if path.is_file():
            assert b"hf_laptop" not in path.read_bytes()
    answer = requests.get(
        f"{hub.endpoint}/api/whoami-v2",
        headers={"Authorization": "Bearer hf_wrong_token"},
        timeout=9,
    )
    assert answer.status_code == 401
    assert "hf_wrong_token" not in answer.text + json.dumps(dict(answer.headers))


def test_every_digest_is_compared_in_constant_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    users = load_users(USERS, tmp_path)
    compared: list[tuple[str, str]] = []
    real = hmac.compare_digest

    def compare(one: str, other: str) -> bool:
        compared.append((one, other))
        return real(one, other)

    monkeypatch.setattr(users_module.hmac, "compare_digest", compare)
    counts = set()
    for token in ("hf_laptop", "hf_nothing", "hf_bobs_own", "hf_unknown", ""):
        compared.clear()
        users.find(token)
        counts.add(len(compared))
        assert {other for _, other in compared} == {hashlib.sha256(token.encode()).hexdigest()}
    assert counts == {12}  # every token's, found or not


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("ana: {tokens: []}", "list of tokens"),
        ("ana: {tokens: [{name: a}]}", "token_sha256"),
        ("ana: {tokens: [{token: hf_12345678, role: admin}]}", "role"),
        ("ana: {tokens: [{token: hf_12345678, scoped: []}, {token: hf_12345678}]}", "same token"),
        ("ana: {tokens: [{token: hf_12345678, global: [discussion.write]}]}", "fineGrained"),
        (
            "ana: {tokens: [{token: hf_12345678, role: fineGrained, scoped: "
            "[{entity: {type: model, name: ana/m}, permissions: [repo.wirte]}]}]}",
            "permissions",
        ),
        ("ana: {token: hf_12345678, token_sha256: '" + "0" * 64 + "'}", "either"),
    ],
)
def test_a_users_file_with_a_mistake_says_where(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "users.yaml"
    file.write_text(text)
    with pytest.raises(HubError) as error:
        load_users(file, tmp_path)
    assert said in error.value.message
    assert "hf_12345678" not in error.value.message
