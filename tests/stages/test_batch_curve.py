"""The stage `batch-curve`: a real process that is timed at rising batch sizes."""

from __future__ import annotations

import pytest

from hubkit.errors import HubkitError
from hubkit.formats_records import Engine
from hubkit.machine import machine_info
from hubkit.stages.batch_curve import BatchCurveInput, CallTime, CallTimes, _too_long, batch_curve
from hubkit.store import Store
from tests.stages.evaluation_data import context
from tests.stages.onnx_models import make_variant

ENGINE = Engine(
    name="onnxruntime-cpu-int8",
    runtime="onnxruntime",
    device="cpu",
    precision="int8",
    variant="sum",
    format="onnx",
)


def _curve(store: Store, *, garbage: bool = False, **fields: object) -> CallTimes:
    given = BatchCurveInput.model_validate(
        {
            "engine": ENGINE,
            "variant": make_variant(store, "sum", garbage=garbage),
            "input_length": 8,
            "threads": 1,
            "machine": machine_info(),
            "seconds": 0.1,
            **fields,
        }
    )
    with context(store) as ctx:
        return batch_curve(given, ctx)


@pytest.fixture
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store(tmp_path_factory.mktemp("store"))


def test_each_batch_size_is_timed_in_its_turn(store: Store) -> None:
    found = _curve(store, batch_sizes=(1, 4, 16))
    assert (found.engine, found.input_length, found.threads) == (ENGINE.name, 8, 1)
    assert [time.batch_size for time in found.times] == [1, 4, 16]
    assert all(time.calls >= 3 and time.mean_ms > 0 for time in found.times)


def test_a_model_that_does_not_load_is_an_error(store: Store) -> None:
    with pytest.raises(HubkitError, match=ENGINE.name):
        _curve(store, garbage=True)


def test_a_curve_ends_where_calls_take_too_long() -> None:
    second = CallTime(batch_size=8, mean_ms=1000, calls=3)
    assert _too_long(second, 16, left=3.0)  # four calls of two seconds
    assert not _too_long(second, 16, left=5.0)
    quick = CallTime(batch_size=8, mean_ms=1, calls=100)
    assert not _too_long(quick, 16, left=-1.0)  # next to nothing: taken even so
