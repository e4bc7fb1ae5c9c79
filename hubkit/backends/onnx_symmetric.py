"""A statically quantized graph as TensorRT takes it: signed integers, and ranges about zero.

Source: TensorRT's documentation, "Explicit quantization": INT8 is symmetric, its zero point is 0.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from hubkit.errors import ModelError

if TYPE_CHECKING:
    from onnx import ModelProto, TensorProto


def symmetric_graph(path: Path) -> ModelProto:
    """The graph of a file with each activation in [-127, 127] steps about zero, as wide as its
    range reaches on its farther side.

    What is stored as integers, weights and tables, is as it was: onnxruntime leaves what TensorRT
    does not take to its other providers. Raises ModelError where no activation is quantized by
    QuantizeLinear.
    """
    import onnx

    model: ModelProto = onnx.load(str(path))
    graph = model.graph
    constants = {one.name: one for one in graph.initializer}
    given = {
        node.output[0]: node
        for node in graph.node
        if node.op_type == "QuantizeLinear" and node.input[0] not in constants
    }
    if not given:
        raise ModelError(
            f"{path.name} has no QuantizeLinear: TensorRT takes static INT8 alone",
            hint="Make a variant of kind onnx-static.",
        )
    # New ones, since a table that is stored as integers may share the old ones.
    added: dict[str, TensorProto] = {}
    for node in graph.node:
        taken = given.get(node.output[0]) or given.get(node.input[0]) if node.input else None
        if taken is node or (taken is not None and node.op_type == "DequantizeLinear"):
            scale, point = _about_zero(constants[node.input[1]], constants[node.input[2]])
            added |= {scale.name: scale, point.name: point}
            node.input[1], node.input[2] = scale.name, point.name
    graph.initializer.extend(added.values())
    return model


def _about_zero(scale: TensorProto, point: TensorProto) -> tuple[TensorProto, TensorProto]:
    """The scale and the zero point that take their place."""
    import numpy as np
    from onnx import numpy_helper

    step, zero = numpy_helper.to_array(scale), numpy_helper.to_array(point)
    least, most = np.iinfo(zero.dtype).min, np.iinfo(zero.dtype).max
    far = np.maximum(zero.astype(np.int64) - least, most - zero.astype(np.int64))
    wide = (step.astype(np.float64) * far / 127).astype(step.dtype)
    return (
        numpy_helper.from_array(wide, f"{scale.name}_symmetric"),
        numpy_helper.from_array(np.zeros(zero.shape, np.int8), f"{point.name}_symmetric"),
    )
