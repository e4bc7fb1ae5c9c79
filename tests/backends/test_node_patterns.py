"""Exclusion patterns on real exports and on small graphs."""

from __future__ import annotations

from pathlib import Path

import pytest

from hubkit.backends.node_patterns import Graph, Node, match_nodes, read_graph
from hubkit.errors import RecipeError
from tests.backends.conftest import ARCHITECTURES

# Two layers: query, key, value, output, two feed-forward; embeddings of words and positions (and
# of token types in BERT).
EXPECTED = {
    "distilbert": {
        "layernorm": 5,
        "gelu": 10,
        "residual": 4,
        "gather": 2,
        "softmax": 2,
        "attention-matmul": 4,
    },
    "bert": {
        "layernorm": 5,
        "gelu": 10,
        "residual": 4,
        "gather": 3,
        "softmax": 2,
        "attention-matmul": 4,
    },
}


@pytest.fixture(params=ARCHITECTURES, name="architecture")
def _architecture(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(name="graph")
def _graph(architecture: str, exports: dict[str, Path]) -> Graph:
    return read_graph(exports[architecture] / "model.onnx")


def test_named_patterns_on_todays_exports(architecture: str, graph: Graph) -> None:
    assert graph.opset >= 17
    counts = {pattern: len(match_nodes(graph, pattern)) for pattern in EXPECTED[architecture]}
    assert counts == EXPECTED[architecture]


def test_the_right_nodes_are_meant(graph: Graph) -> None:
    by_name = {node.name: node for node in graph.nodes}

    def ops(pattern: str) -> set[str]:
        return {by_name[name].op for name in match_nodes(graph, pattern)}

    assert ops("layernorm") == {"LayerNormalization"}
    assert ops("gelu") == {"Div", "Erf", "Add", "Mul"}
    assert ops("residual") == {"Add"}
    assert ops("attention-matmul") == {"MatMul"}
    assert all("embedding" in name for name in match_nodes(graph, "gather"))
    for name in match_nodes(graph, "softmax"):
        assert by_name[name].op == "Add"
        assert {node.op for node in graph.after(by_name[name])} == {"Softmax"}
    for name in match_nodes(graph, "residual"):
        assert "LayerNormalization" in {node.op for node in graph.after(by_name[name])}
    patterns = ("layernorm", "gelu", "residual", "gather", "softmax", "attention-matmul")
    matched = [name for pattern in patterns for name in match_nodes(graph, pattern)]
    assert len(matched) == len(set(matched)), "two patterns mean the same node"


def test_a_name_and_a_regular_expression(graph: Graph) -> None:
    assert match_nodes(graph, "/classifier/Gemm") == ("/classifier/Gemm",)
    found = match_nodes(graph, r".*layer\.1.*MatMul(_1)?")
    assert len(found) == 8
    assert all("layer.1" in name for name in found)
    with pytest.raises(RecipeError):  # a part of a name is not a match
        match_nodes(graph, "classifier")


def test_what_matches_nothing_is_an_error_with_what_could(graph: Graph) -> None:
    with pytest.raises(RecipeError, match="layernorms: no node of this model matches") as caught:
        match_nodes(graph, "layernorms")
    assert "layernorm" in caught.value.hint
    assert "LayerNormalization (5)" in caught.value.hint
    with pytest.raises(RecipeError) as caught:
        match_nodes(graph, "/clasifier/Gemm")
    assert "/classifier/Gemm" in caught.value.hint


def test_a_broken_regular_expression_is_an_error(graph: Graph) -> None:
    with pytest.raises(RecipeError, match="neither a node's name nor a regular expression"):
        match_nodes(graph, "*layer")


def test_a_named_pattern_without_such_nodes_is_an_error() -> None:
    graph = Graph((Node("a", "MatMul", ("x", "w"), ("y",)),), {"w": True})
    with pytest.raises(RecipeError, match="gelu"):
        match_nodes(graph, "gelu")


def test_weights_are_found_through_identity_transpose_and_constant_nodes() -> None:
    """Exports share equal tensors by Identity, and transpose tied weights."""
    graph = Graph(
        (
            Node("same", "Identity", ("w",), ("w1",)),
            Node("turned", "Transpose", ("w1",), ("w2",)),
            Node("number", "Constant", (), ("c",)),
            Node("weights", "MatMul", ("x", "w2"), ("y",)),
            Node("constant", "MatMul", ("y", "c"), ("z",)),
            Node("turn", "Transpose", ("z",), ("zt",)),
            Node("scores", "MatMul", ("z", "zt"), ("s",)),
        ),
        {"w": True},
    )
    assert match_nodes(graph, "attention-matmul") == ("scores",)


def test_a_mask_is_seen_through_a_reshape_before_softmax() -> None:
    graph = Graph(
        (
            Node("mask", "Add", ("scores", "m"), ("a",)),
            Node("shape", "Reshape", ("a", "s"), ("b",)),
            Node("soft", "Softmax", ("b",), ("c",)),
            Node("bias", "Add", ("c", "w"), ("d",)),
        ),
        {"w": True, "s": False},
    )
    assert match_nodes(graph, "softmax") == ("mask",)
