"""Groups of nodes by the names that exporters give."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hubkit.backends.node_patterns import Graph, Node
from hubkit.recipe import OnnxDynamic
from hubkit.tune_groups import MOST_GROUPS, Weights, finer, groups_of, key_of, without

SPEC = OnnxDynamic(kind="onnx-dynamic")


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("/bert/encoder/layer.3/attention/self/query/MatMul", "/bert/encoder/layer.3/attention"),
        ("/bert/encoder/layer.3/output/dense/MatMul", "/bert/encoder/layer.3/output"),
        ("/distilbert/transformer/layer.0/ffn/lin1/MatMul", "/distilbert/transformer/layer.0/ffn"),
        ("/model/layers.11/mlp/fc/Gemm", "/model/layers.11/mlp"),
        ("/classifier/Gemm", "/classifier"),
        ("/embeddings/word_embeddings/Gather", "/embeddings/word_embeddings"),
        ("Attention_0", "Attention_0"),
    ],
)
def test_keys(name: str, key: str) -> None:
    assert key_of(name) == key


@pytest.mark.parametrize(
    ("name", "half", "layer"),
    [
        ("/b/layer.3/attention/self/query/MatMul", "/b/layer.3/attention", "/b/layer.3"),
        ("/b/layer.3/output/dense/MatMul", "/b/layer.3/feed-forward", "/b/layer.3"),
        ("/b/layer.3/intermediate/dense/MatMul", "/b/layer.3/feed-forward", "/b/layer.3"),
        ("/t/h.0/attn/c_attn/Gemm", "/t/h.0/attention", "/t/h.0"),
        ("/b/layer.3/MatMul", "/b/layer.3", "/b/layer.3"),
        ("/a/groups.0/layers.0/attention/key/MatMul", "/a/groups.0/layers.0/attention", None),
        ("/b/pooler/dense/Gemm", "/b/pooler/dense", "/b/pooler/dense"),
    ],
)
def test_coarser_keys(name: str, half: str, layer: str | None) -> None:
    assert key_of(name, "half") == half
    assert key_of(name, "layer") == (layer or half.rpartition("/")[0])


def weights(layers: int) -> Weights:
    """A graph with one look-up, layers of three products each, one of two activations, a head."""
    nodes = [Node("/emb/Gather", "Gather", ("table", "ids"), ("x0",))]
    shapes: dict[str, tuple[int, ...]] = {"table": (100, 8)}
    for k in range(layers):
        for part in ("attention/q", "attention/out", "ffn/lin"):
            weight = f"{part}{k}"
            shapes[weight] = (8, 8)
            name = f"/m/layer.{k}/{part}/MatMul"
            nodes.append(Node(name, "MatMul", (f"x{k}", weight), (f"{weight}y",)))
        scores = f"/m/layer.{k}/attention/MatMul"
        nodes.append(Node(scores, "MatMul", (f"attention/q{k}y", f"ffn/lin{k}y"), (f"x{k + 1}",)))
    shapes["head"] = (8, 2)
    nodes.append(Node("/head/Gemm", "Gemm", (f"x{layers}", "head"), ("y",)))
    return Weights(Graph(tuple(nodes), dict.fromkeys(shapes, True)), shapes)


def test_every_product_with_weights_is_in_one_group() -> None:
    found = {group.key: group for group in groups_of(weights(2), SPEC)}
    assert list(found) == [
        *("emb", "m/layer.0/attention", "m/layer.0/ffn"),
        *("m/layer.1/attention", "m/layer.1/ffn", "head"),
    ]
    attention = found["m/layer.1/attention"]
    # Products of two activations are float in dynamic INT8 whatever is said.
    assert attention.nodes == 2
    assert attention.multiplications == 2 * 64
    assert attention.patterns == (r"/m/layer\.1/attention/.*",)
    assert (found["emb"].multiplications, found["emb"].weights_bytes) == (0, 3200)


def test_what_is_excluded_is_in_no_group() -> None:
    spec = SPEC.model_copy(update={"node_exclusion": (r"/m/layer\.0/.*",)})
    keys = [group.key for group in groups_of(weights(1), spec)]
    assert keys == ["emb", "head"]


def test_many_parts_are_merged_to_attention_and_the_rest() -> None:
    """As BERT names them, a feed-forward is two parts."""
    plain = weights(18)
    renamed = {node.name: node.name.replace("ffn", "output") for node in plain.graph.nodes}
    nodes: list[Node] = []
    for node in plain.graph.nodes:
        nodes.append(replace(node, name=renamed[node.name]))
        if "ffn" in node.name:
            name = node.name.replace("ffn", "intermediate")
            nodes.append(replace(node, name=name, outputs=(name,)))
    found = groups_of(replace(plain, graph=replace(plain.graph, nodes=tuple(nodes))), SPEC)
    assert len(found) == 2 * 18 + 2
    assert [group.key for group in found[1:3]] == ["m/layer.0/attention", "m/layer.0/feed-forward"]
    assert found[2].patterns == (
        *("/m/layer.0/intermediate/lin/MatMul", "/m/layer.0/output/lin/MatMul"),
    )
    assert found[2].multiplications == 2 * 64


def test_many_layers_are_groups_as_a_whole() -> None:
    found = groups_of(weights(MOST_GROUPS // 2), SPEC)
    assert len(found) == MOST_GROUPS // 2 + 2
    assert found[1].key == "m/layer.0"
    # Not those of layer.10 as well.
    assert found[2].patterns == (r"/m/layer\.1/.*",)


def test_look_ups_that_are_fused_multiply_nothing() -> None:
    """Their table is large, and would pass for most of the time."""
    inputs = ("ids", "types", "words", "positions", "kinds", "gamma", "beta")
    node = Node("EmbedLayerNormalization_0", "EmbedLayerNormalization", inputs, ("x",))
    shapes = {"words": (1000, 8), "positions": (64, 8), "kinds": (2, 8), "gamma": (8,)}
    graph = Graph((node,), dict.fromkeys(shapes, True))
    spec = SPEC.model_copy(update={"operators_to_quantize": ("MatMul", "Gather")})
    (group,) = groups_of(Weights(graph, shapes), spec)
    assert (group.multiplications, group.weights_bytes) == (0, 4 * 8000)


def test_float_and_finer() -> None:
    groups = groups_of(weights(1), SPEC)
    emb, attention = groups[:2]
    assert without(SPEC, (emb, attention)).node_exclusion == (*emb.patterns, *attention.patterns)
    blocks = finer(SPEC, (emb, attention))
    assert blocks.node_exclusion == emb.patterns
    assert blocks.blockwise is not None
    assert blocks.blockwise.nodes == attention.patterns
    assert finer(SPEC, (emb,)).blockwise is None
