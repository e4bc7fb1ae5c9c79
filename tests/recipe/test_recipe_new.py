"""`recipe new`: filled in from a folder or a Hub, else marked, and never overwriting."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hubkit.errors import HubError, HubkitError, ModelError, UsageError
from hubkit.hub.server.embedded import EmbeddedHub
from hubkit.hub.session import default_endpoint
from hubkit.recipe_file import check_labels, load_recipe, open_points
from hubkit.recipe_new import new_recipe, recipe_name

CONFIG = {
    "architectures": ["DistilBertForSequenceClassification"],
    "id2label": {"0": "no", "1": 'say "yes"', "2": "übel: 😀 #1", "10": "last"},
}
LABELS = ("no", 'say "yes"', "übel: 😀 #1", "last")
CARD = "---\nlicense: mit\nlanguage: ['no', English]\ndatasets: [me/data]\n---\nA model.\n"


def _model(folder: Path, **changes: object) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps({**CONFIG, **changes}), encoding="utf-8")
    return folder


def test_a_local_model_gives_a_recipe_that_loads(tmp_path: Path) -> None:
    model = _model(tmp_path / "models" / "my model")
    made = new_recipe(str(model), output=tmp_path / "recipes" / "mine")
    assert made.unreachable == ""
    loaded = load_recipe(str(made.path))
    assert loaded.recipe.name == "my-model"
    assert loaded.recipe.base.model_dump() == {"source": "local", "path": "../../models/my model"}
    assert tuple(loaded.recipe.labels.values()) == LABELS
    check_labels(loaded, LABELS)
    assert loaded.notes == made.notes.read_text(encoding="utf-8") != ""
    left = [line.split(": ")[1] for line in open_points(loaded)]
    assert left == ["dataset.path", "publication.license"]


def test_a_model_on_a_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    users = {"me": {"token": "hf_me_token_1"}}
    with EmbeddedHub(tmp_path / "hub", users) as server:
        from huggingface_hub import CommitOperationAdd, HfApi

        api = HfApi(server.endpoint, token="hf_me_token_1")
        api.create_repo("me/model")
        files = {"config.json": json.dumps(CONFIG), "README.md": CARD}
        adds = [CommitOperationAdd(path, text.encode()) for path, text in files.items()]
        with default_endpoint(server.endpoint):
            api.create_commit("me/model", adds, commit_message="model")
        made = new_recipe("me/model", output=tmp_path / "r", endpoint=server.endpoint)
        with pytest.raises(HubError) as caught:
            new_recipe("me/other", output=tmp_path / "s", endpoint=server.endpoint)
    assert "has no model me/other" in caught.value.message
    assert not (tmp_path / "s").exists()
    loaded = load_recipe(str(made.path))
    assert open_points(loaded) == ()
    recipe = loaded.recipe
    assert recipe.base.model_dump() == {"source": "hub", "id": "me/model", "revision": "main"}
    assert tuple(recipe.labels.values()) == LABELS
    assert (recipe.publication.license, recipe.publication.languages) == ("mit", ("no",))
    assert recipe.dataset.path == "me/data"


def test_a_hub_that_is_away_leaves_marked_placeholders(tmp_path: Path) -> None:
    made = new_recipe("me/model", output=tmp_path / "r", endpoint="http://127.0.0.1:9")
    assert made.unreachable == "the Hub at http://127.0.0.1:9 cannot be reached"
    assert "The Hub was away" in made.path.read_text(encoding="utf-8")
    left = [line.split(": ")[1] for line in open_points(load_recipe(str(made.path)))]
    assert left == ["dataset.path", "labels.0", "labels.1", "publication.license"]


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    model = _model(tmp_path / "model")
    out = tmp_path / "out"
    out.mkdir()
    (out / "notes.md").write_text("mine")
    with pytest.raises(UsageError, match=r"notes\.md is there already"):
        new_recipe(str(model), output=out)
    assert [p.name for p in out.iterdir()] == ["notes.md"]
    assert (out / "notes.md").read_text() == "mine"


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"architectures": ["BertForTokenClassification"]}, "is a BertForTokenClassification"),
        ({"problem_type": "regression"}, "is a model for regression"),
    ],
)
def test_a_model_of_another_task(tmp_path: Path, changes: dict[str, object], what: str) -> None:
    with pytest.raises(ModelError, match=what):
        new_recipe(str(_model(tmp_path / "model", **changes)), output=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_what_is_no_model(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for model, what in (
        (str(tmp_path / "empty"), "no readable config.json"),
        ("./nowhere", "no such folder"),
        ("a b", "no model id"),
    ):
        with pytest.raises(HubkitError, match=what) as caught:
            new_recipe(model, output=tmp_path / "out", endpoint="http://127.0.0.1:9")
        assert caught.value.hint


def test_names() -> None:
    assert recipe_name("me/My Model_v1.0") == "My-Model_v1.0"
    with pytest.raises(UsageError):
        recipe_name("me/---")
