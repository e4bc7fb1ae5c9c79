"""A graph that is counted from a run: the same as onnx-tool counts, or refused with the reason."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from hubkit.backends.onnx_cost import count_graph
from hubkit.backends.onnx_followed import _by_run, _by_tool, _folded, profiled
from hubkit.errors import ModelError

pytest.importorskip("onnx_tool", reason="needs the formats extra")

if TYPE_CHECKING:
    from onnx import GraphProto, NodeProto

LENGTH = 6
Weights = dict[str, "np.ndarray[tuple[int, ...], np.dtype[np.float32]]"]


def _random(*shape: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    return np.random.default_rng(1).standard_normal(shape).astype(np.float32)


def _graph(nodes: Sequence[NodeProto], weights: Weights) -> GraphProto:
    """input_ids -> y, floats of any shape."""
    from onnx import TensorProto, helper, numpy_helper

    ids = helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["batch", "length"])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    tensors = [numpy_helper.from_array(value, name) for name, value in weights.items()]
    return helper.make_graph(list(nodes), "graph", [ids], [y], tensors)


def _saved(graph: GraphProto, path: Path) -> Path:
    import onnx
    from onnx import helper

    opset = helper.make_opsetid("", 17)
    onnx.save(helper.make_model(graph, opset_imports=[opset], ir_version=9), str(path))
    return path


def _products(path: Path) -> Path:
    """One of each product: look-up of 5, Conv, Einsum, MatMul, Gemm."""
    from onnx import helper

    nodes = [
        helper.make_node("Gather", ["table", "input_ids"], ["x"], "/embeddings/Gather"),
        helper.make_node("Transpose", ["x"], ["t"], "/encoder/Transpose", perm=[0, 2, 1]),
        helper.make_node("Conv", ["t", "kernel", "kernel_bias"], ["c"], "/encoder/Conv", group=2),
        helper.make_node("Einsum", ["c", "x"], ["e"], "/encoder/Einsum", equation="bdl,blk->bdk"),
        helper.make_node("MatMul", ["e", "square"], ["m"], "/encoder/MatMul"),
        helper.make_node("Flatten", ["m"], ["f"], "/classifier/Flatten"),
        helper.make_node("Gemm", ["f", "out", "bias"], ["y"], "/classifier/Gemm", transB=1),
    ]
    weights = {
        "table": _random(9, 4),
        "kernel": _random(4, 2, 1),
        "kernel_bias": _random(4),
        "square": _random(4, 3),
        "out": _random(2, 12),
        "bias": _random(2),
    }
    return _saved(_graph(nodes, weights), path)


def test_a_run_counts_what_onnx_tool_counts(tmp_path: Path) -> None:
    path = _products(tmp_path / "model.onnx")
    folded = _folded(path, LENGTH, tmp_path)
    for nodes, _, _ in (_by_tool(path, LENGTH), _by_run(folded, LENGTH, tmp_path)):
        found = {node.op_type: int(node.macs[0]) for node in nodes if node.macs[0]}
        # Conv and Gemm with one for each element of their bias.
        assert found["Conv"] == LENGTH * 4 * 2 + LENGTH * 4
        assert found["Einsum"] == 4 * LENGTH * 4
        assert found["MatMul"] == 4 * 4 * 3
        assert found["Gemm"] == 2 * 12 + 2


def _looped(operator: str) -> GraphProto:
    """A graph with a Loop over the rows' first id, and an operator inside."""
    from onnx import TensorProto, helper

    inputs = [
        helper.make_tensor_value_info("turn", TensorProto.INT64, []),
        helper.make_tensor_value_info("on", TensorProto.BOOL, []),
        helper.make_tensor_value_info("v", TensorProto.FLOAT, None),
    ]
    outputs = [
        helper.make_tensor_value_info("again", TensorProto.BOOL, []),
        helper.make_tensor_value_info("w", TensorProto.FLOAT, None),
    ]
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["on"], ["again"]),
            helper.make_node(operator, ["v", "square"], ["w"]),
        ],
        "body",
        inputs,
        outputs,
    )
    nodes = [
        helper.make_node("Gather", ["table", "input_ids"], ["x"], "/embeddings/Gather"),
        helper.make_node("MatMul", ["x", "square"], ["m"], "/encoder/MatMul"),
        helper.make_node("ReduceMax", ["input_ids"], ["times"], "/ReduceMax", keepdims=0),
        helper.make_node("Loop", ["times", "", "m"], ["y"], "/head/Loop", body=body),
    ]
    return _graph(nodes, {"table": _random(9, 4), "square": _random(4, 4)})


def test_what_onnx_tool_cannot_follow_is_seen_in_a_run(tmp_path: Path) -> None:
    path = _saved(_looped("Add"), tmp_path / "model.onnx")
    with pytest.raises(NotImplementedError):
        _by_tool(path, LENGTH)
    graph, counter = profiled(path, 4)
    assert counter.startswith("hubkit, onnxruntime ")
    assert {node.op_type for node in graph[0]} >= {"Loop", "MatMul"}
    parts, _ = count_graph(path, 4)
    assert sum(part.macs for part in parts) == 4 * 4 * 4


def test_a_product_in_a_loop_is_refused_with_the_reason(tmp_path: Path) -> None:
    path = _saved(_looped("MatMul"), tmp_path / "model.onnx")
    with pytest.raises(ModelError, match=r"cannot be counted \(onnx-tool: .*MatMul.*Loop"):
        count_graph(path, LENGTH)
