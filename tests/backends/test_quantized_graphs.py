"""What is quantized in the graphs that the quantizers write: at every opset, level and type."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import pytest

from hubkit.backends.graph_digest import graph_digest
from hubkit.backends.node_patterns import (
    PATTERNS,
    Graph,
    is_look_up,
    mask_adds,
    match_nodes,
    read_graph,
)
from hubkit.backends.onnx_plan import (
    quantized_nodes,
)
from hubkit.backends.onnx_quantizers import dynamic, static
from hubkit.backends.onnxruntime import runtime
from hubkit.recipe import OnnxDynamic, OnnxStatic
from tests.backends.conftest import ARCHITECTURES, GraphAt

if TYPE_CHECKING:
    from hubkit.backends.base import Arrays

REFERENCE = ("layernorm", "gelu", "residual", "gather", "softmax")
DYNAMIC = ("MatMul", "Gemm", "Gather")
# The reference's Add and MatMul, and what else a pattern can mean, where there is such a node.
STATIC = ("MatMul", "Gemm", "Gather", "Add", "LayerNormalization", "Gelu")
OPSETS = (11, 14, 17, None)


def _spec(mode: str, *exclusions: str, graph: Graph) -> OnnxDynamic | OnnxStatic:
    here = {node.op for node in graph.nodes}
    if mode == "dynamic":
        return OnnxDynamic(
            kind="onnx-dynamic", operators_to_quantize=DYNAMIC, node_exclusion=exclusions
        )
    return OnnxStatic(
        kind="onnx-static",
        operators_to_quantize=tuple(o for o in STATIC if o in here),
        node_exclusion=exclusions,
        per_channel=False,
    )


@pytest.fixture(scope="module", name="unexcluded")
def _unexcluded(
    graph_at: GraphAt,
    batches: dict[str, list[Arrays]],
    tmp_path_factory: pytest.TempPathFactory,
) -> Callable[[str, int | None], tuple[Graph, dict[str, int], int]]:
    """(mode, opset) -> `_quantize` of DistilBERT without exclusions; made once."""

    @cache
    def make(mode: str, opset: int | None) -> tuple[Graph, dict[str, int], int]:
        output = tmp_path_factory.mktemp("unexcluded") / "model"
        source = graph_at("distilbert", opset, 0)
        return _quantize(mode, source=source, output=output, batches=batches["distilbert"])

    return make


def _quantize(
    mode: str, *exclusions: str, source: Path, output: Path, batches: list[Arrays]
) -> tuple[Graph, dict[str, int], int]:
    """The quantized graph, what was excluded, and how many nodes the quantizer says it did."""
    spec = _spec(mode, *exclusions, graph=read_graph(source / "model.onnx"))
    if isinstance(spec, OnnxDynamic):
        done = dynamic.quantize(source, output, spec)
    else:
        done = static.quantize(source, output, spec, batches)
    graph = read_graph(output / "model.onnx")
    return graph, dict(done.nodes_excluded), done.nodes_quantized or 0


@pytest.mark.parametrize("opset", OPSETS)
@pytest.mark.parametrize("pattern", [*PATTERNS, "/pre_classifier/Gemm", r".*layer\.1.*lin\d?/.*"])
@pytest.mark.parametrize("mode", ["dynamic", "static"])
def test_an_excluded_node_is_float_in_what_the_quantizer_writes(
    mode: str,
    pattern: str,
    opset: int | None,
    graph_at: GraphAt,
    unexcluded: Callable[[str, int | None], tuple[Graph, dict[str, int], int]],
    batches: dict[str, list[Arrays]],
    tmp_path: Path,
) -> None:
    source = graph_at("distilbert", opset, 0)
    float32 = read_graph(source / "model.onnx")
    meant = set(match_nodes(float32, pattern))
    rows = batches["distilbert"]
    before, already, most = unexcluded(mode, opset)
    after, excluded, left = _quantize(
        mode, pattern, source=source, output=tmp_path / "b", batches=rows
    )
    was, now = _integer_products(before, float32), _integer_products(after, float32)
    assert not now & meant
    assert was - now == was & meant, "and no other product"
    # The Adds of the attention mask are float without being asked for.
    assert left == most - excluded[pattern] + already.get(pattern, 0)
    float_anyway = {"layernorm", "gelu", "residual", "softmax", "attention-matmul"}
    masks = pattern == "softmax" and not mask_adds(float32)  # below opset 14 they are no Adds
    assert (excluded[pattern] == 0) == ((mode == "dynamic" and pattern in float_anyway) or masks)


def _integer_products(graph: Graph, float32: Graph) -> set[str]:
    """Names of the products and look-ups that run on integers, read from the graph alone."""
    products = {n.name for n in float32.nodes if n.op in {"MatMul", "Gemm"}}
    products |= {n.name for n in float32.nodes if is_look_up(float32, n)}
    return products & quantized_nodes(graph, products)


@pytest.mark.parametrize("opset", OPSETS)
def test_the_references_exclusion_leaves_what_it_should(
    opset: int | None, graph_at: GraphAt, batches: dict[str, list[Arrays]], tmp_path: Path
) -> None:
    source, rows = graph_at("bert", opset, 0), batches["bert"]
    graph, excluded, count = _quantize(
        "static", *REFERENCE, source=source, output=tmp_path / "a", batches=rows
    )
    assert set(excluded) >= set(REFERENCE)
    assert excluded["residual"] == 4
    assert excluded["gather"] == 3
    assert excluded["softmax"] == 2
    # The Adds of the biases, the products, and the Adds of the embeddings are what is left.
    float32 = read_graph(source / "model.onnx")
    meant = {name for pattern in REFERENCE for name in match_nodes(float32, pattern)}
    wanted = {"MatMul", "Gemm", "Add"}
    left = {n.name for n in float32.nodes if n.op in wanted and n.name not in meant}
    assert count >= len(left)
    assert left <= quantized_nodes(graph, left)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("level", [1, 2, 99])
def test_fused_graphs_are_quantized_and_counted(
    architecture: str,
    level: int,
    graph_at: GraphAt,
    batches: dict[str, list[Arrays]],
    tmp_path: Path,
) -> None:
    """MatMul and Gather mean the products and look-ups within fused operators too."""
    source = graph_at(architecture, None, level)
    look_ups = len(match_nodes(read_graph(source / "model.onnx"), "gather"))
    products = 14 if level == 1 else 10
    for exclusions, fewer in (((), 0), (REFERENCE[:3], int(level == 99)), (REFERENCE, look_ups)):
        output = tmp_path / str(len(exclusions))
        spec = _spec("dynamic", *exclusions, graph=read_graph(source / "model.onnx"))
        assert isinstance(spec, OnnxDynamic)
        done = dynamic.quantize(source, output, spec)
        assert done.nodes_quantized == products + look_ups - fewer
        assert set(done.nodes_excluded) == set(exclusions)
        excluded = dict(done.nodes_excluded)
        assert excluded.pop("gather", look_ups) == look_ups
        assert excluded.pop("layernorm", level == 99) == (level == 99)
        assert not any(excluded.values())
    written = {node.op for node in read_graph(tmp_path / "0" / "model.onnx").nodes}
    assert ("QAttention" in written) == (level > 1)
    assert ("QEmbedLayerNormalization" in written) == (level == 99)
    float32, int8 = (runtime.load(f, "model.onnx", threads=1) for f in (source, tmp_path / "0"))
    for batch in batches[architecture]:
        exact, near = float32.run(batch)["logits"], int8.run(batch)["logits"]
        assert np.abs(near - exact).mean() < 0.15 * np.ptp(exact)


@pytest.mark.parametrize(("opset", "level"), [(11, 0), (14, 0), (None, 0), (None, 1), (None, 2)])
def test_the_references_dynamic_configurations_are_made(
    opset: int | None, level: int, graph_at: GraphAt, tmp_path: Path
) -> None:
    """Add has no dynamic form, and none of the exclusion's nodes would be quantized."""
    source = graph_at("bert", opset, level)
    for operators, count in ((("Add", "MatMul"), 12 if level < 2 else 8), (("Add",), 0)):
        for exclusion in ((), REFERENCE):
            spec = OnnxDynamic(
                kind="onnx-dynamic", operators_to_quantize=operators, node_exclusion=exclusion
            )
            output = tmp_path / f"{count} {len(exclusion)}"
            done = dynamic.quantize(source, output, spec)
            assert done.nodes_quantized == count
            assert dict(done.nodes_excluded) == dict.fromkeys(exclusion, 0)
            same = graph_digest(output / "model.onnx") == graph_digest(source / "model.onnx")
            assert same == (count == 0)
    made = (graph_digest(folder / "model.onnx") for folder in tmp_path.iterdir())
    assert len(set(made)) == 2, "each exclusion gives the graph that none gives"


@pytest.mark.parametrize(
    ("activations", "weights", "per_channel"),
    [
        ("uint8", "int8", True),
        ("int8", "int8", False),
        ("uint8", "uint8", False),
        (None, "int8", True),
        (None, "uint8", False),
    ],
)
def test_counts_are_right_for_every_type_of_integer(
    activations: Literal["int8", "uint8"] | None,
    weights: Literal["int8", "uint8"],
    per_channel: bool,
    graph_at: GraphAt,
    batches: dict[str, list[Arrays]],
    tmp_path: Path,
) -> None:
    """Of DistilBERT's two layers 12 products with weights, 4 of activations, 2 Gemms, 2 look-ups,
    and 12 Adds of biases, 4 residual ones, 2 of Gelus, 1 of embeddings, 2 of masks."""
    source = graph_at("distilbert", None, 0)
    common = {"weight_type": weights, "per_channel": per_channel, "node_exclusion": ()}
    if activations is None:
        spec = OnnxDynamic(kind="onnx-dynamic", **common)  # type: ignore[arg-type]
        assert dynamic.quantize(source, tmp_path / "a", spec).nodes_quantized == 12 + 2 + 2
        return
    for operators, guards, count in (
        (("MatMul",), True, 16),
        (("MatMul", "Gemm"), True, 18),
        (("MatMul", "Gather"), True, 18),
        (("MatMul", "Add"), True, 16 + 19),
        (("Add",), False, 21),
    ):
        static_spec = OnnxStatic(
            kind="onnx-static",
            operators_to_quantize=operators,
            guards=guards,
            activation_type=activations,
            **common,  # type: ignore[arg-type]
        )
        output = tmp_path / f"{operators}"
        done = static.quantize(source, output, static_spec, batches["distilbert"])
        assert done.nodes_quantized == count, operators


@pytest.mark.parametrize("opset", [11, 12, 13, 14, 16, 17, 19, 20, 21, 22, 23])
def test_every_opset_that_can_be_written_can_be_quantized_and_run(
    opset: int, graph_at: GraphAt, batches: dict[str, list[Arrays]], tmp_path: Path
) -> None:
    source, rows = graph_at("bert", opset, 0), batches["bert"]
    float32 = runtime.load(source, "model.onnx", threads=1)
    kinds = (OnnxDynamic(kind="onnx-dynamic"), OnnxStatic(kind="onnx-static", per_channel=False))
    for spec in kinds:
        output = tmp_path / spec.kind
        if isinstance(spec, OnnxDynamic):
            assert dynamic.quantize(source, output, spec).nodes_quantized == 17
        else:
            assert static.quantize(source, output, spec, rows).nodes_quantized == 14
        assert read_graph(output / "model.onnx").opset == opset
        int8 = runtime.load(output, "model.onnx", threads=1)
        for batch in rows:
            exact, near = float32.run(batch)["logits"], int8.run(batch)["logits"]
            assert np.abs(near - exact).mean() < 0.15 * np.ptp(exact)
