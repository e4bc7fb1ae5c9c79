"""Precision, recall and F1 of entities and accuracy of words, as a module of `evaluate`.

The `seqeval` package counts, in its default mode: that of conlleval.
"""

from __future__ import annotations

import warnings

import datasets
import evaluate
from seqeval.metrics.sequence_labeling import accuracy_score, precision_recall_fscore_support


class Seqeval(evaluate.Metric):  # type: ignore[misc]  # evaluate has no types
    """Entities count as a whole; accuracy is the share of words with the right label."""

    def _info(self) -> evaluate.MetricInfo:
        labels = datasets.Sequence(datasets.Value("string"))
        return evaluate.MetricInfo(
            description="Precision, recall and F1 of entities, and accuracy of words.",
            citation="",
            inputs_description="predictions and references: for each sentence the labels of its"
            " words, such as B-PER, I-PER and O.",
            features=datasets.Features({"predictions": labels, "references": labels}),
        )

    def _compute(
        self, predictions: list[list[str]], references: list[list[str]]
    ) -> dict[str, float]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of labels without B- or I-
            precision, recall, f1, _ = precision_recall_fscore_support(
                references, predictions, average="micro", zero_division=0
            )
        return {
            "precision": float(precision),
            "recall": float(recall),
            "f1": float(f1),
            "accuracy": float(accuracy_score(references, predictions)),
        }
