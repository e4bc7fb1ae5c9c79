"""Metrics are computed by `evaluate` from shipped modules, offline."""

from __future__ import annotations

from pathlib import Path

import pytest
from sklearn.metrics import f1_score, precision_score

from hubkit.tasks import task_for
from hubkit.tasks.metrics import CLASSIFICATION, SCRIPTS, Metrics
from hubkit.tasks.text_classification import averaging

LABELS = [0, 1, 1, 0, 1, 1]
ANSWERS = [0, 1, 0, 1, 1, 1]


def _value(scratch: Path, name: str, labels: list[int], answers: list[int], count: int) -> float:
    metrics = Metrics(CLASSIFICATION, scratch)
    return metrics.values(name, labels, answers, **averaging(name, count))[name]


@pytest.mark.parametrize(
    ("name", "value"), [("accuracy", 4 / 6), ("f1", 0.75), ("precision", 0.75), ("recall", 0.75)]
)
def test_two_labels_score_the_last_one(tmp_path: Path, name: str, value: float) -> None:
    assert _value(tmp_path, name, LABELS, ANSWERS, 2) == pytest.approx(value)
    # The last label, not the first: with the labels exchanged precision is another.
    if name == "precision":
        exchanged = [1 - label for label in LABELS], [1 - label for label in ANSWERS]
        assert _value(tmp_path, name, *exchanged, 2) == pytest.approx(0.5)


def test_more_labels_are_averaged_alike(tmp_path: Path) -> None:
    labels, answers = [0, 1, 2, 2, 1, 0], [0, 2, 2, 2, 1, 1]
    assert _value(tmp_path, "f1", labels, answers, 3) == pytest.approx(
        f1_score(labels, answers, average="macro")
    )
    assert _value(tmp_path, "precision", labels, answers, 3) == pytest.approx(
        precision_score(labels, answers, average="macro")
    )


def test_entities_are_scored_as_a_whole(tmp_path: Path) -> None:
    metrics = Metrics(task_for("token-classification").metrics, tmp_path)
    truth = [["B-PER", "I-PER", "O", "B-ORG"], ["O"]]
    answers = [["B-PER", "O", "O", "B-ORG"], ["B-ORG"]]
    assert metrics.values("f1", truth, answers) == {
        "precision": 1 / 3,
        "recall": 1 / 2,
        "f1": pytest.approx(0.4),
        "accuracy": 3 / 5,
    }
    nothing = metrics.values("f1", [["O", "O"]], [["O", "O"]])
    assert nothing == {"precision": 0.0, "recall": 0.0, "f1": 0.0, "accuracy": 1.0}


@pytest.mark.usefixtures("own_modules")
def test_scripts_load_by_path_without_a_hub(tmp_path: Path) -> None:
    import evaluate

    for name in CLASSIFICATION:
        metric = evaluate.load(str(SCRIPTS / f"{name}.py"), cache_dir=str(tmp_path))
        assert metric.compute(predictions=[1, 1], references=[1, 1]) == {name: 1.0}
    metric = evaluate.load(str(SCRIPTS / "seqeval.py"), cache_dir=str(tmp_path))
    assert metric.compute(predictions=[["B-PER"]], references=[["B-PER"]])["f1"] == 1.0


def test_nothing_is_written_outside_the_scratch_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import evaluate

    elsewhere = tmp_path / "home"
    monkeypatch.setattr(evaluate.config, "HF_METRICS_CACHE", str(elsewhere))
    _value(tmp_path / "scratch", "f1", LABELS, ANSWERS, 2)
    assert not elsewhere.exists()
    assert not [path for path in (tmp_path / "scratch").rglob("*") if path.is_file()]
