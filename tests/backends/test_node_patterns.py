"""Exclusion patterns on real exports and on small graphs."""

from __future__ import annotations

from pathlib import Path

import pytest

from hubkit.backends.node_patterns import PATTERNS, Graph, Node, mask_adds, match_nodes, read_graph
from hubkit.errors import RecipeError
from tests.backends.conftest import ARCHITECTURES, GraphAt

# Two layers: query, key, value, output, two feed-forward; embeddings of words and positions (and
# of token types in BERT).
LOOK_UPS = {"distilbert": 2, "bert": 3}
OPSETS = (11, 14, 16, 17, None, 20, 23)


def expected(architecture: str, opset: int | None) -> dict[str, int]:
    """How many nodes a pattern means in what is exported."""
    return {
        "layernorm": 5 * (9 if opset and opset < 17 else 1),
        "gelu": 2 * (1 if opset and opset >= 20 else 5),
        "residual": 4,
        "gather": LOOK_UPS[architecture],
        "softmax": 4,
        "attention-matmul": 4,
    }


def counts_of(graph: Graph) -> dict[str, int]:
    return {pattern: len(match_nodes(graph, pattern)) for pattern in PATTERNS}


@pytest.fixture(params=ARCHITECTURES, name="architecture")
def _architecture(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(name="graph")
def _graph(architecture: str, exports: dict[str, Path]) -> Graph:
    return read_graph(exports[architecture] / "model.onnx")


@pytest.mark.parametrize("opset", OPSETS)
def test_every_pattern_bites_at_every_opset(
    architecture: str, opset: int | None, graph_at: GraphAt
) -> None:
    graph = read_graph(graph_at(architecture, opset, 0) / "model.onnx")
    assert graph.opset == (opset or 18)
    assert counts_of(graph) == expected(architecture, opset)


@pytest.mark.parametrize("opset", [11, 14, None, 20])
def test_constants_folded_or_not_the_same_nodes_are_meant(
    architecture: str, opset: int | None, graph_at: GraphAt
) -> None:
    graph = read_graph(graph_at(architecture, opset, 1) / "model.onnx")
    assert counts_of(graph) == expected(architecture, opset)


@pytest.mark.parametrize("opset", [14, None, 20])
@pytest.mark.parametrize("level", [2, 99])
def test_every_pattern_is_found_in_what_is_fused(
    architecture: str, opset: int | None, level: int, graph_at: GraphAt
) -> None:
    graph = read_graph(graph_at(architecture, opset, level) / "model.onnx")
    by_name = {node.name: node.op for node in graph.nodes}

    def ops(pattern: str) -> list[str]:
        return [by_name[name] for name in match_nodes(graph, pattern)]

    embeddings = "EmbedLayerNormalization" if level == 99 else "LayerNormalization"
    assert ops("layernorm") == [embeddings, *["SkipLayerNormalization"] * 4]
    assert ops("residual") == ["SkipLayerNormalization"] * 4
    assert ops("gelu") == ["BiasGelu"] * 2
    look_ups = {2: {"Gather"}, 99: {embeddings}}[level]
    # DistilBERT looks the words up once more, for the shape of what comes out.
    twice = level == 99 and architecture == "distilbert"
    assert set(ops("gather")) == look_ups | ({"Gather"} if twice else set())
    # Within Attention, which has no quantized softmax and no quantized products of activations.
    assert ops("softmax") == []
    assert ops("attention-matmul") == []


def test_what_is_not_fused_below_opset_14_is_found_apart(graph_at: GraphAt) -> None:
    """DistilBERT's eager attention is no form that onnxruntime fuses."""
    graph = read_graph(graph_at("distilbert", 11, 2) / "model.onnx")
    assert counts_of(graph) == {
        **expected("distilbert", 20),
        "layernorm": 5,
        "residual": 4,
    }


@pytest.mark.parametrize("opset", [11, 14, None])
def test_the_right_nodes_are_meant(architecture: str, opset: int | None, graph_at: GraphAt) -> None:
    graph = read_graph(graph_at(architecture, opset, 0) / "model.onnx")
    by_name = {node.name: node for node in graph.nodes}

    def ops(pattern: str) -> set[str]:
        return {by_name[name].op for name in match_nodes(graph, pattern)}

    decomposed = {"ReduceMean", "Sub", "Pow", "Add", "Sqrt", "Div", "Mul"}
    assert ops("layernorm") == (decomposed if opset else {"LayerNormalization"})
    assert all("orm/" in name for name in match_nodes(graph, "layernorm"))
    assert ops("gelu") == {"Div", "Erf", "Add", "Mul"}
    assert ops("residual") == {"Add"}
    assert ops("attention-matmul") == {"MatMul"}
    assert all("embedding" in name for name in match_nodes(graph, "gather"))
    # Eager DistilBERT fills masked scores in, all others add the mask to them.
    filled = architecture == "distilbert" and opset == 11
    assert ops("softmax") == {"Softmax", "Where" if filled else "Add"}
    for node in mask_adds(graph):
        assert {reader.op for reader in graph.after(node)} == {"Softmax"}
    assert len(mask_adds(graph)) == (0 if filled else 2)
    norms = set(match_nodes(graph, "layernorm"))
    for name in match_nodes(graph, "residual"):
        assert {node.name for node in graph.after(by_name[name])} & norms
    matched = [name for pattern in PATTERNS for name in match_nodes(graph, pattern)]
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
    assert "opset 18" in caught.value.hint
    assert "residual (4)" in caught.value.hint
    with pytest.raises(RecipeError) as caught:
        match_nodes(graph, "/clasifier/Gemm")
    assert "/classifier/Gemm" in caught.value.hint


def test_a_broken_regular_expression_is_an_error(graph: Graph) -> None:
    with pytest.raises(RecipeError, match="neither a node's name nor a regular expression"):
        match_nodes(graph, "*layer")


def test_a_named_pattern_without_such_nodes_is_an_error() -> None:
    graph = Graph((Node("a", "MatMul", ("x", "y"), ("z",)),), {}, opset=15)
    with pytest.raises(RecipeError, match="gelu: no node") as caught:
        match_nodes(graph, "gelu")
    assert "opset 15): attention-matmul (1). Operators" in caught.value.hint
    with pytest.raises(RecipeError) as caught:
        match_nodes(Graph((), {}), "gelu")
    assert "none" in caught.value.hint


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
    assert match_nodes(graph, "softmax") == ("mask", "soft")
    assert mask_adds(graph) == graph.nodes[:1]


def test_a_square_root_that_is_no_normalization_is_left_alone() -> None:
    """torch writes the scale of the attention scores as a square root."""
    graph = Graph(
        (
            Node("root", "Sqrt", ("size",), ("r",)),
            Node("scale", "Div", ("one", "r"), ("s",)),
            Node("norm", "LayerNormalization", ("x", "w"), ("y",)),
        ),
        {"one": True, "w": True},
    )
    assert match_nodes(graph, "layernorm") == ("norm",)


def test_an_input_left_out_is_no_tensor() -> None:
    """Fused nodes name optional inputs and outputs with nothing."""
    graph = Graph(
        (
            Node("a", "SkipLayerNormalization", ("x", "y", "w"), ("b", "", "")),
            Node("c", "EmbedLayerNormalization", ("ids", "", "w"), ("d", "")),
        ),
        {"w": True},
    )
    assert graph.before(graph.nodes[1]) == ()
    assert graph.after(graph.nodes[0]) == ()
