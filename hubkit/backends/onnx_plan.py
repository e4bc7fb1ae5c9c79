"""What is quantized in an ONNX graph, decided before, and counted after."""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from hubkit.backends.node_patterns import Graph, Node, is_look_up, match_nodes, read_graph
from hubkit.backends.onnx_head import is_head
from hubkit.errors import ModelError, RecipeError
from hubkit.machine import Target, Technique, this_target
from hubkit.nearest import did_you_mean
from hubkit.recipe import OnnxBlockwise, OnnxDynamic, OnnxFloat16, OnnxStatic

# Of these nodes two inputs are data; of all others the first.
_TWO_OPERANDS = {"MatMul", "Gemm", "Add", "Sub", "Mul", "Div"}
_INTEGER_OPS = {
    *("MatMulInteger", "ConvInteger", "QAttention", "DynamicQuantizeLSTM", "MatMulNBits"),
    "QEmbedLayerNormalization",
}
# Graph optimization puts products into Attention, and embedding look-ups into this normalization.
_FUSED_INTO = {"MatMul": "Attention", "Gather": "EmbedLayerNormalization"}
# onnxruntime runs these on integers whatever becomes of their output.
_READ_INTEGERS = {"MatMul", "Gemm", "Conv", "Gather"}


@dataclass(frozen=True)
class Plan:
    """Names of the nodes to quantize, and by pattern how many nodes stay float because of it."""

    quantized: frozenset[str]
    excluded: dict[str, int]


def make_plan(
    graph: Graph,
    operators: Sequence[str],
    exclusions: Sequence[str],
    *,
    forms: Iterable[str] | None = None,
    never: Iterable[str] = (),
    allow_none: bool = False,
) -> Plan:
    """The nodes of those operators, less those that the patterns mean, and `never`.

    `forms`: the operators that have an integer form in this mode, where not all have; nodes of
    others are no part of the plan. Raises RecipeError where a pattern matches no node of the graph,
    or nothing is left and `allow_none` does not say that this is well.
    """
    wanted = with_fused(graph, operators)
    if forms is not None:
        wanted = [operator for operator in wanted if operator in set(forms)]
    able = {n.name for n in graph.nodes if n.op in wanted and _is_quantizable(graph, n)}
    able -= set(never)
    matched = {pattern: set(match_nodes(graph, pattern)) for pattern in exclusions}
    left = able.difference(*matched.values())
    if not left and not allow_none:
        raise RecipeError(
            f"no node is left to quantize: operators_to_quantize {', '.join(operators)}"
            + (f", node_exclusion {', '.join(exclusions)}" if exclusions else ""),
            hint="Name other operators_to_quantize, or fewer node_exclusion patterns.",
        )
    return Plan(frozenset(left), {p: len(able & names) for p, names in matched.items()})


def with_fused(graph: Graph, operators: Iterable[str]) -> list[str]:
    """The operators, and those of an optimized graph that they are fused into: MatMul means the
    products within Attention too, Gather the look-ups within EmbedLayerNormalization."""
    here = {node.op for node in graph.nodes}
    given = list(dict.fromkeys(operators))
    fused = [_FUSED_INTO[o] for o in given if _FUSED_INTO.get(o) in here]
    return list(dict.fromkeys((*given, *fused)))


def _is_quantizable(graph: Graph, node: Node) -> bool:
    if is_head(node.name):
        return False  # a projection stays as it is
    # A Gather of shape arithmetic reads integers; quantizers pass it over without a word.
    return node.op != "Gather" or is_look_up(graph, node)


def check_operators(
    operators: Sequence[str], able: Iterable[str], mode: str, *, graph: Graph | None = None
) -> None:
    """Raises RecipeError where `mode` quantization cannot do an operator, with the nearest name.

    The operators of `graph` are let through as well: their nodes may have no integer form, and
    stay float then, as an Add does in dynamic quantization.
    """
    here = {node.op for node in graph.nodes} - {"Constant"} if graph else set()
    known = sorted({*able, *here})
    for operator in operators:
        if operator not in known:
            raise RecipeError(
                f"operators_to_quantize {operator}: onnxruntime has no {mode} quantization of it"
                + (", and the model no such operator" if graph else "")
                + did_you_mean(operator, known),
                hint=f"{'Known here' if graph else 'It has that of'}: {', '.join(known)}.",
            )


def float_names(graph: Graph, plan: Plan, operators: Iterable[str]) -> list[str]:
    """Names of the nodes of those operators that are to stay float, for `nodes_to_exclude`.

    A Gemm is there with both its names: dynamic quantization makes it a MatMul, Gemm_MatMul, before
    it looks at the exclusions, and would quantize it all the same.
    """
    names = [n.name for n in graph.nodes if n.op in set(operators) and n.name not in plan.quantized]
    gemms = {n.name for n in graph.nodes if n.op == "Gemm"}
    return [*names, *(f"{name}_MatMul" for name in names if name in gemms)]


def refusal(
    spec: OnnxDynamic | OnnxStatic | OnnxBlockwise | OnnxFloat16, target: Target | None = None
) -> str | None:
    """Why this configuration cannot act on ONNX Runtime, or cannot be fast on the processor that
    will serve (this one where None), known before anything is made; None where it can.

    Source: onnxruntime issue 8770 (fuse before dynamic quantization, not before static), and the
    ONNX operator DequantizeLinear, which has an axis from opset 13 on.
    """
    served = target or this_target()
    slow = next((why for what in _techniques(spec) if (why := served.slow(what))), None)
    if slow is not None:
        return f"not tried on {served.name or 'this processor'}: {slow}"
    if not isinstance(spec, OnnxStatic):
        return None
    opset, level = spec.framework_args.opset, spec.framework_args.optimization_level
    if level in (2, 99):
        return (
            f"optimization_level {level} fuses attention into one operator, which static"
            " quantization has no integer form of: its products would stay float. onnxruntime"
            " fuses a static model itself when it loads it: use optimization_level 0 or 1"
        )
    if opset is not None and opset < 13 and spec.per_channel:
        return (
            f"opset {opset} has no scales per channel in static quantization: use opset 13 or"
            " later, or per_channel: false"
        )
    return None


def _techniques(spec: OnnxDynamic | OnnxStatic | OnnxBlockwise | OnnxFloat16) -> list[Technique]:
    """What a spec asks of a processor."""
    if isinstance(spec, OnnxFloat16):
        return [spec.dtype]
    if isinstance(spec, OnnxBlockwise):
        return ["blockwise"] if spec.accuracy_level == 4 else []
    if isinstance(spec, OnnxStatic):
        return ["int8", "int8-activations"] if spec.activation_type == "int8" else ["int8"]
    return ["int8", "blockwise"] if spec.blockwise else ["int8"]


def count_quantized(path: Path, plan: Plan, *, allow_none: bool = False) -> int:
    """How many of the plan's nodes really are quantized in the ONNX file that came of it.

    Raises ModelError where none is, unless `allow_none`.
    """
    done = quantized_nodes(read_graph(path), plan.quantized)
    if not allow_none and not done & plan.quantized:
        raise ModelError("onnxruntime quantized no node of the model")
    return len(done & plan.quantized)


def quantized_nodes(graph: Graph, names: Container[str] = ()) -> frozenset[str]:
    """Names, as in the float graph, of the nodes that compute with integers in a quantized one.

    `names`: those of the float graph, where they are known: a node of it may be named as one that
    came of a Gemm.
    """
    found = set()
    for node in graph.nodes:
        if node.op in _INTEGER_OPS:
            name = node.name.removesuffix("_quant")
            found.add(name if name in names else name.removesuffix("_MatMul"))
        elif node.op not in {"QuantizeLinear", "DequantizeLinear"}:
            data = node.inputs[: 2 if node.op in _TWO_OPERANDS else 1]
            reads = bool(data) and all(_is_integer(graph, name) for name in data)
            # A float node may read dequantized tensors as well: what tells is that it writes one.
            writes = "QuantizeLinear" in {reader.op for reader in graph.after(node)}
            if reads and (writes or node.op in _READ_INTEGERS):
                found.add(node.name)
    return frozenset(found)


def _is_integer(graph: Graph, tensor: str) -> bool:
    producer = graph.producers.get(tensor)
    if producer is not None:
        return producer.op == "DequantizeLinear"
    return graph.initializers.get(tensor) is False and tensor.endswith("_quantized")
