"""The stage `predict`: the order of rows, batches, bytes, and models that do not work."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from hubkit.errors import ModelError
from hubkit.records import Encoded, Predictions, Variant
from hubkit.stage import Context
from hubkit.stages import predict as module
from hubkit.stages.predict import BATCH_TOKENS, PredictInput, batches_by_length, predict
from hubkit.store import Store
from tests.stages.evaluation_data import context, encoded
from tests.tiny import make_tiny_model

ROWS = 60


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store(tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="module")
def rows(store: Store) -> Encoded:
    random = np.random.default_rng(0)
    ids = [random.integers(5, 100, random.integers(3, 40)).tolist() for _ in range(ROWS)]
    return encoded(store, ids, [0] * ROWS)


@pytest.fixture(scope="module")
def variants(store: Store) -> dict[str, Variant]:
    """The tiny classifier in PyTorch, ONNX FP32 and ONNX dynamic INT8."""
    from onnxruntime.quantization import quantize_dynamic
    from optimum.exporters.onnx import main_export

    made = {}
    with store.scratch() as scratch:
        torch = make_tiny_model(scratch / "torch")
        main_export(
            str(torch),
            scratch / "onnx",
            task="text-classification",
            library_name="transformers",
            do_validation=False,
        )
        (scratch / "int8").mkdir()
        quantize_dynamic(scratch / "onnx/model.onnx", scratch / "int8/model.onnx")
        for name, file in (("torch", "model.safetensors"), ("onnx", "model.onnx"), ("int8",) * 2):
            file = "model.onnx" if file == "int8" else file
            size = (scratch / name / file).stat().st_size
            made[name] = Variant(
                name=name,
                format="pytorch" if name == "torch" else "onnx",
                precision="int8" if name == "int8" else "fp32",
                artifact=store.adopt(scratch / name),
                model_file=file,
                size_bytes=size,
            )
    return made


def _predict(store: Store, variant: Variant, rows: Encoded, batch_size: int = 16) -> Predictions:
    with context(store) as ctx:
        return predict(PredictInput(variant=variant, encoded=rows, batch_size=batch_size), ctx)


def _logits(store: Store, made: Predictions) -> NDArray[np.float32]:
    found: NDArray[np.float32] = np.load(store.path(made.artifact) / "logits.npy")
    return found


@pytest.mark.parametrize("name", ["torch", "onnx"])
def test_each_row_s_logits_are_those_of_the_row_alone(
    store: Store, rows: Encoded, variants: dict[str, Variant], name: str
) -> None:
    import torch
    from transformers import AutoModelForSequenceClassification

    folder = store.path(variants["torch"].artifact)
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    with np.load(store.path(rows.artifact) / "encoded.npz") as file:
        alone = np.split(file["input_ids"].astype(np.int64), file["offsets"][1:-1])
    with torch.inference_mode():
        expected = np.concatenate([model(torch.from_numpy(r[None])).logits for r in alone])
    made = _predict(store, variants[name], rows)
    assert (made.variant, made.rows) == (name, ROWS)
    assert _logits(store, made).dtype == np.float32
    np.testing.assert_allclose(_logits(store, made), expected, atol=2e-5)
    assert np.unique(expected.round(4), axis=0).shape[0] > ROWS // 2  # rows can be told apart


@pytest.mark.parametrize("name", ["torch", "onnx", "int8"])
def test_cores_and_timing_change_no_bit(
    store: Store,
    rows: Encoded,
    variants: dict[str, Variant],
    monkeypatch: pytest.MonkeyPatch,
    name: str,
) -> None:
    expected = _predict(store, variants[name], rows)
    interval = sys.getswitchinterval()
    try:
        sys.setswitchinterval(1e-5)
        for cores in (1, 3, 8):
            monkeypatch.setattr(module, "default_threads", lambda cores=cores: cores)
            assert _predict(store, variants[name], rows) == expected
    finally:
        sys.setswitchinterval(interval)


def test_int8_follows_fp32_whatever_the_batch(
    store: Store, rows: Encoded, variants: dict[str, Variant]
) -> None:
    fp32 = _logits(store, _predict(store, variants["onnx"], rows))
    for size in (1, 16):
        int8 = _logits(store, _predict(store, variants["int8"], rows, size))
        assert 0 < np.abs(int8 - fp32).max() < 0.5 * np.ptp(fp32)


@given(
    st.lists(st.integers(1, 2 * BATCH_TOKENS), min_size=1, max_size=80).map(np.array),
    st.integers(1, 32),
)
@settings(max_examples=60, deadline=None)
def test_batches_hold_every_row_once_and_stay_small(lengths: NDArray[np.int64], size: int) -> None:
    batches = list(batches_by_length(lengths, size))
    assert sorted(np.concatenate(batches)) == list(range(len(lengths)))
    assert (np.diff(lengths[np.concatenate(batches)]) <= 0).all()
    for batch in batches:
        assert 1 <= len(batch) <= size
        assert len(batch) == 1 or len(batch) * lengths[batch].max() <= BATCH_TOKENS


def test_progress_reaches_all_rows(
    store: Store, rows: Encoded, variants: dict[str, Variant]
) -> None:
    heard: list[tuple[int, int]] = []
    with store.scratch() as scratch:
        ctx = Context(store, scratch, lambda what, done, total: heard.append((done, total)))
        predict(PredictInput(variant=variants["onnx"], encoded=rows, batch_size=16), ctx)
    assert heard == sorted(heard)
    assert heard[-1] == (ROWS, ROWS)


def _onnx(store: Store, name: str, inputs: tuple[str, ...], logit: float) -> Variant:
    """A model whose logits are `logit` times the sum over the row of its last input."""
    from onnx import TensorProto, helper

    ids = [helper.make_tensor_value_info(n, TensorProto.INT64, ["b", "l"]) for n in inputs]
    value = helper.make_tensor("value", TensorProto.FLOAT, [1, 2], [logit] * 2)
    nodes = [
        helper.make_node("Constant", [], ["c"], value=value),
        helper.make_node("Cast", [inputs[-1]], ["f"], to=TensorProto.FLOAT),
        helper.make_node("Constant", [], ["axis"], value_ints=[1]),
        helper.make_node("ReduceSum", ["f", "axis"], ["sum"], keepdims=1),
        helper.make_node("Mul", ["sum", "c"], ["logits"]),
    ]
    out = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["b", 2])
    model = helper.make_model(
        helper.make_graph(nodes, "g", ids, [out]),
        opset_imports=[helper.make_opsetid("", 18)],
        ir_version=10,
    )
    with store.scratch() as scratch:
        (scratch / name).mkdir()
        (scratch / name / "model.onnx").write_bytes(model.SerializeToString())
        artifact = store.adopt(scratch / name)
    return Variant(
        name=name,
        format="onnx",
        precision="int8",
        artifact=artifact,
        model_file="model.onnx",
        size_bytes=1,
    )


def test_padding_is_the_model_s_own_and_masked(store: Store) -> None:
    rows = encoded(store, [[5, 5, 5], [5]], [0, 1], pad_id=1)
    for name, sums in (("input_ids", [15, 5 + 1 + 1]), ("attention_mask", [3, 1])):
        made = _predict(store, _onnx(store, f"sum-{name}", (name,), 1.0), rows, 2)
        assert _logits(store, made)[:, 0].tolist() == sums


@pytest.mark.parametrize("logit", [float("nan"), float("inf")])
def test_logits_that_are_no_numbers_are_an_error(store: Store, logit: float) -> None:
    rows = encoded(store, [[5], [6]], [0, 1])
    variant = _onnx(store, "broken-int8", ("input_ids",), logit)
    with pytest.raises(ModelError, match="broken-int8: 2 of 2 rows"):
        _predict(store, variant, rows, 1)


def test_an_unknown_input_is_an_error(store: Store) -> None:
    rows = encoded(store, [[5], [6]], [0, 1])
    variant = _onnx(store, "vision", ("input_ids", "pixel_values"), 1.0)
    with pytest.raises(ModelError, match="pixel_values"):
        _predict(store, variant, rows, 1)
