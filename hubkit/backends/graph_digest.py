"""The digest of what an ONNX file computes, whatever it calls its nodes and tensors."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from hubkit.errors import ModelError

if TYPE_CHECKING:
    from onnx import (
        AttributeProto,
        FunctionProto,
        GraphProto,
        ModelProto,
        NodeProto,
        TensorProto,
        ValueInfoProto,
    )

_Hash = bytes  # a SHA-256


def graph_digest(path: Path) -> str:
    """SHA-256 of an ONNX file's computation, 64 hex digits.

    Equal for two files that have the same inputs and outputs (by name, type and fixed sizes) and
    the same nodes on the same values, in whatever order the nodes may run. Names of nodes and of
    tensors within, producer, documentation, metadata, recorded shapes, opsets that no node uses,
    constants as nodes or as initializers, and the layout of the file make no difference.

    A tensor stands for how it came to be: the digest of its node's operator, attributes and inputs
    (a Merkle tree), so that no name is ever looked at.
    """
    import onnx

    try:
        return model_digest(onnx.load(str(path)))
    except KeyError as error:
        raise ModelError(f"{path.name} reads a tensor before it is made: {error}") from error


def model_digest(model: ModelProto) -> str:
    """`graph_digest` of a loaded model, with its weights. Raises KeyError where a node reads what
    is not made before it."""
    opsets = {entry.domain or "ai.onnx": entry.version for entry in model.opset_import}
    functions = sorted(_anonymous(function) for function in model.functions)
    inputs = {
        value.name: _digest("input", value.name, _type_of(value)) for value in model.graph.input
    }
    graph = _graph(model.graph, inputs, opsets)
    names: list[str] = [value.name for value in model.graph.output]
    return _digest("model", *names, *inputs.values(), graph, *functions).hex()


def _graph(graph: GraphProto, outer: Mapping[str, _Hash], opsets: Mapping[str, int]) -> _Hash:
    """Digest of a graph whose inputs, and whatever else it sees from outside, are `outer`."""
    values = {"": b"", **outer}  # "" is an input left out
    values.update({tensor.name: _tensor(tensor) for tensor in graph.initializer})
    nodes = []
    for node in graph.node:  # which ONNX wants in topological order
        constant = _constant(node)
        if constant is not None:
            values[node.output[0]] = constant
            continue
        nodes.append(_node(node, values, opsets))
        for number, name in enumerate(node.output):
            if name:
                values[name] = _digest(nodes[-1], str(number))
    # With the outputs alone, what is computed twice would be no different from once.
    return _digest("graph", *(values[value.name] for value in graph.output), *sorted(nodes))


def _node(node: NodeProto, values: Mapping[str, _Hash], opsets: Mapping[str, int]) -> _Hash:
    domain = node.domain or "ai.onnx"
    attributes = sorted(node.attribute, key=lambda attribute: attribute.name)
    return _digest(
        *("node", domain, str(opsets.get(domain, 0)), node.op_type, str(len(_given(node.output)))),
        *(_attribute(attribute, values, opsets) for attribute in attributes),
        "on",
        *(values[name] for name in _given(node.input)),
    )


def _given(names: Iterable[str]) -> list[str]:
    """Names without those left out at the end, which may as well not be there."""
    given = list(names)
    while given and not given[-1]:
        given.pop()
    return given


def _constant(node: NodeProto) -> _Hash | None:
    """A Constant of a whole tensor is what an initializer is."""
    if node.op_type == "Constant" and not node.domain:
        return next((_tensor(a.t) for a in node.attribute if a.name == "value"), None)
    return None


def _attribute(
    attribute: AttributeProto, values: Mapping[str, _Hash], opsets: Mapping[str, int]
) -> _Hash:
    import onnx

    kinds = onnx.AttributeProto
    if attribute.type == kinds.TENSOR:
        return _digest("attribute", attribute.name, _tensor(attribute.t))
    if attribute.type in (kinds.GRAPH, kinds.GRAPHS):
        graphs = (attribute.g,) if attribute.type == kinds.GRAPH else attribute.graphs
        return _digest("attribute", attribute.name, *(_body(g, values, opsets) for g in graphs))
    return _digest("attribute", attribute.name, _anonymous(attribute))


def _body(graph: GraphProto, values: Mapping[str, _Hash], opsets: Mapping[str, int]) -> _Hash:
    """A graph within a node: its inputs go by their place, and it sees what is around it."""
    inputs = {value.name: _digest("argument", str(i)) for i, value in enumerate(graph.input)}
    return _graph(graph, {**values, **inputs}, opsets)


def _tensor(tensor: TensorProto) -> _Hash:
    from onnx import numpy_helper

    data = tensor.raw_data or numpy_helper.to_array(tensor).tobytes()
    if tensor.string_data:  # an array of Python objects, whose bytes are addresses
        data = _digest(*tensor.string_data)
    return _digest("tensor", str(tensor.data_type), str(list(tensor.dims)), data)


def _type_of(value: ValueInfoProto) -> str:
    kind = value.type.tensor_type
    sizes = [size.dim_value if size.HasField("dim_value") else None for size in kind.shape.dim]
    return f"{kind.elem_type} {sizes}"


def _anonymous(message: AttributeProto | FunctionProto) -> bytes:
    copy = type(message)()
    copy.CopyFrom(message)
    copy.doc_string = ""
    data: bytes = copy.SerializeToString(deterministic=True)
    return data


def _digest(*parts: str | bytes) -> _Hash:
    """SHA-256 of the parts and of where each ends."""
    sha = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        sha.update(len(data).to_bytes(8, "little"))
        sha.update(data)
    return sha.digest()
