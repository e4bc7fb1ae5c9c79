"""Tiny models, their ONNX exports, their INT8 variants, and padded batches of sentences."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from hubkit.backends import exporter_for, quantizer_for
from hubkit.backends.base import Quantized
from hubkit.backends.onnx_optimizer import optimize
from hubkit.recipe import (
    IncDynamic,
    IncStatic,
    OnnxDynamic,
    OnnxStatic,
    OpenVinoStatic,
    VariantSpec,
)
from tests.tiny import SENTENCES, make_tiny_model

if TYPE_CHECKING:
    from hubkit.backends.base import Arrays

ARCHITECTURES = ("distilbert", "bert")
SPECS: dict[str, VariantSpec] = {
    "onnx-dynamic": OnnxDynamic(kind="onnx-dynamic"),
    "onnx-static": OnnxStatic(kind="onnx-static"),
    "inc-static": IncStatic(kind="inc-static"),
    "inc-dynamic": IncDynamic(kind="inc-dynamic"),
    "openvino-static": OpenVinoStatic(kind="openvino-static"),
}
# What is not in every environment.
NEEDS = {"inc": "neural_compressor", "openvino": "nncf"}

Make = Callable[[str, str], tuple[Path, Quantized]]
Converted = Callable[[str], Path]
SourceOf = Callable[[str, str], Path]
GraphAt = Callable[[str, int | None, int], Path]


def skip_without(kind: str) -> None:
    """Skip a test of a kind whose extra is not installed."""
    extra = kind.partition("-")[0]
    if extra in NEEDS:
        pytest.importorskip(NEEDS[extra], reason=f"needs the {extra} extra")


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Architecture -> FP32 PyTorch folder."""
    root = tmp_path_factory.mktemp("models")
    return {
        "distilbert": make_tiny_model(root / "distilbert", model_type="distilbert"),
        "bert": make_tiny_model(root / "bert", model_type="bert", labels=("bad", "so-so", "good")),
    }


@pytest.fixture(scope="session")
def exports(models: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Architecture -> FP32 ONNX folder."""
    root = tmp_path_factory.mktemp("exports")
    for name, folder in models.items():
        exporter_for("onnx").export(folder, root / name, task="text-classification")
    return {name: root / name for name in models}


@pytest.fixture(scope="session")
def converted(exports: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Converted:
    """Architecture -> FP32 OpenVINO folder; made once."""
    made: dict[str, Path] = {}

    def convert(architecture: str) -> Path:
        pytest.importorskip("openvino", reason="needs the openvino extra")
        if architecture not in made:
            output = tmp_path_factory.mktemp("converted") / "model"
            exporter = exporter_for("openvino")
            exporter.export(exports[architecture], output, task="text-classification")
            made[architecture] = output
        return made[architecture]

    return convert


@pytest.fixture(scope="session")
def source_of(models: dict[str, Path], exports: dict[str, Path], converted: Converted) -> SourceOf:
    """(kind, architecture) -> the folder that a kind of quantization starts from."""

    def find(kind: str, architecture: str) -> Path:
        if kind.startswith("openvino"):
            return converted(architecture)
        return (exports if kind.startswith("onnx") else models)[architecture]

    return find


@pytest.fixture(scope="session")
def graph_at(
    models: dict[str, Path], exports: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> GraphAt:
    """(architecture, opset, optimization level) -> FP32 ONNX folder; made once."""
    made: dict[tuple[str, int | None, int], Path] = {(n, None, 0): f for n, f in exports.items()}

    def make(architecture: str, opset: int | None, level: int) -> Path:
        key = (architecture, opset, level)
        if key not in made:
            output = tmp_path_factory.mktemp("graphs") / "model"
            if level:
                optimize(make(architecture, opset, 0), output, level=level)  # type: ignore[arg-type]
            else:
                source = models[architecture]
                exporter_for("onnx").export(source, output, task="text-classification", opset=opset)
            made[key] = output
        return made[key]

    return make


@pytest.fixture(scope="session")
def batches(models: dict[str, Path]) -> dict[str, list[Arrays]]:
    """Architecture -> two padded batches of five sentences, of different lengths."""
    from transformers import AutoTokenizer

    found = {}
    for name, folder in models.items():
        tokenizer = AutoTokenizer.from_pretrained(folder)
        parts = (list(SENTENCES[:5]), list(SENTENCES[5:]))
        made = [tokenizer(part, padding=True, return_tensors="np") for part in parts]
        found[name] = [{key: array.astype("int64") for key, array in one.items()} for one in made]
    return found


@pytest.fixture(scope="session")
def quantized(
    source_of: SourceOf,
    batches: dict[str, list[Arrays]],
    tmp_path_factory: pytest.TempPathFactory,
) -> Make:
    """(kind, architecture) -> the INT8 folder and what the quantizer said; made once."""
    made: dict[tuple[str, str], tuple[Path, Quantized]] = {}

    def make(kind: str, architecture: str) -> tuple[Path, Quantized]:
        skip_without(kind)
        if (kind, architecture) not in made:
            output = tmp_path_factory.mktemp("int8") / "model"
            source = source_of(kind, architecture)
            done = quantizer_for(SPECS[kind]).quantize(
                source, output, SPECS[kind], batches[architecture] if "static" in kind else []
            )
            made[kind, architecture] = (output, done)
        return made[kind, architecture]

    return make
