"""Feature extraction: a vector for each text. There are no labels: what is measured is how far a
model's vectors are from those of the FP32 model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

from hubkit.errors import DataError, ModelError
from hubkit.records import Metric
from hubkit.tasks.base import AutoClasses, Changes, Encoding, Reference, Rows, Subset
from hubkit.tasks.resampling import bootstrap_mean
from hubkit.tasks.subsets import some_inputs, some_rows
from hubkit.tasks.tokenizing import load_tokenizer

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from hubkit.tasks.base import Arrays, Floats, Ints

    Doubles = NDArray[np.float64]

EMBEDDING = "sentence_embedding"  # what a model with a projection gives
NEIGHBOUR_ROWS = 2000  # among which nearest neighbours are looked for
_ROWS_AT_ONCE = 256  # × NEIGHBOUR_ROWS similarities: 4 MB


class FeatureExtraction:
    """A text or a pair of texts; its vector is the `sentence_embedding` of a model that gives one,
    else the mean over its tokens of the last hidden state."""

    name = "feature-extraction"
    pipeline_tag = "feature-extraction"
    classes = AutoClasses(
        torch="AutoModel",
        onnx="ORTModelForFeatureExtraction",
        neural_compressor="INCModel",
        openvino="OVModelForFeatureExtraction",
    )
    required_keys: tuple[str, ...] = ("primary",)
    optional_keys: tuple[str, ...] = ("secondary",)
    reference: Reference = "none"
    metrics: Mapping[str, str] = {"cosine": "", "relative_l2": ""}
    default_metrics: tuple[str, ...] = ("cosine", "relative_l2")
    outputs: tuple[str, ...] = ("last_hidden_state",)

    def encode(self, rows: Rows, model: Path, *, max_length: int) -> Encoding:
        """An input for each row, cut at `max_length` tokens; pairs longest first."""
        columns = cast("Mapping[str, Sequence[str]]", rows.columns)
        tokenizer = load_tokenizer(model)
        tokens = tokenizer(columns["primary"], columns.get("secondary"), max_length=max_length)
        return Encoding(
            ids=tokens.ids,
            token_types=tokens.token_types,
            input_names=tokenizer.input_names,
            pad_id=tokenizer.pad_id,
            truncated=tokens.truncated,
        )

    def keep(
        self, outputs: Mapping[str, Floats], inputs: Ints, encoded: Arrays
    ) -> Sequence[Floats]:
        """For each input float32[1, width]: the embedding that the model gives, or the mean over
        its own tokens, not over the padding.

        Raises ModelError where the output is not float32[batch, width] or float32[batch, length,
        hidden].
        """
        if EMBEDDING in outputs:
            return _given(outputs[EMBEDDING], len(inputs))
        lengths = encoded["offsets"][inputs + 1] - encoded["offsets"][inputs]
        states = outputs[self.outputs[0]]
        fits = states.ndim == 3 and len(states) == len(inputs)
        if not fits or states.shape[1] < lengths.max():
            raise ModelError(
                f"the model gives {self.outputs[0]} of shape {list(states.shape)} for"
                f" {len(inputs)} inputs",
                hint="The model is of another task: here each token has a vector.",
            )
        return [_mean(one[:length]) for one, length in zip(states, lengths.tolist(), strict=True)]

    def recorded(self, outputs: Mapping[str, Floats]) -> Floats:
        """The vector, float32[width]."""
        if EMBEDDING in outputs:
            embedding: Floats = _given(outputs[EMBEDDING], 1)[0][0]
            return embedding
        vector: Floats = _mean(outputs[self.outputs[0]][0])[0]
        return vector

    def scorer(
        self, encoded: Arrays, rows: Rows, labels: tuple[str, ...], scratch: Path
    ) -> VectorScorer:
        """Scores by the reference's vectors: `rows`, which may lack columns, and `labels` are not
        looked at. Raises DataError where there are no inputs."""
        return VectorScorer(encoded)

    def subset(self, encoded: Arrays, rows: Rows, chosen: Ints, labels: tuple[str, ...]) -> Subset:
        """The rows; their nearest neighbours are looked for among them alone."""
        return Subset(
            arrays=some_inputs(encoded, chosen),
            rows=some_rows(rows, chosen),
            kept=chosen,
            metrics=tuple(self.metrics),
        )

    def certainty(self, encoded: Arrays, kept: Floats) -> None:
        """None: there are no labels."""


class VectorScorer:
    """Divergence from the vectors of the FP32 model; answers are float64[rows, hidden].

    cosine: the mean cosine similarity of a row's vector to the reference's, 1 where they point the
    same way; higher is better. relative_l2: the mean of |ours − reference| / |reference|, 0 where
    they are equal; *lower* is better. A vector of zeros is like another one (1 and 0) and unlike
    any else (0 and 1).
    """

    unit = "row"

    def __init__(self, encoded: Arrays) -> None:
        self.units = len(encoded["offsets"]) - 1
        if not self.units:
            raise DataError("there are no rows to score", hint="Name another split in the recipe.")
        self._texts = _text_numbers(encoded)

    def answers(self, kept: Floats) -> Doubles:
        """The vectors. `kept`: float32[rows, hidden], finite."""
        import numpy as np

        if kept.ndim != 2 or len(kept) != self.units:
            what = f"{list(kept.shape)} for {self.units} rows"
            raise ModelError(f"the model gives vectors of shape {what}")
        if not np.isfinite(kept).all():
            raise ModelError("the model gives vectors that are not finite numbers")
        return kept.astype(np.float64)

    def metrics(
        self, answers: Doubles, names: Sequence[str], confidence: float, reference: Doubles
    ) -> tuple[Metric, ...]:
        """The means over rows with a percentile bootstrap over rows. Raises ModelError where the
        vectors have not as many numbers as the reference's."""
        return tuple(_metric(name, answers, reference, confidence) for name in names)

    def changes(
        self,
        ours: Doubles,
        baseline: Doubles,
        metric: str,
        confidence: float,
        reference: Doubles,
    ) -> Changes:
        """`flips`: rows for which a search among the reference's vectors of the other rows, by
        cosine, finds another text; of the first NEIGHBOUR_ROWS rows. Without labels nothing is
        right or wrong: now_right and now_wrong are 0 and p is 1. The loss of relative_l2, where
        lower is better, is below 0 for a model that is further off."""
        found = self._texts[_neighbours(ours, reference)]
        before = self._texts[_neighbours(baseline, reference)]
        difference = _by_row(metric, baseline, reference) - _by_row(metric, ours, reference)
        return Changes(
            flips=int((found != before).sum()),
            now_right=0,
            now_wrong=0,
            p=1.0,
            loss_interval=bootstrap_mean(difference, confidence),
        )


def _given(vectors: Floats, inputs: int) -> list[Floats]:
    if vectors.ndim != 2 or len(vectors) != inputs:
        what = f"{list(vectors.shape)} for {inputs} inputs"
        raise ModelError(f"the model gives {EMBEDDING} of shape {what}")
    return [vectors[at : at + 1] for at in range(inputs)]


def _mean(states: Floats) -> Floats:
    """float32[1, hidden] of float32[tokens, hidden]; summed in double precision."""
    import numpy as np

    mean: Floats = states.mean(axis=0, keepdims=True, dtype=np.float64).astype(np.float32)
    return mean


def _text_numbers(encoded: Arrays) -> Ints:
    """int64[rows]: equal for rows of the same tokens, so that either of two may be found."""
    import numpy as np

    known: dict[bytes, int] = {}
    rows = np.split(encoded["input_ids"], encoded["offsets"][1:-1])
    return np.asarray([known.setdefault(r.tobytes(), len(known)) for r in rows], dtype=np.int64)


def _metric(name: str, answers: Doubles, reference: Doubles, confidence: float) -> Metric:
    values = _by_row(name, answers, reference)
    return Metric(
        name=name,
        value=float(values.mean()),
        interval=bootstrap_mean(values, confidence),
        method="bootstrap",
        confidence=confidence,
    )


def _by_row(name: str, answers: Doubles, reference: Doubles) -> Doubles:
    """The metric of each row, float64[rows]."""
    if answers.shape != reference.shape:
        raise ModelError(
            f"the model's vectors have {answers.shape[1]} numbers, those of FP32"
            f" {reference.shape[1]}",
            hint="Compare models that were made from one base model.",
        )
    return {"cosine": _cosine, "relative_l2": _relative_l2}[name](answers, reference)


def _cosine(answers: Doubles, reference: Doubles) -> Doubles:
    import numpy as np

    def dot(a: Doubles, b: Doubles) -> Doubles:
        return np.asarray(np.einsum("ij,ij->i", a, b), dtype=np.float64)

    # The root of the product, not the product of the roots: 1 to the last bit for equal vectors.
    norms = np.sqrt(dot(answers, answers) * dot(reference, reference))
    equal = (answers == reference).all(axis=1)
    cosine = np.clip(dot(answers, reference) / np.where(norms > 0, norms, 1), -1, 1)
    return np.where(norms > 0, cosine, equal)


def _relative_l2(answers: Doubles, reference: Doubles) -> Doubles:
    import numpy as np

    distance = np.linalg.norm(answers - reference, axis=1)
    norms = np.linalg.norm(reference, axis=1)
    return np.where(norms > 0, distance / np.where(norms > 0, norms, 1), distance > 0)


def _neighbours(vectors: Doubles, reference: Doubles) -> Ints:
    """For each of the first NEIGHBOUR_ROWS rows the other row of them whose vector in `reference`
    is most like its own in `vectors`; itself where there is no other."""
    import numpy as np

    ours, theirs = _units(vectors[:NEIGHBOUR_ROWS]), _units(reference[:NEIGHBOUR_ROWS])
    found = np.zeros(len(ours), dtype=np.int64)
    for start in range(0, len(ours), _ROWS_AT_ONCE):
        some = np.arange(start, min(start + _ROWS_AT_ONCE, len(ours)))
        likeness = ours[some] @ theirs.T
        likeness[np.arange(len(some)), some] = -np.inf
        found[some] = likeness.argmax(axis=1)
    return found


def _units(vectors: Doubles) -> Doubles:
    import numpy as np

    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.where(norms > 0, norms, 1), dtype=np.float64)


task = FeatureExtraction()
