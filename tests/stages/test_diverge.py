"""The stages `vectors` and `diverge`: distances, noise, and sentences in batches and padded."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from hubkit.backends import exporter_for
from hubkit.errors import DataError, ModelError
from hubkit.formats_records import Distance, Engine
from hubkit.records import Encoded, Variant
from hubkit.stages.distances import Kept, distance
from hubkit.stages.diverge import Diverged, DivergeInput, diverge
from hubkit.stages.predict import TokenRows
from hubkit.stages.vectors import (
    Vectors,
    VectorsInput,
    chosen_rows,
    equal_lengths,
    inputs_of,
    padded,
    spread,
    vectors,
)
from hubkit.store import Store
from tests.stages.evaluation_data import context, encoded
from tests.tiny import make_tiny_model

ROWS = 40
LABELS = ("NEGATIVE", "POSITIVE")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store(tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="module")
def rows(store: Store) -> Encoded:
    draw = np.random.default_rng(0)
    ids = [draw.integers(5, 100, draw.integers(4, 12)).tolist() for _ in range(ROWS)]
    return encoded(store, ids, draw.integers(0, 2, ROWS).tolist())


@pytest.fixture(scope="module")
def variants(store: Store) -> dict[str, Variant]:
    """A tiny classifier in ONNX, FP32 and dynamic INT8, and in PyTorch."""
    from onnxruntime.quantization import quantize_dynamic

    made = {}
    with store.scratch() as scratch:
        make_tiny_model(scratch / "torch", width=64)
        task = "text-classification"
        exporter_for("onnx").export(scratch / "torch", scratch / "fp32", task=task)
        (scratch / "int8").mkdir()
        quantize_dynamic(scratch / "fp32/model.onnx", scratch / "int8/model.onnx")
        for name in ("torch", "fp32", "int8"):
            made[name] = Variant(
                name=name,
                format="pytorch" if name == "torch" else "onnx",
                precision="int8" if name == "int8" else "fp32",
                artifact=store.adopt(scratch / name),
                model_file="model.safetensors" if name == "torch" else "model.onnx",
                size_bytes=1,
            )
    return made


def _engine(name: str) -> Engine:
    return Engine(
        name=f"engine-{name}",
        runtime="torch" if name == "torch" else "onnxruntime",
        device="cpu",
        precision="int8" if name == "int8" else "fp32",
        variant=name,
    )


def _vectors(store: Store, variant: Variant, rows: Encoded, **fields: object) -> Vectors:
    given = VectorsInput.model_validate(
        {
            "engine": _engine(variant.name),
            "variant": variant,
            "encoded": rows,
            "threads": 1,
            "where": "here",
            "max_positions": 64,
            **fields,
        }
    )
    with context(store) as ctx:
        return vectors(given, ctx)


def _diverged(store: Store, rows: Encoded, ours: Vectors, reference: Vectors) -> Diverged:
    given = DivergeInput(
        ours=ours, reference=reference, encoded=rows, labels=LABELS, metric="accuracy"
    )
    with context(store) as ctx:
        return diverge(given, ctx)


def test_an_engine_is_at_no_distance_from_itself(
    store: Store, rows: Encoded, variants: dict[str, Variant]
) -> None:
    one = _vectors(store, variants["fp32"], rows)
    again = _vectors(store, variants["fp32"], rows)
    assert one == again  # bytes and all
    found = _diverged(store, rows, one, again).divergence
    assert found.distance.rows == ROWS
    assert found.distance.max_abs == found.distance.max_relative == 0
    assert found.distance.min_cosine == pytest.approx(1)
    assert (found.distance.mean_kl, found.distance.flips) == (0, 0)
    assert found.metric is not None
    assert found.metric.name == "accuracy"


def test_dynamic_int8_depends_on_the_batch_and_fp32_does_not(
    store: Store, rows: Encoded, variants: dict[str, Variant]
) -> None:
    reference = _vectors(store, variants["fp32"], rows)
    noise = _diverged(store, rows, _vectors(store, variants["torch"], rows), reference)
    int8 = _diverged(store, rows, _vectors(store, variants["int8"], rows), reference)
    own = _diverged(store, rows, reference, reference)
    assert 0 < noise.divergence.distance.max_relative < 1e-4
    assert int8.divergence.distance.max_relative > 1e-3
    assert (int8.divergence.distance.mean_kl or 0) > (noise.divergence.distance.mean_kl or 0)
    assert own.invariance is not None
    assert int8.invariance is not None
    for steady, moved in (
        (own.invariance.batched, int8.invariance.batched),
        (own.invariance.padded, int8.invariance.padded),
    ):
        assert steady.rows == moved.rows > 10
        assert steady.max_relative < 1e-5
        # The range of a batch's activations is that of all its rows, padding included.
        assert moved.max_relative > 100 * steady.max_relative
    assert int8.invariance.batch_size == 8
    assert int8.invariance.padded_length == 11 + 16


def test_the_vectors_are_those_of_the_task(
    store: Store, rows: Encoded, variants: dict[str, Variant]
) -> None:
    import onnxruntime

    made = _vectors(store, variants["fp32"], rows, most_rows=5)
    with np.load(store.path(made.artifact) / "vectors.npz") as file:
        stored = dict(file)
    assert stored["rows"].tolist() == [0, 10, 20, 29, 39]
    path = store.path(variants["fp32"].artifact) / "model.onnx"
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    with np.load(store.path(rows.artifact) / "encoded.npz") as file:
        ids = np.split(file["input_ids"].astype(np.int64), file["offsets"][1:-1])
    for at, number in enumerate(stored["alone"].tolist()):
        feed = {"input_ids": ids[number][None], "attention_mask": np.ones_like(ids[number])[None]}
        logits = session.run(["logits"], feed)[0]
        assert stored["alone_values"][at] == pytest.approx(logits[0], abs=1e-5)


def test_without_references_there_is_no_metric(
    store: Store, rows: Encoded, variants: dict[str, Variant]
) -> None:
    with store.scratch() as scratch:
        (scratch / "bare").mkdir()
        with np.load(store.path(rows.artifact) / "encoded.npz") as file:
            kept = {name: file[name] for name in file.files if name != "labels"}
        np.savez(scratch / "bare" / "encoded.npz", **kept)
        bare = rows.model_copy(update={"artifact": store.adopt(scratch / "bare")})
    one = _vectors(store, variants["fp32"], bare, invariance=False)
    found = _diverged(store, bare, one, one)
    assert found.divergence.metric is None
    assert found.divergence.distance.flips is None
    assert found.invariance is None


def test_a_model_that_gives_no_numbers_is_refused(
    store: Store, rows: Encoded, variants: dict[str, Variant]
) -> None:
    import onnx
    from onnx import numpy_helper

    graph = onnx.load(str(store.path(variants["fp32"].artifact) / "model.onnx"))
    bias = next(one for one in graph.graph.initializer if one.name == "classifier.bias")
    bias.CopyFrom(numpy_helper.from_array(np.full(2, np.inf, np.float32), bias.name))
    with store.scratch() as scratch:
        (scratch / "broken").mkdir()
        onnx.save(graph, str(scratch / "broken" / "model.onnx"))
        broken = variants["fp32"].model_copy(update={"artifact": store.adopt(scratch / "broken")})
    with pytest.raises(ModelError, match="not finite"):
        _vectors(store, broken, rows)


def _kept(*lines: Sequence[Sequence[float]]) -> Kept:
    return Kept({at: np.asarray(one, dtype=np.float64) for at, one in enumerate(lines)})


def _distance(ours: Kept, reference: Kept, classes: int | None = None) -> Distance:
    found = distance(ours, reference, classes=classes)
    assert found is not None
    return found


def test_distances_by_hand() -> None:
    found = _distance(_kept([[3.0, 4.0]], [[0.0, 2.0]]), _kept([[3.0, 4.0]], [[0.0, 1.0]]))
    assert (found.rows, found.max_abs, found.mean_abs) == (2, 1.0, 0.25)
    assert (found.max_relative, found.mean_relative) == (1.0, 0.5)
    assert found.mean_cosine == found.min_cosine == 1
    assert found.mean_abs_interval.low == 0
    assert found.mean_abs_interval.high == 0.5
    across = _distance(_kept([[1.0, 0.0]]), _kept([[0.0, 1.0]]))
    assert across.min_cosine == 0
    assert across.max_relative == pytest.approx(math.sqrt(2))


def test_a_vector_of_zeros_is_like_another_one_alone() -> None:
    zeros = _kept([[0.0, 0.0]])
    same, other = _distance(zeros, zeros), _distance(_kept([[1.0, 0.0]]), zeros)
    assert (same.max_relative, same.min_cosine) == (0, 1)
    assert (other.max_relative, other.min_cosine) == (1, 0)


def test_kl_is_of_the_reference_and_along_the_classes() -> None:
    reference, ours = (
        _kept([[math.log(0.5), math.log(0.5)]]),
        _kept([[math.log(0.9), math.log(0.1)]]),
    )
    found = _distance(ours, reference, classes=1)
    wanted = 0.5 * math.log(0.5 / 0.9) + 0.5 * math.log(0.5 / 0.1)
    assert found.mean_kl == pytest.approx(wanted)
    assert found.max_kl == pytest.approx(wanted)
    # Adding the same to all logits of a distribution is the same distribution.
    shifted = _kept([[5 + math.log(0.5), 5 + math.log(0.5)]])
    assert _distance(shifted, reference, classes=1).max_kl == pytest.approx(0)
    columns = _distance(_kept([[1.0, 7.0], [1.0, 7.0]]), _kept([[0.0, 0.0], [0.0, 0.0]]), classes=0)
    assert columns.max_kl == pytest.approx(0)
    assert _distance(ours, reference).mean_kl is None


def test_only_what_both_have_is_compared() -> None:
    one = Kept({3: np.ones((1, 2)), 5: np.ones((1, 2))})
    assert _distance(one, Kept({5: np.ones((1, 2)), 7: np.zeros((1, 2))})).rows == 1
    assert distance(one, Kept({})) is None
    with pytest.raises(ModelError, match="shapes"):
        distance(one, Kept({3: np.ones((1, 4))}))


def _arrays(lengths: Sequence[int], **more: Sequence[int]) -> dict[str, NDArray[np.int64]]:
    offsets = np.cumsum([0, *lengths])
    return {"offsets": offsets, **{name: np.asarray(one) for name, one in more.items()}}


def test_rows_are_spread_over_the_split_and_fewer_of_long_ones() -> None:
    assert chosen_rows(_arrays([4] * 100), 5).tolist() == [0, 25, 50, 74, 99]
    assert len(chosen_rows(_arrays([100] * 1000), 256)) == 120
    assert len(chosen_rows(_arrays([5000] * 100), 256)) == 32
    assert chosen_rows(_arrays([4] * 3), 256).tolist() == [0, 1, 2]
    with pytest.raises(DataError):
        chosen_rows(_arrays([]), 5)


def test_all_inputs_of_a_row_are_run() -> None:
    arrays = _arrays([4, 4, 4, 4], rows=[0, 1, 1, 2])
    chosen = chosen_rows(arrays, 2)
    assert chosen.tolist() == [0, 2]
    assert inputs_of(arrays, chosen).tolist() == [0, 3]
    assert inputs_of(arrays, np.asarray([1])).tolist() == [1, 2]
    assert spread(np.arange(10), 3).tolist() == [0, 4, 9]


def test_batches_are_of_one_length_so_that_nothing_is_padded() -> None:
    lengths = [3, 5, 3, 3, 5, 9]
    tokens = TokenRows(np.cumsum([0, *lengths]), np.arange(28), None, 0)
    batches = [batch.tolist() for batch in equal_lengths(tokens, np.arange(6), 2)]
    assert batches == [[0, 2], [1, 4]]  # the third of three would be alone
    for batch in batches:
        assert tokens.arrays(np.asarray(batch))["attention_mask"].all()


def test_padding_is_hidden_by_the_mask() -> None:
    arrays = {"input_ids": np.full((1, 2), 9), "attention_mask": np.ones((1, 2), np.int64)}
    found = padded(arrays, 4, pad_id=7)
    assert found["input_ids"].tolist() == [[9, 9, 7, 7]]
    assert found["attention_mask"].tolist() == [[1, 1, 0, 0]]
    assert padded(arrays, 0, pad_id=7) is arrays
