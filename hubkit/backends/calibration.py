"""Calibration: padded batches out of stored token ids."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from hubkit.errors import DataError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from hubkit.backends.base import Arrays


def calibration_batches(
    encoded: Path, *, num_samples: int, batch_size: int, pad_token_id: int = 0
) -> list[Arrays]:
    """The first `num_samples` rows of an encoded.npz in stored order, `batch_size` at a time.

    Each batch is int64[rows, longest row] of input_ids, attention_mask and token_type_ids, zeros
    where none are stored: a model may take them though its tokenizer makes none. There are fewer
    rows where the file has fewer; DataError when it has none.
    """
    import numpy as np

    with np.load(encoded, allow_pickle=False) as file:
        stored = {name: file[name] for name in file.files}
    rows = min(num_samples, len(stored["offsets"]) - 1)
    if rows < 1:
        raise DataError(
            "the calibration split has no rows",
            hint="Name another dataset.calibration_split in the recipe.",
        )
    return [
        _batch(stored, range(start, min(start + batch_size, rows)), pad_token_id)
        for start in range(0, rows, batch_size)
    ]


def _batch(stored: Mapping[str, NDArray[np.int64]], rows: range, pad_token_id: int) -> Arrays:
    import numpy as np

    offsets = stored["offsets"]
    lengths = [int(offsets[row + 1] - offsets[row]) for row in rows]
    shape = (len(rows), max(lengths))
    padding = {"input_ids": pad_token_id, "token_type_ids": 0}
    batch = {name: np.full(shape, pad, dtype=np.int64) for name, pad in padding.items()}
    batch["attention_mask"] = np.zeros(shape, dtype=np.int64)
    for at, (row, length) in enumerate(zip(rows, lengths, strict=True)):
        for name in stored.keys() & padding.keys():
            batch[name][at, :length] = stored[name][offsets[row] : offsets[row + 1]]
        batch["attention_mask"][at, :length] = 1
    return batch


def real_samples(batches: Iterable[Arrays]) -> int:
    """Rows that the batches add up to."""
    return sum(len(batch["input_ids"]) for batch in batches)
