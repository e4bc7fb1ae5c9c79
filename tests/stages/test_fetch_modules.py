"""A base that is a model of sentence-transformers: what it makes its embeddings with is kept."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import huggingface_hub.constants
import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModel, AutoTokenizer

from hubkit.backends.optimum import exporter
from hubkit.backends.torch import runtime
from hubkit.errors import ModelError
from hubkit.hub.server.embedded import EmbeddedHub
from hubkit.recipe import TaskName
from hubkit.records import BaseModelInfo, Embedding, Source
from hubkit.stage import Context
from hubkit.stages.fetch_model import FetchModelInput, fetch_model
from hubkit.stages.model_files import digest_of_model
from hubkit.stages.push import PushInput, push
from hubkit.store import Store
from tests.backends.test_embedding_modules import OUT, expected, layout
from tests.tiny import make_tiny_model

TOKEN = "hf_owner_token"
TASK: TaskName = "feature-extraction"
WIDTH = 32  # of the tiny model
OURS = {"modules.json", "1_Pooling/config.json", "2_Dense/config.json", "2_Dense/model.safetensors"}


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedHub]:
    root = tmp_path_factory.mktemp("hub")
    with EmbeddedHub(root, users={"ana": {"token": TOKEN}}) as running:
        yield running


@pytest.fixture(autouse=True)
def no_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hf-cache"))


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return make_tiny_model(tmp_path / "my-model", task=TASK)


def _local(model: Path) -> Source:
    sha = digest_of_model(model)
    return Source(kind="model", source="local", id=model.name, revision="local", sha=sha)


def _fetch(
    source: Source, root: Path, *, path: Path | None = None, hub: EmbeddedHub | None = None,
    task: TaskName = TASK,
) -> tuple[Path, BaseModelInfo]:  # fmt: skip
    store = Store(root)
    given = FetchModelInput(source=source, task=task, path=str(path) if path else None)
    with store.scratch() as scratch:
        endpoint = hub.endpoint if hub else "http://127.0.0.1:9"
        info = fetch_model(given, Context(store, scratch, endpoint=endpoint, token=TOKEN))
    return store.path(info.artifact), info


def _publish(hub: EmbeddedHub, model: Path, root: Path, repo_id: str) -> Source:
    store = Store(root)
    with store.scratch() as scratch:
        bundle = store.adopt(Path(shutil.copytree(model, scratch / "repo")))
        ctx = Context(store, scratch, endpoint=hub.endpoint, token=TOKEN)
        done = push(PushInput(bundle=bundle, repo_id=repo_id, message="Add"), ctx)
    return Source(kind="model", source="hub", id=repo_id, revision="main", sha=done.commit)


@pytest.mark.parametrize("pickled", [False, True])
def test_hub_and_folder_give_the_modules_too(
    pickled: bool, hub: EmbeddedHub, model: Path, tmp_path: Path
) -> None:
    layout(model, width=WIDTH, pickled=pickled)
    (model / "2_Dense" / "README.md").write_text("not needed")
    source = _publish(hub, model, tmp_path / "seed", f"ana/labse-{pickled}".lower())
    _, there = _fetch(source, tmp_path / "one", hub=hub)
    folder, here = _fetch(_local(model), tmp_path / "two", path=model)
    assert here == there
    assert here.embedding == Embedding(
        pooling="cls", dimensions=OUT, activation="Tanh", normalized=True
    )
    names = {ref.path for ref in here.artifact.files}
    assert names >= OURS
    assert not any(name.endswith((".bin", "README.md")) for name in names)
    plain = AutoModel.from_pretrained(folder).num_parameters()
    assert here.num_parameters == plain + OUT * WIDTH + OUT


def test_its_embedding_is_its_own_in_pytorch_and_onnx(model: Path, tmp_path: Path) -> None:
    layer = layout(model, activation="GELU", width=WIDTH)
    folder, _ = _fetch(_local(model), tmp_path / "store", path=model)
    tokenizer = AutoTokenizer.from_pretrained(model)
    inputs = tokenizer(["the film is good", "bad"], padding=True, return_tensors="pt")
    with torch.no_grad():
        states = AutoModel.from_pretrained(model).eval()(**inputs).last_hidden_state
    wanted = expected(states, inputs["attention_mask"], layer, "GELU", "cls_token").numpy()
    session = runtime.load(folder, "", threads=1)
    feed = {name: one.numpy() for name, one in inputs.items()}
    found = session.run(feed)["sentence_embedding"]
    session.close()
    np.testing.assert_allclose(found, wanted, atol=1e-5)
    import onnxruntime

    exporter.export(folder, tmp_path / "onnx", task=TASK)
    graph = onnxruntime.InferenceSession(
        str(tmp_path / "onnx" / "model.onnx"), providers=["CPUExecutionProvider"]
    )
    names = {one.name for one in graph.get_inputs()}
    (found,) = graph.run(["sentence_embedding"], {n: a for n, a in feed.items() if n in names})
    np.testing.assert_allclose(found, wanted, atol=1e-5)


@pytest.mark.parametrize(
    ("kinds", "pooling", "kept"),
    [
        (("Transformer", "Pooling"), "mean_tokens", None),
        (
            ("Transformer", "Pooling", "Normalize"),
            "mean_tokens",
            Embedding(pooling="mean", dimensions=WIDTH, normalized=True),
        ),
        (
            ("Transformer", "Pooling", "Normalize"),
            "cls_token",
            Embedding(pooling="cls", dimensions=WIDTH, normalized=True),
        ),
    ],
)
def test_without_dense(
    kinds: tuple[str, ...], pooling: str, kept: Embedding | None, model: Path, tmp_path: Path
) -> None:
    """The mean over the tokens is what is taken anyway: nothing changes, not even the digest."""
    before = digest_of_model(model)
    layout(model, kinds, pooling=pooling, width=WIDTH)
    assert (digest_of_model(model) == before) == (kept is None)
    folder, info = _fetch(_local(model), tmp_path / "store", path=model)
    assert info.embedding == kept
    assert (folder / "modules.json").is_file() == (kept is not None)
    assert ("embedding" in info.model_dump()) == (kept is not None)


def test_a_changed_layer_is_another_model(model: Path) -> None:
    layout(model, width=WIDTH)
    before = digest_of_model(model)
    config = model / "2_Dense" / "config.json"
    config.write_text(config.read_text().replace("Tanh", "ReLU"))
    assert digest_of_model(model) != before


def test_other_modules_are_refused_before_the_weights(
    hub: EmbeddedHub, model: Path, tmp_path: Path
) -> None:
    layout(model, ("Transformer", "Pooling", "LayerNorm"), width=WIDTH)
    with pytest.raises(ModelError, match="the module LayerNorm"):
        _fetch(_local(model), tmp_path / "one", path=model)
    source = _publish(hub, model, tmp_path / "seed", "ana/odd")
    hub.requests.clear()
    with pytest.raises(ModelError, match=r"ana/odd.* the module LayerNorm"):
        _fetch(source, tmp_path / "two", hub=hub)
    assert not any("safetensors" in path for _, path in hub.requests)


def test_a_classifier_has_nothing_to_do_with_them(tmp_path: Path) -> None:
    model = make_tiny_model(tmp_path / "classifier")
    layout(model, width=WIDTH)
    folder, info = _fetch(_local(model), tmp_path / "store", path=model, task="text-classification")
    assert info.embedding is None
    assert not (folder / "modules.json").exists()
    assert not [path for path in folder.iterdir() if path.is_dir()]


def test_a_pickled_encoder_has_no_head_to_lack(model: Path, tmp_path: Path) -> None:
    tensors = load_file(model / "model.safetensors")
    torch.save(tensors, model / "pytorch_model.bin")
    (model / "model.safetensors").unlink()
    folder, info = _fetch(_local(model), tmp_path / "store", path=model)
    assert json.loads((folder / "config.json").read_text())["architectures"] == [info.architecture]
    loaded = load_file(folder / "model.safetensors")
    assert set(loaded) == set(tensors)
