"""Nodes in an order in which they can run, the graphs within nodes looked at as well."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

from hubkit.backends.onnx_order import sort_nodes


def _branch(name: str) -> onnx.GraphProto:
    """What gives the outer tensor "twice", by a node of its own."""
    inner = helper.make_node("Identity", ["twice"], [name])
    out = helper.make_tensor_value_info(name, TensorProto.FLOAT, None)
    return helper.make_graph([inner], name, [], [out])


def _model(path: Path, *, wrong: bool) -> Path:
    twice = helper.make_node("Add", ["x", "x"], ["twice"], name="twice")
    choice = helper.make_node(
        "If", ["flag"], ["y"], name="if", then_branch=_branch("a"), else_branch=_branch("b")
    )
    graph = helper.make_graph(
        [choice, twice] if wrong else [twice, choice],
        "g",
        [
            helper.make_tensor_value_info("x", TensorProto.FLOAT, [2]),
            helper.make_tensor_value_info("flag", TensorProto.BOOL, []),
        ],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [2])],
    )
    opset = helper.make_opsetid("", 17)
    onnx.save(helper.make_model(graph, opset_imports=[opset], ir_version=8), str(path))
    return path


def test_a_branch_comes_behind_what_it_reads(tmp_path: Path) -> None:
    path = _model(tmp_path / "model.onnx", wrong=True)
    with pytest.raises(onnx.checker.ValidationError, match="topologically sorted"):
        onnx.checker.check_model(str(path))
    sort_nodes(path)
    onnx.checker.check_model(str(path))
    assert [node.name for node in onnx.load(str(path)).graph.node] == ["twice", "if"]


def test_what_is_in_order_stays_byte_for_byte(tmp_path: Path) -> None:
    path = _model(tmp_path / "model.onnx", wrong=False)
    before = path.read_bytes()
    sort_nodes(path)
    assert path.read_bytes() == before
