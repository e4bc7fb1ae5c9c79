"""The text classification task."""

from __future__ import annotations

import numpy as np
import pytest

from hubkit.errors import UsageError
from hubkit.tasks import task_for


def test_predictions_are_the_largest_logits() -> None:
    logits = np.array([[0.1, 0.2], [3.0, -1.0], [0.5, 0.5]], dtype=np.float32)
    assert task_for("text-classification").predictions(logits).tolist() == [1, 0, 0]


def test_the_classes_of_the_snippets_exist() -> None:
    import optimum.onnxruntime
    import transformers

    classes = task_for("text-classification").classes
    assert hasattr(transformers, classes.torch)
    assert hasattr(optimum.onnxruntime, classes.onnx)
    assert classes.neural_compressor == "INCModelForSequenceClassification"


def test_every_metric_says_how_it_is_averaged() -> None:
    task = task_for("text-classification")
    assert {name: task.metric_options(name, 2) for name in ("accuracy", "f1")} == {
        "accuracy": {},
        "f1": {"average": "binary", "pos_label": 1},
    }
    assert task.metric_options("recall", 3) == {"average": "macro"}


def test_an_unknown_task_names_the_nearest() -> None:
    with pytest.raises(UsageError, match="did you mean text-classification"):
        task_for("text-clasification")
