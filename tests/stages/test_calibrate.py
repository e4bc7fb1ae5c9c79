"""The calibrate stage: one pass, kept."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hubkit.backends.activation_histogram import load_histograms
from hubkit.errors import DataError
from hubkit.stage import Context, find_stage
from hubkit.stages.calibrate import STATISTICS_FILE, CalibrateInput, calibrate
from tests.stages.test_quantize import World


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(tmp_path_factory.mktemp("world"))


def _given(world: World, **changes: object) -> CalibrateInput:
    given = CalibrateInput(
        fp32=world.onnx,
        encoded=world.encoded,
        num_samples=7,
        batch_size=3,
        operators=("Add", "MatMul"),
        split="train",
    )
    return given.model_copy(update=changes)


def test_it_tells_rows_tensors_and_progress(world: World) -> None:
    heard: list[tuple[str, int, int]] = []
    with world.store.scratch() as scratch:
        ctx = Context(world.store, scratch, lambda *told: heard.append(told))
        made = calibrate(_given(world), ctx)
        assert not list(scratch.iterdir())
    assert (made.real_samples, made.batch_size, made.split) == (7, 3, "train")
    assert made.operators == ("Add", "MatMul")
    found = load_histograms(world.store.path(made.artifact) / STATISTICS_FILE)
    assert len(found) == made.tensors > 50
    scores = next(found[name] for name in found if name.endswith("/attention/Add_output_0"))
    assert scores.below, "masked scores"
    assert heard[0] == ("calibrating", 0, 7)
    assert heard[-1] == ("calibrating", 7, 7)
    assert [done for _, done, _ in heard] == sorted(done for _, done, _ in heard)


def test_more_samples_than_rows_are_all_rows(world: World) -> None:
    with world.store.scratch() as scratch:
        made = calibrate(_given(world, num_samples=100), Context(world.store, scratch))
    assert made.real_samples == 10


def test_padding_is_the_tokenizers(world: World) -> None:
    """Padded positions are among the activations, as with onnxruntime's calibrators."""
    made = []
    for pad_id in (0, 1):
        encoded = world.encoded.model_copy(update={"pad_id": pad_id})
        with world.store.scratch() as scratch:
            made.append(calibrate(_given(world, encoded=encoded), Context(world.store, scratch)))
    assert made[0].artifact != made[1].artifact


def test_no_rows_are_an_error(world: World, tmp_path: Path) -> None:
    (tmp_path / "none").mkdir()
    np.savez(
        tmp_path / "none" / "encoded.npz",
        offsets=np.zeros(1, dtype=np.int64),
        input_ids=np.zeros(0, dtype=np.int32),
    )
    with world.store.scratch() as scratch:
        empty = scratch / "encoded"
        (tmp_path / "none").rename(empty)
        encoded = world.encoded.model_copy(update={"artifact": world.store.adopt(empty)})
        with pytest.raises(DataError, match="no rows"):
            calibrate(_given(world, encoded=encoded), Context(world.store, scratch))


def test_the_stage_is_found_by_its_name() -> None:
    assert find_stage("calibrate") is calibrate
