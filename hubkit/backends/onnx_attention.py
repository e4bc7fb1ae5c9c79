"""Fused attention taken apart again, into what onnxruntime computes fastest beside integers.

onnxruntime's optimizer makes one Attention node of the projections and all that follows them, for
every architecture it knows. Its integer form multiplies head by head, and MultiHeadAttention copies
each head apart: on a CPU both are slower than the plain operators (6 layers of 384, 128 tokens, one
thread: 4.9 and 6.1 ms with the projections; the plain operators 4.8). So fusion is used to find the
attention, and here it is written in plain operators: three products of weights that share what
they read, and reshapes that need no arithmetic of shapes.
Source: onnxruntime's ContribOperators.md, Attention and MultiHeadAttention.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from onnx import AttributeProto, GraphProto, ModelProto, NodeProto

_DOMAIN = "com.microsoft"
_PARTS = ("query", "key", "value")
_MASKED = -10000.0  # the operators' own default


def split_attention(model: ModelProto) -> int:
    """Replace each Attention by three products and a MultiHeadAttention, in place; gives how many.

    The scale of the scores goes into the weights of the queries. With a past, rotary embeddings, a
    causal mask or one that is not a value for each token, a node stays as it is.
    """
    from onnx import numpy_helper

    graph = model.graph
    weights = {one.name: one for one in graph.initializer}
    ranks = _ranks(graph)
    shared = _Shared(graph)
    nodes: list[NodeProto] = []
    done = 0
    for node in graph.node:
        found = _Attention.of(node, ranks) if node.op_type == "Attention" else None
        arrays = [weights.get(name) for name in (found.weight, found.bias)] if found else [None]
        if found is None or any(one is None for one in arrays):
            nodes.append(node)
            continue
        weight, bias = (numpy_helper.to_array(one) for one in arrays if one is not None)
        if sum(found.sizes or (weight.shape[1],)) != weight.shape[1] or weight.shape[1] % 3:
            nodes.append(node)
            continue
        nodes.extend(_projections(shared, found, weight, bias))
        done += 1
    _replace(graph, nodes, done)
    return done


def lower_attention(model: ModelProto) -> int:
    """Replace each MultiHeadAttention of `split_attention` by products, softmax and transpositions,
    in place; gives how many."""
    graph = model.graph
    widths = {one.name: tuple(one.dims) for one in graph.initializer}
    masks: dict[tuple[str, float], str] = {}
    nodes: list[NodeProto] = []
    done = 0
    for node in graph.node:
        own = node.op_type == "MultiHeadAttention" and f"{node.name}_heads" in widths
        if not own:
            nodes.append(node)
            continue
        mask = node.input[4] if len(node.input) > 4 else ""
        value = float(_attributes(node)["mask_filter_value"].f)
        if mask and (mask, value) not in masks:
            masks[mask, value] = f"{mask}_added_{len(masks)}"
            nodes.extend(_mask(graph, mask, value, masks[mask, value]))
        nodes.extend(_lowered(node, masks.get((mask, value), "")))
        done += 1
    _replace(graph, nodes, done)
    return done


@dataclass(frozen=True)
class _Attention:
    """What is read from an Attention node that can be taken apart."""

    name: str
    tokens: str
    weight: str
    bias: str
    mask: str
    out: str
    heads: int
    sizes: tuple[int, ...]  # of queries, keys and values; empty: alike
    scale: float  # 0: one over the root of a head's width
    masked: float

    @classmethod
    def of(cls, node: NodeProto, ranks: Mapping[str, int]) -> _Attention | None:
        given = [*node.input, *[""] * 7][:7]
        found = _attributes(node)
        whole = [key for key in ("do_rotary", "unidirectional") if key in found and found[key].i]
        present = [name for name in node.output[1:] if name]
        if whole or present or any(given[4:]) or not given[2]:
            return None
        if given[3] and ranks.get(given[3], 2) != 2:  # lengths, or a whole matrix of masks
            return None
        sizes = tuple(found["qkv_hidden_sizes"].ints) if "qkv_hidden_sizes" in found else ()
        return cls(
            name=_path(node),
            tokens=given[0],
            weight=given[1],
            bias=given[2],
            mask=given[3],
            out=node.output[0],
            heads=int(found["num_heads"].i),
            sizes=sizes,
            scale=float(found["scale"].f) if "scale" in found else 0.0,
            masked=float(found["mask_filter_value"].f) if "mask_filter_value" in found else _MASKED,
        )


def _path(node: NodeProto) -> str:
    """The path of the module that the attention was exported from, which its result is named by:
    groups of nodes go by paths."""
    module = node.output[0].rpartition("/")[0]
    return f"{module}/{node.name or 'Attention'}" if module else node.name or node.output[0]


def _attributes(node: NodeProto) -> dict[str, AttributeProto]:
    return {one.name: one for one in node.attribute}


def _ranks(graph: GraphProto) -> dict[str, int]:
    known = (*graph.input, *graph.value_info)
    return {
        one.name: len(one.type.tensor_type.shape.dim)
        for one in known
        if one.type.tensor_type.HasField("shape")
    }


class _Shared:
    """Weights that are added to a graph where it has no equal one: layers may share theirs, as
    ALBERT's do."""

    def __init__(self, graph: GraphProto) -> None:
        self.graph = graph
        self._names: dict[tuple[int, ...], dict[bytes, str]] = {}

    def add(self, name: str, array: NDArray[np.float32]) -> str:
        """The name that the array has in the graph: its own, or that of an equal one."""
        known = self._names.setdefault(array.shape, self._of_shape(array.shape))
        key = _digest(array)
        if key not in known:
            known[key] = name
            _add(self.graph, name, array)
        return known[key]

    def _of_shape(self, shape: tuple[int, ...]) -> dict[bytes, str]:
        from onnx import TensorProto, numpy_helper

        if shape in self._names:
            return {}
        alike = (one for one in self.graph.initializer if tuple(one.dims) == shape)
        return {
            _digest(numpy_helper.to_array(one)): one.name
            for one in alike
            if one.data_type == TensorProto.FLOAT
        }


def _digest(array: NDArray[np.float32]) -> bytes:
    return hashlib.sha256(array.tobytes()).digest()


def _projections(
    shared: _Shared, found: _Attention, weight: NDArray[np.float32], bias: NDArray[np.float32]
) -> list[NodeProto]:
    import numpy as np
    from onnx import helper

    sizes = found.sizes or (weight.shape[1] // 3,) * 3
    head = sizes[0] // found.heads
    factors = (found.scale or 1 / math.sqrt(head), 1.0, 1.0)
    ends = np.cumsum(sizes)
    nodes = []
    for part, size, end, factor in zip(_PARTS, sizes, ends, factors, strict=True):
        own = f"{found.name}/{part}"
        columns = slice(int(end) - size, int(end))
        matrix = np.ascontiguousarray(weight[:, columns]) * np.float32(factor)
        by = shared.add(f"{own}_weight", matrix.astype(np.float32))
        # Never shared: SmoothQuant may divide one of two that are equal.
        added = f"{own}_bias"
        _add(shared.graph, added, (bias[columns] * np.float32(factor)).astype(np.float32))
        product = f"{own}_product"
        nodes += [
            helper.make_node("MatMul", [found.tokens, by], [product], name=f"{own}/MatMul"),
            helper.make_node("Add", [product, added], [own], name=f"{own}/Add"),
        ]
    inputs = [f"{found.name}/{part}" for part in _PARTS]
    inputs += ["", found.mask] if found.mask else []
    _add(shared.graph, f"{found.name}_heads", np.array([0, 0, found.heads, -1], np.int64))
    _add(shared.graph, f"{found.name}_joined", np.array([0, 0, sizes[2]], np.int64))
    attention = helper.make_node(
        "MultiHeadAttention",
        inputs,
        [found.out],
        name=found.name,
        domain=_DOMAIN,
        num_heads=found.heads,
        mask_filter_value=found.masked,
        scale=1.0,
    )
    return [*nodes, attention]


def _mask(graph: GraphProto, mask: str, value: float, out: str) -> list[NodeProto]:
    """What is added to the scores: 0 where the mask is 1, `value` where it is 0."""
    import numpy as np
    from onnx import TensorProto, helper

    names = {part: f"{out}_{part}" for part in ("float", "off", "value", "flat", "shape", "one")}
    _add(graph, names["one"], np.array(1, np.float32))
    _add(graph, names["value"], np.array(value, np.float32))
    _add(graph, names["shape"], np.array([0, 1, 1, -1], np.int64))
    return [
        helper.make_node(
            "Cast", [mask], [names["float"]], name=f"{out}/Cast", to=TensorProto.FLOAT
        ),
        helper.make_node("Sub", [names["one"], names["float"]], [names["off"]], name=f"{out}/Sub"),
        helper.make_node("Mul", [names["off"], names["value"]], [names["flat"]], name=f"{out}/Mul"),
        helper.make_node("Reshape", [names["flat"], names["shape"]], [out], name=f"{out}/Reshape"),
    ]


def _lowered(node: NodeProto, mask: str) -> list[NodeProto]:
    from onnx import helper

    name, out = node.name, node.output[0]
    nodes: list[NodeProto] = []

    def then(op: str, step: str, inputs: list[str], **attributes: object) -> str:
        made = out if step == "joined" else f"{name}/{step}_out"
        nodes.append(helper.make_node(op, inputs, [made], name=f"{name}/{step}", **attributes))
        return made

    split = {}
    for part, tensor in zip(_PARTS, node.input[:3], strict=True):
        by_head = then("Reshape", f"{part}_heads", [tensor, f"{name}_heads"])
        order = [0, 2, 3, 1] if part == "key" else [0, 2, 1, 3]
        split[part] = then("Transpose", f"{part}_first", [by_head], perm=order)
    scores = then("MatMul", "scores", [split["query"], split["key"]])
    if mask:
        scores = then("Add", "masked", [scores, mask])
    shares = then("Softmax", "shares", [scores], axis=-1)
    context = then("MatMul", "context", [shares, split["value"]])
    context = then("Transpose", "context_last", [context], perm=[0, 2, 1, 3])
    then("Reshape", "joined", [context, f"{name}_joined"])
    return nodes


def _add(graph: GraphProto, name: str, array: NDArray[np.generic]) -> None:
    from onnx import numpy_helper

    graph.initializer.append(numpy_helper.from_array(array, name))


def _replace(graph: GraphProto, nodes: list[NodeProto], done: int) -> None:
    """Put the nodes in place of the graph's, and take out the weights that only those read."""
    if not done:
        return
    read = {name for node in graph.node for name in node.input}
    del graph.node[:]
    graph.node.extend(nodes)
    unread = read - {name for node in graph.node for name in node.input}
    kept = [one for one in graph.initializer if one.name not in unread]
    del graph.initializer[:]
    graph.initializer.extend(kept)
