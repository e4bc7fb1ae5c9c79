"""The nodes of an ONNX file in an order in which they can run.

onnxruntime's quantizers sort nodes by their own inputs and pass over what the branches of an If
read, as in a DeBERTa: a file comes of it that ONNX's checker refuses.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from hubkit.backends import onnx_files

if TYPE_CHECKING:
    from onnx import NodeProto


def sort_nodes(path: Path) -> None:
    """Put each node behind those whose tensors it, or a graph within it, reads; in place. A file
    without graphs within nodes, which is in order, stays as it is."""
    import onnx

    nodes = onnx.load(str(path), load_external_data=False).graph.node
    if not any(attribute.HasField("g") for node in nodes for attribute in node.attribute):
        return
    model = onnx.load(str(path))
    left, ordered = list(model.graph.node), []
    waiting = {name for node in left for name in node.output if name}
    while left:
        behind = []
        for node in left:
            if waiting.isdisjoint(_read(node)):
                ordered.append(node)
                waiting.difference_update(node.output)
            else:
                behind.append(node)
        if len(behind) == len(left):
            return  # a ring: no order is right
        left = behind
    if all(one is other for one, other in zip(ordered, model.graph.node, strict=True)):
        return
    del model.graph.node[:]
    model.graph.node.extend(ordered)
    onnx_files.remove(path)
    onnx_files.save(model, path)


def _read(node: NodeProto) -> Iterator[str]:
    yield from node.input
    for attribute in node.attribute:
        for graph in (attribute.g, *attribute.graphs):
            for inner in graph.node:
                yield from _read(inner)
            yield from (value.name for value in graph.output)  # which may be of outside
