"""The stage `evaluate`: values, intervals, the paired picture, and what does not fit."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import f1_score

from hubkit import statistics
from hubkit.errors import DataError, ModelError
from hubkit.records import ScoreTable
from hubkit.stages.evaluate import EvaluateInput, evaluate
from hubkit.store import Store
from tests.stages.evaluation_data import context, encoded, predictions

Logits = Sequence[Sequence[float]]
LABELS = [0, 1, 1, 0, 1, 0, 1, 1]
FP32: list[list[float]] = [
    [2, -1],
    [-1, 2],
    [0, 1],
    [1, 0],
    [1, 0],
    [3, 1],
    [0, 2],
    [1, 0.5],
]  # 6 right: not 4, 7
# Row 2 becomes wrong, row 7 right, all else stays; the largest difference is row 7's 1.5.
INT8: list[list[float]] = [[2, -1], [-1, 2], [0.5, 0.25], [1, 0], [1, 0], [3, 1], [0, 2], [1, 2]]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def _evaluate(
    store: Store,
    logits: dict[str, Logits],
    labels: Sequence[int] = LABELS,
    *,
    names: tuple[str, ...] = ("NEGATIVE", "POSITIVE"),
    metrics: tuple[str, ...] = ("accuracy", "f1"),
    gate: str = "accuracy",
    baselines: dict[str, str] | None = None,
    confidence: float = 0.95,
) -> ScoreTable:
    given = EvaluateInput(
        predictions=tuple(predictions(store, name, rows) for name, rows in logits.items()),
        encoded=encoded(store, [[1]] * len(labels), labels),
        task="text-classification",
        labels=names,
        metrics=metrics,
        gate_metric=gate,
        confidence=confidence,
        baselines=baselines or {},
    )
    with context(store) as ctx:
        return evaluate(given, ctx)


def test_a_variant_against_its_baseline(store: Store) -> None:
    table = _evaluate(store, {"fp32": FP32, "int8": INT8}, baselines={"int8": "fp32"})
    fp32, int8 = table.scores
    assert (fp32.variant, int8.variant, fp32.rows) == ("fp32", "int8", 8)
    assert fp32.paired is None
    assert [m.name for m in int8.metrics] == ["accuracy", "f1"]
    accuracy, f1 = int8.metrics
    assert (accuracy.value, accuracy.method) == (0.75, "wilson")
    assert accuracy.interval == statistics.wilson(6, 8)
    assert f1.method == "bootstrap"
    assert f1.value == pytest.approx(f1_score(LABELS, np.argmax(INT8, axis=1)))
    assert f1.interval.low < f1.value < f1.interval.high
    paired = int8.paired
    assert paired is not None
    assert (paired.baseline, paired.flips, paired.now_right, paired.now_wrong) == ("fp32", 2, 1, 1)
    assert (paired.mcnemar_p, paired.loss) == (1.0, 0.0)
    assert paired.loss_interval == statistics.paired_difference(1, 1, 8)
    assert paired.max_abs_logit_diff == 1.5
    assert paired.mean_abs_logit_diff == pytest.approx((0.5 + 0.75 + 1.5) / 16)


def test_a_loss_is_positive_and_its_signs_agree(store: Store) -> None:
    right = [[1.0 - label, float(label)] for label in LABELS * 10]
    worse = [[0.0, 1.0]] * 80
    table = _evaluate(store, {"a": worse, "b": right}, LABELS * 10, baselines={"a": "b", "b": "a"})
    lost, won = (score.paired for score in table.scores)
    assert lost is not None
    assert won is not None
    assert (lost.now_right, lost.now_wrong, lost.loss) == (0, 30, 0.375)
    assert 0 < lost.loss_interval.low < 0.375 < lost.loss_interval.high
    assert won.loss == -0.375
    assert won.loss_interval.high == pytest.approx(-lost.loss_interval.low)
    assert lost.mcnemar_p == pytest.approx(stats.binomtest(0, 30).pvalue)


def test_flips_between_wrong_labels_change_neither_side(store: Store) -> None:
    one, other = [[0, 1, 0.0]] * 4, [[0, 0, 1.0]] * 4
    table = _evaluate(
        store, {"one": one, "other": other}, [0] * 4, names=("a", "b", "c"),
        baselines={"other": "one"},
    )  # fmt: skip
    paired = table.scores[1].paired
    assert paired is not None
    assert (paired.flips, paired.now_right, paired.now_wrong, paired.mcnemar_p) == (4, 0, 0, 1.0)


def test_the_gate_s_metric_is_scored_and_compared_by_bootstrap(store: Store) -> None:
    random = np.random.default_rng(3)
    labels = random.integers(0, 3, 300)
    fp32 = np.eye(3)[labels] + random.normal(0, 0.5, (300, 3))
    int8 = fp32 + random.normal(0, 0.1, (300, 3))
    table = _evaluate(
        store,
        {"fp32": fp32.tolist(), "int8": int8.tolist()},
        labels.tolist(),
        names=("a", "b", "c"),
        metrics=("accuracy",),
        gate="f1",
        baselines={"int8": "fp32"},
    )
    assert [m.name for m in table.scores[1].metrics] == ["accuracy", "f1"]
    paired = table.scores[1].paired
    assert paired is not None
    values = [f1_score(labels, x.argmax(axis=1), average="macro") for x in (fp32, int8)]
    assert table.scores[1].metrics[1].value == pytest.approx(values[1])
    assert paired.loss == pytest.approx(values[0] - values[1])
    assert paired.loss_interval.low <= paired.loss <= paired.loss_interval.high


def test_more_confidence_is_a_wider_interval(store: Store) -> None:
    widths = []
    for confidence in (0.8, 0.95):
        table = _evaluate(store, {"fp32": FP32}, confidence=confidence)
        for metric in table.scores[0].metrics:
            assert metric.confidence == confidence
            widths.append(metric.interval.high - metric.interval.low)
    assert widths[0] < widths[2]
    assert widths[1] < widths[3]


def test_equal_input_gives_an_equal_record(store: Store) -> None:
    logits: dict[str, Logits] = {"fp32": FP32, "int8": INT8}
    first = _evaluate(store, logits, gate="f1", baselines={"int8": "fp32"})
    assert _evaluate(store, logits, gate="f1", baselines={"int8": "fp32"}) == first


def test_no_rows_is_an_error(store: Store) -> None:
    with pytest.raises(DataError, match="no rows to score"):
        _evaluate(store, {"fp32": np.zeros((0, 2)).tolist()}, [])


@pytest.mark.parametrize("label", [-1, 2])
def test_labels_outside_the_model_s_are_an_error(store: Store, label: int) -> None:
    with pytest.raises(DataError, match="the model has 2 of them") as raised:
        _evaluate(store, {"fp32": FP32}, [*LABELS[:-1], label])
    assert "labels" in raised.value.hint


def test_predictions_of_other_rows_are_an_error(store: Store) -> None:
    with pytest.raises(DataError, match="int8 has predictions for 7 rows, and there are 8"):
        _evaluate(store, {"fp32": FP32, "int8": INT8[:7]})


def test_a_head_with_other_labels_is_an_error(store: Store) -> None:
    with pytest.raises(
        ModelError, match=r"int8: logits of shape \[8, 3\] for 8 rows and the 2 labels"
    ):
        _evaluate(store, {"fp32": FP32, "int8": [[0, 0, 1]] * 8})


@pytest.mark.parametrize("bad", [float("nan"), float("-inf")])
def test_logits_that_are_no_numbers_name_the_variant(store: Store, bad: float) -> None:
    with pytest.raises(ModelError, match="int8 gives logits that are not finite"):
        _evaluate(store, {"fp32": FP32, "int8": [*INT8[:7], [0, bad]]})


def test_a_missing_baseline_is_an_error(store: Store) -> None:
    with pytest.raises(DataError, match="no predictions of fp32"):
        _evaluate(store, {"int8": INT8}, baselines={"int8": "fp32"})
