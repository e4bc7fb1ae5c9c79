"""What a task is: how its rows become token ids, and how logits become predictions and scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Ints = NDArray[np.int64]
    Logits = NDArray[np.float32]


@dataclass(frozen=True)
class Tokens:
    """Token ids of some rows, ragged and unpadded; `token_types` beside them, row by row."""

    ids: Sequence[Sequence[int]]
    token_types: Sequence[Sequence[int]]
    truncated: int  # rows that were cut


class Tokenizer(Protocol):
    """A model's own tokenizer."""

    input_names: tuple[str, ...]  # that it makes: input_ids, attention_mask, token_type_ids
    pad_id: int

    def __call__(
        self, primary: Sequence[str], secondary: Sequence[str] | None, *, max_length: int
    ) -> Tokens:
        """The ids with special tokens; pairs are cut longest first."""


@dataclass(frozen=True)
class AutoClasses:
    """The classes that a reader of the card loads the model with."""

    torch: str
    onnx: str
    neural_compressor: str


class Task(Protocol):
    """One task of the Hub. Labels and predictions are flat int64 arrays that belong together: one
    a row for classification, one a word for token classification."""

    name: str
    pipeline_tag: str
    classes: AutoClasses
    metrics: Mapping[str, str]  # name -> "module:class" of an evaluate.Metric

    def encode(
        self, columns: Mapping[str, Sequence[str]], tokenizer: Tokenizer, *, max_length: int
    ) -> Tokens:
        """Token ids of the dataset's text columns (`primary`, perhaps `secondary`)."""

    def predictions(self, logits: Logits) -> Ints:
        """The label ids that the model answers."""

    def metric_options(self, name: str, labels: int) -> dict[str, str | int]:
        """Keyword arguments of a metric's `compute` for a model with so many labels."""
