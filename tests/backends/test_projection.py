"""A projection: its files, and what it gives in PyTorch, ONNX, Neural Compressor and OpenVINO."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper
from safetensors.numpy import load_file

from hubkit.backends.onnx_head import PREFIX, is_head, write_head
from hubkit.backends.projection import (
    DENSE_WEIGHTS,
    FILES,
    PoolingName,
    Projection,
    copy_projection,
    has_projection,
    projection_of,
    write_projection,
)
from hubkit.errors import ModelError

WIDTH, DIMENSIONS = 6, 3
Floats = NDArray[np.float32]


def _projection(pooling: PoolingName = "mean", width: int = WIDTH) -> Projection:
    chance = np.random.default_rng(7)
    weight, bias = chance.normal(size=(DIMENSIONS, width)), chance.normal(size=DIMENSIONS)
    return Projection(pooling, weight.astype(np.float32), bias.astype(np.float32))


@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_the_files_are_read_as_they_were_written(pooling: PoolingName, tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    for folder in (one, other):
        folder.mkdir()
    assert projection_of(one) is None
    copy_projection(one, other)
    assert not has_projection(other)
    written = _projection(pooling)
    write_projection(written, one)
    copy_projection(one, other)
    assert {p.relative_to(one).as_posix() for p in one.rglob("*.*")} == set(FILES)
    for name in FILES:
        assert (one / name).read_bytes() == (other / name).read_bytes()
    read = projection_of(other)
    assert read is not None
    assert (read.pooling, read.dimensions, read.width) == (pooling, DIMENSIONS, WIDTH)
    assert read.weight is not None
    assert read.weight.tolist() == written.weight.tolist()  # type: ignore[union-attr]
    assert read.bias is not None
    assert read.bias.tolist() == written.bias.tolist()  # type: ignore[union-attr]


def test_the_files_are_what_sentence_transformers_reads(tmp_path: Path) -> None:
    """By the source of sentence-transformers 5.1.0: `SentenceTransformer._load_sbert_model` takes
    idx, path and type of modules.json, `Pooling(**config)` and `Dense(**config)` the keys below,
    and Dense a state dict of `linear`."""
    write_projection(_projection(), tmp_path)
    modules = json.loads((tmp_path / "modules.json").read_text())
    assert [(one["idx"], one["path"], one["type"]) for one in modules] == [
        (0, "", "sentence_transformers.models.Transformer"),
        (1, "1_Pooling", "sentence_transformers.models.Pooling"),
        (2, "2_Dense", "sentence_transformers.models.Dense"),
    ]
    pooling = json.loads((tmp_path / "1_Pooling" / "config.json").read_text())
    assert pooling.pop("word_embedding_dimension") == WIDTH
    assert pooling.pop("include_prompt") is True
    modes = {name for name, on in pooling.items() if on}
    assert modes == {"pooling_mode_mean_tokens"}
    assert json.loads((tmp_path / "2_Dense" / "config.json").read_text()) == {
        "in_features": WIDTH,
        "out_features": DIMENSIONS,
        "bias": True,
        "activation_function": "torch.nn.modules.linear.Identity",
    }
    shapes = {name: array.shape for name, array in load_file(tmp_path / DENSE_WEIGHTS).items()}
    assert shapes == {"linear.weight": (DIMENSIONS, WIDTH), "linear.bias": (DIMENSIONS,)}


@pytest.mark.parametrize(
    ("name", "key", "value"),
    [
        ("2_Dense", "activation_function", "torch.nn.modules.activation.Hardswish"),
        ("2_Dense", "activation_function", "mine.Tanh"),
        ("2_Dense", "module_input_name", "token_embeddings"),
        ("1_Pooling", "pooling_mode_mean_tokens", False),
        ("1_Pooling", "pooling_mode_cls_token", True),
        ("1_Pooling", "pooling_mode_max_tokens", True),
    ],
)
def test_another_kind_of_head_is_refused(
    name: str, key: str, value: object, tmp_path: Path
) -> None:
    write_projection(_projection(), tmp_path)
    path = tmp_path / name / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), key: value}))
    with pytest.raises(ModelError, match="not known here"):
        projection_of(tmp_path)


def test_a_head_that_is_not_whole_is_refused(tmp_path: Path) -> None:
    write_projection(_projection(), tmp_path)
    (tmp_path / DENSE_WEIGHTS).unlink()
    with pytest.raises(ModelError, match="cannot be read"):
        projection_of(tmp_path)


def _graph(opset: int, *, mask: bool = True) -> onnx.ModelProto:
    """A model whose last hidden state is its input."""
    given = [helper.make_tensor_value_info("states", TensorProto.FLOAT, ["batch", "tokens", WIDTH])]
    if mask:
        shape = ["batch", "tokens"]
        given.append(helper.make_tensor_value_info("attention_mask", TensorProto.INT64, shape))
    out = helper.make_tensor_value_info(
        "last_hidden_state", TensorProto.FLOAT, ["batch", "tokens", WIDTH]
    )
    node = helper.make_node("Identity", ["states"], ["last_hidden_state"], name="/Identity")
    graph = helper.make_graph([node], "encoder", given, [out])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def _run(model: onnx.ModelProto, states: Floats, mask: NDArray[np.int64]) -> Floats:
    onnx.checker.check_model(model, full_check=True)
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    names = {one.name for one in session.get_inputs()}
    feed = {"states": states, "attention_mask": mask}
    (found,) = session.run(["sentence_embedding"], {n: a for n, a in feed.items() if n in names})
    return np.asarray(found, dtype=np.float32)


@pytest.mark.parametrize("opset", [11, 12, 13, 18])
@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_the_graph_gives_the_embedding(pooling: PoolingName, opset: int) -> None:
    model, projection = _graph(opset), _projection(pooling)
    write_head(model, projection)
    assert [one.name for one in model.graph.output] == ["last_hidden_state", "sentence_embedding"]
    added = [node.name for node in model.graph.node if node.name != "/Identity"]
    assert all(name.startswith(PREFIX) for name in added)
    assert f"{PREFIX}Gemm" in added
    states = np.random.default_rng(1).normal(size=(2, 5, WIDTH)).astype(np.float32)
    mask = np.array([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]])
    found = _run(model, states, mask)
    # By hand, in double precision.
    means = np.stack([states[0].mean(0), states[1, :3].mean(0)])
    pooled = (means if pooling == "mean" else states[:, 0]).astype(np.float64)
    assert projection.weight is not None
    assert projection.bias is not None
    expected = pooled @ projection.weight.T + projection.bias
    assert found.shape == (2, DIMENSIONS)
    assert found == pytest.approx(expected, abs=1e-5)
    assert projection.applied(states, mask) == pytest.approx(expected, abs=1e-5)
    # What stands in the padding is no part of it.
    changed = states.copy()
    changed[1, 3:] = 1000
    assert (_run(model, changed, mask) == found).all()
    alone = _run(model, states[1:, :3], mask[1:, :3])
    assert alone[0] == pytest.approx(found[1], abs=1e-6)


def test_a_row_that_is_all_padding_is_a_number() -> None:
    model, projection = _graph(18), _projection()
    write_head(model, projection)
    mask = np.zeros((1, 4), np.int64)
    found = _run(model, np.ones((1, 4, WIDTH), np.float32), mask)
    assert (found[0] == projection.bias).all()


def test_a_graph_without_a_mask_takes_no_mean() -> None:
    with pytest.raises(ModelError, match="no attention_mask"):
        write_head(_graph(18, mask=False), _projection())
    write_head(_graph(18, mask=False), _projection("cls"))


def test_a_model_s_own_head_is_no_projection() -> None:
    assert not is_head("/head/dense/MatMul")  # ModernBERT's
    assert is_head(f"{PREFIX}Gemm")
