"""Answers to 1,000 rows, made up, and the scores that hubkit would give them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hubkit import statistics
from hubkit.records import Metric, Paired, Scores

Ints = NDArray[np.int64]


def fp32_outcome() -> Outcome:
    """The answers of both FP32 models: 866 of 1,000 are right."""
    labels = np.repeat([1, 0], [512, 488])
    predictions = np.concatenate([np.repeat([1, 0], [450, 62]), np.repeat([0, 1], [416, 72])])
    return Outcome(labels, predictions)


@dataclass(frozen=True)
class Outcome:
    """True and predicted class of each of 1,000 rows."""

    labels: Ints
    predictions: Ints

    @property
    def right(self) -> NDArray[np.bool_]:
        right: NDArray[np.bool_] = self.labels == self.predictions
        return right

    def changed(self, now_right: int, now_wrong: int) -> Outcome:
        """The same, but so many of the wrong answers are right, and of the right ones wrong."""
        flipped = [*spread(~self.right, now_right), *spread(self.right, now_wrong)]
        predictions = self.predictions.copy()
        predictions[flipped] = 1 - predictions[flipped]
        return Outcome(self.labels, predictions)

    def metrics(self) -> tuple[Metric, ...]:
        rows, right = len(self.labels), int(self.right.sum())
        hits = int((self.right & (self.labels == 1)).sum())
        f1 = 2 * hits / int((self.labels == 1).sum() + (self.predictions == 1).sum())
        return (
            Metric(
                name="accuracy",
                value=right / rows,
                interval=statistics.wilson(right, rows),
                method="wilson",
                confidence=0.95,
            ),
            Metric(
                name="f1",
                value=f1,
                interval=statistics.bootstrap_metric("f1", self.labels, self.predictions, 2),
                method="bootstrap",
                confidence=0.95,
            ),
        )


def spread(among: NDArray[np.bool_], count: int) -> list[int]:
    """`count` of the rows in `among`, evenly from the first to the last."""
    rows = np.flatnonzero(among)
    return [int(rows[i * len(rows) // count]) for i in range(count)]


def compared(
    name: str, baseline: str, now_right: int, now_wrong: int, largest: float, mean: float
) -> Scores:
    """The scores that `hubkit.stages.evaluate` gives for such changes against an FP32 model. Both
    of these get the same rows right."""
    before = fp32_outcome()
    after = before.changed(now_right, now_wrong)
    rows = len(after.labels)
    paired = Paired(
        baseline=baseline,
        flips=int((after.predictions != before.predictions).sum()),
        now_right=now_right,
        now_wrong=now_wrong,
        mcnemar_p=statistics.mcnemar_exact(now_right, now_wrong),
        loss=before.metrics()[0].value - after.metrics()[0].value,
        loss_interval=statistics.paired_difference(now_wrong, now_right, rows),
        max_abs_logit_diff=largest,
        mean_abs_logit_diff=mean,
    )
    return Scores(variant=name, rows=rows, metrics=after.metrics(), paired=paired)
