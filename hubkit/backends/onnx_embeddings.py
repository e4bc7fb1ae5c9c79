"""Embedding tables in 8 bits with a scale for each row.

onnxruntime's quantizers give a whole table one scale, that of its largest value: rows of rare
tokens, which are small, keep few of their bits. A row of its own scale costs four bytes and one
multiplication a token, and any version of onnxruntime runs it.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from onnx import ModelProto, NodeProto

_MOST = 127


def quantize_look_ups(model: ModelProto, names: Collection[str]) -> int:
    """Turn those Gathers of rows of a float matrix into ones of int8 rows, in place; gives how many
    were. A node that takes anything else stays as it is."""
    from onnx import TensorProto

    graph = model.graph
    tables = {
        one.name: one
        for one in graph.initializer
        if one.data_type == TensorProto.FLOAT and len(one.dims) == 2
    }
    nodes: list[NodeProto] = []
    done: set[str] = set()
    count = 0
    for node in graph.node:
        axis = next((one.i for one in node.attribute if one.name == "axis"), 0)
        table = tables.get(node.input[0]) if node.op_type == "Gather" and axis == 0 else None
        if table is None or node.name not in names:
            nodes.append(node)
            continue
        if table.name not in done:
            _add_tables(model, table.name)
            done.add(table.name)
        nodes.extend(_rows(node))
        count += 1
    if count:
        del graph.node[:]
        graph.node.extend(nodes)
        _drop_unread(model, done)
    return count


def by_row(table: NDArray[np.float32]) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """int8[rows, width] and float32[rows, 1]: their product is the table, to half a step of each
    row's own scale. A row of zeros has the scale 1."""
    import numpy as np

    most = np.abs(table).max(axis=1, keepdims=True)
    scale = np.where(most > 0, most / _MOST, 1).astype(np.float32)
    return np.rint(table / scale).clip(-_MOST, _MOST).astype(np.int8), scale


def _add_tables(model: ModelProto, name: str) -> None:
    from onnx import numpy_helper

    table = next(one for one in model.graph.initializer if one.name == name)
    values, scale = by_row(numpy_helper.to_array(table))
    model.graph.initializer.append(numpy_helper.from_array(values, f"{name}_rows_quantized"))
    model.graph.initializer.append(numpy_helper.from_array(scale, f"{name}_row_scale"))


def _rows(node: NodeProto) -> list[NodeProto]:
    from onnx import TensorProto, helper

    table, index = node.input
    out = node.output[0]
    integers, floats, scales = (f"{out}_{part}" for part in ("quantized", "unscaled", "scale"))
    return [
        # It keeps its name, by which it is counted.
        helper.make_node("Gather", [f"{table}_rows_quantized", index], [integers], name=node.name),
        helper.make_node(
            "Gather", [f"{table}_row_scale", index], [scales], name=f"{node.name}_scale"
        ),
        helper.make_node(
            "Cast", [integers], [floats], name=f"{node.name}_float", to=TensorProto.FLOAT
        ),
        helper.make_node("Mul", [floats, scales], [out], name=f"{node.name}_scaled"),
    ]


def _drop_unread(model: ModelProto, names: Collection[str]) -> None:
    graph = model.graph
    read = {name for node in graph.node for name in node.input}
    read |= {one.name for one in graph.output}
    kept = [one for one in graph.initializer if one.name in read or one.name not in names]
    del graph.initializer[:]
    graph.initializer.extend(kept)
