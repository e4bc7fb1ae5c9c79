"""ONNX files of any size: above 2 GB, which no file of this format can hold, weights lie beside."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from onnx import ModelProto

# Bytes of weights that one file holds; protobuf's limit is 2**31 - 1 for all that is in it.
MOST_BYTES = 2**31 - 2**24
_LEAST_BYTES = 1024  # a weight that is smaller stays in the graph's file


def save(model: ModelProto, path: Path) -> None:
    """Write a model, with its weights in PATH_data where one file cannot hold them. Its own tensors
    are then those of the file."""
    import onnx

    beside = path.with_name(f"{path.name}_data")
    beside.unlink(missing_ok=True)  # onnx would write after what is there
    large = sum(len(one.raw_data) for one in model.graph.initializer) > MOST_BYTES
    onnx.save(
        model,
        str(path),
        save_as_external_data=large,
        location=beside.name,
        size_threshold=_LEAST_BYTES,
    )


def weights_beside(path: Path) -> tuple[Path, ...]:
    """The files with the weights of an ONNX file, where they are not in it; sorted."""
    return tuple(sorted(path.parent.glob(f"{path.name}[_.]*")))


def copy(path: Path, folder: Path) -> Path:
    """An ONNX file and its weights in another folder, under the same names; gives the new path."""
    for file in (path, *weights_beside(path)):
        shutil.copyfile(file, folder / file.name)
    return folder / path.name


def remove(path: Path) -> None:
    """Take away an ONNX file and its weights."""
    for file in (path, *weights_beside(path)):
        file.unlink()


def read_weights_directly(model: ModelProto) -> int:
    """Take out each Identity of a matrix of weights, in place; gives how many there were. The
    exporter writes one where layers share weights, as ALBERT's do, and quantizers do not look
    behind it."""
    graph = model.graph
    if any(one.HasField("g") for node in graph.node for one in node.attribute):
        return 0  # a branch of its own may read it by name
    weights = {one.name for one in graph.initializer if len(one.dims) > 1}
    outputs = {one.name for one in graph.output}
    same: dict[str, str] = {}
    nodes = []
    for node in graph.node:
        source = same.get(node.input[0], node.input[0]) if node.input else ""
        if node.op_type == "Identity" and source in weights and node.output[0] not in outputs:
            same[node.output[0]] = source
        else:
            nodes.append(node)
    for node in nodes:
        for place, name in enumerate(node.input):
            node.input[place] = same.get(name, name)
    if same:
        del graph.node[:]
        graph.node.extend(nodes)
    return len(same)
