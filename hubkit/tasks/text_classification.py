"""Text classification of one sentence, or of a pair of sentences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from hubkit.tasks.base import AutoClasses, Tokenizer, Tokens
from hubkit.tasks.metrics import CLASSIFICATION

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class TextClassification:
    """One label for each row."""

    name = "text-classification"
    pipeline_tag = "text-classification"
    classes = AutoClasses(
        torch="AutoModelForSequenceClassification",
        onnx="ORTModelForSequenceClassification",
        neural_compressor="INCModelForSequenceClassification",
    )
    metrics: Mapping[str, str] = CLASSIFICATION

    def encode(
        self, columns: Mapping[str, Sequence[str]], tokenizer: Tokenizer, *, max_length: int
    ) -> Tokens:
        """Token ids of `primary`, or of the pairs (`primary`, `secondary`)."""
        return tokenizer(columns["primary"], columns.get("secondary"), max_length=max_length)

    def predictions(self, logits: NDArray[np.float32]) -> NDArray[np.int64]:
        """The label id with the largest logit, int64[rows]; the first of equal ones."""
        found: NDArray[np.int64] = logits.argmax(axis=1)
        return found

    def metric_options(self, name: str, labels: int) -> dict[str, str | int]:
        """Two labels: the score of the last one (POSITIVE of NEGATIVE, POSITIVE). More: the mean
        over labels, each counting alike ("macro"). accuracy takes neither."""
        if name == "accuracy":
            return {}
        return {"average": "binary", "pos_label": 1} if labels == 2 else {"average": "macro"}


task = TextClassification()
