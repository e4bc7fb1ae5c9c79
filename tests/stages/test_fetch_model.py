from __future__ import annotations

import json
import pickle
import shutil
from collections.abc import Iterator
from pathlib import Path

import huggingface_hub.constants
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from hubkit.errors import HubError, ModelError
from hubkit.hub.server.embedded import EmbeddedHub
from hubkit.records import BaseModelInfo, Source
from hubkit.stage import Context
from hubkit.stages.fetch_model import FetchModelInput, fetch_model
from hubkit.stages.model_config import read_config, task_of, without_head
from hubkit.stages.model_files import digest_of_model
from hubkit.stages.push import PushInput, push
from hubkit.store import Store
from tests.tiny import ENTITIES, make_tiny_model

TOKEN = "hf_owner_token"


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_model(tmp_path_factory.mktemp("tiny") / "model")


@pytest.fixture
def model(tiny: Path, tmp_path: Path) -> Path:
    """A copy to spoil."""
    return Path(shutil.copytree(tiny, tmp_path / "my-model"))


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedHub]:
    root = tmp_path_factory.mktemp("hub")
    with EmbeddedHub(root, users={"ana": {"token": TOKEN}}) as running:
        yield running


@pytest.fixture(autouse=True)
def no_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hf-cache"))


def _fetch_local(model: Path, root: Path) -> tuple[Store, BaseModelInfo]:
    source = Source(
        kind="model",
        source="local",
        id=model.name,
        revision="local",
        sha=digest_of_model(model),
    )
    return _fetch(FetchModelInput(source=source, path=str(model)), root, None)


def _fetch(
    given: FetchModelInput, root: Path, hub: EmbeddedHub | None
) -> tuple[Store, BaseModelInfo]:
    store = Store(root)
    with store.scratch() as scratch:
        endpoint = hub.endpoint if hub else "http://127.0.0.1:9"
        return store, fetch_model(given, Context(store, scratch, endpoint=endpoint, token=TOKEN))


def _publish(hub: EmbeddedHub, model: Path, root: Path, repo_id: str) -> Source:
    store = Store(root)
    with store.scratch() as scratch:
        bundle = store.adopt(Path(shutil.copytree(model, scratch / "repo")))
        ctx = Context(store, scratch, endpoint=hub.endpoint, token=TOKEN)
        done = push(PushInput(bundle=bundle, repo_id=repo_id, message="Add"), ctx)
    return Source(kind="model", source="hub", id=repo_id, revision="main", sha=done.commit)


def _edit(model: Path, **changes: object) -> Path:
    config = json.loads((model / "config.json").read_text())
    config.update(changes)
    (model / "config.json").write_text(json.dumps(config))
    return model


def test_takes_from_the_hub_what_is_needed_and_no_more(
    hub: EmbeddedHub, model: Path, tmp_path: Path
) -> None:
    for extra in ("README.md", "training_args.bin", "pytorch_model.bin", "onnx/model.onnx"):
        (model / extra).parent.mkdir(exist_ok=True)
        (model / extra).write_bytes(b"not needed")
    source = _publish(hub, model, tmp_path / "seed", "ana/model")
    hub.requests.clear()
    store, info = _fetch(FetchModelInput(source=source), tmp_path / "store", hub)
    assert {f.path for f in info.artifact.files} == {
        "config.json",
        "model.safetensors",
        "special_tokens_map.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "vocab.txt",
    }
    assert not any(".bin" in path or "onnx" in path for _, path in hub.requests)
    assert not (tmp_path / "hf-cache").exists()
    loaded = AutoModelForSequenceClassification.from_pretrained(store.path(info.artifact))
    assert info.num_parameters == loaded.num_parameters()
    assert info.architecture == "DistilBertForSequenceClassification"
    assert info.model_type == "distilbert"
    assert info.labels == ("NEGATIVE", "POSITIVE")
    assert info.max_positions == 64
    assert info.weights_bytes == (model / "model.safetensors").stat().st_size
    assert info.description is None


def test_hub_and_folder_give_the_same_artifact(
    hub: EmbeddedHub, model: Path, tmp_path: Path
) -> None:
    source = _publish(hub, model, tmp_path / "seed", "ana/same")
    _, one = _fetch(FetchModelInput(source=source), tmp_path / "one", hub)
    _, two = _fetch_local(model, tmp_path / "two")
    assert one == two


def test_a_commit_that_is_gone(hub: EmbeddedHub, model: Path, tmp_path: Path) -> None:
    source = _publish(hub, model, tmp_path / "seed", "ana/gone")
    lost = source.model_copy(update={"sha": "0" * 40})
    with pytest.raises(HubError, match="has no revision"):
        _fetch(FetchModelInput(source=lost), tmp_path / "store", hub)


def test_a_model_of_another_task_is_refused_before_its_weights(
    hub: EmbeddedHub, model: Path, tmp_path: Path
) -> None:
    _edit(model, architectures=["BertForTokenClassification"])
    source = _publish(hub, model, tmp_path / "seed", "ana/ner")
    hub.requests.clear()
    with pytest.raises(ModelError, match="is a model for token-classification") as caught:
        _fetch(FetchModelInput(source=source), tmp_path / "store", hub)
    assert "Set base in the recipe" in caught.value.hint
    assert not any("safetensors" in path for _, path in hub.requests)


def test_a_pickle_of_weights_becomes_safetensors(model: Path, tmp_path: Path) -> None:
    weights = load_file(model / "model.safetensors")
    (model / "model.safetensors").unlink()
    torch.save(weights, model / "pytorch_model.bin")
    store, info = _fetch_local(model, tmp_path / "store")
    assert "pytorch_model.bin" not in {f.path for f in info.artifact.files}
    found = load_file(store.path(info.artifact) / "model.safetensors")
    assert found.keys() == weights.keys()
    assert all(torch.equal(found[name], weights[name]) for name in weights)
    assert _fetch_local(model, tmp_path / "again")[1] == info


def test_a_pickle_in_shards_becomes_safetensors(model: Path, tmp_path: Path) -> None:
    weights = load_file(model / "model.safetensors")
    (model / "model.safetensors").unlink()
    names = sorted(weights)
    parts = {"pytorch_model-1.bin": names[::2], "pytorch_model-2.bin": names[1::2]}
    for file, part in parts.items():
        torch.save({name: weights[name] for name in part}, model / file)
    index = {"weight_map": {name: file for file, part in parts.items() for name in part}}
    (model / "pytorch_model.bin.index.json").write_text(json.dumps(index))
    store, info = _fetch_local(model, tmp_path / "store")
    assert {f.path for f in info.artifact.files if "model" in f.path} == {"model.safetensors"}
    found = load_file(store.path(info.artifact) / "model.safetensors")
    assert all(torch.equal(found[name], weights[name]) for name in weights)


class _Evil:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return print, ("code ran",)


def test_a_pickle_with_code_is_refused(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (model / "model.safetensors").unlink()
    (model / "pytorch_model.bin").write_bytes(pickle.dumps({"weight": _Evil()}))
    with pytest.raises(ModelError, match="holds more than weights"):
        _fetch_local(model, tmp_path / "store")
    assert "code ran" not in capsys.readouterr().out


def test_a_pickle_that_lacks_the_head_is_refused(model: Path, tmp_path: Path) -> None:
    weights = load_file(model / "model.safetensors")
    del weights["classifier.bias"]
    (model / "model.safetensors").unlink()
    torch.save(weights, model / "pytorch_model.bin")
    with pytest.raises(ModelError, match=r"lack classifier\.bias"):
        _fetch_local(model, tmp_path / "store")


def test_safetensors_in_shards_are_kept(hub: EmbeddedHub, model: Path, tmp_path: Path) -> None:
    whole = AutoModelForSequenceClassification.from_pretrained(model)
    sharded = tmp_path / "sharded"
    whole.save_pretrained(sharded, max_shard_size="20KB")
    AutoTokenizer.from_pretrained(model).save_pretrained(sharded)
    source = _publish(hub, sharded, tmp_path / "seed", "ana/sharded")
    store, info = _fetch(FetchModelInput(source=source), tmp_path / "store", hub)
    assert sum(f.path.endswith(".safetensors") for f in info.artifact.files) > 1
    assert info.num_parameters == whole.num_parameters()
    loaded = AutoModelForSequenceClassification.from_pretrained(store.path(info.artifact))
    assert torch.equal(loaded.classifier.weight, whole.classifier.weight)


def test_an_index_cannot_name_files_elsewhere(model: Path, tmp_path: Path) -> None:
    (model / "model.safetensors").rename(tmp_path / "outside.safetensors")
    index = {"weight_map": {"a": "../outside.safetensors"}}
    (model / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(ModelError, match="no file beside it"):
        digest_of_model(model)


@pytest.mark.parametrize(
    ("missing", "said"),
    [
        (["config.json"], r"no config\.json"),
        (["model.safetensors"], "no PyTorch weights"),
        (["tokenizer.json", "vocab.txt"], "no tokenizer"),
    ],
)
def test_a_folder_that_is_not_whole(model: Path, missing: list[str], said: str) -> None:
    for name in missing:
        (model / name).unlink()
    with pytest.raises(ModelError, match=said):
        digest_of_model(model)


def test_a_folder_that_changed_is_refused(model: Path, tmp_path: Path) -> None:
    source = Source(kind="model", source="local", id="m", revision="local", sha="0" * 64)
    with pytest.raises(ModelError, match="was changed while it was read"):
        _fetch(FetchModelInput(source=source, path=str(model)), tmp_path / "store", None)


def test_the_origin_of_a_built_model_is_told(model: Path, tmp_path: Path) -> None:
    _edit(model, hubkit_origin="MiniLM in another form")
    assert _fetch_local(model, tmp_path / "store")[1].description == "MiniLM in another form"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"architectures": ["DistilBertForMaskedLM"]}, "a model for fill-mask"),
        ({"architectures": ["DistilBertModel"]}, "it has no head"),
        ({"architectures": ["Strange"]}, "a model for another task"),
        ({"architectures": None}, "does not say what it is"),
        ({"problem_type": "multi_label_classification"}, "no single label"),
        ({"id2label": {"0": "SCORE"}}, "one output"),
        ({"id2label": {"1": "A", "2": "B"}}, "does not number its labels from 0"),
        ({"auto_map": {"AutoModel": "x.Y"}}, "needs Python code"),
    ],
)
def test_models_that_do_not_fit(model: Path, changes: dict[str, object], said: str) -> None:
    _edit(model, **changes)
    with pytest.raises(ModelError, match=said) as caught:
        read_config(model / "config.json", "me/model", "text-classification")
    assert "me/model" in caught.value.message
    assert caught.value.hint


def test_a_config_that_is_not_json(model: Path) -> None:
    (model / "config.json").write_text("{")
    with pytest.raises(ModelError, match="is not JSON"):
        read_config(model / "config.json", "me/model", "text-classification")


@pytest.mark.parametrize(
    ("changes", "positions"),
    [
        ({}, 64),
        ({"model_type": "roberta", "max_position_embeddings": 514, "pad_token_id": 1}, 512),
        ({"max_position_embeddings": None, "n_positions": 1024}, 1024),
        ({"max_position_embeddings": -1}, 512),
    ],
)
def test_the_longest_input(model: Path, changes: dict[str, object], positions: int) -> None:
    config = read_config(_edit(model, **changes) / "config.json", "m", "text-classification")
    assert config.max_positions == positions


def test_labels_without_names_get_those_of_transformers(model: Path) -> None:
    config = json.loads((model / "config.json").read_text())
    del config["id2label"]
    (model / "config.json").write_text(json.dumps(config))
    found = read_config(model / "config.json", "m", "text-classification")
    assert found.labels == ("LABEL_0", "LABEL_1")


def test_heads_are_told_apart() -> None:
    assert task_of("RobertaForSequenceClassification") == "text-classification"
    assert task_of("GPT2LMHeadModel") == "text-generation"
    assert task_of("Unheard") is None


@pytest.mark.parametrize(
    ("task", "labels"),
    [("token-classification", ENTITIES), ("question-answering", ()), ("feature-extraction", ())],
)
def test_models_of_other_tasks(tmp_path: Path, task: str, labels: tuple[str, ...]) -> None:
    folder = make_tiny_model(tmp_path / "model", task=task)
    config = read_config(folder / "config.json", "me/model", task)  # type: ignore[arg-type]
    assert config.labels == labels
    with pytest.raises(ModelError, match="the recipe's task is text-classification"):
        read_config(folder / "config.json", "me/model", "text-classification")


def test_any_model_gives_vectors_without_its_head(model: Path, tmp_path: Path) -> None:
    from transformers import AutoModel

    source = Source(
        kind="model", source="local", id="m", revision="local", sha=digest_of_model(model)
    )
    given = FetchModelInput(source=source, task="feature-extraction", path=str(model))
    store = Store(tmp_path / "store")
    with store.scratch() as scratch:
        info = fetch_model(given, Context(store, scratch))
    assert (info.architecture, info.labels) == ("DistilBertModel", ())
    folder = store.path(info.artifact)
    assert json.loads((folder / "config.json").read_text())["architectures"] == ["DistilBertModel"]
    _, found = AutoModel.from_pretrained(folder, output_loading_info=True)
    assert found["missing_keys"] == []


@pytest.mark.parametrize(
    ("architecture", "bare"),
    [
        ("BertForMaskedLM", "BertModel"),
        ("XLMRobertaForSequenceClassification", "XLMRobertaModel"),
        ("GPT2LMHeadModel", "GPT2Model"),
        ("MPNetModel", "MPNetModel"),
    ],
)
def test_the_class_below_a_head(architecture: str, bare: str) -> None:
    assert without_head(architecture) == bare
