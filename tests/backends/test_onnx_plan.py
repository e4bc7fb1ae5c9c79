"""What is planned to be quantized, what is refused, and how it is counted."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from hubkit.backends.node_patterns import (
    Graph,
    Node,
    read_graph,
)
from hubkit.backends.onnx_plan import (
    Plan,
    check_operators,
    count_quantized,
    make_plan,
    quantized_nodes,
    refusal,
    with_fused,
)
from hubkit.backends.onnx_quantizers import static
from hubkit.backends.onnxruntime import runtime
from hubkit.errors import ModelError, RecipeError
from hubkit.recipe import FrameworkArgs, OnnxDynamic, OnnxStatic
from tests.backends.conftest import GraphAt

if TYPE_CHECKING:
    from hubkit.backends.base import Arrays

REFERENCE = ("layernorm", "gelu", "residual", "gather", "softmax")


@pytest.fixture(scope="module", name="graph")
def _graph(graph_at: GraphAt) -> Graph:
    return read_graph(graph_at("distilbert", None, 0) / "model.onnx")


def test_fused_operators_go_with_those_that_they_hold(graph: Graph, graph_at: GraphAt) -> None:
    fused = read_graph(graph_at("distilbert", None, 99) / "model.onnx")
    assert with_fused(graph, ["MatMul", "Gather", "MatMul"]) == ["MatMul", "Gather"]
    assert with_fused(fused, ["MatMul"]) == ["MatMul", "Attention"]
    assert with_fused(fused, ["Gather"]) == ["Gather", "EmbedLayerNormalization"]
    assert with_fused(fused, ["Add"]) == ["Add"]


def test_the_references_exclusion_does_not_stop_dynamic_quantization(graph: Graph) -> None:
    """None of these nodes would be quantized, which is no reason to refuse them."""
    plan = make_plan(graph, ("Add", "MatMul"), REFERENCE, forms=("MatMul", "Gemm", "Gather"))
    assert plan.excluded == dict.fromkeys(REFERENCE, 0)
    assert len(plan.quantized) == 16


def test_nothing_left_is_an_error_unless_it_is_allowed(graph: Graph, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="no node is left"):
        make_plan(graph, ("Add",), (), forms=("MatMul",))
    plan = make_plan(graph, ("Add",), REFERENCE, forms=("MatMul",), allow_none=True)
    assert plan == Plan(frozenset(), dict.fromkeys(REFERENCE, 0))
    with pytest.raises(RecipeError, match="layernorms: no node"):
        make_plan(graph, ("Add",), ("layernorms",), allow_none=True)


def test_what_is_not_quantized_is_not_counted(graph_at: GraphAt, graph: Graph) -> None:
    path = graph_at("distilbert", None, 0) / "model.onnx"
    plan = make_plan(graph, ("MatMul",), ())
    with pytest.raises(ModelError, match="quantized no node"):
        count_quantized(path, plan)
    assert count_quantized(path, plan, allow_none=True) == 0
    assert not quantized_nodes(graph)


def test_operators_of_the_graph_are_known_and_others_are_not(graph: Graph) -> None:
    check_operators(("Add", "MatMul", "Conv"), ("MatMul", "Conv"), "dynamic", graph=graph)
    with pytest.raises(RecipeError, match="Add: onnxruntime has no dynamic"):
        check_operators(("Add",), ("MatMul",), "dynamic")
    with pytest.raises(RecipeError, match=r"Ad: .*the model no such operator, did you mean Add\?"):
        check_operators(("Ad",), ("MatMul",), "dynamic", graph=graph)
    with pytest.raises(RecipeError, match="Constant"):
        check_operators(("Constant",), ("MatMul",), "dynamic", graph=graph)


def test_a_node_named_as_if_of_a_gemm_is_counted_by_its_own_name() -> None:
    done = Graph((Node("a_MatMul_quant", "MatMulInteger", ("x", "w"), ("y",)),), {"w": False})
    assert quantized_nodes(done) == {"a"}
    assert quantized_nodes(done, {"a_MatMul"}) == {"a_MatMul"}


def _with(spec: OnnxDynamic | OnnxStatic, **changes: object) -> OnnxDynamic | OnnxStatic:
    return spec.model_copy(update={"framework_args": FrameworkArgs(**changes)})  # type: ignore[arg-type]


def test_what_cannot_act_is_refused_with_the_reason() -> None:
    dynamic_spec = OnnxDynamic(kind="onnx-dynamic")
    static_spec = OnnxStatic(kind="onnx-static")
    for level in (0, 1, 2, 99):
        assert refusal(_with(dynamic_spec, opset=11, optimization_level=level)) is None
        reason = refusal(_with(static_spec, optimization_level=level))
        assert (reason is None) == (level < 2)
        if reason:
            assert f"optimization_level {level}" in reason
            assert "use optimization_level 0 or 1" in reason
    assert "opset 12" in (refusal(_with(static_spec, opset=12)) or "")
    assert refusal(_with(static_spec, opset=13)) is None
    by_tensor = static_spec.model_copy(update={"per_channel": False})
    assert refusal(_with(by_tensor, opset=11)) is None


@pytest.mark.parametrize("opset", [12, 13])
def test_the_quantizer_refuses_the_same_scales_per_channel(
    opset: int, graph_at: GraphAt, batches: dict[str, list[Arrays]], tmp_path: Path
) -> None:
    """onnxruntime would write an axis that it cannot load."""
    spec, source, rows = OnnxStatic(kind="onnx-static"), graph_at("bert", opset, 0), batches["bert"]
    if refusal(_with(spec, opset=opset)):
        with pytest.raises(ModelError, match="opset 12 has no scales per channel"):
            static.quantize(source, tmp_path / "a", spec, rows)
    else:
        static.quantize(source, tmp_path / "a", spec, rows)
        runtime.load(tmp_path / "a", "model.onnx", threads=1).close()
