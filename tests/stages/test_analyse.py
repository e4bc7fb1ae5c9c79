"""The stage `analyse`: each slice is scored as it would be alone, by what means something."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from hubkit import statistics
from hubkit.analysis_records import Analyses, SliceResult
from hubkit.errors import DataError
from hubkit.recipe_analyses import LengthRange, Slice
from hubkit.stages.analyse import AnalyseInput, analyse
from hubkit.stages.evaluate import EvaluateInput, evaluate
from hubkit.store import Store
from tests.stages.evaluation_data import context, dataset, encoded, predictions

NAMES = ("NEGATIVE", "POSITIVE")
ROWS = 60
LABELS = [at % 2 for at in range(ROWS)]
TEXTS = [f"{'not ' if at % 5 == 0 else ''}film {at}" for at in range(ROWS)]
GROUPS = ["a|b\n`c`" if at % 3 == 0 else None if at % 3 == 1 else "plain" for at in range(ROWS)]
TOKENS = [[1] * (3 + at // 10) for at in range(ROWS)]


def _logits(wrong: Sequence[int]) -> list[list[float]]:
    """Right but for some rows."""
    sure = [[1.0 - label, float(label)] for label in LABELS]
    return [row[::-1] if at in wrong else row for at, row in enumerate(sure)]


FP32, INT8 = _logits([1, 7, 20]), _logits([1, 5, 10, 15, 20, 25])


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def _given(store: Store, slices: Sequence[Slice], **changes: object) -> AnalyseInput:
    data = dataset(store, eval={"primary": TEXTS, "label": LABELS, "group:g": GROUPS})
    given = AnalyseInput(
        predictions=(predictions(store, "fp32", FP32), predictions(store, "int8", INT8)),
        encoded=encoded(store, TOKENS, LABELS),
        dataset=data,
        task="text-classification",
        labels=NAMES,
        metrics=("accuracy", "f1"),
        gate_metric="accuracy",
        baselines={"int8": "fp32"},
        slices=tuple(slices),
    )
    return given.model_copy(update=changes)


def _run(store: Store, given: AnalyseInput) -> Analyses:
    with context(store) as ctx:
        return analyse(given, ctx)


def _named(found: Analyses) -> dict[str, SliceResult]:
    return {one.name: one for one in found.slices}


NEGATION = Slice(name="negation", pattern=r"\bnot\b")


def test_a_slice_is_scored_as_its_rows_alone_would_be(store: Store) -> None:
    (one,) = _run(store, _given(store, [NEGATION])).slices
    rows = [at for at in range(ROWS) if at % 5 == 0]
    alone = EvaluateInput(
        predictions=tuple(
            predictions(store, name, [logits[at] for at in rows])
            for name, logits in (("fp32", FP32), ("int8", INT8))
        ),
        encoded=encoded(store, [TOKENS[at] for at in rows], [LABELS[at] for at in rows]),
        task="text-classification",
        labels=NAMES,
        metrics=("accuracy", "f1"),
        gate_metric="accuracy",
        baselines={"int8": "fp32"},
    )
    with context(store) as ctx:
        assert one.scores == evaluate(alone, ctx).scores
    assert (one.rows, one.metric) == (12, "accuracy")
    paired = one.scores[1].paired
    assert paired is not None
    assert (paired.flips, paired.now_right, paired.now_wrong) == (4, 0, 4)
    assert paired.loss == pytest.approx(4 / 12)
    assert paired.mcnemar_p == statistics.mcnemar_exact(0, 4)


def test_all_rows_are_a_slice_like_the_whole(store: Store) -> None:
    given = _given(store, [Slice(name="all", length=LengthRange(at_least=1))])
    (one,) = _run(store, given).slices
    fields = EvaluateInput.model_fields
    with context(store) as ctx:
        whole = evaluate(EvaluateInput(**{name: getattr(given, name) for name in fields}), ctx)
    assert one.scores == whole.scores


@pytest.mark.parametrize("gate", ["accuracy", "f1"])
def test_of_one_label_only_its_recall_is_scored(store: Store, gate: str) -> None:
    wanted = [Slice(name="neg", label="NEGATIVE"), Slice(name="pos", label="POSITIVE"), NEGATION]
    given = _given(store, wanted, gate_metric=gate)
    found = _named(_run(store, given))
    for name, label in (("neg", 0), ("pos", 1)):
        one, rows = found[name], [at for at in range(ROWS) if LABELS[at] == label]
        assert one.metric == "accuracy"
        for scores, logits in zip(one.scores, (FP32, INT8), strict=True):
            assert [metric.name for metric in scores.metrics] == ["accuracy"]
            recall = np.mean([np.argmax(logits[at]) == label for at in rows])
            assert scores.metrics[0].value == pytest.approx(recall)
        paired = one.scores[1].paired
        assert paired is not None
        values = [scores.metrics[0].value for scores in one.scores]
        assert paired.loss == pytest.approx(values[0] - values[1])
    assert found["negation"].metric == gate
    assert [m.name for m in found["negation"].scores[0].metrics] == ["accuracy", "f1"]


def test_a_slice_without_rows_has_no_scores(store: Store) -> None:
    (one,) = _run(store, _given(store, [Slice(name="none", pattern="^$")])).slices
    assert (one.rows, one.scores, one.metric) == (0, (), None)


def test_group_columns_survive_as_they_are(store: Store) -> None:
    found = _run(store, _given(store, [NEGATION], group_columns=("g",)))
    assert [one.name for one in found.slices] == ["negation", "g=a|b\n`c`", "g=plain"]
    assert [one.rows for one in found.slices] == [12, 20, 20]
    assert found.without_group == {"g": 20}
    assert Analyses.model_validate_json(found.model_dump_json()) == found
    with pytest.raises(DataError, match="without the column h"):
        _run(store, _given(store, [], group_columns=("h",)))


def test_reliability_of_every_variant(store: Store) -> None:
    found = _run(store, _given(store, []))
    assert [one.variant for one in found.reliability] == ["fp32", "int8"]
    sure = 1 / (1 + np.exp(-1))
    for one, wrong in zip(found.reliability, (3, 6), strict=True):
        assert one.ece == pytest.approx(abs(1 - wrong / ROWS - sure), abs=1e-6)
        assert (one.units, one.confidence) == (ROWS, 0.95)


def test_equal_input_gives_equal_bytes(store: Store) -> None:
    wanted = [NEGATION, Slice(name="neg", label="NEGATIVE")]
    one, other = (
        _run(store, _given(store, wanted, group_columns=("g",), gate_metric="f1")) for _ in range(2)
    )
    assert one.model_dump_json() == other.model_dump_json()


def test_no_rows_and_unknown_labels_are_errors(store: Store) -> None:
    given = _given(store, [Slice(name="x", label="NEUTRAL")])
    with pytest.raises(DataError, match="label NEUTRAL"):
        _run(store, given)
    none = given.encoded.model_copy(update={"rows": 0})
    with pytest.raises(DataError, match="no rows to score"):
        _run(store, given.model_copy(update={"encoded": none}))
