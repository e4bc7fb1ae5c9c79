"""Extractive question answering: the answer is a part of the context."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

from hubkit import statistics
from hubkit.errors import DataError, ModelError
from hubkit.records import Interval, Metric
from hubkit.tasks import squad
from hubkit.tasks.base import AutoClasses, Changes, Encoding, Reference, Rows, Subset
from hubkit.tasks.metrics import Metrics
from hubkit.tasks.resampling import bootstrap_mean
from hubkit.tasks.spans import Layout, best_spans, null_scores
from hubkit.tasks.subsets import gathered, some_inputs, some_rows
from hubkit.tasks.windows import windows

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from hubkit.tasks.base import Arrays, Floats, Ints

_METRIC = "hubkit.tasks.metric_scripts.squad:Squad"
# In the arrays of a subset: whether a model may answer nothing. That must not depend on which rows
# are among the chosen ones.
_MAY_BE_EMPTY = "may_be_empty"
_WRONG_HEAD = "The model is of another task: question answering has start and end logits."


class QuestionAnswering:
    """A question and a context; the answer is a span of the context, or nothing where the data has
    questions without an answer."""

    name = "question-answering"
    pipeline_tag = "question-answering"
    classes = AutoClasses(
        torch="AutoModelForQuestionAnswering",
        onnx="ORTModelForQuestionAnswering",
        neural_compressor="INCModelForQuestionAnswering",
        openvino="OVModelForQuestionAnswering",
    )
    required_keys: tuple[str, ...] = ("question", "context")
    optional_keys: tuple[str, ...] = ()
    reference: Reference = "answers"
    metrics: Mapping[str, str] = {"f1": _METRIC, "exact_match": _METRIC}
    default_metrics: tuple[str, ...] = ("f1", "exact_match")
    outputs: tuple[str, ...] = ("start_logits", "end_logits")

    def encode(self, rows: Rows, model: Path, *, max_length: int) -> Encoding:
        """An input for each window of `hubkit.tasks.windows`, row by row.

        `truncated`: rows whose question was cut; of a context nothing is unseen. `arrays`: "rows",
        the row of each input; "context_starts" and "context_ends", where each token starts and ends
        in its context in characters, -1 for a token that is not of it. Raises as `windows` does.
        """
        import numpy as np

        questions, contexts = _texts(rows, "question"), _texts(rows, "context")
        found = windows(model, questions, contexts, max_length=max_length)
        spans = np.concatenate([w.spans for w in found.windows] or [np.zeros((0, 2), np.int64)])
        return Encoding(
            ids=[w.ids for w in found.windows],
            token_types=[w.token_types for w in found.windows],
            input_names=found.input_names,
            pad_id=found.pad_id,
            truncated=found.questions_cut,
            arrays={
                "rows": np.asarray([w.row for w in found.windows], dtype=np.int64),
                "context_starts": spans[:, 0],
                "context_ends": spans[:, 1],
            },
        )

    def keep(
        self, outputs: Mapping[str, Floats], inputs: Ints, encoded: Arrays
    ) -> Sequence[Floats]:
        """For each input float32[tokens, 2]: the start and end logits of its own tokens.

        Raises ModelError where the outputs are not float32[batch, length].
        """
        import numpy as np

        lengths = encoded["offsets"][inputs + 1] - encoded["offsets"][inputs]
        start, end = (outputs[name] for name in self.outputs)
        for name, found in zip(self.outputs, (start, end), strict=True):
            fits = found.ndim == 2 and len(found) == len(inputs)
            if not fits or found.shape[1] < lengths.max():
                what = f"{name} of shape {list(found.shape)} for {len(inputs)} inputs"
                raise ModelError(f"the model gives {what}", hint=_WRONG_HEAD)
        both = np.stack([start, end], axis=-1).astype(np.float32)
        return [one[:length] for one, length in zip(both, lengths.tolist(), strict=True)]

    def recorded(self, outputs: Mapping[str, Floats]) -> Floats:
        """The start logits, then the end logits: float32[2 × tokens]."""
        import numpy as np

        both: Floats = np.concatenate([outputs[name][0] for name in self.outputs])
        return both

    def scorer(
        self, encoded: Arrays, rows: Rows, labels: tuple[str, ...], scratch: Path
    ) -> SpanScorer:
        """Scores by the accepted answers in `rows.references`; there are no `labels`.

        Raises DataError where there are no rows, no references, or `encoded` is of other rows.
        """
        return SpanScorer(encoded, rows, Metrics(self.metrics, scratch))

    def subset(self, encoded: Arrays, rows: Rows, chosen: Ints, labels: tuple[str, ...]) -> Subset:
        """The windows of the rows."""
        import numpy as np

        inputs = np.flatnonzero(np.isin(encoded["rows"], chosen))
        tokens, _ = gathered(encoded["offsets"], inputs)
        return Subset(
            arrays={
                **some_inputs(encoded, inputs),
                "rows": np.searchsorted(chosen, encoded["rows"][inputs]),
                "context_starts": encoded["context_starts"][tokens],
                "context_ends": encoded["context_ends"][tokens],
                _MAY_BE_EMPTY: np.asarray([_may_be_empty(encoded, _references(rows))]).astype(int),
            },
            rows=some_rows(rows, chosen),
            kept=tokens,
            metrics=tuple(self.metrics),
        )

    def certainty(self, encoded: Arrays, kept: Floats) -> None:
        """None: a span's logits are no probability of the answer."""


@dataclass(frozen=True)
class SpanAnswers:
    """What a model answers: `texts` as they stand in the contexts, empty for no answer; `exact`:
    bool[rows]; `f1`: float64[rows], 0 to 1."""

    texts: tuple[str, ...]
    exact: NDArray[np.bool_]
    f1: NDArray[np.float64]


class SpanScorer:
    """Exact match and F1 as SQuAD defines them, as shares (0.88, not 88).

    Where some row has no accepted answer, a model may answer nothing, and does where its score for
    that is above its best span's; else it always answers a span.
    """

    unit = "row"

    def __init__(self, encoded: Arrays, rows: Rows, metrics: Metrics) -> None:
        self._contexts = _texts(rows, "context")
        self._references = _references(rows)
        self._accepted = [squad.accepted_forms(answers) for answers in self._references]
        self._may_be_empty = _may_be_empty(encoded, self._references)
        self._starts, self._ends = encoded["context_starts"], encoded["context_ends"]
        self._layout = Layout(encoded["offsets"], encoded["rows"], self._starts >= 0)
        self._metrics = metrics
        self.units = len(self._contexts)
        _check_layout(self._layout, self.units)

    def answers(self, kept: Floats) -> SpanAnswers:
        """The best span of each row. `kept`: float32[tokens, 2], finite."""
        import numpy as np

        tokens = len(self._starts)
        if kept.shape != (tokens, 2):
            what = f"{list(kept.shape)} for {tokens} tokens with a start and an end each"
            raise ModelError(f"the model gives logits of shape {what}", hint=_WRONG_HEAD)
        if not np.isfinite(kept).all():
            raise ModelError("the model gives logits that are not finite numbers")
        texts = self._spans(kept)
        pairs = list(zip(map(squad.normalized, texts), self._accepted, strict=True))
        return SpanAnswers(
            texts=texts,
            exact=np.asarray([squad.exact_match(*pair) for pair in pairs], dtype=bool),
            f1=np.asarray([squad.f1(*pair) for pair in pairs], dtype=np.float64),
        )

    def metrics(
        self,
        answers: SpanAnswers,
        names: Sequence[str],
        confidence: float,
        reference: SpanAnswers,
    ) -> tuple[Metric, ...]:
        """exact_match with Wilson's interval, f1 with a percentile bootstrap over rows."""
        # One module gives both.
        values = self._metrics.values("f1", self._references, answers.texts)
        return tuple(
            Metric(
                name=name,
                value=values[name],
                interval=self._interval(answers, name, confidence),
                method="wilson" if name == "exact_match" else "bootstrap",
                confidence=confidence,
            )
            for name in names
        )

    def changes(
        self,
        ours: SpanAnswers,
        baseline: SpanAnswers,
        metric: str,
        confidence: float,
        reference: SpanAnswers,
    ) -> Changes:
        """`flips`: rows whose answers differ when normalized; right is an exact match. The loss has
        Tango's interval for exact_match, else a paired bootstrap over rows."""
        now_right = int((ours.exact & ~baseline.exact).sum())
        now_wrong = int((baseline.exact & ~ours.exact).sum())
        texts = zip(ours.texts, baseline.texts, strict=True)
        if metric == "exact_match":
            interval = statistics.paired_difference(now_wrong, now_right, self.units, confidence)
        else:
            interval = bootstrap_mean(baseline.f1 - ours.f1, confidence)
        return Changes(
            flips=sum(squad.normalized(a) != squad.normalized(b) for a, b in texts),
            now_right=now_right,
            now_wrong=now_wrong,
            p=statistics.mcnemar_exact(now_right, now_wrong),
            loss_interval=interval,
        )

    def _spans(self, kept: Floats) -> tuple[str, ...]:
        best = best_spans(kept, self._layout)
        answered = best.first >= 0
        if self._may_be_empty:
            answered &= best.scores >= null_scores(kept, self._layout)
        texts = []
        for row in range(self.units):
            first, last = best.first[row], best.last[row]
            here = slice(self._starts[first], self._ends[last]) if answered[row] else slice(0)
            texts.append(self._contexts[row][here].strip())
        return tuple(texts)

    def _interval(self, answers: SpanAnswers, name: str, confidence: float) -> Interval:
        if name == "exact_match":
            return statistics.wilson(int(answers.exact.sum()), self.units, confidence)
        return bootstrap_mean(answers.f1, confidence)


def _texts(rows: Rows, key: str) -> Sequence[str]:
    return cast("Sequence[str]", rows.columns[key])


def _references(rows: Rows) -> list[list[str]]:
    if rows.references is None:
        raise DataError(
            "there are no accepted answers to score by",
            hint="Name their column under dataset.ref_keys in the recipe.",
        )
    return [list(answers) for answers in cast("Sequence[Sequence[str]]", rows.references)]


def _may_be_empty(encoded: Arrays, references: Sequence[Sequence[str]]) -> bool:
    known = encoded.get(_MAY_BE_EMPTY)
    return bool(known[0]) if known is not None else not all(map(squad.answerable, references))


def _check_layout(layout: Layout, rows: int) -> None:
    import numpy as np

    if not rows:
        raise DataError("there are no rows to score", hint="Name another split in the recipe.")
    if not np.array_equal(np.unique(layout.rows), np.arange(rows)):
        raise DataError(
            f"the windows are not those of the {rows} rows", hint="Encode the rows that are scored."
        )


task = QuestionAnswering()
