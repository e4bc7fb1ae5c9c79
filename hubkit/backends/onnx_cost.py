"""What one call of an ONNX graph computes and moves, counted by onnx-tool.

onnx-tool gives the shape of every tensor and the multiply-accumulates of every product, for inputs
of one shape; where it cannot, they are seen in a run of onnxruntime. Bytes, and the operations that
are no products, are counted here by the rules of `hubkit.formats_records.PartCost`.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from hubkit.backends.onnx_followed import Node, Tensor, profiled
from hubkit.backends.quiet import quiet
from hubkit.formats_records import PartCost, PartName

PARTS: tuple[PartName, ...] = ("embeddings", "backbone", "head")
_FLOAT_BYTES = 4
_PRODUCTS = {"MatMul", "Gemm", "Conv", "Einsum"}
# Nothing of these is computed or moved: a runtime gives the same bytes another shape.
_FREE = {
    *("Constant", "Shape", "Size", "Reshape", "Flatten", "Unsqueeze", "Squeeze", "Identity"),
    *("Dropout", "Range"),
}
# These move what they take, and compute nothing.
_MOVES = {
    *("Gather", "GatherND", "GatherElements", "Transpose", "Concat", "Slice", "Split", "Expand"),
    *("Tile", "Cast", "Pad", "ConstantOfShape", "ScatterND", "ScatterElements"),
}
_LOOK_UPS = {"Gather", "GatherND", "GatherElements"}
# Path segments of node names, which are those of PyTorch modules.
_EMBEDDINGS = re.compile(r"embeddings?(_project|_hidden_mapping_in)?$")
_HEAD = re.compile(
    r"(head|heads|hubkit_projection|pooler|pooling|pre_classifier|classifier|qa_outputs|score)$"
)
_LAYER = re.compile(r"(encoder|transformer|layers?(\.\d+)?|albert_layer_groups\.\d+|h\.\d+)$")


@dataclass
class _Part:
    macs: int = 0
    flops: int = 0
    activation_bytes: int = 0
    nodes: int = 0
    parameters: dict[str, int] = field(default_factory=dict)  # tensor -> numbers
    tables: set[str] = field(default_factory=set)  # those that rows are looked up in
    products: Counter[str] = field(default_factory=Counter)


def count_graph(path: Path, input_length: int) -> tuple[tuple[PartCost, ...], str]:
    """The cost of embeddings, backbone and head for one sentence of `input_length` tokens, and what
    counted it, with its version.

    A part that the graph lacks has zeros. Raises ModelError where the graph has an operator that
    cannot be counted, MissingDependencyError without onnx-tool.
    """
    with quiet():
        (nodes, tensors, initializers), counter = profiled(path, input_length)
    parts = {name: _Part() for name in PARTS}
    constants = _constants(nodes, initializers)
    names = parts_of(nodes)
    for node, name in zip(nodes, names, strict=True):
        _count(parts[name], node, tensors, constants)
    for name in PARTS:
        own = [node for node, part in zip(nodes, names, strict=True) if part == name]
        parts[name].activation_bytes += _crossing(own, nodes, tensors, constants)
    return tuple(_record(name, parts) for name in PARTS), counter


def parts_of(nodes: Sequence[Node]) -> list[PartName]:
    """The part of each node, by the names of the modules that it was exported from.

    A node without such a name is of the head where it comes after the last layer of the encoder,
    else of the backbone, which prepares its masks. Where no node is named for an encoder, all that
    is not of the embeddings or the head is backbone.
    """
    paths = [node.name.split("/") for node in nodes]
    named: list[PartName | None] = [_named(path) for path in paths]
    last = max((at for at, part in enumerate(named) if part == "backbone"), default=len(nodes))
    return [part or ("head" if at > last else "backbone") for at, part in enumerate(named)]


def _named(path: Sequence[str]) -> PartName | None:
    modules = path[:-1]  # the last segment is the operator
    if any(_LAYER.match(one) for one in modules):
        # ALBERT and others keep the projection of their embeddings inside the encoder.
        return "embeddings" if any(_EMBEDDINGS.match(one) for one in modules) else "backbone"
    if any(_HEAD.match(one) for one in modules):
        return "head"
    return "embeddings" if any(_EMBEDDINGS.match(one) for one in modules) else None


def _constants(nodes: Sequence[Node], initializers: frozenset[str]) -> set[str]:
    """Tensors that do not depend on the inputs."""
    known = set(initializers)
    for node in nodes:
        if all(name in known for name in node.input if name):
            known.update(node.output)
    return known


def _count(
    part: _Part,
    node: Node,
    tensors: dict[str, Tensor],
    constants: set[str],
) -> None:
    part.nodes += node.op_type != "Constant"
    if node.op_type in _FREE or all(name in constants for name in node.output):
        return
    taken = [name for name in node.input if name and name in tensors]
    given = [name for name in node.output if name in tensors]
    outputs = sum(_size(tensors[name]) for name in given)
    read = [name for name in taken if name not in constants]
    for name in taken:
        if name in constants and _is_float(tensors[name]) and _size(tensors[name]) > 1:
            part.parameters[name] = _size(tensors[name])
    if node.op_type in _LOOK_UPS and taken and taken[0] in constants:
        part.tables.add(taken[0])
        part.activation_bytes += 2 * _bytes(tensors, given)  # rows read, and as many written
    if not any(_is_float(tensors[name]) for name in given):
        return  # arithmetic of shapes
    if node.op_type in _PRODUCTS:
        bias = outputs if node.op_type != "MatMul" and len(taken) > 2 else 0
        macs = int(node.macs[0]) - bias  # onnx-tool counts a bias as a multiply-accumulate
        part.macs += macs
        part.products[node.op_type] += macs
        part.activation_bytes += _bytes(tensors, [*read, *given])
        part.flops += 2 * macs + bias
    elif node.op_type not in _MOVES:
        part.flops += max([outputs, *(_size(tensors[name]) for name in read)])


def _crossing(
    own: Sequence[Node],
    nodes: Sequence[Node],
    tensors: dict[str, Tensor],
    constants: set[str],
) -> int:
    """Bytes of the floats that a part takes from others or gives to them, but those that a product
    of it has read or written anyway. What is elementwise between is fused with what is beside it.
    """
    counted = {
        name
        for node in own
        if node.op_type in _PRODUCTS or node.op_type in _LOOK_UPS
        for name in (*node.input, *node.output)
    }
    made = {name for node in own for name in node.output}
    mine = {id(node) for node in own}
    used_elsewhere = {name for node in nodes if id(node) not in mine for name in node.input}
    taken = {
        name
        for node in own
        if node.op_type not in _FREE
        for name in node.input
        if name not in made and name not in constants
    }
    given = made & used_elsewhere
    return _bytes(
        tensors,
        (
            name
            for name in taken | given
            if name not in counted and name in tensors and _is_float(tensors[name])
        ),
    )


def _size(tensor: Tensor) -> int:
    return math.prod(int(one) for one in tensor.get_shape())


def _is_float(tensor: Tensor) -> bool:
    return "float" in str(tensor.dtype)


def _bytes(tensors: dict[str, Tensor], names: Iterable[str]) -> int:
    import numpy as np

    return sum(_size(tensors[name]) * np.dtype(tensors[name].dtype).itemsize for name in names)


def _record(name: PartName, parts: dict[PartName, _Part]) -> PartCost:
    part = parts[name]
    # What two parts share is counted in the first of them.
    before = {t for other in PARTS[: PARTS.index(name)] for t in parts[other].parameters}
    own = {tensor: size for tensor, size in part.parameters.items() if tensor not in before}
    read = sum(size for tensor, size in part.parameters.items() if tensor not in part.tables)
    return PartCost(
        part=name,
        macs=part.macs,
        flops=part.flops,
        parameters=sum(own.values()),
        weight_bytes=_FLOAT_BYTES * read,
        activation_bytes=part.activation_bytes,
        nodes=part.nodes,
        products=dict(sorted(part.products.items())),
    )
