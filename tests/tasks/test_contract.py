"""What holds for every task: one suite over all of them."""

from __future__ import annotations

import importlib
from pathlib import Path

import numpy as np
import pytest

from hubkit.errors import ModelError
from hubkit.tasks import TASKS, task_for
from hubkit.tasks.base import Rows, Subset
from tests.tasks.examples import KINDS, Example, make_example, padded
from tests.tiny import SENTENCES

RESERVED = {"offsets", "input_ids", "token_type_ids"}


@pytest.fixture(scope="module", params=sorted(KINDS))
def example(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Example:
    return make_example(request.param, tmp_path_factory.mktemp("models"))


def test_every_task_is_tried_here() -> None:
    assert set(KINDS) == set(TASKS.names())


def test_what_a_task_says_of_itself(example: Example) -> None:
    task = example.task
    assert task.name == example.name
    assert set(task.default_metrics) <= set(task.metrics)
    assert set(task.required_keys) <= set(example.rows.columns)
    assert set(example.rows.columns) <= {*task.required_keys, *task.optional_keys}
    assert (example.rows.references is None) == (task.reference == "none")
    for where in filter(None, task.metrics.values()):
        module, _, name = where.partition(":")
        assert hasattr(importlib.import_module(module), name)


def test_the_classes_of_the_snippets_exist(example: Example) -> None:
    import optimum.onnxruntime
    import transformers

    classes = example.task.classes
    assert hasattr(transformers, classes.torch)
    assert hasattr(optimum.onnxruntime, classes.onnx)
    inc = pytest.importorskip("optimum.intel.neural_compressor")
    assert hasattr(inc, classes.neural_compressor)


def test_an_encoding_belongs_together(example: Example) -> None:
    made = example.encoding()
    assert [len(ids) for ids in made.ids] == [len(types) for types in made.token_types]
    assert all(0 < len(ids) <= example.max_length for ids in made.ids)
    assert "input_ids" in made.input_names
    assert not RESERVED & set(made.arrays)
    assert {array.dtype for array in made.arrays.values()} <= {np.dtype(np.int64)}
    assert {array.ndim for array in made.arrays.values()} <= {1}
    rows = made.arrays.get("rows", np.arange(len(made.ids)))
    assert len(rows) == len(made.ids)
    assert (np.diff(rows) >= 0).all()
    assert np.unique(rows).tolist() == list(range(len(example.rows)))
    assert (made.truncated, made.lost) == (0, 0)


def test_the_same_rows_are_encoded_alike_without_references(example: Example) -> None:
    """As those that calibrate are."""
    bare = Rows(example.rows.columns, None)
    made = example.task.encode(bare, example.folder, max_length=example.max_length)
    assert [list(ids) for ids in made.ids] == [list(ids) for ids in example.encoding().ids]


def test_what_is_cut_is_counted(example: Example) -> None:
    long = " ".join(SENTENCES)
    texts = ["a dull plot", long, "boring", long]
    columns: dict[str, list[str] | list[list[str]]] = {
        key: texts for key in example.task.required_keys
    }
    if example.task.reference == "word-labels":
        columns = {"primary": [text.split() for text in texts]}
    made = example.task.encode(Rows(columns, None), example.folder, max_length=16)
    assert made.truncated == 2
    assert max(map(len, made.ids)) == 16
    assert (made.lost > 0) == (example.task.reference == "word-labels")


def test_neither_batches_nor_padding_change_what_is_kept(example: Example) -> None:
    alone = example.kept(example.folder, 1)
    assert {kept.ndim for kept in alone} == {2}
    assert {kept.dtype for kept in alone} == {np.dtype(np.float32)}
    assert len({kept.shape[1] for kept in alone}) == 1
    for batch_size in (3, 64):
        together = example.kept(example.folder, batch_size)
        assert [kept.shape for kept in together] == [kept.shape for kept in alone]
        for one, other in zip(together, alone, strict=True):
            np.testing.assert_allclose(one, other, atol=2e-5)
    other_model = example.kept(example.other, 3)
    assert [kept.shape for kept in other_model] == [kept.shape for kept in alone]


def test_what_is_recorded_of_an_input(example: Example) -> None:
    from hubkit.backends import torch

    encoding = example.encoding()
    session = torch.runtime.load(example.folder, "model.safetensors", threads=1)
    recorded = [example.task.recorded(session.run(padded(encoding, [number]))) for number in (0, 1)]
    assert {one.ndim for one in recorded} == {1}
    assert all(np.isfinite(one).all() and np.ptp(one) > 0.01 for one in recorded)
    assert not np.array_equal(recorded[0][:2], recorded[1][:2])


def test_a_model_against_itself(example: Example, tmp_path: Path) -> None:
    scorer = example.scorer(tmp_path)
    answers = scorer.answers(np.concatenate(example.kept(example.folder, 3)))
    for metric in example.task.metrics:
        changes = scorer.changes(answers, answers, metric, 0.95, answers)
        assert (changes.flips, changes.now_right, changes.now_wrong) == (0, 0, 0)
        assert changes.p == 1.0
        assert changes.loss_interval.low <= 0 <= changes.loss_interval.high


def test_perfect_answers(example: Example, tmp_path: Path) -> None:
    kept = np.concatenate(example.kept(example.folder, 3))
    answers = example.scorer(tmp_path).answers(kept)
    scorer = example.scorer(tmp_path, example.answered(answers))
    again = scorer.answers(kept)
    names = example.task.default_metrics
    found = {metric.name: metric for metric in scorer.metrics(again, names, 0.95, again)}
    best = {name: 0.0 if name == "relative_l2" else 1.0 for name in names}
    assert {name: metric.value for name, metric in found.items()} == pytest.approx(best)
    assert found[names[0]].interval.high == pytest.approx(1.0)


def test_values_lie_in_their_intervals(example: Example, tmp_path: Path) -> None:
    scorer = example.scorer(tmp_path)
    reference, answers = (
        scorer.answers(np.concatenate(example.kept(folder, 3)))
        for folder in (example.folder, example.other)
    )
    names = tuple(example.task.metrics)
    found = scorer.metrics(answers, names, 0.9, reference)
    assert tuple(metric.name for metric in found) == names
    for metric in found:
        assert metric.confidence == 0.9
        assert metric.interval.low <= metric.value <= metric.interval.high
    assert scorer.metrics(answers, names, 0.9, reference) == found
    wider = scorer.metrics(answers, names, 0.99, reference)
    for narrow, wide in zip(found, wider, strict=True):
        assert wide.value == narrow.value
        assert wide.interval.low <= narrow.interval.low
        assert wide.interval.high >= narrow.interval.high


def test_two_models_against_each_other(example: Example, tmp_path: Path) -> None:
    scorer = example.scorer(tmp_path)
    one, other = (
        scorer.answers(np.concatenate(example.kept(folder, 3)))
        for folder in (example.folder, example.other)
    )
    for metric in example.task.metrics:
        there = scorer.changes(one, other, metric, 0.95, one)
        back = scorer.changes(other, one, metric, 0.95, one)
        assert 0 < there.flips <= scorer.units
        assert there.flips == back.flips
        assert (there.now_right, there.now_wrong) == (back.now_wrong, back.now_right)
        assert there.now_right + there.now_wrong <= there.flips
        assert 0 < there.p == back.p <= 1
        assert there.loss_interval.low == pytest.approx(-back.loss_interval.high, abs=0.05)
        values = [
            scorer.metrics(answers, (metric,), 0.95, one)[0].value for answers in (one, other)
        ]
        loss = values[1] - values[0]
        assert there.loss_interval.low <= loss <= there.loss_interval.high


def test_outputs_of_another_shape_are_an_error(example: Example, tmp_path: Path) -> None:
    scorer = example.scorer(tmp_path)
    kept = np.concatenate(example.kept(example.folder, 3))
    for wrong in (kept[:-1], kept[:, 0]):
        with pytest.raises(ModelError):
            scorer.answers(wrong)
    wider = np.concatenate([kept, kept], axis=1)
    if example.task.reference == "none":  # any width is a vector: FP32's has to be the same
        answers, fp32 = scorer.answers(wider), scorer.answers(kept)
        with pytest.raises(ModelError):
            scorer.metrics(answers, example.task.default_metrics, 0.95, fp32)
    else:
        with pytest.raises(ModelError):
            scorer.answers(wider)


PARTS = ([0, 2, 3], [1], [4, 5, 6, 7, 8, 9])


def _chosen(example: Example, numbers: list[int]) -> tuple[Subset, Rows]:
    """A subset, and the same rows picked by hand."""
    arrays = example.arrays(example.encoding())
    chosen = np.array([number for number in numbers if number < len(example.rows)])
    part = example.task.subset(arrays, example.rows, chosen, example.labels)
    columns = {k: [v[n] for n in chosen] for k, v in example.rows.columns.items()}
    references = example.rows.references
    picked = None if references is None else [references[number] for number in chosen]
    return part, Rows(columns, picked)


@pytest.mark.parametrize("numbers", [*PARTS, list(range(100))])
def test_a_subset_is_what_its_rows_alone_would_be(example: Example, numbers: list[int]) -> None:
    part, rows = _chosen(example, numbers)
    encoding = example.task.encode(rows, example.folder, max_length=example.max_length)
    alone = example.arrays(encoding)
    assert part.rows == rows
    assert set(alone) <= set(part.arrays)
    for name, array in alone.items():
        np.testing.assert_array_equal(part.arrays[name], array, err_msg=name)
    assert set(part.metrics) <= set(example.task.metrics)
    assert part.metrics


def test_the_parts_of_a_split_make_up_the_whole(example: Example, tmp_path: Path) -> None:
    kept = [np.concatenate(example.kept(f, 3)) for f in (example.folder, example.other)]
    whole = example.scorer(tmp_path)
    fp32, other = (whole.answers(one) for one in kept)
    metric = example.task.default_metrics[0]
    total = whole.changes(other, fp32, metric, 0.95, fp32)
    seen, changes = [], []
    for numbers in PARTS:
        part, _ = _chosen(example, numbers)
        scorer = example.task.scorer(part.arrays, part.rows, example.labels, tmp_path)
        theirs, ours = (scorer.answers(one[part.kept]) for one in kept)
        changes.append(scorer.changes(ours, theirs, metric, 0.95, theirs))
        seen += part.kept.tolist()
    assert sorted(seen) == list(range(len(kept[0])))
    for count in ("now_right", "now_wrong", "flips"):
        if example.task.reference == "none" and count == "flips":
            continue  # neighbours are looked for among the rows of a part
        assert sum(getattr(one, count) for one in changes) == getattr(total, count)


def test_how_sure_a_model_is(example: Example, tmp_path: Path) -> None:
    kept = np.concatenate(example.kept(example.folder, 3))
    arrays = example.arrays(example.encoding())
    certainty = example.task.certainty(arrays, kept)
    if example.task.reference in ("answers", "none"):
        assert certainty is None
        return
    assert certainty is not None
    scorer = example.scorer(tmp_path)
    answers = scorer.answers(kept)
    (accuracy,) = scorer.metrics(answers, ("accuracy",), 0.95, answers)
    assert certainty.right.mean() == pytest.approx(accuracy.value)
    shares = np.exp(kept) / np.exp(kept).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(certainty.probability, shares.max(axis=1), rtol=1e-5)
    assert (np.diff(certainty.rows) >= 0).all()
    assert np.unique(certainty.rows).tolist() == list(range(len(example.rows)))


def test_a_task_is_found_by_its_name(example: Example) -> None:
    assert task_for(example.name) is example.task
