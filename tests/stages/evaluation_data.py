"""Records of datasets, base models, encoded rows and predictions, made without a stage."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa
from pyarrow import parquet

from hubkit.records import Artifact, BaseModelInfo, Dataset, Encoded, Predictions
from hubkit.stage import Context
from hubkit.store import Store

Columns = Mapping[str, Sequence[str | int | None]]


@contextmanager
def context(store: Store) -> Iterator[Context]:
    with store.scratch() as scratch:
        yield Context(store, scratch)


def _adopt(store: Store, files: Mapping[str, Path | bytes]) -> Artifact:
    with store.scratch() as scratch:
        folder = scratch / "made"
        folder.mkdir()
        for name, content in files.items():
            data = content if isinstance(content, bytes) else content.read_bytes()
            (folder / name).write_bytes(data)
        return store.adopt(folder)


def base_model(store: Store, folder: Path, *, max_positions: int = 64) -> BaseModelInfo:
    artifact = _adopt(store, {path.name: path for path in folder.iterdir()})
    return BaseModelInfo(
        artifact=artifact,
        architecture="DistilBertForSequenceClassification",
        model_type=folder.name,
        labels=("NEGATIVE", "POSITIVE"),
        num_parameters=1,
        max_positions=max_positions,
        weights_bytes=1,
    )


def dataset(store: Store, **splits: Columns) -> Dataset:
    files: dict[str, Path | bytes] = {}
    for split, columns in splits.items():
        sink = pa.BufferOutputStream()
        parquet.write_table(pa.table({k: pa.array(list(v)) for k, v in columns.items()}), sink)
        files[f"{split}.parquet"] = sink.getvalue().to_pybytes()
    return Dataset(
        artifact=_adopt(store, files),
        eval_rows=1,
        eval_rows_available=1,
        calibration_rows=0,
        label_counts={},
    )


def encoded(
    store: Store, rows: Sequence[Sequence[int]], labels: Sequence[int], *, pad_id: int = 0
) -> Encoded:
    with store.scratch() as scratch:
        folder = scratch / "encoded"
        folder.mkdir()
        np.savez(
            folder / "encoded.npz",
            offsets=np.cumsum([0, *map(len, rows)]),
            input_ids=np.array([i for row in rows for i in row], dtype=np.int32),
            labels=np.array(labels, dtype=np.int64),
        )
        artifact = store.adopt(folder)
    return Encoded(
        artifact=artifact,
        rows=len(rows),
        truncated=0,
        max_length=64,
        mean_tokens=1.0,
        input_names=("input_ids", "attention_mask"),
        pad_id=pad_id,
    )


def predictions(store: Store, name: str, logits: Sequence[Sequence[float]]) -> Predictions:
    with store.scratch() as scratch:
        folder = scratch / "predictions"
        folder.mkdir()
        np.save(folder / "logits.npy", np.array(logits, dtype=np.float32))
        artifact = store.adopt(folder)
    return Predictions(variant=name, artifact=artifact, rows=len(logits))
