"""Who may not do what, and what no client should send."""

from __future__ import annotations

import base64
import hashlib
import json
from contextlib import suppress
from pathlib import Path

import pytest
import requests
from huggingface_hub import CommitOperationAdd, HfApi, hf_hub_download
from huggingface_hub.errors import (
    BadRequestError,
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from hubkit.errors import HubError
from hubkit.hub.server.embedded import EmbeddedHub
from hubkit.hub.server.names import checked_path
from hubkit.hub.server.problems import Problem
from hubkit.hub.server.users import load_users
from tests.hub_server.conftest import OTHER, OWNER, READER


def sent(hub: EmbeddedHub, method: str, path: str, **more: object) -> requests.Response:
    headers = {"Authorization": f"Bearer {OWNER}"}
    return requests.request(
        method,
        hub.endpoint + path,
        timeout=10,
        **{"headers": headers, **more},  # type: ignore[arg-type]
    )


def committed(hub: EmbeddedHub, repo: str, *operations: tuple[str, object]) -> requests.Response:
    lines = [("header", {"summary": "s"}), *operations]
    body = "".join(json.dumps({"key": key, "value": value}) + "\n" for key, value in lines)
    return sent(hub, "POST", f"/api/models/{repo}/commit/main", data=body)


def test_missing_things_raise_the_clients_exceptions(
    hub: EmbeddedHub, api: HfApi, anonymous: HfApi, repo: str, tmp_path: Path
) -> None:
    def download(name: str, **more: str) -> str:
        return hf_hub_download(repo, name, endpoint=hub.endpoint, cache_dir=tmp_path, **more)

    with pytest.raises(EntryNotFoundError) as entry:
        download("nothing")
    assert entry.value.response.headers["X-Repo-Commit"] == api.repo_info(repo).sha
    with pytest.raises(RevisionNotFoundError):
        download(".gitattributes", revision="nothing")
    for client, status in ((api, 404), (anonymous, 401)):
        with pytest.raises(RepositoryNotFoundError) as error:
            client.model_info("ana/nothing")
        assert error.value.response.status_code == status
        assert error.value.response.headers["X-Request-Id"]
        with pytest.raises(RepositoryNotFoundError):
            client.model_info("gpt2")
    with pytest.raises(RepositoryNotFoundError):
        hf_hub_download("gpt2", "config.json", endpoint=hub.endpoint, cache_dir=tmp_path)


def test_private_repositories_do_not_exist_for_others(
    hub: EmbeddedHub, api: HfApi, other: HfApi, anonymous: HfApi, tmp_path: Path
) -> None:
    api.create_repo("ana/secret", private=True)
    api.upload_file(repo_id="ana/secret", path_in_repo="w.bin", path_or_fileobj=b"weights")
    assert api.model_info("ana/secret").private
    for client in (other, anonymous):
        with pytest.raises(RepositoryNotFoundError):
            client.model_info("ana/secret")
        with pytest.raises((RepositoryNotFoundError, LocalEntryNotFoundError)):
            client.hf_hub_download("ana/secret", "w.bin", cache_dir=tmp_path)
        for path in ("/ana/secret", "/ana/secret/tree/main", "/ana/secret.git/info/refs"):
            token = "" if client is anonymous else OTHER
            headers = {"Authorization": f"Bearer {token}"} if token else {}
            answer = requests.get(hub.endpoint + path, headers=headers, timeout=10)
            assert answer.status_code == (404 if token else 401)
    assert b"secret" not in requests.get(hub.endpoint, timeout=10).content
    # Knowing the digest of a private file opens it to nobody, not through one's own repository.
    oid = hashlib.sha256(b"weights").hexdigest()
    other.create_repo("bob/own")
    with pytest.raises(BadRequestError):
        _commit_pointer(hub, "bob/own", oid)
    url = f"{hub.endpoint}/ana/secret.git/info/lfs/objects/{oid}"
    assert requests.get(url, timeout=10).status_code == 401
    api.update_repo_settings("ana/secret", private=False)
    assert not anonymous.model_info("ana/secret").private


def _commit_pointer(hub: EmbeddedHub, repo: str, oid: str) -> None:
    from huggingface_hub.utils import hf_raise_for_status

    line = {"key": "lfsFile", "value": {"path": "w", "algo": "sha256", "oid": oid, "size": 7}}
    header = {"key": "header", "value": {"summary": "s"}}
    body = json.dumps(header) + "\n" + json.dumps(line)
    headers = {"Authorization": f"Bearer {OTHER}"}
    url = f"{hub.endpoint}/api/models/{repo}/commit/main"
    hf_raise_for_status(requests.post(url, data=body, headers=headers, timeout=10))


def test_gated_files_are_for_the_owner(
    api: HfApi, other: HfApi, anonymous: HfApi, repo: str, tmp_path: Path
) -> None:
    api.update_repo_settings(repo, gated="manual")
    assert anonymous.model_info(repo).gated == "manual"
    for client in (other, anonymous):
        with pytest.raises(GatedRepoError):
            client.hf_hub_download(repo, ".gitattributes", cache_dir=tmp_path)
    assert api.hf_hub_download(repo, ".gitattributes", cache_dir=tmp_path)


def test_tokens_and_roles(hub: EmbeddedHub, api: HfApi, other: HfApi, repo: str) -> None:
    assert api.whoami()["name"] == "ana"
    assert [org["name"] for org in api.whoami()["orgs"]] == ["lab"]
    with pytest.raises(requests.HTTPError) as wrong:
        HfApi(endpoint=hub.endpoint, token="hf_wrong").whoami()
    assert wrong.value.response.status_code == 401
    reader = HfApi(endpoint=hub.endpoint, token=READER)
    for refused in (
        lambda: reader.create_repo("eve/own"),
        lambda: other.create_repo("ana/theirs"),
        lambda: other.delete_repo(repo),
        lambda: other.create_tag(repo, tag="v1"),
        lambda: other.update_repo_settings(repo, private=True),
        lambda: other.move_repo(repo, "bob/taken"),
        lambda: api.move_repo(repo, "bob/given"),
        lambda: reader.upload_file(
            repo_id=repo, path_in_repo="x", path_or_fileobj=b"", create_pr=True
        ),
    ):
        with pytest.raises(HfHubHTTPError) as error:
            refused()
        assert error.value.response is not None
        assert error.value.response.status_code == 403
    api.create_repo("lab/shared")
    assert api.repo_exists(repo)
    # A browser sends Basic unasked, so the API does not take it for writing.
    basic = base64.b64encode(f"ana:{OWNER}".encode()).decode()
    answer = requests.post(
        f"{hub.endpoint}/api/repos/create",
        json={"name": "x"},
        headers={"Authorization": f"Basic {basic}"},
        timeout=10,
    )
    assert answer.status_code == 401


BAD_PATHS = [
    "../x", "a/../../x", "/etc/passwd", "a\\b", "a\0b", "a//b", "a/", "./a", "", ".git/config",
    "a/.GIT/hooks/x", "a/..", "\n", "x" * 300,
]  # fmt: skip


@pytest.mark.parametrize("path", BAD_PATHS)
def test_no_path_leaves_the_repository(hub: EmbeddedHub, repo: str, path: str) -> None:
    value = {"path": path, "content": "", "encoding": "base64"}
    assert committed(hub, repo, ("file", value)).status_code == 400
    if path:
        quoted = requests.utils.quote(path, safe="")  # type: ignore[attr-defined]
        for where in ("resolve/main", "tree/main", "blob/main"):
            kind = "/api/models" if where.startswith("tree") else ""
            answer = sent(hub, "GET", f"{kind}/{repo}/{where}/{quoted}")
            assert answer.status_code == 400
    body = {"files": [{"path": path, "size": 1, "sample": ""}]}
    assert sent(hub, "POST", f"/api/models/{repo}/preupload/main", json=body).status_code == 422


@settings(deadline=None)
@given(st.text(max_size=40))
def test_a_path_that_passes_stays_inside(path: str) -> None:
    with suppress(Problem):
        inside = Path("/repo", checked_path(path))
        assert inside.is_relative_to("/repo")
        assert not {"..", ".git"} & set(inside.parts)


@pytest.mark.parametrize(
    "name",
    ["a/../b", "../b", "a/b/c", "a/.b", "a/b.git", "api/b", "a/b..c", "a/b--c", "a/", "a/-b"],
)
def test_no_name_leaves_the_root(hub: EmbeddedHub, name: str) -> None:
    namespace, _, rest = name.partition("/")
    body = {"name": rest, "organization": namespace, "type": "model"}
    assert sent(hub, "POST", "/api/repos/create", json=body).status_code == 400
    before = {p for p in hub.root.rglob("*.git") if p.is_dir()}
    assert before == set()


def test_commits_that_do_not_fit_change_nothing(hub: EmbeddedHub, api: HfApi, repo: str) -> None:
    api.upload_file(repo_id=repo, path_in_repo="a", path_or_fileobj=b"1")
    head = api.repo_info(repo).sha
    good = ("file", {"path": "new", "content": "", "encoding": "base64"})
    for status, operation in (
        (400, ("lfsFile", {"path": "w", "algo": "sha256", "oid": "0" * 64, "size": 1})),
        (400, ("file", {"path": "a/b", "content": "", "encoding": "base64"})),
        (400, ("file", {"path": "b", "content": "%%%", "encoding": "base64"})),
        (400, ("unknown", {"path": "b"})),
        (400, ("file", {"path": "README.md", "content": "---\nlicense: {a: 1}\n---\n",
                        "encoding": "utf-8"})),
        (404, ("deletedFile", {"path": "nothing"})),
        (404, ("deletedFolder", {"path": "nothing"})),
        (413, ("file", {"path": "b", "content": "a" * 11_000_000, "encoding": "utf-8"})),
    ):  # fmt: skip
        assert committed(hub, repo, good, operation).status_code == status
    assert sent(hub, "POST", f"/api/models/{repo}/commit/main", data="nonsense").status_code == 400
    assert sent(hub, "POST", f"/api/models/{repo}/commit/main", data="").status_code == 400
    assert api.repo_info(repo).sha == head
    with pytest.raises(ValueError, match="license"):
        api.upload_file(
            repo_id=repo, path_in_repo="README.md", path_or_fileobj=b"---\nlicense: {a: b}\n---\n"
        )


def test_lfs_objects_are_checked(hub: EmbeddedHub, api: HfApi, repo: str) -> None:
    oid, size = hashlib.sha256(b"right").hexdigest(), 5

    def link() -> str:
        ask = {"operation": "upload", "objects": [{"oid": oid, "size": size}]}
        batch = sent(hub, "POST", f"/{repo}.git/info/lfs/objects/batch", json=ask).json()
        href: str = batch["objects"][0]["actions"]["upload"]["href"]
        return href

    for body in (b"wrong", b"longer", b"shor"):
        assert requests.put(link(), data=body, timeout=10).status_code == 400
        # Chunked, so that the length is not known beforehand.
        assert requests.put(link(), data=iter([body]), timeout=10).status_code == 400
    for query in ("?", "?size=5&expires=99999999999&signature=" + "0" * 64):
        assert (
            requests.put(link().split("?")[0] + query, data=b"right", timeout=10).status_code == 403
        )
    assert not [p for p in hub.root.rglob(oid) if p.is_file()]
    assert not list((hub.root / "tmp").iterdir())
    assert requests.put(link(), data=b"right", timeout=10).status_code == 200
    verify = {"oid": oid, "size": 5}
    path = f"/{repo}.git/info/lfs/verify"
    assert sent(hub, "POST", path, json=verify).status_code == 200
    assert sent(hub, "POST", path, json={**verify, "size": 6}).status_code == 400
    api.create_commit(repo, [CommitOperationAdd("w.bin", b"right")], commit_message="w")
    stored = [p for p in hub.root.rglob(oid) if p.is_file()]
    assert [p.read_bytes() for p in stored] == [b"right"]


def test_the_default_user_and_users_files(tmp_path: Path) -> None:
    with EmbeddedHub(tmp_path / "root") as hub:
        token = hub.token
        assert HfApi(endpoint=hub.endpoint, token=token).whoami()["name"] == "demo"
        assert (hub.root / "token").stat().st_mode & 0o777 == 0o600
        assert token not in (hub.root / "users.json").read_text()
    file = tmp_path / "users.yaml"
    digest = hashlib.sha256(b"hf_second_one").hexdigest()
    file.write_text(f"one: {{token: hf_first_one}}\ntwo: {{token_sha256: {digest}, role: read}}\n")
    users = load_users(file, tmp_path)
    first, second = users.find("hf_first_one"), users.find("hf_second_one")
    assert first is not None
    assert first.can_write
    assert second is not None
    assert not second.can_write
    assert users.find("hf_none") is None
    for text in (
        "a: {tokn: hf_12345678}",
        "a: {token: x}",
        "api: {token: hf_12345678}",
        "a: [",
        "- a",
    ):
        file.write_text(text)
        with pytest.raises(HubError) as error:
            load_users(file, tmp_path)
        assert "hf_12345678" not in error.value.message
