"""Token classification: a label for each word, such as the names in a sentence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, cast

from hubkit import statistics
from hubkit.errors import DataError, ModelError
from hubkit.records import Metric
from hubkit.tasks.base import (
    AutoClasses,
    Certainty,
    Changes,
    Encoding,
    Reference,
    Rows,
    Subset,
)
from hubkit.tasks.entities import EntityCounter
from hubkit.tasks.metrics import Metrics
from hubkit.tasks.subsets import certainty_of, gathered, some_inputs, some_rows
from hubkit.tasks.tokenizing import load_tokenizer

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from hubkit.tasks.base import Arrays, Floats, Ints

    Doubles = NDArray[np.float64]

_METRIC = "hubkit.tasks.metric_scripts.seqeval:Seqeval"
_WRONG_HEAD = "The model is of another task, or its id2label is not that of its head."


class TokenClassification:
    """Rows are lists of words. A word's label is read at its first token."""

    name = "token-classification"
    pipeline_tag = "token-classification"
    classes = AutoClasses(
        torch="AutoModelForTokenClassification",
        onnx="ORTModelForTokenClassification",
        neural_compressor="INCModelForTokenClassification",
        openvino="OVModelForTokenClassification",
    )
    required_keys: tuple[str, ...] = ("primary",)
    optional_keys: tuple[str, ...] = ()
    reference: Reference = "word-labels"
    metrics: Mapping[str, str] = dict.fromkeys(("f1", "precision", "recall", "accuracy"), _METRIC)
    default_metrics: tuple[str, ...] = ("f1", "precision", "recall", "accuracy")
    outputs: tuple[str, ...] = ("logits",)

    def encode(self, rows: Rows, model: Path, *, max_length: int) -> Encoding:
        """Token ids of the words, exactly those of AutoTokenizer with is_split_into_words.

        arrays: word_offsets int64[rows+1]; and for each word that is scored word_positions, its
        first token's place in its row, and labels. Words whose first token was cut off, or that
        have no token, are not among them: `lost` counts them.
        """
        import numpy as np

        tokenizer = load_tokenizer(model)
        words: Sequence[Sequence[str]] = rows.columns["primary"]
        tokens = tokenizer.words(words, max_length=max_length)
        first = [_first_tokens(word_ids) for word_ids in tokens.word_ids]
        counts = [len(found) for found in first]
        arrays = {
            "word_offsets": np.cumsum([0, *counts], dtype=np.int64),
            "word_positions": _flat([list(found.values()) for found in first]),
        }
        if rows.references is not None:
            labels = cast("Sequence[Sequence[int]]", rows.references)
            scored = zip(first, labels, strict=True)
            arrays["labels"] = _flat([[row[word] for word in found] for found, row in scored])
        return Encoding(
            ids=tokens.ids,
            token_types=tokens.token_types,
            input_names=tokenizer.input_names,
            pad_id=tokenizer.pad_id,
            truncated=tokens.truncated,
            lost=sum(map(len, words)) - sum(counts),
            arrays=arrays,
        )

    def keep(
        self, outputs: Mapping[str, Floats], inputs: Ints, encoded: Arrays
    ) -> Sequence[Floats]:
        """The logits of each scored word's first token, float32[words, labels] for each row.

        Raises ModelError where the output is not float32[batch, length, labels].
        """
        logits = outputs["logits"]
        if logits.ndim != 3 or len(logits) != len(inputs):
            raise ModelError(
                f"logits of shape {list(logits.shape)} for {len(inputs)} rows of tokens",
                hint=_WRONG_HEAD,
            )
        offsets, positions = encoded["word_offsets"], encoded["word_positions"]
        return [
            logits[at, positions[offsets[row] : offsets[row + 1]]]
            for at, row in enumerate(inputs.tolist())
        ]

    def recorded(self, outputs: Mapping[str, Floats]) -> Floats:
        """The logits of all tokens, one after another, float32[tokens * labels]."""
        logits: Floats = outputs["logits"][0].reshape(-1)
        return logits

    def scorer(
        self, encoded: Arrays, rows: Rows, labels: tuple[str, ...], scratch: Path
    ) -> WordScorer:
        """Raises DataError where a word has a label that is none of the model's, or none is left
        to be scored."""
        metrics = Metrics(self.metrics, scratch)
        return WordScorer(encoded["labels"], encoded["word_offsets"], labels, metrics)

    def subset(self, encoded: Arrays, rows: Rows, chosen: Ints, labels: tuple[str, ...]) -> Subset:
        """Rows without any entity are scored by accuracy alone: the others would be 0, whatever the
        model answers."""
        words, offsets = gathered(encoded["word_offsets"], chosen)
        truth = encoded["labels"][words]
        entities = EntityCounter(labels, offsets).counts(truth, truth)[:, 2].sum()
        return Subset(
            arrays={
                **some_inputs(encoded, chosen),
                "word_offsets": offsets,
                "word_positions": encoded["word_positions"][words],
                "labels": truth,
            },
            rows=some_rows(rows, chosen),
            kept=words,
            metrics=tuple(self.metrics) if entities else ("accuracy",),
        )

    def certainty(self, encoded: Arrays, kept: Floats) -> Certainty:
        """A word is a unit."""
        import numpy as np

        lengths = np.diff(encoded["word_offsets"])
        return certainty_of(kept, encoded["labels"], np.repeat(np.arange(len(lengths)), lengths))


class WordScorer:
    """Scores predicted labels, int64[words], by the words of sentences.

    precision, recall and f1 are seqeval's, of whole entities; accuracy is of words. Intervals are
    of a percentile bootstrap over sentences (2,000 resamples, seeded), since the words of one are
    not independent; that of a loss has both models on the same resampled sentences.
    """

    unit = "word"

    def __init__(
        self, truth: Ints, offsets: Ints, labels: tuple[str, ...], metrics: Metrics
    ) -> None:
        if not len(truth):
            raise DataError(
                "there are no words to score",
                hint="Name another split in the recipe, or raise evaluation.max_length.",
            )
        if truth.min() < 0 or truth.max() >= len(labels):
            raise DataError(
                f"labels run from {truth.min()} to {truth.max()}, and the model has {len(labels)}"
                " of them",
                hint="Map every value of the dataset's label column under `labels` in the recipe.",
            )
        self.units = len(truth)
        self._truth, self._offsets, self._labels = truth, offsets, labels
        self._metrics = metrics
        self._counter = EntityCounter(labels, offsets)

    def answers(self, kept: Floats) -> Ints:
        """The label id with the largest logit, int64[words]; the first of equal ones."""
        if kept.ndim != 2 or kept.shape != (self.units, len(self._labels)):
            raise ModelError(
                f"logits of shape {list(kept.shape)} for {self.units} words and the"
                f" {len(self._labels)} labels {', '.join(self._labels)}",
                hint=_WRONG_HEAD,
            )
        found: Ints = kept.argmax(axis=1)
        return found

    def metrics(
        self, answers: Ints, names: Sequence[str], confidence: float, reference: Ints
    ) -> tuple[Metric, ...]:
        """The named metrics, of f1, precision, recall and accuracy."""
        sentences = self._sentences(self._truth), self._sentences(answers)
        values = self._metrics.values("f1", *sentences)  # one module gives all of them
        sums = statistics.resampled_sums(self._counter.counts(self._truth, answers))
        return tuple(
            Metric(
                name=name,
                value=values[name],
                interval=statistics.percentile_interval(_metric(name, sums), confidence),
                method="bootstrap",
                confidence=confidence,
            )
            for name in names
        )

    def changes(
        self, ours: Ints, baseline: Ints, metric: str, confidence: float, reference: Ints
    ) -> Changes:
        """Flips and what became right or wrong are counted in words.

        p: words of one sentence tend to change together, so that a test on words would find too
        much. It is McNemar's exact test on sentences: as many became wholly right as are so no
        more.
        """
        import numpy as np

        right, was_right = ours == self._truth, baseline == self._truth
        counts = self._counter.counts(self._truth, ours)
        before = self._counter.counts(self._truth, baseline)
        whole, was_whole = (c[:, 3] == c[:, 4] for c in (counts, before))
        sums = statistics.resampled_sums(np.concatenate([before, counts], axis=1))
        width = counts.shape[1]
        loss = _metric(metric, sums[:, :width]) - _metric(metric, sums[:, width:])
        return Changes(
            flips=int((ours != baseline).sum()),
            now_right=int((right & ~was_right).sum()),
            now_wrong=int((was_right & ~right).sum()),
            p=statistics.mcnemar_exact(
                int((whole & ~was_whole).sum()), int((was_whole & ~whole).sum())
            ),
            loss_interval=statistics.percentile_interval(loss, confidence),
        )

    def _sentences(self, ids: Ints) -> list[list[str]]:
        names = [self._labels[number] for number in ids.tolist()]
        return [names[a:b] for a, b in pairwise(self._offsets.tolist())]


def _metric(name: str, sums: Ints) -> Doubles:
    """A metric of many tables of `EntityCounter.counts` at once, 0 where nothing is divided by
    nothing."""
    import numpy as np

    hits, answered, true, right, words = sums.T
    above, below = {
        "precision": (hits, answered),
        "recall": (hits, true),
        "f1": (2 * hits, answered + true),
        "accuracy": (right, words),
    }[name]
    return np.asarray(above / np.maximum(below, 1), dtype=np.float64)


def _first_tokens(word_ids: Sequence[int | None]) -> dict[int, int]:
    """Word -> the place of its first token."""
    found: dict[int, int] = {}
    for place, word in enumerate(word_ids):
        if word is not None:
            found.setdefault(word, place)
    return found


def _flat(rows: Sequence[Sequence[int]]) -> Ints:
    import numpy as np

    return np.asarray([value for row in rows for value in row], dtype=np.int64)


task = TokenClassification()
