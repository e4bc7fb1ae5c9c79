"""One pass over the activations, against onnxruntime's own calibrators as the peer."""

from __future__ import annotations

import random
import threading
import tracemalloc
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import pytest

from hubkit.backends import activation_statistics
from hubkit.backends.activation_histogram import (
    BINS,
    Histogram,
    load_histograms,
    save_histograms,
)
from hubkit.backends.activation_ranges import DEFAULT_BINS, Range, ranges_of
from hubkit.backends.activation_statistics import gather_statistics
from hubkit.backends.node_patterns import read_graph
from hubkit.backends.quiet import quiet
from hubkit.errors import ModelError
from hubkit.recipe import Calibration

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from hubkit.backends.base import Arrays

    Floats = NDArray[np.float32]

OPERATORS = ("Add", "Gather", "Gemm", "MatMul", "Softmax")
each_architecture = pytest.mark.parametrize("architecture", ["distilbert", "bert"])


class _Reader:
    """onnxruntime's calibrators take batches from one of these."""

    def __init__(self, model: Path, batches: Sequence[Arrays]) -> None:
        import onnxruntime

        names = [i.name for i in onnxruntime.InferenceSession(model).get_inputs()]
        self._feeds = ({name: batch[name] for name in names} for batch in batches)

    def get_next(self) -> Arrays | None:
        return next(self._feeds, None)


def _peer(
    model: Path, batches: Sequence[Arrays], scratch: Path, method: str
) -> Mapping[str, Range]:
    """What onnxruntime's calibrator of a method finds, batch by batch."""
    from onnxruntime.quantization import calibrate

    kind = {"minmax": calibrate.MinMaxCalibrater, "percentile": calibrate.PercentileCalibrater}
    with quiet():
        peer = kind[method](
            model, list(OPERATORS), augmented_model_path=str(scratch / "augmented.onnx")
        )
        peer.augment_graph()
        peer.create_inference_session()
        for batch in batches:
            peer.collect_data(_Reader(model, [batch]))
        found = peer.compute_data().data
    return {
        name: (float(np.min(one.lowest)), float(np.max(one.highest))) for name, one in found.items()
    }


def _at_once(values: Mapping[str, Floats], given: Calibration) -> dict[str, Range]:
    """What onnxruntime makes of all values in one histogram."""
    from onnxruntime.quantization.calibrate import HistogramCollector

    bins = given.num_bins or DEFAULT_BINS[given.method]
    peer = HistogramCollector(
        given.method, False, bins, given.num_quantized_bins, given.percentile, "same"
    )
    with quiet(), np.errstate(all="ignore"):
        peer.collect(dict(values))
        found = peer.compute_collection_result()
    return {name: (float(one[0]), float(one[1])) for name, one in found.items()}


def _histogram(*parts: Floats | Sequence[float]) -> Histogram:
    made = Histogram()
    for part in parts:
        made.add(np.asarray(part, dtype=np.float32))
    return made


def _samples() -> dict[str, Floats]:
    draw = np.random.default_rng(1)
    size = 20_000
    made = {
        "normal": draw.standard_normal(size),
        "skewed": draw.exponential(1, size),
        "attention": np.where(draw.random(size) < 0.5, 0, draw.random(size) ** 6),
        "heavy tails": draw.standard_t(2, size),
        "outliers": np.concatenate([draw.standard_normal(size), draw.standard_normal(50) * 20]),
        "negative": -draw.exponential(1, size) - 1,
        "half zeros": np.maximum(draw.standard_normal(size), 0),
        "zeros": np.zeros(64),
    }
    return {name: values.astype(np.float32) for name, values in made.items()}


@each_architecture
def test_minmax_is_onnxruntimes_to_the_last_bit(
    architecture: str,
    exports: dict[str, Path],
    batches: dict[str, list[Arrays]],
    tmp_path: Path,
) -> None:
    model, rows = exports[architecture] / "model.onnx", batches[architecture]
    assert len({batch["input_ids"].shape[1] for batch in rows}) == 2
    found = gather_statistics(model, rows, OPERATORS, tmp_path)
    theirs = _peer(model, rows, tmp_path, "minmax")
    assert len(theirs) > 60
    ours = ranges_of(found, Calibration(method="minmax"))
    assert {name: ours[name] for name in theirs} == theirs


@each_architecture
def test_percentile_is_onnxruntimes_within_a_bin(
    architecture: str,
    exports: dict[str, Path],
    batches: dict[str, list[Arrays]],
    tmp_path: Path,
) -> None:
    """Its bins are as wide as the first batch makes them, ours go by all rows."""
    model, rows = exports[architecture] / "model.onnx", batches[architecture]
    found = gather_statistics(model, rows, OPERATORS, tmp_path)
    ours = ranges_of(found, Calibration(method="percentile"))
    masked = {name for name, histogram in found.items() if histogram.below}
    compared = 0
    for name, theirs in _peer(model, rows, tmp_path, "percentile").items():
        if name not in masked:
            bin_width = 2 * max(map(abs, found[name].extremes)) / 2048
            assert ours[name] == pytest.approx(theirs, abs=2 * bin_width), name
            compared += 1
    assert compared > 60


METHODS = pytest.mark.parametrize(
    "given",
    [
        Calibration(method="entropy"),
        Calibration(method="entropy", num_bins=512),
        Calibration(method="entropy", num_bins=1024, num_quantized_bins=64),
        Calibration(method="percentile"),
        Calibration(method="percentile", percentile=99, num_bins=512),
        Calibration(method="percentile", percentile=90),
    ],
    ids=lambda c: f"{c.method}-{c.num_bins}-{c.percentile}",
)


@METHODS
def test_histogram_methods_are_onnxruntimes_where_the_bins_meet(given: Calibration) -> None:
    """With a power of two as the largest value its bins are made of whole ones of ours."""
    values = {name: v / (np.abs(v).max() or 1) * np.float32(4) for name, v in _samples().items()}
    found = {name: _histogram(*np.array_split(all_, 7)) for name, all_ in values.items()}
    theirs = _at_once(values, given)
    for name, ours in ranges_of(found, given).items():
        assert ours == pytest.approx(theirs[name], rel=1e-6), name


@METHODS
def test_histogram_methods_are_near_onnxruntimes_in_general(given: Calibration) -> None:
    """Two bins: what is in a bin of ours is taken as even. For entropy one per cent: it looks for
    the lowest point of a curve that is flat and rough there."""
    values = _samples()
    found = {name: _histogram(*np.array_split(all_, 7)) for name, all_ in values.items()}
    ours, theirs = ranges_of(found, given), _at_once(values, given)
    for name, all_ in values.items():
        largest = float(np.abs(all_).max())
        near = 4 / (given.num_bins or DEFAULT_BINS[given.method])
        near = max(near, 0.01) if given.method == "entropy" else near
        assert ours[name] == pytest.approx(theirs[name], abs=near * largest), name


def test_entropy_cuts_outliers_off_and_minmax_does_not() -> None:
    found = {"outliers": _histogram(_samples()["outliers"])}
    low, high = ranges_of(found, Calibration(method="entropy", num_bins=2048))["outliers"]
    assert -15 < low < -3
    assert 3 < high < 15
    assert ranges_of(found, Calibration(method="minmax"))["outliers"][1] > 25


def test_entropy_needs_bins_to_quantize() -> None:
    with pytest.raises(ModelError, match="64 bins cannot try 128"):
        ranges_of({}, Calibration(method="entropy", num_bins=64))


def test_the_pass_ends_where_quantizing_needs_it(
    exports: dict[str, Path], batches: dict[str, list[Arrays]], tmp_path: Path
) -> None:
    """Each float tensor that a MatMul reads or writes and that is no weight; nothing else."""
    model = exports["distilbert"] / "model.onnx"
    found = gather_statistics(model, batches["distilbert"], ("MatMul",), tmp_path)
    graph = read_graph(model)
    touched = {
        tensor
        for node in graph.nodes
        if node.op == "MatMul"
        for tensor in (*node.inputs, *node.outputs)
    }
    assert set(found) == touched - set(graph.initializers)
    assert not list(tmp_path.iterdir())


def test_a_transposed_tensor_is_counted_once(
    exports: dict[str, Path], batches: dict[str, list[Arrays]], tmp_path: Path
) -> None:
    model = exports["bert"] / "model.onnx"
    found = gather_statistics(model, batches["bert"], ("MatMul", "Add"), tmp_path)
    graph = read_graph(model)
    transposes = [
        node
        for node in graph.nodes
        if node.op == "Transpose" and node.inputs[0] in graph.producers and node.outputs[0] in found
    ]
    assert transposes
    assert len({id(histogram) for histogram in found.values()}) < len(found)


@pytest.mark.parametrize("threads", [1, 3])
def test_threads_parts_and_order_change_nothing(
    threads: int,
    exports: dict[str, Path],
    batches: dict[str, list[Arrays]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model, rows = exports["distilbert"] / "model.onnx", batches["distilbert"] * 3
    save_histograms(
        tmp_path / "a.npz", gather_statistics(model, rows, OPERATORS, tmp_path, threads=2)
    )
    shuffled = random.Random(threads).sample(rows, len(rows))
    again = gather_statistics(model, shuffled, OPERATORS, tmp_path, threads=threads)
    save_histograms(tmp_path / "b.npz", again)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    monkeypatch.setattr(activation_statistics, "CALL_BYTES", 1)
    row_by_row = gather_statistics(model, rows, OPERATORS, tmp_path, threads=threads)
    for name, histogram in again.items():
        assert row_by_row[name].extremes == pytest.approx(histogram.extremes, rel=1e-5), name


def test_a_failing_call_ends_the_pass(
    exports: dict[str, Path], batches: dict[str, list[Arrays]], tmp_path: Path
) -> None:
    """In whatever thread it is, and before the rows are through."""
    rows = batches["distilbert"] * 50
    outside = {**rows[0], "input_ids": np.full_like(rows[0]["input_ids"], 10**6)}
    done: list[int] = []
    with pytest.raises(Exception, match="indices element out of data bounds"):
        gather_statistics(
            exports["distilbert"] / "model.onnx",
            [rows[0], outside, *rows],
            ("MatMul",),
            tmp_path,
            threads=2,
            done=done.append,
        )
    assert not done or done[-1] < 100
    assert threading.active_count() < 20


def test_memory_does_not_grow_with_the_rows(
    exports: dict[str, Path], batches: dict[str, list[Arrays]], tmp_path: Path
) -> None:
    def peak(rows: list[Arrays]) -> int:
        tracemalloc.start()
        try:
            gather_statistics(
                exports["distilbert"] / "model.onnx", rows, OPERATORS, tmp_path, threads=1
            )
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(batches["distilbert"])  # what is only imported is not counted again
    few, many = peak(batches["distilbert"] * 2), peak(batches["distilbert"] * 40)
    assert few > 1_000_000, "numpy's arrays are traced"
    assert many < 1.05 * few


def test_a_model_of_nan_is_an_error(tmp_path: Path) -> None:
    import onnx
    from onnx import TensorProto, helper

    nodes = [
        helper.make_node("Cast", ["input_ids"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("Sub", ["float", "float"], ["zero"]),
        helper.make_node("Div", ["zero", "zero"], ["nan"]),
        helper.make_node("Add", ["nan", "float"], ["sum"]),
    ]
    graph = helper.make_graph(
        nodes,
        "nan",
        [helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["n", "m"])],
        [helper.make_tensor_value_info("sum", TensorProto.FLOAT, ["n", "m"])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
    onnx.save(model, str(tmp_path / "model.onnx"))
    batch = {"input_ids": np.ones((2, 3), dtype=np.int64)}
    with pytest.raises(ModelError, match="nan has no value but NaN"):
        gather_statistics(tmp_path / "model.onnx", [batch], ("Add",), tmp_path)


def test_what_is_saved_comes_back(tmp_path: Path) -> None:
    shared = _histogram([1, -2, 3e38, -np.inf, np.nan])
    given = {"b": shared, "a": _histogram([-1e-7, 5]), "c": shared, "none": Histogram()}
    save_histograms(tmp_path / "a.npz", given)
    found = load_histograms(tmp_path / "a.npz")
    assert found["b"] is found["c"]
    for name, histogram in given.items():
        kept = {k: v for k, v in vars(histogram).items() if k != "counts"}
        assert kept == {k: v for k, v in vars(found[name]).items() if k != "counts"}
        assert np.array_equal(found[name].counts, histogram.counts)
        assert len(histogram.counts) == 2 * BINS
    save_histograms(tmp_path / "b.npz", found)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


@pytest.mark.parametrize("mask", [-np.inf, float(np.finfo(np.float32).min)])
@pytest.mark.parametrize("method", ["minmax", "entropy", "percentile"])
def test_masked_scores_take_the_whole_range(
    mask: float, method: Literal["minmax", "entropy", "percentile"]
) -> None:
    """As with onnxruntime, where -inf is an error: that is why guards keep them float."""
    values = [*np.linspace(-4, 4, 900), *[mask] * 100]
    low, high = ranges_of({"scores": _histogram(values)}, Calibration(method=method))["scores"]
    assert low == float(np.finfo(np.float32).min)
    assert high == pytest.approx(4, abs=0.01)


def test_a_mask_that_is_rare_leaves_the_percentile_its_resolution() -> None:
    values = [*np.linspace(-4, 4, 100_000), -np.inf]
    found = {"scores": _histogram(values)}
    assert ranges_of(found, Calibration(method="percentile", percentile=99.9))[
        "scores"
    ] == pytest.approx((-4, 4), abs=0.02)


def test_ranges_are_ones_that_float32_can_subtract() -> None:
    found = {"both": _histogram([-np.inf, 0, np.inf])}
    low, high = ranges_of(found, Calibration(method="minmax"))["both"]
    assert np.isfinite(np.float32(high) - np.float32(low))
    assert ranges_of({"none": Histogram()}, Calibration(method="minmax"))["none"] == (0, 0)
