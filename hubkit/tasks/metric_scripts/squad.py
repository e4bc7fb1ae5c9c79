"""Exact match and F1 of extracted answers as a module of `evaluate`, as shares (0.88, not 88)."""

from __future__ import annotations

from statistics import fmean

import datasets
import evaluate

from hubkit.tasks.squad import accepted_forms, exact_match, f1, normalized

_WHAT = "The shares of answers that match an accepted one, and of the words that they share with it"


class Squad(evaluate.Metric):  # type: ignore[misc]  # evaluate has no types
    """The means over the rows of exact match and of F1, each the best over the accepted answers."""

    def _info(self) -> evaluate.MetricInfo:
        text = datasets.Value("string")
        return evaluate.MetricInfo(
            description=f"{_WHAT} (F1), 0 to 1.",
            citation="",
            inputs_description="predictions: texts, empty for none. references: for each the list"
            " of accepted texts, empty where there is no answer.",
            features=datasets.Features(
                {"predictions": text, "references": datasets.Sequence(text)}
            ),
        )

    def _compute(self, predictions: list[str], references: list[list[str]]) -> dict[str, float]:
        answers = [normalized(answer) for answer in predictions]
        rows = list(zip(answers, map(accepted_forms, references), strict=True))
        return {
            "exact_match": fmean(exact_match(*row) for row in rows),
            "f1": fmean(f1(*row) for row in rows),
        }
