"""Export to ONNX."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from hubkit.backends.node_patterns import read_graph
from hubkit.backends.onnxruntime import runtime as onnx_runtime
from hubkit.backends.optimum import exporter, opset_range
from hubkit.backends.quiet import quiet
from hubkit.backends.torch import runtime as torch_runtime
from hubkit.errors import ModelError
from hubkit.keys import files_of
from tests.backends.conftest import ARCHITECTURES, GraphAt
from tests.tiny import make_tiny_model

if TYPE_CHECKING:
    from hubkit.backends.base import Arrays


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_export_is_deterministic_whole_and_quiet(
    architecture: str,
    models: dict[str, Path],
    exports: dict[str, Path],
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    before = files_of(models[architecture])
    again = tmp_path / "again"
    name = exporter.export(models[architecture], again, task="text-classification")
    assert name == "model.onnx"
    assert files_of(again) == files_of(exports[architecture])
    assert files_of(models[architecture]) == before
    assert set(files_of(again)) == {
        *("model.onnx", "config.json", "tokenizer.json", "tokenizer_config.json"),
        *("special_tokens_map.json", "vocab.txt"),
    }
    told = capfd.readouterr()
    assert told.out == ""
    assert told.err == ""


def test_ortmodel_loads_the_folder(exports: dict[str, Path]) -> None:
    import torch
    from optimum.onnxruntime import ORTModelForSequenceClassification
    from transformers import AutoTokenizer

    model = ORTModelForSequenceClassification.from_pretrained(exports["bert"])
    tokenizer = AutoTokenizer.from_pretrained(exports["bert"])
    assert model.config.id2label == {0: "bad", 1: "so-so", 2: "good"}
    with torch.no_grad():
        logits = model(**tokenizer(["a clever comedy"], return_tensors="pt")).logits
    assert logits.shape == (1, 3)
    assert np.isfinite(logits.numpy()).all()


def test_an_encoder_without_its_head_is_refused(models: dict[str, Path], tmp_path: Path) -> None:
    """transformers would fill the head with random numbers, other ones each time."""
    from safetensors.torch import load_file, save_file

    folder = make_tiny_model(tmp_path / "encoder")
    weights = load_file(folder / "model.safetensors")
    kept = {name: value for name, value in weights.items() if name.startswith("distilbert")}
    save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match=r"classifier\.bias.*no fine-tuned"):
        exporter.export(folder, tmp_path / "onnx", task="text-classification")
    assert not (tmp_path / "onnx").exists()


def test_a_folder_without_weights_is_a_model_error(tmp_path: Path) -> None:
    folder = make_tiny_model(tmp_path / "m")
    (folder / "model.safetensors").unlink()
    with pytest.raises(ModelError, match="cannot load m as a sequence classifier"):
        exporter.export(folder, tmp_path / "onnx", task="text-classification")


HEADS = {
    "text-classification": ("AutoModelForSequenceClassification", ("logits",)),
    "token-classification": ("AutoModelForTokenClassification", ("logits",)),
    "question-answering": ("AutoModelForQuestionAnswering", ("start_logits", "end_logits")),
    "feature-extraction": ("AutoModel", ("last_hidden_state",)),
}


def _model_for(task: str, architecture: str, folder: Path) -> Path:
    import torch
    import transformers

    make_tiny_model(folder, model_type=architecture)  # type: ignore[arg-type]
    config = transformers.AutoConfig.from_pretrained(folder)
    torch.manual_seed(1)
    model = getattr(transformers, HEADS[task][0]).from_config(config)
    model.save_pretrained(folder, safe_serialization=True)
    return folder


def _difference(model: Path, exported: Path, batches: list[Arrays]) -> float:
    """Largest difference of any output on padded batches, where there is no padding."""
    ours = onnx_runtime.load(exported, "model.onnx", threads=1)
    theirs = torch_runtime.load(model, "model.safetensors", threads=1)
    worst = 0.0
    for batch in batches:
        assert not batch["attention_mask"].all(), "nothing is padded"
        a, b = ours.run(batch), theirs.run(batch)
        assert set(a) <= set(b)
        for name, array in a.items():
            seen = batch["attention_mask"] == 1 if array.ndim == 3 else slice(None)
            worst = max(worst, float(np.abs(array - b[name])[seen].max()))
    return worst


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("task", HEADS)
@pytest.mark.parametrize("opset", [11, None])
def test_models_of_every_task_compute_the_same(
    task: str,
    architecture: str,
    opset: int | None,
    batches: dict[str, list[Arrays]],
    tmp_path: Path,
) -> None:
    model = _model_for(task, architecture, tmp_path / "model")
    exporter.export(model, tmp_path / "onnx", task=task, opset=opset)
    graph = read_graph(tmp_path / "onnx" / "model.onnx")
    assert graph.opset == (opset or 18)
    assert {"config.json", "tokenizer.json", "vocab.txt"} <= set(files_of(tmp_path / "onnx"))
    session = onnx_runtime.load(tmp_path / "onnx", "model.onnx", threads=1)
    assert tuple(session.run(batches[architecture][0])) == HEADS[task][1]
    assert _difference(model, tmp_path / "onnx", batches[architecture]) < 1e-4


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("opset", range(11, 24))
def test_every_opset_of_the_range_is_written_and_computes_the_same(
    architecture: str,
    opset: int,
    models: dict[str, Path],
    batches: dict[str, list[Arrays]],
    graph_at: GraphAt,
) -> None:
    if opset > opset_range()[1]:
        pytest.skip("the installed torch or onnx is too old")
    folder = graph_at(architecture, opset, 0)
    assert read_graph(folder / "model.onnx").opset == opset
    assert _difference(models[architecture], folder, batches[architecture]) < 1e-4
    assert files_of(folder).keys() == files_of(graph_at(architecture, None, 0)).keys()


@pytest.mark.parametrize("opset", [11, 14])
def test_an_opset_asked_for_gives_the_same_bytes_each_time(
    opset: int, models: dict[str, Path], graph_at: GraphAt, tmp_path: Path
) -> None:
    task = "text-classification"
    exporter.export(models["bert"], tmp_path / "again", task=task, opset=opset)
    assert files_of(tmp_path / "again") == files_of(graph_at("bert", opset, 0))
    ids = json.loads((tmp_path / "again" / "config.json").read_text())["id2label"]
    assert ids == {"0": "bad", "1": "so-so", "2": "good"}


@pytest.mark.parametrize("opset", [10, 99])
def test_an_opset_that_cannot_be_written_is_an_error_with_those_that_can(
    opset: int, models: dict[str, Path], tmp_path: Path
) -> None:
    lowest, highest = opset_range()
    with pytest.raises(ModelError, match=f"opset {opset} cannot be written") as caught:
        exporter.export(models["bert"], tmp_path / "onnx", task="text-classification", opset=opset)
    assert f"{lowest} to {highest}" in caught.value.hint
    assert not (tmp_path / "onnx").exists()


def test_the_range_of_opsets_ends_where_torch_does(models: dict[str, Path], tmp_path: Path) -> None:
    """The opset after the highest one is refused by the tools too, not only by us."""
    from optimum.exporters.onnx import main_export

    beyond = opset_range()[1] + 1
    with quiet(), pytest.raises((RuntimeError, ValueError)):
        main_export(str(models["bert"]), output=tmp_path, task="text-classification", opset=beyond)


def test_a_model_of_another_task_is_refused(models: dict[str, Path], tmp_path: Path) -> None:
    """optimum would put an untrained head on it."""
    with pytest.raises(ModelError, match="sequence classifier, which cannot be exported") as caught:
        exporter.export(models["bert"], tmp_path / "onnx", task="question-answering")
    assert "text-classification" in caught.value.hint
    assert not (tmp_path / "onnx").exists()
