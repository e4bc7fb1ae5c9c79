"""Statistics of a model's activations: one pass over calibration batches for whatever quantizes.

Memory does not grow with the rows: a tensor is counted and let go, batch after batch. onnxruntime's
own histogram calibrators keep them all, 27 MB a row of the demo model (its issues 10503 and 21979).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from hubkit.backends import onnx_files
from hubkit.backends.activation_histogram import Histogram
from hubkit.backends.node_patterns import Graph, read_graph
from hubkit.backends.onnx_plan import with_fused
from hubkit.errors import ModelError
from hubkit.machine import default_threads

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from onnxruntime import InferenceSession

    from hubkit.backends.base import Arrays

Done = Callable[[int], None]  # takes the number of rows that were counted

# Activations that one call may give back. A batch with more is run in parts, padded as it is; their
# values may then differ from the whole batch's in the last bit. It does not depend on the machine,
# so that the statistics do not.
CALL_BYTES = 256 << 20
_MOST_BYTES = 4 * CALL_BYTES  # of all calls that run at once
# Their outputs hold the values of their first input, in another order or shape.
_SAME_VALUES = {"Transpose", "Reshape", "Identity", "Squeeze", "Unsqueeze", "Flatten"}


def gather_statistics(
    model: Path,
    batches: Sequence[Arrays],
    operators: Collection[str],
    scratch: Path,
    *,
    threads: int | None = None,
    done: Done = lambda rows: None,
) -> dict[str, Histogram]:
    """Statistics of each float tensor that a node of those operators reads or writes.

    `model`: a .onnx file, run without graph optimization, as onnxruntime calibrates it. `batches`:
    one or more of padded inputs, int64[rows, length]. `scratch`: a folder for a copy of the model.
    `threads` (None: one a core) changes nothing in the result. Raises ModelError where all values
    of a tensor are NaN.
    """
    graph = read_graph(model)
    source = {tensor: _same_values(graph, tensor) for tensor in _touched(graph, operators)}
    run = _Run.start(model, set(source.values()), scratch)
    source = {tensor: name for tensor, name in source.items() if name in run.tensors}
    if not run.tensors:
        return {}
    constant = [name for name in run.tensors if name in graph.constants]
    longest = max(batches, key=_length)
    probe = run.call(_rows(longest, 0, 1), run.tensors)
    found = {name: Histogram() for name in constant}
    for name in constant:
        found[name].add(probe[name])
    varying = [name for name in run.tensors if name not in graph.constants]
    row_bytes = max(1, sum(probe[name].nbytes for name in varying))
    del probe
    parts = _Parts(_cut(batches, row_bytes / _length(longest)), done)
    at_once = min(threads or default_threads(), max(1, _MOST_BYTES // max(CALL_BYTES, row_bytes)))

    def work(_: int) -> dict[str, Histogram]:
        return _count(run, parts, varying)

    with ThreadPoolExecutor(at_once) as pool:
        for counted in pool.map(work, range(at_once)):
            for name, histogram in counted.items():
                found.setdefault(name, Histogram()).merge(histogram)
    _refuse_nan(found)
    return {tensor: found[name] for tensor, name in source.items()}


def _touched(graph: Graph, operators: Collection[str]) -> list[str]:
    """Tensors that a quantizer of those operators may ask for, in the graph's order."""
    wanted = set(with_fused(graph, operators))
    tensors = (
        tensor
        for node in graph.nodes
        if node.op in wanted
        for tensor in (*node.inputs, *node.outputs)
        if tensor and tensor not in graph.initializers
    )
    return list(dict.fromkeys(tensors))


def _same_values(graph: Graph, tensor: str) -> str:
    """The first tensor with the same values: what is only transposed or reshaped is counted once,
    for that decides neither its range nor its distribution."""
    producer = graph.producers.get(tensor)
    if producer is None or producer.op not in _SAME_VALUES:
        return tensor
    origin = producer.inputs[0]
    return tensor if origin in graph.initializers else _same_values(graph, origin)


@dataclass(frozen=True)
class Channels:
    """Extremes and the mean of squares of each channel (the last axis) of a tensor: float32[width],
    each."""

    low: NDArray[np.float32]
    high: NDArray[np.float32]
    mean_square: NDArray[np.float32]

    @property
    def most(self) -> NDArray[np.float32]:
        """The largest magnitude of each channel."""
        import numpy as np

        return np.maximum(np.abs(self.low), np.abs(self.high))


def gather_channels(
    model: Path,
    batches: Sequence[Arrays],
    tensors: Collection[str],
    scratch: Path,
    *,
    done: Done = lambda rows: None,
) -> dict[str, Channels]:
    """Statistics of each channel of float tensors, as far as they have channels and no NaN.

    The arguments are those of `gather_statistics`; padding is counted, as it is quantized too.
    """
    import numpy as np

    run = _Run.start(model, set(tensors), scratch)
    longest = max(batches, key=_length)
    probe = run.call(_rows(longest, 0, 1), run.tensors)
    names = [name for name in run.tensors if probe[name].ndim >= 2]
    row_bytes = max(1, sum(probe[name].nbytes for name in names))
    parts = list(_cut(batches, row_bytes / _length(longest)))

    def seen(batch: Arrays) -> dict[str, tuple[NDArray[np.float64], ...]]:
        arrays = run.call(batch, names)
        flat = {name: array.reshape(-1, array.shape[-1]) for name, array in arrays.items()}
        return {
            name: (
                one.min(axis=0),
                one.max(axis=0),
                np.square(one, dtype=np.float64).sum(axis=0),
                np.array(len(one)),
            )
            for name, one in flat.items()
        }

    found: dict[str, tuple[NDArray[np.float64], ...]] = {}
    rows = 0
    with ThreadPoolExecutor(default_threads()) as pool:
        for batch, one in zip(parts, pool.map(seen, parts), strict=True):
            for name, (low, high, squares, count) in one.items():
                if name in found:
                    old = found[name]
                    low, high = np.minimum(low, old[0]), np.maximum(high, old[1])
                    squares, count = squares + old[2], count + old[3]
                found[name] = (low, high, squares, count)
            rows += len(batch["input_ids"])
            done(rows)
    return {
        name: Channels(
            low.astype(np.float32), high.astype(np.float32), (squares / count).astype(np.float32)
        )
        for name, (low, high, squares, count) in found.items()
        if np.isfinite(squares).all()
    }


@dataclass(frozen=True)
class _Run:
    """A session with the wanted tensors, as far as they are float, among its outputs."""

    session: InferenceSession
    tensors: tuple[str, ...]

    @classmethod
    def start(cls, model: Path, wanted: Collection[str], scratch: Path) -> _Run:
        import onnx
        import onnxruntime

        proto = onnx.load(str(model))
        given = {value.name for value in proto.graph.input}
        there = {value.name for value in proto.graph.output}
        # Without a type: onnxruntime infers it, of its own operators too.
        more = sorted(set(wanted) - there - given)
        proto.graph.output.extend(onnx.ValueInfoProto(name=name) for name in more)
        copy = scratch / "with_outputs.onnx"
        onnx_files.save(proto, copy)
        del proto
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.intra_op_num_threads = 1  # calls run side by side instead
        options.log_severity_level = 3
        session = onnxruntime.InferenceSession(copy, options, providers=["CPUExecutionProvider"])
        onnx_files.remove(copy)
        outputs = session.get_outputs()
        floats = [o.name for o in outputs if o.type == "tensor(float)" and o.name in wanted]
        return cls(session, tuple(floats))

    def call(self, batch: Arrays, tensors: Sequence[str]) -> dict[str, NDArray[np.float32]]:
        """The named tensors, for the inputs of a batch that the model takes."""
        feed = {one.name: batch[one.name] for one in self.session.get_inputs()}
        return dict(zip(tensors, self.session.run(list(tensors), feed), strict=True))


@dataclass
class _Parts:
    """Hands out batches to several threads, and takes back word of what is done."""

    parts: Iterator[Arrays]
    done: Done
    rows: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self) -> Arrays | None:
        """The next batch; None when there is no more, or a thread failed."""
        with self.lock:
            return next(self.parts, None)

    def counted(self, rows: int) -> None:
        """Tell that so many more rows are counted."""
        with self.lock:
            self.rows += rows
            self.done(self.rows)

    def stop(self) -> None:
        """Hand out nothing more."""
        with self.lock:
            self.parts = iter(())


def _count(run: _Run, parts: _Parts, tensors: Sequence[str]) -> dict[str, Histogram]:
    found = {name: Histogram() for name in tensors}
    try:
        while (batch := parts.take()) is not None:
            arrays = run.call(batch, tensors)
            for name in tensors:
                found[name].add(arrays.pop(name))  # and its memory is free
            parts.counted(len(batch["input_ids"]))
    except BaseException:
        parts.stop()
        raise
    return found


def _cut(batches: Sequence[Arrays], token_bytes: float) -> Iterator[Arrays]:
    """Parts of at most CALL_BYTES of activations, or of one row; `token_bytes`: what a token of the
    longest rows takes, which is more than one of shorter rows does, for attention is square."""
    for batch in batches:
        rows = max(1, int(CALL_BYTES / (token_bytes * _length(batch))))
        for start in range(0, len(batch["input_ids"]), rows):
            yield _rows(batch, start, start + rows)


def _length(batch: Arrays) -> int:
    return max(1, batch["input_ids"].shape[1])


def _rows(batch: Arrays, start: int, stop: int) -> Arrays:
    return {name: array[start:stop] for name, array in batch.items()}


def _refuse_nan(found: Mapping[str, Histogram]) -> None:
    for name, histogram in sorted(found.items()):
        low, high = histogram.extremes
        if low > high and histogram.nans:
            raise ModelError(
                f"{name} has no value but NaN on the calibration rows",
                hint="The FP32 model itself is at fault: look at what it answers.",
            )
