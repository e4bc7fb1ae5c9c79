"""Which nodes of an ONNX graph a `node_exclusion` pattern means.

A pattern is one of the names below, a node's name, or a regular expression that matches whole node
names. The names are those of optimum's sweep ("layernorm", "gelu", "residual", "gather",
"softmax"), and "attention-matmul". They find what optimum's exporter writes at any opset (a
LayerNormalization is nine nodes below 17, a Gelu five below 20) and what onnxruntime fuses of it.
"""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from hubkit.errors import RecipeError

_SKIPS = {"SkipLayerNormalization", "SkipSimplifiedLayerNormalization"}
_LAYERNORMS = {
    *_SKIPS,
    *("LayerNormalization", "SimplifiedLayerNormalization", "EmbedLayerNormalization"),
}
# What these patterns mean is inside a fused attention, and float there in its integer form as well:
# there is nothing to exclude, and nothing wrong with the pattern.
_FLOAT_INSIDE = {
    pattern: {"Attention", "MultiHeadAttention"} for pattern in ("softmax", "attention-matmul")
}
# Their output is a constant when all their inputs are.
_TRANSPARENT = {"Identity", "Transpose", "Cast", "Reshape", "Unsqueeze", "Squeeze"}


@dataclass(frozen=True)
class Node:
    """A node's name, operator and tensor names."""

    name: str
    op: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


@dataclass(frozen=True)
class Graph:
    """Nodes in topological order, and the initializers' names with whether they are float."""

    nodes: tuple[Node, ...]
    initializers: Mapping[str, bool]
    opset: int = 0

    @cached_property
    def constants(self) -> frozenset[str]:
        """Tensors that do not depend on the model's inputs, found through Identity and the like."""
        known = set(self.initializers)
        for node in self.nodes:
            folds = node.op in _TRANSPARENT and all(i in known for i in node.inputs if i)
            if node.op == "Constant" or folds:
                known.update(node.outputs)
        return frozenset(known)

    @cached_property
    def producers(self) -> Mapping[str, Node]:
        return {output: node for node in self.nodes for output in node.outputs if output}

    @cached_property
    def consumers(self) -> Mapping[str, tuple[Node, ...]]:
        found: dict[str, list[Node]] = {}
        for node in self.nodes:
            for name in dict.fromkeys(filter(None, node.inputs)):  # "" is an input left out
                found.setdefault(name, []).append(node)
        return {name: tuple(nodes) for name, nodes in found.items()}

    def after(self, node: Node | None) -> tuple[Node, ...]:
        """The nodes that read a node's outputs; none of no node."""
        outputs = node.outputs if node else ()
        return tuple(n for output in outputs for n in self.consumers.get(output, ()))

    def before(self, node: Node | None) -> tuple[Node, ...]:
        """The nodes whose outputs a node reads; none of no node."""
        inputs = node.inputs if node else ()
        return tuple(self.producers[i] for i in inputs if i in self.producers)

    def operands(self, node: Node) -> tuple[str, ...]:
        """The inputs of a node that depend on the model's inputs."""
        return tuple(i for i in node.inputs if i and i not in self.constants)


def read_graph(path: Path) -> Graph:
    """The graph of an ONNX file, without its weights' values."""
    import onnx

    model = onnx.load(str(path), load_external_data=False)
    floats = {onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16, onnx.TensorProto.BFLOAT16}
    return Graph(
        nodes=tuple(
            Node(n.name, n.op_type, tuple(n.input), tuple(n.output)) for n in model.graph.node
        ),
        initializers={i.name: i.data_type in floats for i in model.graph.initializer},
        opset=max(
            (o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), default=0
        ),
    )


def _layernorm(graph: Graph) -> Iterable[Node]:
    """One node; or as below opset 17 (x - mean) / sqrt(mean((x - mean)^2) + epsilon) * weight +
    bias, nine nodes."""
    for node in graph.nodes:
        if node.op in _LAYERNORMS:
            yield node
        if node.op == "Sqrt":
            yield from _decomposed_layernorm(graph, node)


def _decomposed_layernorm(graph: Graph, root: Node) -> Iterable[Node]:
    epsilon = _only(graph.before(root), "Add")
    variance = _only(graph.before(epsilon), "ReduceMean")
    square = _only(graph.before(variance), "Pow", "Mul")
    centred = _only(graph.before(square), "Sub")
    quotient = _only(graph.after(root), "Div")
    if not centred or not quotient:
        return
    weight = _only(graph.after(quotient), "Mul")
    bias = _only(graph.after(weight), "Add")
    chain = (_only(graph.before(centred), "ReduceMean"), centred, square, variance, epsilon, root)
    yield from (node for node in (*chain, quotient, weight, bias) if node)


def _only(nodes: Iterable[Node], *ops: str) -> Node | None:
    return next((node for node in nodes if node.op in ops), None)


def _gelu(graph: Graph) -> Iterable[Node]:
    """x * (1 + erf(x / √2)) * 0.5 as Div, Erf, Add, Mul, Mul; or one Gelu node."""
    for node in graph.nodes:
        if node.op in {"Gelu", "FastGelu", "BiasGelu", "QuickGelu"}:
            yield node
        if node.op != "Erf":
            continue
        yield from (n for n in graph.before(node) if n.op in {"Div", "Mul"})
        yield node
        for add in (n for n in graph.after(node) if n.op == "Add"):
            yield add
            for product in (n for n in graph.after(add) if n.op == "Mul"):
                yield product
                halves = (n for n in graph.after(product) if n.op == "Mul")
                yield from (n for n in halves if len(graph.operands(n)) == 1)


def mask_adds(graph: Graph) -> tuple[Node, ...]:
    """The Adds that lay the attention mask over the scores: quantized, its -3e38 or -inf ruins the
    range of all others (accuracy falls to chance)."""
    return tuple(n for n in graph.nodes if n.op == "Add" and _feeds(graph, n, "Softmax"))


def _softmax(graph: Graph) -> Iterable[Node]:
    """Softmax, and the Add or Where that lays the attention mask over the scores before it."""
    yield from mask_adds(graph)
    for node in graph.nodes:
        if node.op in {"Softmax", "BiasSoftmax"}:
            yield node
        if node.op == "Where" and _feeds(graph, node, "Softmax"):
            yield node


def _feeds(graph: Graph, node: Node, op: str) -> bool:
    return any(
        n.op == op or (n.op in _TRANSPARENT and _feeds(graph, n, op)) for n in graph.after(node)
    )


def _residual(graph: Graph) -> Iterable[Node]:
    """Adds of two computed tensors that are neither the attention mask's nor the embeddings', and
    the normalizations that they are fused into."""
    masks = set(mask_adds(graph))
    for node in graph.nodes:
        sums = node.op in {"Add", "Sum"} and node not in masks and len(graph.operands(node)) == 2
        if sums or node.op in _SKIPS:
            sources = {n.op for n in graph.before(node)}
            if not sources & {"Gather", "Erf"}:
                yield node


def _gather(graph: Graph) -> Iterable[Node]:
    """Embedding look-ups; the Gathers of shape arithmetic are never quantized."""
    return (n for n in graph.nodes if is_look_up(graph, n) or n.op == "EmbedLayerNormalization")


def is_look_up(graph: Graph, node: Node) -> bool:
    """Whether a node takes rows out of a float weight."""
    return node.op == "Gather" and graph.initializers.get(node.inputs[0], False)


def _attention_matmul(graph: Graph) -> Iterable[Node]:
    """Products of two activations: queries with keys, and weights with values."""
    for node in graph.nodes:
        two = node.op in {"MatMul", "Gemm", "FusedMatMul"}
        if two and not set(node.inputs[:2]) & graph.constants:
            yield node


PATTERNS: Mapping[str, Callable[[Graph], Iterable[Node]]] = {
    "layernorm": _layernorm,
    "gelu": _gelu,
    "residual": _residual,
    "gather": _gather,
    "softmax": _softmax,
    "attention-matmul": _attention_matmul,
}


def named_nodes(graph: Graph, pattern: str) -> set[str]:
    """Names of the nodes that one of PATTERNS means; there may be none."""
    return {n.name for n in PATTERNS[pattern](graph)}


def match_nodes(graph: Graph, pattern: str) -> tuple[str, ...]:
    """Names of the nodes that a pattern means, in the graph's order.

    None where all that it means is within a fused attention, which computes it in float whatever
    is quantized. Raises RecipeError where nothing is meant, with what could have been.
    """
    found = (
        named_nodes(graph, pattern)
        if pattern in PATTERNS
        else matching_names(pattern, [n.name for n in graph.nodes])
    )
    inside = any(n.op in _FLOAT_INSIDE.get(pattern, ()) for n in graph.nodes)
    if not found and not inside:
        raise nothing_matches(
            pattern, [*PATTERNS, *(n.name for n in graph.nodes)], _what_could_match(graph)
        )
    return tuple(n.name for n in graph.nodes if n.name in found)


def _what_could_match(graph: Graph) -> str:
    counts = {pattern: len(named_nodes(graph, pattern)) for pattern in PATTERNS}
    names = ", ".join(f"{pattern} ({count})" for pattern, count in counts.items() if count)
    operators = Counter(n.op for n in graph.nodes)
    listed = ", ".join(f"{op} ({count})" for op, count in sorted(operators.items()))
    return (
        f"Patterns that match this graph (opset {graph.opset}): {names or 'none'}."
        f" Operators in it: {listed}."
    )


def matching_names(pattern: str, names: Sequence[str]) -> set[str]:
    """Those names that are the pattern, or else those that it matches as a regular expression.

    Raises RecipeError when it is neither a name nor a regular expression.
    """
    if pattern in names:
        return {pattern}
    try:
        expression = re.compile(pattern)
    except re.error as error:
        raise RecipeError(
            f"node_exclusion {pattern}: neither a node's name nor a regular expression ({error})",
            hint=_nearest(pattern, names),
        ) from error
    return {name for name in names if expression.fullmatch(name)}


def nothing_matches(pattern: str, names: Sequence[str], known: str) -> RecipeError:
    """The error for a pattern that means nothing here."""
    return RecipeError(
        f"node_exclusion {pattern}: no node of this model matches",
        hint=f"{_nearest(pattern, names)} {known}".strip(),
    )


def _nearest(pattern: str, names: Sequence[str]) -> str:
    near = difflib.get_close_matches(pattern, names, n=3, cutoff=0.4)
    return f"Nearest names: {', '.join(near)}." if near else ""
