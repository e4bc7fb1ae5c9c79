"""Calibration: padded batches out of stored token ids, and ranges of activations out of batches."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from hubkit.backends.quiet import quiet
from hubkit.errors import DataError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from onnxruntime.quantization.calibrate import TensorsData

    from hubkit.backends.base import Arrays


def calibration_batches(
    encoded: Path, *, num_samples: int, batch_size: int, pad_token_id: int = 0
) -> list[Arrays]:
    """The first `num_samples` rows of an encoded.npz in stored order, `batch_size` at a time.

    Each batch is int64[rows, longest row] of input_ids, attention_mask and, where stored,
    token_type_ids. There are fewer rows where the file has fewer; DataError when it has none.
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
    batch = {name: np.full(shape, pad) for name, pad in padding.items() if name in stored}
    batch["attention_mask"] = np.zeros(shape, dtype=np.int64)
    for at, (row, length) in enumerate(zip(rows, lengths, strict=True)):
        for name in batch.keys() & padding.keys():
            batch[name][at, :length] = stored[name][offsets[row] : offsets[row + 1]]
        batch["attention_mask"][at, :length] = 1
    return batch


def pad_token_id(model: Path) -> int:
    """The padding token's id as a model folder's config.json names it, else 0."""
    config = json.loads((model / "config.json").read_text(encoding="utf-8"))
    found = config.get("pad_token_id")
    return found if isinstance(found, int) else 0


def real_samples(batches: Iterable[Arrays]) -> int:
    """Rows that the batches add up to."""
    return sum(len(batch["input_ids"]) for batch in batches)


class _Reader:
    """onnxruntime's calibrators ask for a batch with get_next() until they are given None."""

    def __init__(self, batches: Iterable[Arrays], input_names: Sequence[str]) -> None:
        self._feeds: Iterator[Arrays] = ({n: b[n] for n in input_names} for b in batches)

    def get_next(self) -> Arrays | None:
        return next(self._feeds, None)


def activation_ranges(
    model: Path,
    batches: Sequence[Arrays],
    *,
    tensors: frozenset[str],
    method: Literal["minmax", "entropy", "percentile"],
    scratch: Path,
) -> TensorsData:
    """Ranges of the named tensors over the batches, by onnxruntime's calibrator of that method.

    One batch is collected at a time: the calibrators keep each activation of all that one
    collect_data() reads, 27 MB a sample and growing for ever (onnxruntime issues 10503, 21979), and
    cannot stack batches of different lengths.
    """
    from onnxruntime.quantization import calibrate

    kinds = {
        "minmax": calibrate.MinMaxCalibrater,
        "entropy": calibrate.EntropyCalibrater,
        "percentile": calibrate.PercentileCalibrater,
    }
    # The real range on both sides: activations are quantized to U8 with a zero point of their own.
    sided = {"symmetric": False}
    with quiet():
        calibrator = kinds[method](
            model, augmented_model_path=str(scratch / "augmented.onnx"), **sided
        )
        every = calibrator.select_tensors_to_calibrate

        def chosen(graph: object) -> tuple[set[str], object]:
            found, infos = every(graph)
            return found & tensors, infos

        calibrator.select_tensors_to_calibrate = chosen
        calibrator.augment_graph()
        calibrator.create_inference_session()
        names = [i.name for i in calibrator.infer_session.get_inputs()]
        for batch in batches:
            calibrator.collect_data(_Reader([batch], names))
        ranges: TensorsData = calibrator.compute_data()
    return ranges
