"""The groups of nodes that a tuning run makes INT8 or leaves float: pure functions of a graph."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from hubkit.backends.node_patterns import Graph, Node, is_look_up, named_nodes, read_graph
from hubkit.backends.onnx_plan import make_plan
from hubkit.recipe import OnnxDynamic, OnnxStatic
from hubkit.recipe_onnx import BlockwiseNodes
from hubkit.tune_records import Group

# Where there are more groups than this the parts of a layer are merged to its attention and the
# rest, or to the whole: each group is a model to make and to run.
MOST_GROUPS = 40
Grain = Literal["part", "half", "layer"]
GRAINS: tuple[Grain, ...] = get_args(Grain)
_FLOAT_BYTES = 4


@dataclass(frozen=True)
class Weights:
    """A graph, and the shapes of its constant tensors by name."""

    graph: Graph
    shapes: Mapping[str, tuple[int, ...]]


def read_weights(path: Path) -> Weights:
    """The graph of an ONNX file with the shapes of its weights."""
    import onnx

    model = onnx.load(str(path), load_external_data=False)
    shapes = {one.name: tuple(one.dims) for one in model.graph.initializer}
    return Weights(read_graph(path), shapes)


def groups_of(weights: Weights, spec: OnnxDynamic | OnnxStatic) -> tuple[Group, ...]:
    """What the spec quantizes, in groups by the path in the nodes' names: the parts of each layer,
    each look-up, each product of the head. In the graph's order."""
    graph = weights.graph
    # As in the dynamic quantizer, which has no product of two activations.
    dynamic = isinstance(spec, OnnxDynamic)
    plan = make_plan(
        graph,
        spec.operators_to_quantize,
        spec.node_exclusion,
        never=named_nodes(graph, "attention-matmul") if dynamic else (),
        allow_none=True,
    )
    nodes = [node for node in graph.nodes if node.name in plan.quantized]
    found = (_by_key(nodes, grain) for grain in GRAINS)
    by_key = next((one for one in found if len(one) <= MOST_GROUPS), _by_key(nodes, "layer"))
    able = {node.name for node in nodes}
    return tuple(_group(weights, key, group, able) for key, group in by_key.items())


def _by_key(nodes: Iterable[Node], grain: Grain) -> dict[str, list[Node]]:
    found: dict[str, list[Node]] = {}
    for node in nodes:
        found.setdefault(key_of(node.name, grain), []).append(node)
    return found


def key_of(name: str, grain: Grain = "part") -> str:
    """The group that a node is of by its name: the path down to the layer's number, and one part
    further (`/bert/encoder/layer.3/output`), or whether that is attention or not (`half`); without
    a number, the path of the node's module."""
    parts = name.split("/")
    numbered = [bool(re.search(r"(^|[._])\d+$", part)) for part in parts]
    for at in range(len(parts) - 1):
        if numbered[at] and not numbered[at + 1]:  # ALBERT numbers groups of layers, and layers
            layer, within = "/".join(parts[: at + 1]), parts[at + 1 : -1][:1]
            if grain == "layer" or not within:
                return layer
            if grain == "part":
                return f"{layer}/{within[0]}"
            attention = re.search("att(entio)?n", within[0], re.IGNORECASE)
            return f"{layer}/{'attention' if attention else 'feed-forward'}"
    return "/".join(parts[:-1]) or name


def _group(weights: Weights, key: str, nodes: Sequence[Node], able: set[str]) -> Group:
    names = {node.name for node in nodes}
    return Group(
        key=key.removeprefix("/"),
        patterns=_patterns(key, names, able),
        nodes=len(nodes),
        multiplications=sum(
            _size(weights, node) for node in nodes if not _looks_up(weights.graph, node)
        ),
        weights_bytes=_FLOAT_BYTES * sum(_size(weights, node) for node in nodes),
    )


def _looks_up(graph: Graph, node: Node) -> bool:
    return node.op == "EmbedLayerNormalization" or is_look_up(graph, node)


def _patterns(key: str, names: set[str], able: set[str]) -> tuple[str, ...]:
    """One expression for the path where it means just these nodes, else their names."""
    expression = re.escape(key).replace(r"\-", "-").replace(r"\/", "/") + "/.*"
    if {name for name in able if re.fullmatch(expression, name)} == names:
        return (expression,)
    return tuple(sorted(names))


def _weight(weights: Weights, node: Node) -> str | None:
    """The constant of a product, or what a look-up takes rows out of."""
    found = (name for name in node.inputs if len(weights.shapes.get(name, ())) >= 2)
    return next(found, None)


def _size(weights: Weights, node: Node) -> int:
    name = _weight(weights, node)
    return math.prod(weights.shapes[name]) if name else 0


def without(spec: OnnxDynamic | OnnxStatic, groups: Iterable[Group]) -> OnnxDynamic | OnnxStatic:
    """The spec with those groups in float."""
    patterns = (pattern for group in groups for pattern in group.patterns)
    excluded = tuple(dict.fromkeys((*spec.node_exclusion, *patterns)))
    return spec.model_copy(update={"node_exclusion": excluded})


def finer(spec: OnnxDynamic, groups: Sequence[Group]) -> OnnxDynamic:
    """The spec with the products of those groups in 8-bit blocks, their look-ups in float."""
    products = [group for group in groups if group.multiplications]
    left = without(spec, (group for group in groups if not group.multiplications))
    assert isinstance(left, OnnxDynamic)
    if not products:
        return left
    nodes = tuple(dict.fromkeys(p for group in products for p in group.patterns))
    return left.model_copy(update={"blockwise": BlockwiseNodes(nodes=nodes)})
