"""The text classification task."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hubkit.errors import DataError, ModelError, UsageError
from hubkit.tasks import task_for
from hubkit.tasks.base import Rows
from hubkit.tasks.text_classification import LabelScorer, averaging, task

NO_ROWS = Rows({}, None)


def _scorer(labels: list[int], names: tuple[str, ...], scratch: Path) -> LabelScorer:
    return task.scorer({"labels": np.array(labels)}, NO_ROWS, names, scratch)


def test_answers_are_the_largest_logits(tmp_path: Path) -> None:
    logits = np.array([[0.1, 0.2], [3.0, -1.0], [0.5, 0.5]], dtype=np.float32)
    scorer = _scorer([0, 1, 0], ("NEGATIVE", "POSITIVE"), tmp_path)
    assert scorer.answers(logits).tolist() == [1, 0, 0]
    assert (scorer.unit, scorer.units) == ("row", 3)


def test_logits_of_another_head_are_an_error(tmp_path: Path) -> None:
    scorer = _scorer([0, 1], ("NEGATIVE", "POSITIVE"), tmp_path)
    for shape in ((2, 3), (3, 2), (2,)):
        with pytest.raises(ModelError, match="2 labels NEGATIVE, POSITIVE"):
            scorer.answers(np.zeros(shape, np.float32))


@pytest.mark.parametrize("label", [-1, 2])
def test_labels_that_the_model_has_not_are_an_error(tmp_path: Path, label: int) -> None:
    with pytest.raises(DataError, match="the model has 2 of them"):
        _scorer([0, label], ("NEGATIVE", "POSITIVE"), tmp_path)


def test_every_metric_says_how_it_is_averaged() -> None:
    assert {name: averaging(name, 2) for name in ("accuracy", "f1")} == {
        "accuracy": {},
        "f1": {"average": "binary", "pos_label": 1},
    }
    assert averaging("recall", 3) == {"average": "macro"}


def test_an_unknown_task_names_the_nearest() -> None:
    with pytest.raises(UsageError, match="did you mean text-classification"):
        task_for("text-clasification")


def test_rows_of_one_label_are_scored_by_its_recall_alone() -> None:
    arrays = {"offsets": np.arange(5), "input_ids": np.arange(4), "labels": np.array([0, 1, 0, 1])}
    for chosen, metrics in (([0, 2], ("accuracy",)), ([1], ("accuracy",)), ([0, 1], task.metrics)):
        part = task.subset(arrays, NO_ROWS, np.array(chosen), ("NEGATIVE", "POSITIVE"))
        assert part.metrics == tuple(metrics)
        assert part.rows == NO_ROWS
