"""The scores of every variant, and of each INT8 variant against its FP32 baseline row by row."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from hubkit import statistics
from hubkit.errors import DataError, ModelError
from hubkit.records import (
    Encoded,
    Interval,
    Metric,
    Paired,
    Predictions,
    Record,
    Scores,
    ScoreTable,
)
from hubkit.stage import Context, stage
from hubkit.tasks import task_for
from hubkit.tasks.metrics import Metrics

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from hubkit.tasks.base import Task

    Ints = NDArray[np.int64]


class EvaluateInput(Record):
    """The predictions of all variants on the same rows. `baselines`: variant -> the variant that it
    is compared with. `gate_metric` is scored even where `metrics` lacks it."""

    predictions: Annotated[tuple[Predictions, ...], Field(min_length=1)]
    encoded: Encoded
    task: str
    labels: tuple[str, ...]
    metrics: tuple[str, ...]
    gate_metric: str
    confidence: Annotated[float, Field(gt=0.5, lt=1)] = 0.95
    baselines: dict[str, str] = Field(default_factory=dict)


@stage(
    "evaluate",
    version=1,
    kind="heavy",
    takes=EvaluateInput,
    gives=ScoreTable,
    tools=("evaluate", "scikit-learn", "numpy"),
)
def evaluate(given: EvaluateInput, ctx: Context) -> ScoreTable:
    """Metrics with intervals for each variant, and for those with a baseline the paired picture.

    Values come from `evaluate`; f1, precision and recall are those of the last label where there
    are two, else the mean over labels. Intervals: Wilson for accuracy, else a percentile bootstrap
    over rows (2,000 resamples, seeded). The paired loss has Tango's interval for accuracy, else the
    same bootstrap with both models on the same resampled rows. Raises DataError where there are no
    rows or the predictions are of other rows, ModelError for logits that do not fit the labels.
    """
    task = task_for(given.task)
    labels = _labels(ctx.store.path(given.encoded.artifact) / "encoded.npz", len(given.labels))
    metrics = Metrics(task, len(given.labels), ctx.scratch / "evaluate")
    judged: dict[str, _Judged] = {}
    for at, one in enumerate(given.predictions):
        ctx.progress("scoring", at, len(given.predictions))
        logits = _logits(ctx.store.path(one.artifact) / "logits.npy", one, labels, given.labels)
        judged[one.variant] = _judge(given, task, metrics, labels, logits)
    ctx.progress("scoring", len(given.predictions), len(given.predictions))
    return ScoreTable(
        scores=tuple(
            Scores(
                variant=name,
                rows=len(labels),
                metrics=one.metrics,
                paired=_against(given, judged, name, labels),
            )
            for name, one in judged.items()
        )
    )


@dataclass(frozen=True)
class _Judged:
    """One variant's logits, what it predicts, and its metrics."""

    logits: NDArray[np.float32]
    predictions: Ints
    metrics: tuple[Metric, ...]

    def value(self, name: str) -> float:
        return next(metric.value for metric in self.metrics if metric.name == name)


def _labels(path: Path, count: int) -> Ints:
    import numpy as np

    with np.load(path, allow_pickle=False) as file:
        labels: Ints = file["labels"]
    if not len(labels):
        raise DataError("there are no rows to score", hint="Name another split in the recipe.")
    if labels.min() < 0 or labels.max() >= count:
        raise DataError(
            f"labels run from {labels.min()} to {labels.max()}, and the model has {count} of them",
            hint="Map every value of the dataset's label column under `labels` in the recipe.",
        )
    return labels


def _logits(
    path: Path, one: Predictions, labels: Ints, names: tuple[str, ...]
) -> NDArray[np.float32]:
    import numpy as np

    logits: NDArray[np.float32] = np.load(path, allow_pickle=False)
    if len(logits) != len(labels):
        raise DataError(
            f"{one.variant} has predictions for {len(logits)} rows, and there are {len(labels)}",
            hint="Predict the same rows that are scored.",
        )
    if logits.ndim != 2 or logits.shape[1] != len(names):
        raise ModelError(
            f"{one.variant} gives logits of shape {list(logits.shape)} for the {len(names)} labels"
            f" {', '.join(names)}",
            hint="The model is of another task, or its id2label is not that of its head.",
        )
    if not np.isfinite(logits).all():
        raise ModelError(f"{one.variant} gives logits that are not finite numbers")
    return logits


def _judge(
    given: EvaluateInput, task: Task, metrics: Metrics, labels: Ints, logits: NDArray[np.float32]
) -> _Judged:
    predictions = task.predictions(logits)
    names = dict.fromkeys((*given.metrics, given.gate_metric))
    found = (_metric(name, given, metrics, labels, predictions) for name in names)
    return _Judged(logits, predictions, tuple(found))


def _metric(
    name: str, given: EvaluateInput, metrics: Metrics, labels: Ints, predictions: Ints
) -> Metric:
    value, rows = metrics.value(name, labels, predictions), len(labels)
    if name == "accuracy":
        right = int((predictions == labels).sum())
        interval = statistics.wilson(right, rows, given.confidence)
    else:
        interval = statistics.bootstrap_metric(
            name, labels, predictions, len(given.labels), given.confidence
        )
    return Metric(
        name=name,
        value=value,
        interval=interval,
        method="wilson" if name == "accuracy" else "bootstrap",
        confidence=given.confidence,
    )


def _against(
    given: EvaluateInput, judged: Mapping[str, _Judged], name: str, labels: Ints
) -> Paired | None:
    """The paired picture of a variant; None where it has no baseline."""
    import numpy as np

    if name not in given.baselines:
        return None
    baseline = given.baselines[name]
    if baseline not in judged:
        raise DataError(f"{name} cannot be compared: there are no predictions of {baseline}")
    ours, theirs = judged[name], judged[baseline]
    right, was_right = ours.predictions == labels, theirs.predictions == labels
    now_right, now_wrong = int((right & ~was_right).sum()), int((was_right & ~right).sum())
    difference = np.abs(ours.logits.astype(np.float64) - theirs.logits.astype(np.float64))
    return Paired(
        baseline=baseline,
        flips=int((ours.predictions != theirs.predictions).sum()),
        now_right=now_right,
        now_wrong=now_wrong,
        mcnemar_p=statistics.mcnemar_exact(now_right, now_wrong),
        loss=theirs.value(given.gate_metric) - ours.value(given.gate_metric),
        loss_interval=_loss_interval(
            given, labels, theirs.predictions, ours.predictions, (now_wrong, now_right)
        ),
        max_abs_logit_diff=float(difference.max()),
        mean_abs_logit_diff=float(difference.mean()),
    )


def _loss_interval(
    given: EvaluateInput, labels: Ints, baseline: Ints, ours: Ints, changed: tuple[int, int]
) -> Interval:
    if given.gate_metric == "accuracy":
        return statistics.paired_difference(*changed, len(labels), given.confidence)
    return statistics.bootstrap_loss(
        given.gate_metric, labels, baseline, ours, len(given.labels), given.confidence
    )
