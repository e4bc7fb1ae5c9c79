"""Batches out of stored token ids, and ranges out of batches."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from hubkit.backends.calibration import activation_ranges, calibration_batches, pad_token_id
from hubkit.errors import DataError

if TYPE_CHECKING:
    from hubkit.backends.base import Arrays

ROWS = ([2, 5, 3], [2, 6, 7, 8, 3], [2, 3], [2, 9, 9, 3], [2, 4, 3])


def _store(path: Path, rows: tuple[list[int], ...], *, types: bool = False) -> Path:
    ids = np.array([token for row in rows for token in row], dtype=np.int32)
    arrays = {
        "offsets": np.cumsum([0, *(len(row) for row in rows)]).astype(np.int64),
        "input_ids": ids,
        "labels": np.zeros(len(rows), dtype=np.int64),
    }
    if types:
        arrays["token_type_ids"] = (ids == 3).astype(np.int32)
    np.savez(path, **arrays)
    return path


def test_batches_are_the_first_rows_in_order_padded_to_their_longest(tmp_path: Path) -> None:
    path = _store(tmp_path / "encoded.npz", ROWS)
    batches = calibration_batches(path, num_samples=3, batch_size=2, pad_token_id=1)
    assert [batch["input_ids"].tolist() for batch in batches] == [
        [[2, 5, 3, 1, 1], [2, 6, 7, 8, 3]],
        [[2, 3]],
    ]
    assert batches[0]["attention_mask"].tolist() == [[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]]
    assert set(batches[0]) == {"input_ids", "attention_mask"}
    assert {array.dtype for batch in batches for array in batch.values()} == {np.dtype("int64")}


def test_token_types_are_there_where_they_are_stored(tmp_path: Path) -> None:
    path = _store(tmp_path / "encoded.npz", ROWS, types=True)
    (batch,) = calibration_batches(path, num_samples=2, batch_size=8, pad_token_id=1)
    assert batch["token_type_ids"].tolist() == [[0, 0, 1, 0, 0], [0, 0, 0, 0, 1]]


def test_fewer_rows_than_asked_for_are_all_rows_and_none_is_an_error(tmp_path: Path) -> None:
    path = _store(tmp_path / "encoded.npz", ROWS)
    batches = calibration_batches(path, num_samples=100, batch_size=4)
    assert [len(batch["input_ids"]) for batch in batches] == [4, 1]
    with pytest.raises(DataError, match="no rows"):
        calibration_batches(_store(tmp_path / "no.npz", ()), num_samples=1, batch_size=1)


def test_the_padding_token_is_the_models(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"pad_token_id": 1}')
    assert pad_token_id(tmp_path) == 1
    (tmp_path / "config.json").write_text('{"pad_token_id": null}')
    assert pad_token_id(tmp_path) == 0


def test_minmax_is_the_least_and_largest_over_all_batches(
    exports: dict[str, Path], batches: dict[str, list[Arrays]], tmp_path: Path
) -> None:
    import onnx
    import onnxruntime

    model, name = exports["distilbert"] / "model.onnx", "/pre_classifier/Gemm_output_0"
    ranges = activation_ranges(
        model,
        batches["distilbert"],
        tensors=frozenset({name}),
        method="minmax",
        scratch=tmp_path,
    )
    assert set(ranges.keys()) == {name}
    proto = onnx.load(str(model))
    proto.graph.output.append(
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None)
    )
    session = onnxruntime.InferenceSession(proto.SerializeToString())
    values = np.concatenate([session.run([name], batch)[0] for batch in batches["distilbert"]])
    low, high = ranges[name].range_value
    assert float(low) == pytest.approx(values.min(), abs=1e-5)
    assert float(high) == pytest.approx(values.max(), abs=1e-5)


@pytest.mark.parametrize("method", ["entropy", "percentile"])
def test_histograms_hold_one_batch_at_a_time(
    method: str, exports: dict[str, Path], batches: dict[str, list[Arrays]], tmp_path: Path
) -> None:
    """onnxruntime's calibrators keep all activations of what one collect_data() is given."""
    from onnxruntime.quantization import calibrate

    most = 0
    before = calibrate.HistogramCollector.collect

    def watch(self: object, arrays: dict[str, list[object]]) -> None:
        nonlocal most
        most = max(most, *(len(held) for held in arrays.values()))
        before(self, arrays)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(calibrate.HistogramCollector, "collect", watch)
        activation_ranges(
            exports["distilbert"] / "model.onnx",
            batches["distilbert"] * 3,
            tensors=frozenset({"/pre_classifier/Gemm_output_0"}),
            method=method,  # type: ignore[arg-type]
            scratch=tmp_path,
        )
    assert most == 1
