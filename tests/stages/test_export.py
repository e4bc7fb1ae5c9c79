"""The export stage, and the PyTorch baseline."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from hubkit.backends import runtime_for
from hubkit.errors import ModelError
from hubkit.records import BaseModelInfo
from hubkit.stage import Context, find_stage
from hubkit.stages.export import ExportInput, export, pytorch_baseline
from hubkit.store import Store
from tests.tiny import make_tiny_model


@pytest.fixture(name="base")
def _base(store: Store, tmp_path: Path) -> BaseModelInfo:
    return base_of(store, make_tiny_model(tmp_path / "base"))


def base_of(store: Store, folder: Path) -> BaseModelInfo:
    """What fetch-model says of a tiny folder."""
    artifact = store.adopt(folder)
    return BaseModelInfo(
        artifact=artifact,
        architecture="DistilBertForSequenceClassification",
        model_type="distilbert",
        labels=("NEGATIVE", "POSITIVE"),
        num_parameters=26882,
        max_positions=64,
        weights_bytes=next(f.size_bytes for f in artifact.files if f.path == "model.safetensors"),
    )


@pytest.fixture(name="store")
def _store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def test_export_gives_a_loadable_variant(base: BaseModelInfo, store: Store) -> None:
    heard: list[tuple[str, int, int]] = []
    with store.scratch() as scratch:
        ctx = Context(store, scratch, lambda *told: heard.append(told))
        made = export(ExportInput(base=base), ctx)
        assert not list(scratch.iterdir())
    assert (made.name, made.format, made.precision) == ("onnx-fp32", "onnx", "fp32")
    assert made.model_file == "model.onnx"
    assert made.opset is not None
    assert made.opset >= 17
    sizes = {file.path: file.size_bytes for file in made.artifact.files}
    assert made.size_bytes == sizes["model.onnx"]
    assert {"config.json", "tokenizer.json", "vocab.txt"} <= set(sizes)
    session = runtime_for(made).load(store.path(made.artifact), made.model_file, threads=1)
    assert session.input_names == ("input_ids", "attention_mask")
    assert heard[0][1:] == (0, 1)
    assert heard[-1][1:] == (1, 1)


def test_the_same_input_gives_the_same_record(base: BaseModelInfo, store: Store) -> None:
    records = []
    for _ in range(2):
        with store.scratch() as scratch:
            records.append(export(ExportInput(base=base), Context(store, scratch)))
    assert records[0] == records[1]


def test_an_opset_asked_for_is_in_the_graph_and_in_the_name(
    base: BaseModelInfo, store: Store
) -> None:
    made = {}
    for opset in (11, 14):
        with store.scratch() as scratch:
            made[opset] = export(ExportInput(base=base, opset=opset), Context(store, scratch))
        assert made[opset].name == f"onnx-fp32-opset{opset}"
        assert made[opset].opset == opset
    assert made[11].artifact != made[14].artifact
    with store.scratch() as scratch, pytest.raises(ModelError, match="opset 99 cannot be written"):
        export(ExportInput(base=base, opset=99), Context(store, scratch))


def test_the_stage_is_found_by_its_name() -> None:
    assert find_stage("export") is export


def test_a_model_that_cannot_be_loaded_keeps_the_store_clean(store: Store, tmp_path: Path) -> None:
    folder = make_tiny_model(tmp_path / "base")
    (folder / "config.json").write_text('{"model_type": "no-such-type"}')
    broken = base_of(store, folder)
    before = sorted((store.root / "artifacts").iterdir())
    with store.scratch() as scratch, pytest.raises(ModelError):
        export(ExportInput(base=broken), Context(store, scratch))
    assert sorted((store.root / "artifacts").iterdir()) == before


def test_the_pytorch_baseline_is_the_base_itself(base: BaseModelInfo, store: Store) -> None:
    made = pytorch_baseline(base)
    assert (made.name, made.format, made.precision) == ("pytorch-fp32", "pytorch", "fp32")
    assert made.artifact == base.artifact
    assert made.size_bytes == base.weights_bytes
    folder = store.path(made.artifact)
    assert (folder / made.model_file).is_file()
    runtime_for(made).load(folder, made.model_file, threads=1).close()


def test_sharded_weights_are_named_by_their_index(base: BaseModelInfo) -> None:
    def renamed(names: Callable[[str], str]) -> BaseModelInfo:
        files = tuple(f.model_copy(update={"path": names(f.path)}) for f in base.artifact.files)
        return base.model_copy(
            update={"artifact": base.artifact.model_copy(update={"files": files})}
        )

    shards = renamed(lambda path: path.replace("model.safe", "model-00001-of-00002.safe"))
    assert pytorch_baseline(shards).model_file == "model.safetensors.index.json"
