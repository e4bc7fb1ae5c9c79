"""A rewritten graph is run beside the one it came of, on inputs that tell."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from hubkit.backends.onnx_sameness import TOLERANCE, difference
from hubkit.errors import ModelError

if TYPE_CHECKING:
    from onnx import NodeProto

TOKENS, WIDTH = 30, 4


@pytest.fixture(name="config")
def _config(tmp_path: Path) -> Path:
    path = tmp_path / "config.json"
    settings = {"vocab_size": TOKENS, "pad_token_id": 1, "max_position_embeddings": 9}
    path.write_text(json.dumps(settings), encoding="utf-8")
    return path


def _write(path: Path, nodes: list[NodeProto], **weights: np.ndarray) -> Path:
    """A graph from ids and mask to `y`, over an embedding `x` of each token."""
    from onnx import TensorProto, helper, numpy_helper, save

    table = np.random.default_rng(3).normal(size=(TOKENS, WIDTH)).astype(np.float32)
    kept = {"table": table, **weights}
    look_up = helper.make_node("Gather", ["table", "input_ids"], ["x"])
    graph = helper.make_graph(
        [look_up, *nodes],
        "g",
        [
            helper.make_tensor_value_info(name, TensorProto.INT64, ["rows", "length"])
            for name in ("input_ids", "attention_mask")
        ],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(array, name) for name, array in kept.items()],
    )
    opset = [helper.make_opsetid("", 18)]
    save(helper.make_model(graph, opset_imports=opset, ir_version=9), str(path))
    return path


def _node(op: str, *inputs: str, out: str = "y", **attributes: object) -> NodeProto:
    from onnx import helper

    return helper.make_node(op, list(inputs), [out], **attributes)


def test_the_same_numbers_in_another_order_are_the_same(tmp_path: Path, config: Path) -> None:
    one = np.linspace(-3, 3, WIDTH, dtype=np.float32)
    before = _write(tmp_path / "a.onnx", [_node("Add", "x", "b")], b=one)
    after = _write(tmp_path / "b.onnx", [_node("Sum", "b", "x")], b=one)
    assert difference(before, after, config) < TOLERANCE


def test_a_wrong_bias_is_seen_and_measured(tmp_path: Path, config: Path) -> None:
    zero = np.zeros(WIDTH, np.float32)
    before = _write(tmp_path / "a.onnx", [_node("Add", "x", "b")], b=zero)
    after = _write(tmp_path / "b.onnx", [_node("Add", "x", "b")], b=zero + np.float32(0.5))
    found = difference(before, after, config)
    assert 0.1 < found <= 0.5, "half, as a share of the largest output"


def test_a_mask_that_is_left_out_is_seen(tmp_path: Path, config: Path) -> None:
    """A mean over all tokens is one over the real ones where nothing is padded."""
    masked = [
        _node("Cast", "attention_mask", out="m", to=1),
        _node("Unsqueeze", "m", "last", out="mm"),
        _node("Mul", "x", "mm", out="xm"),
        _node("ReduceSum", "xm", "axis", keepdims=0),
    ]
    axes = {"last": np.array([-1]), "axis": np.array([1])}
    before = _write(tmp_path / "a.onnx", masked, **axes)
    after = _write(tmp_path / "b.onnx", [_node("ReduceSum", "x", "axis", keepdims=0)], **axes)
    assert difference(before, after, config) > 0.01


def test_what_comes_out_for_padding_does_not_count(tmp_path: Path, config: Path) -> None:
    kept = [
        _node("Cast", "attention_mask", out="m", to=1),
        _node("Unsqueeze", "m", "last", out="mm"),
        _node("Mul", "x", "mm"),
    ]
    before = _write(tmp_path / "a.onnx", [_node("Identity", "x")])
    after = _write(tmp_path / "b.onnx", kept, last=np.array([-1]))
    assert difference(before, after, config) == 0


def test_a_number_that_is_none_any_more_and_another_shape_are_infinitely_far(
    tmp_path: Path, config: Path
) -> None:
    before = _write(tmp_path / "a.onnx", [_node("Identity", "x")])
    nan = np.full(WIDTH, np.nan, np.float32)
    after = _write(tmp_path / "b.onnx", [_node("Add", "x", "b")], b=nan)
    assert difference(before, after, config) == float("inf")
    whole = _write(tmp_path / "c.onnx", [_node("ReduceMean", "x", "axis")], axis=np.array([1]))
    assert difference(before, whole, config) == float("inf")
    assert difference(after, after, config) == 0, "as it was before"


def test_one_that_cannot_be_run_is_as_far_as_can_be_or_an_error_if_it_is_the_first(
    tmp_path: Path, config: Path
) -> None:
    before = _write(tmp_path / "a.onnx", [_node("Identity", "x")])
    wrong = np.zeros((WIDTH + 1, 2), np.float32)
    after = _write(tmp_path / "b.onnx", [_node("MatMul", "x", "w")], w=wrong)
    assert difference(before, after, config) == float("inf")
    with pytest.raises(ModelError, match=r"b\.onnx cannot be run"):
        difference(after, before, config)
