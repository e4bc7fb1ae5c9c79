"""Matrix products with weights in blocks of 8 or 4 bits, each block with its own scale.

onnxruntime's operator MatMulNBits. With accuracy level 4 the activations become INT8 as well, in
blocks too, and no outlier widens the steps of other blocks: the most faithful integer product there
is, and slower than a dynamic one on long inputs (a fifth to a third of its speed-up is lost).
Source: onnxruntime's ContribOperators.md, MatMulNBits.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from hubkit.recipe_onnx import Blocks

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from onnx import ModelProto, NodeProto

_DOMAIN = "com.microsoft"


def quantize_blockwise(model: ModelProto, names: Collection[str], blocks: Blocks) -> int:
    """Turn those products of a computed tensor and a float matrix into MatMulNBits, in place; gives
    how many were. A Gemm becomes one and an Add. What is no such product stays as it is."""
    from onnx import TensorProto, numpy_helper

    graph = model.graph
    weights = {
        one.name: one
        for one in graph.initializer
        if one.data_type == TensorProto.FLOAT and len(one.dims) == 2
    }
    nodes: list[NodeProto] = []
    done: set[str] = set()
    count = 0
    for node in graph.node:
        weight = weights.get(node.input[1]) if len(node.input) > 1 else None
        if weight is None or node.name not in names or not _is_product(node):
            nodes.append(node)
            continue
        matrix = numpy_helper.to_array(weight)
        transposed = _attribute(node, "transB")
        matrix = matrix.T if transposed else matrix
        suffix = "_transposed" if transposed else ""
        if weight.name + suffix not in done:
            _add_weights(model, weight.name + suffix, matrix, blocks)
            done.add(weight.name + suffix)
        nodes.extend(_product(node, weight.name + suffix, matrix.shape, blocks))
        count += 1
    if count:
        del graph.node[:]
        graph.node.extend(nodes)
        _drop_unread(model)
        _use_domain(model)
    return count


def _is_product(node: NodeProto) -> bool:
    if node.op_type == "MatMul":
        return True
    plain = all(_float(node, name) == 1.0 for name in ("alpha", "beta"))
    return node.op_type == "Gemm" and plain and not _attribute(node, "transA")


def _attribute(node: NodeProto, name: str) -> int:
    return int(next((one.i for one in node.attribute if one.name == name), 0))


def _float(node: NodeProto, name: str) -> float:
    return float(next((one.f for one in node.attribute if one.name == name), 1.0))


def _add_weights(model: ModelProto, name: str, matrix: NDArray[np.float32], blocks: Blocks) -> None:
    from onnx import numpy_helper

    packed, scales = _packed(matrix, blocks)
    model.graph.initializer.append(numpy_helper.from_array(packed, f"{name}_blocks"))
    model.graph.initializer.append(numpy_helper.from_array(scales, f"{name}_block_scales"))


def _packed(
    matrix: NDArray[np.float32], blocks: Blocks
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """uint8[columns, blocks, bytes of one] and float32[columns, blocks] of float32[rows, columns],
    symmetric about the middle of the integers, as MatMulNBits takes them without zero points."""
    import numpy as np
    from onnxruntime.capi import _pybind_state as native

    rows, columns = matrix.shape
    count = -(-rows // blocks.block_size)
    padded = np.zeros((count * blocks.block_size, columns), np.float32)
    padded[:rows] = matrix
    packed = np.zeros((columns, count, blocks.block_size * blocks.bits // 8), np.uint8)
    scales = np.zeros((columns, count), np.float32)
    zeros = np.zeros((columns, -(-count * blocks.bits // 8)), np.uint8)
    quantize = native.quantize_matmul_8bits if blocks.bits == 8 else native.quantize_matmul_4bits
    quantize(packed, padded, scales, zeros, blocks.block_size, columns, rows, True)
    return packed, scales


def _product(
    node: NodeProto, weight: str, shape: tuple[int, ...], blocks: Blocks
) -> list[NodeProto]:
    from onnx import helper

    bias = node.input[2] if len(node.input) > 2 else ""
    out = f"{node.output[0]}_product" if bias else node.output[0]
    # It keeps its name, by which it is counted.
    product = helper.make_node(
        "MatMulNBits",
        [node.input[0], f"{weight}_blocks", f"{weight}_block_scales"],
        [out],
        name=node.name,
        domain=_DOMAIN,
        K=shape[0],
        N=shape[1],
        bits=blocks.bits,
        block_size=blocks.block_size,
        accuracy_level=blocks.accuracy_level,
    )
    if not bias:
        return [product]
    return [
        product,
        helper.make_node("Add", [out, bias], [node.output[0]], name=f"{node.name}_bias"),
    ]


def _drop_unread(model: ModelProto) -> None:
    graph = model.graph
    read = {name for node in graph.node for name in node.input}
    read |= {one.name for one in graph.output}
    kept = [one for one in graph.initializer if one.name in read]
    del graph.initializer[:]
    graph.initializer.extend(kept)


def _use_domain(model: ModelProto) -> None:
    from onnx import helper

    if all(one.domain != _DOMAIN for one in model.opset_import):
        model.opset_import.append(helper.make_opsetid(_DOMAIN, 1))
