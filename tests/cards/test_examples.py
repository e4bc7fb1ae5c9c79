"""The example's numbers are those that hubkit's own stages give for its answers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hubkit.records import Predictions
from hubkit.stage import Context
from hubkit.stages.evaluate import EvaluateInput, evaluate
from hubkit.store import Store
from tests.cards.answers import Ints, fp32_outcome
from tests.cards.examples import make_recipe, make_report

CHANGES = {
    "pytorch-fp32": (0, 0),
    "onnx-fp32": (0, 0),
    "onnx-int8-dynamic": (13, 14),
    "onnx-int8-static": (41, 44),
    "pytorch-int8-static": (21, 25),
}


def test_the_scores_are_those_of_the_stage(tmp_path: Path) -> None:
    pytest.importorskip("evaluate")
    store, report = Store(tmp_path / "store"), make_report()
    ctx = Context(store=store, scratch=tmp_path)

    def predictions(name: str, answers: Ints) -> Predictions:
        with store.scratch() as scratch:
            (scratch / "made").mkdir()
            logits = np.eye(2, dtype=np.float32)[answers]
            np.save(scratch / "made" / "logits.npy", logits)
            return Predictions(
                variant=name, artifact=store.adopt(scratch / "made"), rows=len(answers)
            )

    (tmp_path / "encoded").mkdir()
    np.savez(tmp_path / "encoded" / "encoded.npz", labels=fp32_outcome().labels)
    encoded = report.encoded.model_copy(update={"artifact": store.adopt(tmp_path / "encoded")})
    answers = {
        name: fp32_outcome().changed(*change).predictions for name, change in CHANGES.items()
    }
    baselines = {s.variant: s.paired.baseline for s in report.scores if s.paired}
    table = evaluate(
        EvaluateInput(
            predictions=tuple(predictions(name, one) for name, one in answers.items()),
            encoded=encoded,
            task="text-classification",
            labels=report.base.labels,
            metrics=make_recipe().evaluation.metrics,
            gate_metric=make_recipe().gates.metric,
            confidence=0.95,
            baselines=baselines,
        ),
        ctx,
    )
    made_up = {"max_abs_logit_diff": 0.0, "mean_abs_logit_diff": 0.0}
    for found, shown in zip(table.scores, report.scores, strict=True):
        assert found.metrics == shown.metrics
        both = [s.paired and s.paired.model_copy(update=made_up) for s in (found, shown)]
        assert both[0] == both[1]


def test_every_model_is_compared_with_fp32_of_its_own_format() -> None:
    report = make_report()
    for scores in report.scores:
        variant = report.variant(scores.variant)
        if scores.paired and variant.precision == "int8":
            assert scores.paired.baseline == f"{variant.format}-fp32"
    compared = {s.variant: s.paired.baseline for s in report.scores if s.paired}
    assert compared["onnx-fp32"] == "pytorch-fp32"
    assert "pytorch-fp32" not in compared
