"""Weights in blocks, and embedding tables with a scale for each row."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from hubkit.backends.node_patterns import read_graph
from hubkit.backends.onnx_blockwise_quantizer import blockwise
from hubkit.backends.onnx_embeddings import by_row
from hubkit.backends.onnx_plan import refusal
from hubkit.backends.onnx_quantizers import dynamic
from hubkit.errors import RecipeError
from hubkit.machine import Target, target_named, this_target
from hubkit.recipe import OnnxBlockwise, OnnxDynamic, OnnxFloat16, OnnxStatic, VariantSpec
from hubkit.recipe_onnx import BlockwiseNodes
from tests.backends.conftest import GraphAt

if TYPE_CHECKING:
    from hubkit.backends.base import Arrays


def _counts(folder: Path) -> Counter[str]:
    return Counter(node.op for node in read_graph(folder / "model.onnx").nodes)


def _error(folder: Path, fp32: Path, batch: Arrays) -> float:
    import onnxruntime

    found = []
    for one in (folder, fp32):
        session = onnxruntime.InferenceSession(str(one / "model.onnx"))
        feed = {i.name: batch[i.name] for i in session.get_inputs()}
        found.append(session.run(None, feed)[0])
    return float(np.abs(found[0] - found[1]).max())


@pytest.mark.parametrize("bits", [4, 8])
def test_all_products_of_weights_are_blockwise_and_near_float(
    bits: int, graph_at: GraphAt, batches: dict[str, list[Arrays]], tmp_path: Path
) -> None:
    source = graph_at("distilbert", None, 3)
    spec = OnnxBlockwise.model_validate({"kind": "onnx-blockwise", "bits": bits, "block_size": 16})
    done = blockwise.quantize(source, tmp_path, spec)
    counts = _counts(tmp_path)
    assert counts["MatMulNBits"] == 2 * 6 + 2
    assert counts["MatMul"] == 2 * 2, "those of two activations"
    assert done.nodes_quantized == 2 * 6 + 2 + 2
    error = _error(tmp_path, source, batches["distilbert"][0])
    assert 0 < error < (4 if bits == 4 else 0.25), "weights of this model are of the order of 1"


def test_some_nodes_of_a_dynamic_variant_are_blockwise(
    graph_at: GraphAt, batches: dict[str, list[Arrays]], tmp_path: Path
) -> None:
    source = graph_at("distilbert", None, 3)
    parts = BlockwiseNodes(nodes=(r".*layer\.1/ffn/.*",), block_size=16)
    spec = OnnxDynamic(kind="onnx-dynamic", blockwise=parts)
    done = dynamic.quantize(source, tmp_path, spec)
    counts = _counts(tmp_path)
    assert counts["MatMulNBits"] == 2
    assert counts["MatMulInteger"] == 2 * 6 + 2 - 2
    assert done.nodes_quantized == 2 * 6 + 2 + 2
    whole = tmp_path / "whole"
    dynamic.quantize(source, whole, OnnxDynamic(kind="onnx-dynamic"))
    batch = batches["distilbert"][0]
    assert _error(tmp_path, source, batch) < 1.2 * _error(whole, source, batch)


def test_a_pattern_that_means_no_product_is_refused(graph_at: GraphAt, tmp_path: Path) -> None:
    parts = BlockwiseNodes(nodes=("layernorm",))
    spec = OnnxDynamic(kind="onnx-dynamic", blockwise=parts)
    with pytest.raises(RecipeError, match="none of these nodes is a product"):
        dynamic.quantize(graph_at("distilbert", None, 0), tmp_path, spec)


def test_rows_of_a_table_keep_their_own_scale() -> None:
    table = np.random.default_rng(0).normal(size=(50, 16)).astype(np.float32)
    table *= np.logspace(-4, 2, 50, dtype=np.float32)[:, None]
    table[7] = 0
    values, scale = by_row(table)
    error = np.abs(values * scale - table).max(axis=1)
    assert (error <= np.abs(table).max(axis=1) / 254 * 1.001).all()
    assert scale[7] == 1


@pytest.mark.parametrize("level", [0, 2, 3])
def test_embeddings_are_quantized_by_row_where_scales_are_per_channel(
    level: int, graph_at: GraphAt, tmp_path: Path
) -> None:
    source = graph_at("bert", None, level)
    tables = {}
    for per_channel in (True, False):
        output = tmp_path / str(per_channel)
        spec = OnnxDynamic(kind="onnx-dynamic", per_channel=per_channel)
        done = dynamic.quantize(source, output, spec)
        graph = read_graph(output / "model.onnx")
        tables[per_channel] = [one for one in graph.initializers if one.endswith("_row_scale")]
        assert done.nodes_quantized
        floats = [
            node.name
            for node in graph.nodes
            if node.op == "Gather"
            and graph.initializers.get(node.inputs[0])
            and not node.inputs[0].endswith("_row_scale")
        ]
        assert not floats, "a table stayed float"
    assert (len(tables[True]) >= 2, tables[False]) == (True, [])


STATIC = OnnxStatic(kind="onnx-static", activation_type="int8")
HALF = OnnxFloat16(kind="onnx-float16")


@pytest.mark.parametrize(
    ("spec", "target", "why"),
    [
        (OnnxDynamic(kind="onnx-dynamic"), target_named("avx2"), None),
        (OnnxDynamic(kind="onnx-dynamic"), Target(None, frozenset({"sse4_2"})), "AVX2"),
        (OnnxDynamic(kind="onnx-dynamic"), Target(None, frozenset()), None),
        (OnnxBlockwise(kind="onnx-blockwise"), target_named("arm64"), None),
        (OnnxBlockwise(kind="onnx-blockwise"), Target(None, frozenset({"asimd"})), "dot product"),
        (STATIC, target_named("avx512_vnni"), "signed"),
        (STATIC, target_named("arm64"), None),
        (HALF, target_named("amx"), "float16 on Arm"),
        (HALF, target_named("arm64"), None),
        (HALF.model_copy(update={"dtype": "bfloat16"}), target_named("amx"), "bfloat16"),
    ],
)
def test_what_a_target_cannot_do_fast_is_refused_with_the_reason(
    spec: VariantSpec, target: Target, why: str | None
) -> None:
    assert isinstance(spec, OnnxDynamic | OnnxStatic | OnnxBlockwise | OnnxFloat16)
    found = refusal(spec, target)
    assert (found is None) == (why is None)
    assert why is None or why in str(found)


def test_targets_decide_on_the_range_of_weights() -> None:
    named = {name: target_named(name).reduce_range for name in ("avx2", "avx512", "avx512_vnni")}
    assert named == {"avx2": True, "avx512": True, "avx512_vnni": False}
    assert not target_named("arm64").reduce_range
    here = this_target()
    assert here.name is None or target_named(here.name).flags & here.flags


def test_a_spec_without_later_techniques_has_the_digest_of_before() -> None:
    assert not {"smooth_quant", "blockwise", "calibration"} & set(
        OnnxDynamic(kind="onnx-dynamic").model_dump()
    )
    with_it = OnnxDynamic(kind="onnx-dynamic", smooth_quant="auto").model_dump(mode="json")
    assert OnnxDynamic.model_validate(with_it).smooth_quant == "auto"
