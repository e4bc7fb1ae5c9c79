"""The smooth stage."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from hubkit.errors import ModelError
from hubkit.keys import files_of
from hubkit.records import Variant
from hubkit.stage import Context
from hubkit.stages.smooth import SmoothInput, smooth
from tests.stages.onnx_models import make_variant
from tests.stages.test_quantize import World

if TYPE_CHECKING:
    from onnx import ModelProto


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(tmp_path_factory.mktemp("world"))


def _given(world: World, **changes: object) -> SmoothInput:
    given = SmoothInput(
        fp32=world.onnx, encoded=world.encoded, num_samples=7, batch_size=3, alpha="auto"
    )
    return given.model_copy(update=changes)


def _smooth(world: World, given: SmoothInput) -> Variant:
    with world.store.scratch() as scratch:
        return smooth(given, Context(world.store, scratch))


def test_the_variant_says_how_much_and_is_the_same_each_time(world: World) -> None:
    before = files_of(world.store.path(world.onnx.artifact))
    made = _smooth(world, _given(world))
    assert made.name == f"{world.onnx.name}-Sauto"
    assert (made.format, made.precision, made.approach) == ("onnx", "fp32", "none")
    folder = world.store.path(made.artifact)
    assert files_of(folder).keys() == before.keys()
    assert made.size_bytes == (folder / made.model_file).stat().st_size
    assert files_of(world.store.path(world.onnx.artifact)) == before
    assert _smooth(world, _given(world)) == made
    half = _smooth(world, _given(world, alpha=0.5))
    assert half.name == f"{world.onnx.name}-S0.5"
    assert half.artifact != made.artifact
    assert (made.smoothing, half.smoothing, world.onnx.smoothing) == ("auto", 0.5, None)
    # results.json says it of what was smoothed alone, so that older ones stay as they are.
    assert "smoothing" in half.model_dump()
    assert "smoothing" not in world.onnx.model_dump()


def test_only_fp32_onnx_models_are_smoothed(world: World, tmp_path: Path) -> None:
    int8 = make_variant(world.store, "small")
    with pytest.raises(ModelError, match="only FP32 ONNX models are smoothed"):
        _smooth(world, _given(world, fp32=int8))


def test_a_model_that_would_answer_otherwise_is_refused(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def spoil(model: ModelProto, *_: object) -> None:
        from onnx import numpy_helper

        weight = max(model.graph.initializer, key=lambda one: len(one.raw_data))
        array = numpy_helper.to_array(weight) * np.float32(1.01)
        weight.CopyFrom(numpy_helper.from_array(array, weight.name))

    monkeypatch.setattr("hubkit.stages.smooth.smooth_graph", spoil)
    with pytest.raises(ModelError, match=r"would make .* answer otherwise") as caught:
        _smooth(world, _given(world))
    assert "smooth_quant to null" in caught.value.hint
