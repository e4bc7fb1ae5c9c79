"""What onnxruntime really computes in one call: the shape of every tensor, and from shapes the
multiply-accumulates of products. For graphs that onnx-tool cannot follow."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hubkit.errors import ModelError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from onnx import AttributeProto, GraphProto, ModelProto, NodeProto

    Feed = Mapping[str, NDArray[np.generic]]

# Products of which shapes alone do not tell the multiply-accumulates here.
_UNKNOWN = {
    *("ConvTranspose", "ConvInteger", "QLinearConv", "QLinearMatMul", "MatMulInteger"),
    *("Attention", "DFT", "STFT", "GRU", "LSTM", "RNN", "DeformConv"),
}
_PRODUCTS = {"MatMul", "Gemm", "Conv", "Einsum"}
_TERMS = re.compile(r"[a-zA-Z]+(,[a-zA-Z]+)*(->[a-zA-Z]*)?")


@dataclass
class SeenTensor:
    """A tensor as it was in the run."""

    dtype: type
    shape: tuple[int, ...]

    def get_shape(self) -> Sequence[int]:
        return self.shape


@dataclass
class SeenNode:
    """A node of the graph; `macs` holds one number, 0 of what is no product."""

    name: str
    op_type: str
    input: Sequence[str]
    output: Sequence[str]
    macs: Sequence[float]


def observed(
    path: Path, feed: Feed, scratch: Path
) -> tuple[list[SeenNode], dict[str, SeenTensor], frozenset[str]]:
    """The nodes, the tensors and the names of the constants of a graph that was run once on `feed`.

    Raises ModelError where it has a product that shapes do not count, or one inside of control
    flow; what onnxruntime raises where it cannot run it.
    """
    import onnx

    model = onnx.load(str(path))
    refuse_uncounted(model.graph)
    tensors = {
        one.name: SeenTensor(_numpy_type(one.data_type), tuple(one.dims))
        for one in model.graph.initializer
    }
    constants = frozenset(tensors)
    tensors |= {name: _seen(value) for name, value in feed.items()}
    tensors |= {name: _seen(value) for name, value in _run(model, feed, scratch)}
    nodes = [_node(one, tensors) for one in model.graph.node]
    return nodes, tensors, constants


def _run(model: ModelProto, feed: Feed, scratch: Path) -> Iterator[tuple[str, NDArray[np.generic]]]:
    """Every tensor that a node gives."""
    import numpy as np
    import onnx
    import onnxruntime

    names = [name for node in model.graph.node for name in node.output if name]
    known = {one.name for one in model.graph.output}
    # Without a type onnxruntime takes the one that it infers.
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names if name not in known)
    file = scratch / "observed.onnx"
    onnx.save(model, str(file), save_as_external_data=True, location="observed.bin")
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    for name, value in zip(names, session.run(names, dict(feed)), strict=True):
        if isinstance(value, np.ndarray):  # not a sequence, nor an optional that is empty
            yield name, value


def refuse_uncounted(graph: GraphProto) -> None:
    """Raise ModelError for an operator that multiplies and is not counted, as onnx-tool does not:
    it gives 0 for what it does not know."""
    for node in graph.node:
        if node.op_type in _UNKNOWN or node.domain not in ("", "ai.onnx"):
            raise ModelError(f"{node.op_type} is an operator that is not counted")
        for one in node.attribute:
            if one.HasField("g"):
                inside = next(iter(sorted(_products(one.g))), None)
                if inside:
                    raise ModelError(f"there is a {inside} in a branch or a loop ({node.op_type})")


def _products(graph: GraphProto) -> set[str]:
    """Operators of a subgraph, and of those inside it, that multiply or may."""
    found = {
        node.op_type
        for node in graph.node
        if node.op_type in _PRODUCTS | _UNKNOWN or node.domain not in ("", "ai.onnx")
    }
    inner = [one.g for node in graph.node for one in node.attribute if one.HasField("g")]
    return found.union(*map(_products, inner))


def _node(node: NodeProto, tensors: Mapping[str, SeenTensor]) -> SeenNode:
    macs = _macs(node, tensors) if node.op_type in _PRODUCTS else 0
    return SeenNode(node.name, node.op_type, list(node.input), list(node.output), (macs,))


def _macs(node: NodeProto, tensors: Mapping[str, SeenTensor]) -> int:
    """Multiply-accumulates of a product, and one for each element that a bias is added to, as
    onnx-tool counts them. Source: ONNX, "Operators"."""
    shapes = [tensors[name].shape for name in node.input if name]
    outputs = math.prod(tensors[node.output[0]].shape)
    if node.op_type == "Einsum":
        equation = _attribute(node, "equation")
        return _einsum(equation.s.decode() if equation else "", shapes)
    bias = outputs if len(shapes) > 2 else 0
    if node.op_type == "Conv":
        return outputs * math.prod(shapes[1][1:]) + bias
    if node.op_type == "Gemm":
        turned = _attribute(node, "transA")
        return outputs * shapes[0][0 if turned and turned.i else 1] + bias
    return outputs * shapes[0][-1]


def _einsum(equation: str, shapes: Sequence[Sequence[int]]) -> int:
    """Of two operands each pair of elements that meet once; of more, taken at once, as many."""
    terms = equation.replace(" ", "")
    if not _TERMS.fullmatch(terms):
        raise ModelError(f"an Einsum of {equation} is not counted")
    sizes = {
        letter: size
        for letters, shape in zip(terms.split("->")[0].split(","), shapes, strict=True)
        for letter, size in zip(letters, shape, strict=True)
    }
    return math.prod(sizes.values())


def _attribute(node: NodeProto, name: str) -> AttributeProto | None:
    return next((one for one in node.attribute if one.name == name), None)


def _seen(value: NDArray[np.generic]) -> SeenTensor:
    return SeenTensor(value.dtype.type, value.shape)


def _numpy_type(data_type: int) -> type:
    from onnx import helper

    found: type = helper.tensor_dtype_to_np_dtype(data_type).type
    return found
