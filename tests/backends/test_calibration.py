"""Batches out of stored token ids."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hubkit.backends.calibration import calibration_batches, real_samples
from hubkit.errors import DataError

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
    # A model may take types though its tokenizer makes none.
    assert batches[0]["token_type_ids"].tolist() == [[0] * 5] * 2
    assert set(batches[0]) == {"input_ids", "attention_mask", "token_type_ids"}
    assert {array.dtype for batch in batches for array in batch.values()} == {np.dtype("int64")}


def test_token_types_are_there_where_they_are_stored(tmp_path: Path) -> None:
    path = _store(tmp_path / "encoded.npz", ROWS, types=True)
    (batch,) = calibration_batches(path, num_samples=2, batch_size=8, pad_token_id=1)
    assert batch["token_type_ids"].tolist() == [[0, 0, 1, 0, 0], [0, 0, 0, 0, 1]]


def test_fewer_rows_than_asked_for_are_all_rows_and_none_is_an_error(tmp_path: Path) -> None:
    path = _store(tmp_path / "encoded.npz", ROWS)
    batches = calibration_batches(path, num_samples=100, batch_size=4)
    assert [len(batch["input_ids"]) for batch in batches] == [4, 1]
    assert real_samples(batches) == 5
    with pytest.raises(DataError, match="no rows"):
        calibration_batches(_store(tmp_path / "no.npz", ()), num_samples=1, batch_size=1)
