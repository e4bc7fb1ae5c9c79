"""Export to ONNX."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hubkit.backends.optimum import exporter
from hubkit.errors import ModelError
from hubkit.keys import files_of
from tests.backends.conftest import ARCHITECTURES
from tests.tiny import make_tiny_model


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
    with pytest.raises(ModelError, match=r"classifier\.bias.*not fine-tuned"):
        exporter.export(folder, tmp_path / "onnx", task="text-classification")
    assert not (tmp_path / "onnx").exists()


def test_a_folder_without_weights_is_a_model_error(tmp_path: Path) -> None:
    folder = make_tiny_model(tmp_path / "m")
    (folder / "model.safetensors").unlink()
    with pytest.raises(ModelError, match="cannot load m as a sequence classifier"):
        exporter.export(folder, tmp_path / "onnx", task="text-classification")
