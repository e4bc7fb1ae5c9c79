"""A model folder with a projection, through every backend: one embedding, padded or not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray
from transformers import AutoModel, AutoTokenizer

from hubkit.backends import onnx_optimizer, quantizer_for
from hubkit.backends.base import Session
from hubkit.backends.onnx_head import is_head
from hubkit.backends.onnxruntime import runtime as onnx_runtime
from hubkit.backends.optimum import exporter
from hubkit.backends.projection import Projection, projection_of, write_projection
from hubkit.backends.torch import runtime as torch_runtime
from hubkit.cards import snippets
from hubkit.cards.embedding_snippets import SENTENCES as SENTENCES_OF_CARDS
from hubkit.recipe import IncDynamic, OnnxBlockwise, OnnxDynamic, OnnxStatic, OpenVinoStatic
from hubkit.records import Embedding, Format
from tests.e2e_small.programs import run_python
from tests.tiny import SENTENCES, make_tiny_model

DIMENSIONS, WIDTH = 5, 32
TASK = "feature-extraction"
MADE = Embedding(pooling="mean", dimensions=5, activation="Identity")
Floats = NDArray[np.float32]
Arrays = dict[str, NDArray[np.int64]]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = make_tiny_model(tmp_path_factory.mktemp("projected") / "model", task=TASK)
    chance = np.random.default_rng(3)
    weight = chance.normal(size=(DIMENSIONS, WIDTH)).astype(np.float32)
    write_projection(
        Projection("mean", weight, chance.normal(size=DIMENSIONS).astype(np.float32)), folder
    )
    return folder


@pytest.fixture(scope="module")
def exported(model: Path) -> Path:
    folder = model.parent / "onnx"
    assert exporter.export(model, folder, task=TASK) == "model.onnx"
    return folder


@pytest.fixture(scope="module")
def rows(model: Path) -> list[Arrays]:
    """Sentences one by one."""
    tokenizer = AutoTokenizer.from_pretrained(model)
    encoded = [tokenizer(text, return_tensors="np") for text in SENTENCES]
    names = ("input_ids", "attention_mask")
    return [{name: one[name].astype(np.int64) for name in names} for one in encoded]


def _alone(session: Session, rows: list[Arrays]) -> Floats:
    found = [session.run(row)["sentence_embedding"] for row in rows]
    return np.concatenate(found)


def _together(session: Session, rows: list[Arrays], length: int) -> Floats:
    """In one batch that is padded to a length."""
    padded = {
        name: np.concatenate(
            [np.pad(row[name], ((0, 0), (0, length - row[name].shape[1]))) for row in rows]
        )
        for name in rows[0]
    }
    return session.run(padded)["sentence_embedding"]


@pytest.fixture(scope="module")
def expected(model: Path, rows: list[Arrays]) -> Floats:
    """From the tokens' vectors of transformers' own model, by hand."""
    network = AutoModel.from_pretrained(model).eval()
    projection = projection_of(model)
    assert projection is not None
    with torch.no_grad():
        states = [
            network(**{n: torch.from_numpy(a) for n, a in row.items()}).last_hidden_state[0]
            for row in rows
        ]
    means = np.stack([one.double().mean(0).numpy() for one in states])
    assert projection.weight is not None
    assert projection.bias is not None
    return np.asarray(means @ projection.weight.T + projection.bias, dtype=np.float32)


def test_torch_gives_it_whatever_is_padded(
    model: Path, rows: list[Arrays], expected: Floats
) -> None:
    session = torch_runtime.load(model, "model.safetensors", threads=1)
    assert session.input_names == ("input_ids", "attention_mask")
    assert _alone(session, rows) == pytest.approx(expected, abs=2e-5)
    assert _together(session, rows, 40) == pytest.approx(expected, abs=2e-5)


def test_onnx_gives_it_whatever_is_padded(
    exported: Path, rows: list[Arrays], expected: Floats
) -> None:
    session = onnx_runtime.load(exported, "model.onnx", threads=1)
    assert _alone(session, rows) == pytest.approx(expected, abs=2e-5)
    assert _together(session, rows, 40) == pytest.approx(expected, abs=2e-5)
    assert session.run(rows[0])["last_hidden_state"].shape[2] == WIDTH


def test_the_readers_classes_load_the_graph(
    exported: Path, rows: list[Arrays], expected: Floats
) -> None:
    from optimum.onnxruntime import ORTModelForCustomTasks, ORTModelForFeatureExtraction

    inputs = {name: torch.from_numpy(array) for name, array in rows[1].items()}
    found = ORTModelForCustomTasks.from_pretrained(exported)(**inputs)["sentence_embedding"]
    assert found.numpy()[0] == pytest.approx(expected[1], abs=2e-5)
    states = ORTModelForFeatureExtraction.from_pretrained(exported)(**inputs).last_hidden_state
    assert states.shape[2] == WIDTH


@pytest.mark.parametrize("kind", ["bert", "distilbert"])
@pytest.mark.parametrize("opset", [11, 14])
def test_every_opset_has_the_head(kind: str, opset: int, tmp_path: Path) -> None:
    folder = make_tiny_model(tmp_path / "model", model_type=kind, task=TASK)  # type: ignore[arg-type]
    weight = np.eye(DIMENSIONS, WIDTH, dtype=np.float32)
    write_projection(Projection("cls", weight, np.zeros(DIMENSIONS, np.float32)), folder)
    exporter.export(folder, tmp_path / "onnx", task=TASK, opset=opset)
    session = onnx_runtime.load(tmp_path / "onnx", "model.onnx", threads=1)
    ids = np.array([[2, 9, 8, 3]])
    row = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": ids * 0}
    found = session.run(row)
    assert found["sentence_embedding"] == pytest.approx(
        found["last_hidden_state"][:, 0, :DIMENSIONS], abs=1e-6
    )


@pytest.mark.parametrize("level", [1, 2, 3])
def test_optimizing_keeps_it(
    level: onnx_optimizer.Level,
    exported: Path,
    rows: list[Arrays],
    expected: Floats,
    tmp_path: Path,
) -> None:
    onnx_optimizer.optimize(exported, tmp_path / "optimized", level=level)
    session = onnx_runtime.load(tmp_path / "optimized", "model.onnx", threads=1)
    assert _together(session, rows, 40) == pytest.approx(expected, abs=1e-4)
    graph = onnx.load(str(tmp_path / "optimized" / "model.onnx")).graph
    assert "/hubkit_projection/Gemm" in {node.name for node in graph.node}


def _spread(found: Floats, expected: Floats) -> float:
    """How far off, as a share of how much the sentences differ."""
    return float(np.abs(found - expected).mean() / expected.std(axis=0).mean())


SPECS = (
    OnnxDynamic(kind="onnx-dynamic", operators_to_quantize=("MatMul", "Gemm", "Gather")),
    OnnxStatic(kind="onnx-static", operators_to_quantize=("MatMul", "Gemm", "Gather")),
    OnnxBlockwise(kind="onnx-blockwise", operators_to_quantize=("MatMul", "Gemm")),
)


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.kind)
def test_quantizers_leave_the_head_float(
    spec: OnnxDynamic | OnnxStatic | OnnxBlockwise,
    exported: Path,
    rows: list[Arrays],
    expected: Floats,
    tmp_path: Path,
) -> None:
    done = quantizer_for(spec).quantize(exported, tmp_path / "int8", spec, rows)
    assert done.nodes_quantized
    graph = onnx.load(str(tmp_path / "int8" / "model.onnx")).graph
    head = [node for node in graph.node if is_head(node.name)]
    # Dynamic quantization writes every Gemm as a MatMul and an Add.
    (gemm,) = [node for node in head if node.op_type in ("Gemm", "MatMul")]
    weights = {one.name: one.data_type for one in graph.initializer}
    assert weights[gemm.input[1]] == onnx.TensorProto.FLOAT
    made = {node.op_type for node in graph.node if set(node.output) & set(gemm.input)}
    assert not made & {"DequantizeLinear", "QuantizeLinear", "DynamicQuantizeLinear"}
    session = onnx_runtime.load(tmp_path / "int8", "model.onnx", threads=1)
    found = _alone(session, rows)
    assert found.shape == expected.shape
    assert 0 < _spread(found, expected) < 0.3


def test_smoothing_leaves_the_head_alone(exported: Path) -> None:
    from hubkit.backends.smooth_quant import product_inputs

    graph = onnx.load(str(exported / "model.onnx"))
    (gemm,) = [node for node in graph.graph.node if node.name == "/hubkit_projection/Gemm"]
    assert product_inputs(graph)
    assert gemm.input[0] not in product_inputs(graph)


def test_neural_compressor_keeps_it_in_float(
    model: Path, rows: list[Arrays], expected: Floats, tmp_path: Path
) -> None:
    pytest.importorskip("neural_compressor")
    from hubkit.backends import neural_compressor

    spec = IncDynamic(kind="inc-dynamic")
    done = neural_compressor.dynamic.quantize(model, tmp_path / "int8", spec)
    session = neural_compressor.runtime.load(tmp_path / "int8", done.model_file, threads=1)
    found = _alone(session, rows)
    assert 0 < _spread(found, expected) < 0.3
    kept, before = projection_of(tmp_path / "int8"), projection_of(model)
    assert kept is not None
    assert before is not None
    assert kept.weight is not None
    assert before.weight is not None
    np.testing.assert_array_equal(kept.weight, before.weight)


def test_openvino_gives_it_and_nncf_leaves_it_float(
    exported: Path, rows: list[Arrays], expected: Floats, tmp_path: Path
) -> None:
    pytest.importorskip("nncf")
    from hubkit.backends import openvino, openvino_quantizer

    openvino.exporter.export(exported, tmp_path / "fp32", task=TASK)
    fp32 = openvino.fp32.load(tmp_path / "fp32", openvino.MODEL_FILE, threads=1)
    assert _together(fp32, rows, 40) == pytest.approx(expected, abs=1e-4)
    spec = OpenVinoStatic(kind="openvino-static")
    openvino_quantizer.static.quantize(tmp_path / "fp32", tmp_path / "int8", spec, rows)
    graph = openvino.read_model(tmp_path / "int8" / openvino.MODEL_FILE)
    kinds = {n.get_friendly_name(): n.get_type_name() for n in graph.get_ordered_ops()}
    assert not [name for name, kind in kinds.items() if is_head(name) and kind == "FakeQuantize"]
    int8 = openvino.int8.load(tmp_path / "int8", openvino.MODEL_FILE, threads=1)
    assert 0 < _spread(_alone(int8, rows), expected) < 0.5
    pytest.importorskip("optimum.intel")
    repo = "me/embeddings"
    program = snippets.loading("openvino", repo, TASK, MADE).replace(', subfolder="openvino"', "")
    program += snippets.prediction(TASK, kind="openvino", made=MADE)
    done = run_python(program, repo, tmp_path / "fp32")
    assert np.shape(done.names["one"]) == (DIMENSIONS,)


def test_the_programs_of_a_card_give_it(
    model: Path, exported: Path, expected: Floats, tmp_path: Path
) -> None:
    """What is printed for PyTorch and ONNX, on folders as they lie in a repository."""
    pytest.importorskip("neural_compressor")
    from hubkit.backends import neural_compressor

    neural_compressor.dynamic.quantize(model, tmp_path / "int8", IncDynamic(kind="inc-dynamic"))
    repo, said = "me/embeddings", {}
    formats: list[tuple[Format, Path]] = [("pytorch", tmp_path / "int8"), ("onnx", exported)]
    for kind, folder in formats:
        load = snippets.loading(kind, repo, TASK, MADE)
        for pair in (False, True):
            program = snippets.prediction(TASK, pair=pair, kind=kind, made=MADE)
            done = run_python(f"{load}\n{program}", repo, folder)
            if pair:
                assert done.printed == f"torch.Size([{DIMENSIONS}])"
            else:
                said[kind] = float(done.printed)
                vector = done.names["one"]
                assert isinstance(vector, torch.Tensor)
                assert len(vector) == DIMENSIONS
    ids = AutoTokenizer.from_pretrained(model)(list(SENTENCES_OF_CARDS))["input_ids"]
    session = torch_runtime.load(model, "model.safetensors", threads=1)
    rows = [
        {"input_ids": np.array([row]), "attention_mask": np.ones((1, len(row)), np.int64)}
        for row in ids
    ]
    one, other = _alone(session, rows)
    likeness = float(one @ other / np.linalg.norm(one) / np.linalg.norm(other))
    assert said["onnx"] == pytest.approx(likeness, abs=1e-4)
    assert said["pytorch"] == pytest.approx(likeness, abs=0.1)
