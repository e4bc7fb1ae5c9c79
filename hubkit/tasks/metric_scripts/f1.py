"""F1 as a module of `evaluate`; `average` and `pos_label` are scikit-learn's."""

from __future__ import annotations

import datasets
import evaluate
from sklearn.metrics import f1_score


class F1(evaluate.Metric):  # type: ignore[misc]  # evaluate has no types
    """The harmonic mean of precision and recall."""

    def _info(self) -> evaluate.MetricInfo:
        label = datasets.Value("int32")
        return evaluate.MetricInfo(
            description="The harmonic mean of precision and recall.",
            citation="",
            inputs_description="predictions and references: lists of label ids.",
            features=datasets.Features({"predictions": label, "references": label}),
        )

    def _compute(
        self,
        predictions: list[int],
        references: list[int],
        average: str = "binary",
        pos_label: int = 1,
    ) -> dict[str, float]:
        # pos_label counts for "binary" alone; 0 where nothing would be divided by nothing.
        value = f1_score(
            references, predictions, average=average, pos_label=pos_label, zero_division=0
        )
        return {"f1": float(value)}
