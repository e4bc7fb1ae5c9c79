"""An ONNX graph with the shape of every tensor in one call, and what each product multiplies."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast

from hubkit.backends.onnx_observed import observed, refuse_uncounted
from hubkit.backends.onnxruntime import load_errors
from hubkit.deps import require
from hubkit.errors import ModelError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from onnx import ModelProto

_LONGEST_REASON = 200  # letters of what a library says
_EXTERNAL = "session.optimized_model_external_initializers_file_name"


class Tensor(Protocol):
    """The part of onnx-tool's Tensor that is used."""

    dtype: type

    def get_shape(self) -> Sequence[int]: ...


class Node(Protocol):
    """The part of onnx-tool's Node that is used."""

    name: str
    op_type: str
    input: Sequence[str]
    output: Sequence[str]
    macs: Sequence[float]


# Nodes in the order of the run, tensors by name, names of constants.
Graph = tuple[list[Node], dict[str, Tensor], frozenset[str]]


def profiled(path: Path, input_length: int) -> tuple[Graph, str]:
    """The graph for one sentence of `input_length` tokens, and what followed it, with its version:
    onnx-tool; onnx-tool on the graph that onnxruntime has folded; a run of onnxruntime.

    Raises ModelError where none of the three can, MissingDependencyError without onnx-tool.
    """
    from hubkit.lock import version_of

    require("onnx_tool", extra="formats")
    tool = f"onnx-tool {version_of('onnx-tool')}"
    seen = f"hubkit, onnxruntime {version_of('onnxruntime') or version_of('onnxruntime-gpu')}"
    failed = []
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        ways: tuple[tuple[Callable[[], Graph], str], ...] = (
            (lambda: _by_tool(path, input_length), tool),
            # Control flow that hangs on shapes is gone once they are fixed.
            (lambda: _by_tool(_folded(path, input_length, scratch), input_length), tool),
            (lambda: _by_run(_folded(path, input_length, scratch), input_length, scratch), seen),
        )
        for count, counter in ways:
            try:
                return count(), counter
            except _errors() as error:
                failed.append(f"{counter.partition(' ')[0].strip(',')}: {_line(error)}")
    raise ModelError(f"{path.name} cannot be counted ({'; '.join(dict.fromkeys(failed))})")


def _errors() -> tuple[type[Exception], ...]:
    """What onnx-tool raises for a graph that it cannot follow is of any kind."""
    return (
        ArithmeticError,
        AssertionError,
        AttributeError,
        LookupError,
        ModelError,
        OSError,
        RuntimeError,
        TypeError,
        ValueError,
        *load_errors(),
    )


def _line(error: Exception) -> str:
    said = str(error).strip().splitlines()
    return said[0][:_LONGEST_REASON] if said else type(error).__name__


def _by_tool(path: Path, input_length: int) -> Graph:
    import onnx

    tool = require("onnx_tool", extra="formats")
    refuse_uncounted(onnx.load(str(path), load_external_data=False).graph)
    graph = tool.Model(str(path)).graph
    graph.shape_infer(_inputs(graph.input, input_length))
    graph.profile()
    nodes = [cast("Node", node) for node in graph.nodemap.values()]
    return nodes, dict(graph.tensormap), frozenset(graph.initials)


def _by_run(path: Path, input_length: int, scratch: Path) -> Graph:
    import onnx

    graph = onnx.load(str(path), load_external_data=False).graph
    weights = {one.name for one in graph.initializer}
    names = [one.name for one in graph.input if one.name not in weights]
    nodes, tensors, constants = observed(path, _inputs(names, input_length), scratch)
    return list(nodes), dict(tensors), constants


def _inputs(names: Iterable[str], length: int) -> dict[str, NDArray[np.generic]]:
    import numpy as np

    return {
        name: (np.zeros if name == "token_type_ids" else np.ones)((1, length), np.int64)
        for name in names
    }


def _folded(path: Path, length: int, scratch: Path) -> Path:
    """The graph for inputs of one shape, by onnxruntime's basic optimizations."""
    import onnx
    import onnxruntime

    if (scratch / "folded.onnx").is_file():
        return scratch / "folded.onnx"
    graph = onnx.load(str(path))
    _fix_shapes(graph, length)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(scratch / "folded.onnx")
    # Weights in a file of their own: a graph may have no more than 2 GB in its own.
    options.add_session_config_entry(_EXTERNAL, "folded.bin")
    onnx.save(graph, str(scratch / "fixed.onnx"), save_as_external_data=True, location="fixed.bin")
    onnxruntime.InferenceSession(
        str(scratch / "fixed.onnx"), options, providers=["CPUExecutionProvider"]
    )
    return scratch / "folded.onnx"


def _fix_shapes(graph: ModelProto, length: int) -> None:
    weights = {one.name for one in graph.graph.initializer}
    for one in graph.graph.input:
        if one.name not in weights:
            for dim, size in zip(one.type.tensor_type.shape.dim, (1, length), strict=False):
                dim.dim_value = size
