"""SmoothQuant: the same numbers, and activations that round less."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from hubkit.backends.activation_statistics import gather_channels
from hubkit.backends.smooth_quant import Smoothed, product_inputs, smooth
from tests.backends.conftest import GraphAt

if TYPE_CHECKING:
    import onnx
    from numpy.typing import NDArray

    from hubkit.backends.base import Arrays


def _with_outliers(path: Path) -> onnx.ModelProto:
    """A model of which one channel of each normalization is forty times the others."""
    import onnx
    from onnx import numpy_helper

    model = onnx.load(str(path))
    weights = {one.name: one for one in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "LayerNormalization":
            for name in filter(weights.__contains__, node.input[1:3]):
                array = numpy_helper.to_array(weights[name]).copy()
                array[3] = 40 if name == node.input[1] else 0
                weights[name].CopyFrom(numpy_helper.from_array(array, name))
    return model


def _smoothed(
    folder: Path, batches: list[Arrays], scratch: Path, alpha: float | None
) -> tuple[onnx.ModelProto, onnx.ModelProto, tuple[Smoothed, ...]]:
    import onnx

    before = _with_outliers(folder / "model.onnx")
    path = scratch / "before.onnx"
    onnx.save(before, str(path))
    after = onnx.load(str(path))
    seen = gather_channels(path, batches, product_inputs(after), scratch)
    return before, after, smooth(after, seen, alpha)


def _logits(model: onnx.ModelProto, batch: Arrays) -> NDArray[np.float32]:
    import onnxruntime

    session = onnxruntime.InferenceSession(model.SerializeToString())
    feed = {one.name: batch[one.name] for one in session.get_inputs()}
    logits: NDArray[np.float32] = session.run(None, feed)[0]
    return logits


@pytest.mark.parametrize("level", [0, 2, 3])
@pytest.mark.parametrize("alpha", [0.5, None])
def test_the_numbers_stay_and_the_noise_that_is_foretold_falls(
    level: int,
    alpha: float | None,
    graph_at: GraphAt,
    batches: dict[str, list[Arrays]],
    tmp_path: Path,
) -> None:
    data = batches["distilbert"]
    before, after, done = _smoothed(graph_at("distilbert", None, level), data, tmp_path, alpha)
    assert done
    assert all(one.kept_noise < 1 for one in done)
    for batch in data:
        old, new = _logits(before, batch), _logits(after, batch)
        assert np.abs(old - new).max() < 1e-3 * np.abs(old).max()


def test_the_result_of_attention_is_divided_in_its_values_at_no_cost(
    graph_at: GraphAt, batches: dict[str, list[Arrays]], tmp_path: Path
) -> None:
    before, after, done = _smoothed(
        graph_at("distilbert", None, 3), batches["distilbert"], tmp_path, None
    )
    places = {one.place for one in done}
    assert "values" in places
    products = sum(one.place == "product" for one in done)
    assert len(after.graph.node) - len(before.graph.node) == products


def test_quantized_it_is_nearer_to_float(
    graph_at: GraphAt, batches: dict[str, list[Arrays]], tmp_path: Path
) -> None:
    import onnx

    from hubkit.backends.onnx_quantizers import dynamic
    from hubkit.recipe import OnnxDynamic

    data = batches["distilbert"]
    source = graph_at("distilbert", None, 3)
    before, after, _ = _smoothed(source, data, tmp_path, None)
    errors = []
    for name, model in (("plain", before), ("smooth", after)):
        folder = tmp_path / name
        folder.mkdir()
        onnx.save(model, str(folder / "model.onnx"))
        spec = OnnxDynamic(kind="onnx-dynamic", reduce_range=False)
        dynamic.quantize(folder, tmp_path / f"{name}-int8", spec)
        int8 = onnx.load(str(tmp_path / f"{name}-int8" / "model.onnx"))
        wrong = [np.square(_logits(int8, one) - _logits(before, one)).mean() for one in data]
        errors.append(float(np.mean(wrong)))
    assert errors[1] < 0.5 * errors[0]


def test_channels_are_those_of_all_batches(
    graph_at: GraphAt, batches: dict[str, list[Arrays]], tmp_path: Path
) -> None:
    import onnx
    import onnxruntime

    path = graph_at("distilbert", None, 3) / "model.onnx"
    model = onnx.load(str(path))
    name = product_inputs(model)[0]
    seen = gather_channels(path, batches["distilbert"], [name], tmp_path)[name]
    model.graph.output.append(onnx.ValueInfoProto(name=name))
    session = onnxruntime.InferenceSession(model.SerializeToString())
    rows = [
        session.run([name], {i.name: one[i.name] for i in session.get_inputs()})[0]
        for one in batches["distilbert"]
    ]
    flat = np.concatenate([one.reshape(-1, one.shape[-1]) for one in rows])
    assert np.allclose(seen.low, flat.min(axis=0), atol=1e-5)
    assert np.allclose(seen.most, np.abs(flat).max(axis=0), atol=1e-5)
    assert np.allclose(seen.mean_square, np.square(flat).mean(axis=0), rtol=1e-4)
