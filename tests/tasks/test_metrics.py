"""Metrics are computed by `evaluate` from shipped modules, offline."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import f1_score, precision_score

from hubkit.tasks import task_for
from hubkit.tasks.metrics import CLASSIFICATION, SCRIPTS, Metrics

LABELS = np.array([0, 1, 1, 0, 1, 1])
ANSWERS = np.array([0, 1, 0, 1, 1, 1])


@pytest.mark.parametrize(
    ("name", "value"), [("accuracy", 4 / 6), ("f1", 0.75), ("precision", 0.75), ("recall", 0.75)]
)
def test_two_labels_score_the_last_one(tmp_path: Path, name: str, value: float) -> None:
    metrics = Metrics(task_for("text-classification"), 2, tmp_path)
    assert metrics.value(name, LABELS, ANSWERS) == pytest.approx(value)
    # The last label, not the first: with the labels exchanged precision is another.
    if name == "precision":
        assert metrics.value(name, 1 - LABELS, 1 - ANSWERS) == pytest.approx(0.5)


def test_more_labels_are_averaged_alike(tmp_path: Path) -> None:
    labels, answers = np.array([0, 1, 2, 2, 1, 0]), np.array([0, 2, 2, 2, 1, 1])
    metrics = Metrics(task_for("text-classification"), 3, tmp_path)
    assert metrics.value("f1", labels, answers) == pytest.approx(
        f1_score(labels, answers, average="macro")
    )
    assert metrics.value("precision", labels, answers) == pytest.approx(
        precision_score(labels, answers, average="macro")
    )


def test_scripts_load_by_path_without_a_hub(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import evaluate

    monkeypatch.setattr(evaluate.config, "HF_MODULES_CACHE", str(tmp_path / "modules"))
    monkeypatch.setattr(evaluate.config, "HF_EVALUATE_OFFLINE", True)
    for name in CLASSIFICATION:
        metric = evaluate.load(str(SCRIPTS / f"{name}.py"), cache_dir=str(tmp_path))
        assert metric.compute(predictions=[1, 1], references=[1, 1]) == {name: 1.0}


def test_nothing_is_written_outside_the_scratch_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import evaluate

    elsewhere = tmp_path / "home"
    monkeypatch.setattr(evaluate.config, "HF_METRICS_CACHE", str(elsewhere))
    Metrics(task_for("text-classification"), 2, tmp_path / "scratch").value("f1", LABELS, ANSWERS)
    assert not elsewhere.exists()
    assert not [path for path in (tmp_path / "scratch").rglob("*") if path.is_file()]
