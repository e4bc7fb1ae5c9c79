"""What is quantized in an ONNX graph, decided before, and counted after."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from hubkit.backends.node_patterns import Graph, Node, match_nodes, read_graph
from hubkit.errors import ModelError, RecipeError
from hubkit.nearest import did_you_mean

# Of these nodes two inputs are data; of all others the first.
_TWO_OPERANDS = {"MatMul", "Gemm", "Add", "Sub", "Mul", "Div"}
_INTEGER_OPS = {"MatMulInteger", "ConvInteger", "QAttention", "DynamicQuantizeLSTM"}
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
    never: Iterable[str] = (),
) -> Plan:
    """The nodes of those operators, less those that the patterns mean, and `never`.

    Raises RecipeError where a pattern matches no node of the graph, or nothing is left.
    """
    able = {n.name for n in graph.nodes if n.op in operators and _is_quantizable(graph, n)}
    able -= set(never)
    matched = {pattern: set(match_nodes(graph, pattern)) for pattern in exclusions}
    left = able.difference(*matched.values())
    if not left:
        raise RecipeError(
            f"no node is left to quantize: operators_to_quantize {', '.join(operators)}"
            + (f", node_exclusion {', '.join(exclusions)}" if exclusions else ""),
            hint="Name other operators_to_quantize, or fewer node_exclusion patterns.",
        )
    return Plan(frozenset(left), {p: len(able & names) for p, names in matched.items()})


def _is_quantizable(graph: Graph, node: Node) -> bool:
    # A Gather of shape arithmetic reads integers; quantizers pass it over without a word.
    return node.op != "Gather" or graph.initializers.get(node.inputs[0], False)


def check_operators(operators: Sequence[str], able: Iterable[str], mode: str) -> None:
    """Raises RecipeError where `mode` quantization cannot do an operator, with the nearest name."""
    known = sorted(set(able))
    for operator in operators:
        if operator not in known:
            raise RecipeError(
                f"operators_to_quantize {operator}: onnxruntime has no {mode} quantization of it"
                + did_you_mean(operator, known),
                hint=f"It has that of: {', '.join(known)}.",
            )


def float_names(graph: Graph, plan: Plan, operators: Iterable[str]) -> list[str]:
    """Names of the nodes of those operators that are to stay float, for `nodes_to_exclude`.

    A Gemm is there with both its names: dynamic quantization makes it a MatMul, Gemm_MatMul, before
    it looks at the exclusions, and would quantize it all the same.
    """
    names = [n.name for n in graph.nodes if n.op in set(operators) and n.name not in plan.quantized]
    gemms = {n.name for n in graph.nodes if n.op == "Gemm"}
    return [*names, *(f"{name}_MatMul" for name in names if name in gemms)]


def count_quantized(path: Path, plan: Plan) -> int:
    """How many of the plan's nodes really are quantized in the ONNX file that came of it.

    Raises ModelError where none is.
    """
    done = quantized_nodes(read_graph(path))
    if not done & plan.quantized:
        raise ModelError("onnxruntime quantized no node of the model")
    return len(done & plan.quantized)


def quantized_nodes(graph: Graph) -> frozenset[str]:
    """Names, as in the float graph, of the nodes that compute with integers in a quantized one."""
    found = set()
    for node in graph.nodes:
        if node.op in _INTEGER_OPS:
            found.add(node.name.removesuffix("_quant").removesuffix("_MatMul"))
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
