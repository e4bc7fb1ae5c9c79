"""What `hubkit serve USER/NAME` fetches from a Hub, and what it says where it cannot."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from huggingface_hub import HfApi, constants

from hubkit.errors import HubError, ModelError, RecipeError, UsageError
from hubkit.formats_records import RuntimeName
from hubkit.hub.retry import Retry
from hubkit.hub.server.embedded import EmbeddedHub
from hubkit.serving_target import Found, find_model
from tests.serving.tiny_onnx import make_model

TOKEN = "hf_owner_token_11"
REPO = "owner/tiny"
Find = Callable[..., Found]


@pytest.fixture(scope="module", name="hub")
def _hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedHub]:
    """A Hub with a model that has weights for much else beside, and a second commit on a branch."""
    folder = make_model(tmp_path_factory.mktemp("model") / "tiny")
    for other in ("model.safetensors", "pytorch_model.bin", "onnx/model_fp32.onnx",
                  "openvino/openvino_model.xml", "openvino/openvino_model.bin",
                  "tokenizer.json"):  # fmt: skip
        (folder / other).parent.mkdir(exist_ok=True)
        (folder / other).write_bytes(b"{}")
    with EmbeddedHub(tmp_path_factory.mktemp("hub"), {"owner": {"token": TOKEN}}) as server:
        api = HfApi(server.endpoint, token=TOKEN)
        api.create_repo(REPO)
        api.upload_folder(repo_id=REPO, folder_path=folder)
        api.create_branch(REPO, branch="second")
        api.upload_file(
            path_or_fileobj=b"{}", path_in_repo="vocab.json", repo_id=REPO, revision="second"
        )
        api.create_repo("owner/text")
        api.upload_file(path_or_fileobj=b"x", path_in_repo="README.md", repo_id="owner/text")
        api.create_repo("owner/secret", private=True)
        api.upload_folder(repo_id="owner/secret", folder_path=folder)
        yield server


@pytest.fixture(name="find")
def _find(hub: EmbeddedHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Find:
    """`find_model` of someone who is not logged in, with an empty cache."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_TOKEN", "")
    monkeypatch.setattr("hubkit.hub.client.Retry", lambda: Retry(tries=1))

    def find(target: str, endpoint: str = hub.endpoint, **more: object) -> Found:
        return find_model(target, endpoint=endpoint, **more)  # type: ignore[arg-type]

    return find


def _names(folder: Path) -> set[str]:
    return {path.name for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("runtime", "file", "weights"),
    [
        ("onnxruntime", "model.onnx", set()),
        ("openvino", "openvino/openvino_model.xml", {"openvino_model.bin"}),
    ],
)
def test_only_the_weights_that_are_served_come(
    find: Find, runtime: RuntimeName, file: str, weights: set[str]
) -> None:
    found = find(REPO, runtime=runtime)
    assert (found.files.name, found.files.model_file, found.note) == ("tiny", file, "")
    wanted = {Path(file).name, *weights, "config.json", "tokenizer.json", ".gitattributes"}
    assert _names(found.files.folder) == wanted


def test_a_revision_is_a_branch_or_a_commit(find: Find, hub: EmbeddedHub) -> None:
    second = find(REPO, revision="second").files.folder
    assert "vocab.json" in _names(second)
    assert "vocab.json" not in _names(find(REPO).files.folder)
    assert find(REPO, revision=second.name).files.folder == second  # named after its commit
    with pytest.raises(HubError, match=REPO) as caught:
        find(REPO, revision="third")
    assert "revision" in caught.value.hint


def test_where_the_hub_is_away_what_was_fetched_is_served_and_said_so(
    find: Find, monkeypatch: pytest.MonkeyPatch
) -> None:
    away = "http://127.0.0.1:9"
    with pytest.raises(HubError, match="cannot be reached"):
        find(REPO, away)
    before = find(REPO)
    after = find(REPO, away)
    assert after.files == before.files
    assert "served as it was last fetched" in after.note
    with pytest.raises(HubError, match="cannot be reached"):
        find(REPO, away, revision="second")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert "HF_HUB_OFFLINE" in find(REPO).note


@pytest.mark.parametrize(
    ("target", "kind", "said", "cure"),
    [
        ("owner/nothing", HubError, "owner/nothing is not on the Hub", "no folder or recipe"),
        ("owner/secret", HubError, "may not be seen", "HF_TOKEN"),
        ("owner/text", ModelError, "no config.json", "model folder"),
    ],
)
def test_what_cannot_be_served_is_said_with_its_cure(
    find: Find, target: str, kind: type[HubError], said: str, cure: str
) -> None:
    with pytest.raises(kind, match=said) as caught:
        find(target)
    assert cure in caught.value.hint


def test_a_token_opens_what_is_private(find: Find, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    assert find("owner/secret").files.model_file == "model.onnx"


def test_what_is_a_path_or_no_repository_is_not_asked_of_the_hub(
    find: Find, hub: EmbeddedHub, tiny_folder: Path
) -> None:
    seen = len(hub.requests)
    for target in ("recipes/missing.yaml", "./owner/tiny"):
        with pytest.raises(RecipeError, match="no such file"):
            find(target)
    with pytest.raises(UsageError, match="no repository"):
        find(str(tiny_folder), revision="main")
    assert len(hub.requests) == seen
