"""Text classification of one sentence, or of a pair of sentences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

from hubkit import statistics
from hubkit.errors import DataError, ModelError
from hubkit.records import Interval, Metric
from hubkit.tasks.base import (
    AutoClasses,
    Certainty,
    Changes,
    Encoding,
    Reference,
    Rows,
    Subset,
)
from hubkit.tasks.metrics import CLASSIFICATION, Metrics
from hubkit.tasks.subsets import certainty_of, some_inputs, some_rows
from hubkit.tasks.tokenizing import load_tokenizer

if TYPE_CHECKING:
    from hubkit.tasks.base import Arrays, Floats, Ints


class TextClassification:
    """One label for each row."""

    name = "text-classification"
    pipeline_tag = "text-classification"
    classes = AutoClasses(
        torch="AutoModelForSequenceClassification",
        onnx="ORTModelForSequenceClassification",
        neural_compressor="INCModelForSequenceClassification",
        openvino="OVModelForSequenceClassification",
    )
    required_keys: tuple[str, ...] = ("primary",)
    optional_keys: tuple[str, ...] = ("secondary",)
    reference: Reference = "label"
    metrics: Mapping[str, str] = CLASSIFICATION
    default_metrics: tuple[str, ...] = ("accuracy", "f1")
    outputs: tuple[str, ...] = ("logits",)

    def encode(self, rows: Rows, model: Path, *, max_length: int) -> Encoding:
        """Token ids of `primary`, or of the pairs (`primary`, `secondary`), exactly those of
        AutoTokenizer; arrays: labels int64[rows]."""
        import numpy as np

        tokenizer = load_tokenizer(model)
        columns = cast("Mapping[str, Sequence[str]]", rows.columns)
        tokens = tokenizer(columns["primary"], columns.get("secondary"), max_length=max_length)
        labels = rows.references
        return Encoding(
            ids=tokens.ids,
            token_types=tokens.token_types,
            input_names=tokenizer.input_names,
            pad_id=tokenizer.pad_id,
            truncated=tokens.truncated,
            arrays={} if labels is None else {"labels": np.asarray(labels, dtype=np.int64)},
        )

    def keep(
        self, outputs: Mapping[str, Floats], inputs: Ints, encoded: Arrays
    ) -> Sequence[Floats]:
        """The logits of each row, float32[1, labels]."""
        logits = outputs["logits"]
        return [logits[at : at + 1] for at in range(len(inputs))]

    def recorded(self, outputs: Mapping[str, Floats]) -> Floats:
        """The logits, float32[labels]."""
        logits: Floats = outputs["logits"][0]
        return logits

    def scorer(
        self, encoded: Arrays, rows: Rows, labels: tuple[str, ...], scratch: Path
    ) -> LabelScorer:
        """Raises DataError where a row has a label that is none of the model's."""
        return LabelScorer(encoded["labels"], labels, Metrics(self.metrics, scratch))

    def subset(self, encoded: Arrays, rows: Rows, chosen: Ints, labels: tuple[str, ...]) -> Subset:
        """Rows that all have one label are scored by accuracy alone, which is that label's recall:
        f1 and precision would be 0 or 1 by the choice of the rows, whatever the model answers."""
        truth = encoded["labels"][chosen]
        one_label = len(labels) > 1 and truth.min() == truth.max()
        return Subset(
            arrays={**some_inputs(encoded, chosen), "labels": truth},
            rows=some_rows(rows, chosen),
            kept=chosen,
            metrics=("accuracy",) if one_label else tuple(self.metrics),
        )

    def certainty(self, encoded: Arrays, kept: Floats) -> Certainty:
        """A row is a unit."""
        import numpy as np

        return certainty_of(kept, encoded["labels"], np.arange(len(kept)))


class LabelScorer:
    """Scores predicted labels, int64[rows].

    Values come from `evaluate`; f1, precision and recall are those of the last label where there
    are two, else the mean over labels. Intervals: Wilson for accuracy, else a percentile bootstrap
    over rows (2,000 resamples, seeded). The paired loss has Tango's interval for accuracy, else the
    same bootstrap with both models on the same resampled rows; p is McNemar's, exact.
    """

    unit = "row"

    def __init__(self, truth: Ints, labels: tuple[str, ...], metrics: Metrics) -> None:
        count = len(labels)
        if len(truth) and (truth.min() < 0 or truth.max() >= count):
            raise DataError(
                f"labels run from {truth.min()} to {truth.max()}, and the model has {count} of"
                " them",
                hint="Map every value of the dataset's label column under `labels` in the recipe.",
            )
        self.units = len(truth)
        self._truth, self._labels, self._metrics = truth, labels, metrics

    def answers(self, kept: Floats) -> Ints:
        """The label id with the largest logit, int64[rows]; the first of equal ones."""
        if kept.ndim != 2 or kept.shape != (self.units, len(self._labels)):
            raise ModelError(
                f"logits of shape {list(kept.shape)} for {self.units} rows and the"
                f" {len(self._labels)} labels {', '.join(self._labels)}",
                hint="The model is of another task, or its id2label is not that of its head.",
            )
        found: Ints = kept.argmax(axis=1)
        return found

    def metrics(
        self, answers: Ints, names: Sequence[str], confidence: float, reference: Ints
    ) -> tuple[Metric, ...]:
        """The named metrics, of accuracy, f1, precision and recall."""
        return tuple(self._metric(name, answers, confidence) for name in names)

    def _metric(self, name: str, answers: Ints, confidence: float) -> Metric:
        values = self._metrics.values(
            name, self._truth.tolist(), answers.tolist(), **averaging(name, len(self._labels))
        )
        if name == "accuracy":
            right = int((answers == self._truth).sum())
            interval = statistics.wilson(right, self.units, confidence)
        else:
            interval = statistics.bootstrap_metric(
                name, self._truth, answers, len(self._labels), confidence
            )
        return Metric(
            name=name,
            value=values[name],
            interval=interval,
            method="wilson" if name == "accuracy" else "bootstrap",
            confidence=confidence,
        )

    def changes(
        self, ours: Ints, baseline: Ints, metric: str, confidence: float, reference: Ints
    ) -> Changes:
        """Row by row."""
        right, was_right = ours == self._truth, baseline == self._truth
        now_right, now_wrong = int((right & ~was_right).sum()), int((was_right & ~right).sum())
        interval: Interval
        if metric == "accuracy":
            interval = statistics.paired_difference(now_wrong, now_right, self.units, confidence)
        else:
            interval = statistics.bootstrap_loss(
                metric, self._truth, baseline, ours, len(self._labels), confidence
            )
        return Changes(
            flips=int((ours != baseline).sum()),
            now_right=now_right,
            now_wrong=now_wrong,
            p=statistics.mcnemar_exact(now_right, now_wrong),
            loss_interval=interval,
        )


def averaging(name: str, labels: int) -> dict[str, str | int]:
    """The options of a metric of scikit-learn for a model with so many labels.

    Two labels: the score of the last one (POSITIVE of NEGATIVE, POSITIVE). More: the mean over
    labels, each counting alike ("macro"). accuracy takes neither.
    """
    if name == "accuracy":
        return {}
    return {"average": "binary", "pos_label": 1} if labels == 2 else {"average": "macro"}


task = TextClassification()
