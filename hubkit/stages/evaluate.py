"""The scores of every variant, and of each INT8 variant against its FP32 baseline unit by unit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from hubkit.errors import DataError, ModelError
from hubkit.records import (
    Dataset,
    Encoded,
    Metric,
    Paired,
    Predictions,
    Record,
    Scores,
    ScoreTable,
)
from hubkit.stage import Context, Progress, no_progress, stage
from hubkit.stages.split_rows import read_rows
from hubkit.tasks import task_for
from hubkit.tasks.base import Rows

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from hubkit.tasks.base import Arrays, Floats, Scorer


class EvaluateInput(Record):
    """The predictions of all variants on the same rows. `baselines`: variant -> the variant that it
    is compared with. `gate_metric` is scored even where `metrics` lacks it. `dataset`: needed
    by the tasks without labels, which look at the texts of the rows."""

    predictions: Annotated[tuple[Predictions, ...], Field(min_length=1)]
    encoded: Encoded
    dataset: Dataset | None = None
    task: str
    labels: tuple[str, ...]
    metrics: tuple[str, ...]
    gate_metric: str
    confidence: Annotated[float, Field(gt=0.5, lt=1)] = 0.95
    baselines: dict[str, str] = Field(default_factory=dict)


@stage(
    "evaluate",
    version=2,
    kind="heavy",
    takes=EvaluateInput,
    gives=ScoreTable,
    tools=("evaluate", "scikit-learn", "seqeval", "numpy"),
)
def evaluate(given: EvaluateInput, ctx: Context) -> ScoreTable:
    """Metrics with intervals for each variant, and for those with a baseline the paired picture.

    How they are scored, and on what their intervals rest, is the task's: see the scorers in
    hubkit/tasks. What has no labels is scored against the FP32 model, which is the baseline that
    has none itself. Raises DataError where there are no rows or the predictions are of other rows,
    ModelError for outputs that do not fit the labels.
    """
    if not given.encoded.rows:
        raise DataError("there are no rows to score", hint="Name another split in the recipe.")
    outputs = read_outputs(given, ctx)
    return ScoreTable(scores=score_outputs(given, outputs, ctx.scratch / "evaluate", ctx.progress))


@dataclass(frozen=True)
class Outputs:
    """What several variants gave for the same rows. `arrays`: of encoded.npz; `rows`: as
    `Task.scorer` takes them; `kept`: variant -> what its task keeps, input after input."""

    arrays: Arrays
    rows: Rows
    kept: Mapping[str, Floats]
    number: int  # of rows


def read_outputs(given: EvaluateInput, ctx: Context) -> Outputs:
    """The predictions and what they are scored by. Raises DataError where they are of other rows,
    ModelError where they are not finite."""
    import numpy as np

    path = ctx.store.path(given.encoded.artifact) / "encoded.npz"
    with np.load(path, allow_pickle=False) as file:
        arrays: Arrays = dict(file)
    rows = Rows(columns={}, references=None)  # labels are among the arrays
    if task_for(given.task).reference in ("answers", "none"):
        if given.dataset is None:
            raise DataError(f"{given.task} is scored on the texts of the rows: name their dataset")
        rows = read_rows(ctx.store.path(given.dataset.artifact), "eval")
    kept = {
        one.variant: _kept(ctx.store.path(one.artifact) / "logits.npy", one, given.encoded)
        for one in given.predictions
    }
    return Outputs(arrays, rows, kept, given.encoded.rows)


def score_outputs(
    given: EvaluateInput, outputs: Outputs, scratch: Path, progress: Progress = no_progress
) -> tuple[Scores, ...]:
    """The scores of every variant on these rows, by the metrics, baselines and confidence of
    `given`."""
    scorer = task_for(given.task).scorer(outputs.arrays, outputs.rows, given.labels, scratch)
    judged = {
        name: _Judged(kept, _answers(scorer, name, kept)) for name, kept in outputs.kept.items()
    }
    scores = []
    for at, name in enumerate(judged):
        progress("scoring", at, len(judged))
        scores.append(_scores(given, scorer, judged, name, outputs.number))
    progress("scoring", len(judged), len(judged))
    by_name = {one.variant: one for one in scores}
    return tuple(
        one.model_copy(update={"paired": _against(given, scorer, judged, by_name, one)})
        for one in scores
    )


@dataclass(frozen=True)
class _Judged:
    """What was kept of one variant's outputs, and its answers."""

    kept: NDArray[np.float32]
    answers: object


def _kept(path: Path, one: Predictions, encoded: Encoded) -> Floats:
    import numpy as np

    if one.rows != encoded.rows:
        raise DataError(
            f"{one.variant} has predictions for {one.rows} rows, and there are {encoded.rows}",
            hint="Predict the same rows that are scored.",
        )
    kept: Floats = np.load(path, allow_pickle=False)
    if not np.isfinite(kept).all():
        raise ModelError(f"{one.variant} gives logits that are not finite numbers")
    return kept


def _answers(scorer: Scorer[object], variant: str, kept: Floats) -> object:
    try:
        return scorer.answers(kept)
    except ModelError as error:
        raise ModelError(f"{variant}: {error.message}", hint=error.hint) from error


def _scores(
    given: EvaluateInput,
    scorer: Scorer[object],
    judged: Mapping[str, _Judged],
    name: str,
    rows: int,
) -> Scores:
    names = tuple(dict.fromkeys((*given.metrics, given.gate_metric)))
    reference = _reference(given, judged, name)
    metrics = scorer.metrics(judged[name].answers, names, given.confidence, reference)
    return Scores(variant=name, rows=rows, metrics=metrics)


def _reference(given: EvaluateInput, judged: Mapping[str, _Judged], name: str) -> object:
    """The answers of the FP32 model: where the way from baseline to baseline ends."""
    seen = [name]
    while (following := given.baselines.get(seen[-1], "")) in judged and following not in seen:
        seen.append(following)
    return judged[seen[-1]].answers


def _value(metrics: tuple[Metric, ...], name: str) -> float:
    return next(metric.value for metric in metrics if metric.name == name)


def _against(
    given: EvaluateInput,
    scorer: Scorer[object],
    judged: Mapping[str, _Judged],
    scores: Mapping[str, Scores],
    one: Scores,
) -> Paired | None:
    """The paired picture of a variant; None where it has no baseline."""
    import numpy as np

    name, gate = one.variant, given.gate_metric
    if name not in given.baselines:
        return None
    baseline = given.baselines[name]
    if baseline not in judged:
        raise DataError(f"{name} cannot be compared: there are no predictions of {baseline}")
    ours, theirs = judged[name], judged[baseline]
    changes = scorer.changes(
        ours.answers, theirs.answers, gate, given.confidence, _reference(given, judged, name)
    )
    difference = np.abs(ours.kept.astype(np.float64) - theirs.kept.astype(np.float64))
    return Paired(
        baseline=baseline,
        flips=changes.flips,
        now_right=changes.now_right,
        now_wrong=changes.now_wrong,
        mcnemar_p=changes.p,
        loss=_value(scores[baseline].metrics, gate) - _value(one.metrics, gate),
        loss_interval=changes.loss_interval,
        max_abs_logit_diff=float(difference.max()),
        mean_abs_logit_diff=float(difference.mean()),
        unit=scorer.unit,
        units=None if scorer.unit == "row" else scorer.units,
    )
