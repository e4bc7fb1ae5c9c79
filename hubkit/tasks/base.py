"""What a task is: how its rows become token ids, and how a model's outputs become answers and
scores.

Words used here: a *row* is one example of the dataset; an *input* is what the model is given for it
(question answering cuts a long row into several inputs); a *unit* is what is answered and scored: a
row, or for token classification a word.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol, TypeVar

from hubkit.records import Interval, Metric

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Ints = NDArray[np.int64]
    Floats = NDArray[np.float32]
    Arrays = Mapping[str, Ints]

AnswersT = TypeVar("AnswersT")

# What the reference of a row is: a label, a label for each word, the accepted answers, or nothing.
Reference = Literal["label", "word-labels", "answers", "none"]


@dataclass(frozen=True)
class Tokens:
    """Token ids of some rows, ragged and unpadded; `token_types` beside them, row by row."""

    ids: Sequence[Sequence[int]]
    token_types: Sequence[Sequence[int]]
    truncated: int  # rows that were cut


@dataclass(frozen=True)
class WordTokens(Tokens):
    """Token ids of rows that were given as words. `word_ids`: for each token the number of its word
    in the row; None for special tokens, and for the rest of a word whose first token was cut off.
    """

    word_ids: Sequence[Sequence[int | None]]


class Tokenizer(Protocol):
    """A model's own tokenizer."""

    input_names: tuple[str, ...]  # that it makes: input_ids, attention_mask, token_type_ids
    pad_id: int

    def __call__(
        self, primary: Sequence[str], secondary: Sequence[str] | None, *, max_length: int
    ) -> Tokens:
        """The ids with special tokens; pairs are cut longest first."""

    def words(self, rows: Sequence[Sequence[str]], *, max_length: int) -> WordTokens:
        """The ids of rows of words, with special tokens: AutoTokenizer's is_split_into_words."""


@dataclass(frozen=True)
class Encoding:
    """The inputs of a split, ragged and unpadded.

    `arrays`: what the task needs beside the tokens to keep and to score, int64 and flat, such as
    "labels"; they are stored in encoded.npz under their names, which must not be offsets, input_ids
    or token_type_ids. "rows" among them is int64[inputs], ascending: the row that each input is of;
    it has to be there where rows have several inputs, and means 0, 1, 2, … where it is not.
    `truncated`: rows of which something was cut off and is not seen by the model; `lost`: units
    that are not scored because of it.
    """

    ids: Sequence[Sequence[int]]
    token_types: Sequence[Sequence[int]]
    input_names: tuple[str, ...]  # that the tokenizer makes
    pad_id: int
    truncated: int = 0
    lost: int = 0
    arrays: Mapping[str, Ints] = field(default_factory=dict)


@dataclass(frozen=True)
class Rows:
    """Rows of a split as eval.parquet and calibration.parquet hold them.

    `columns`: role -> values; text, or a list of words for token classification. `references`: one
    value a row, as `Task.reference` says (int, list[int], list[str]), or None.
    """

    columns: Mapping[str, Sequence[str] | Sequence[Sequence[str]]]
    references: Sequence[int] | Sequence[Sequence[int]] | Sequence[Sequence[str]] | None

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))


@dataclass(frozen=True)
class Subset:
    """Some rows, as if they alone had been encoded and predicted.

    `arrays` and `rows` are what `Task.scorer` takes; `kept`: int64, which of the outputs that were
    kept of all rows, put one after another, are theirs; `metrics`: those that have a meaning on
    these rows, at least one.
    """

    arrays: Arrays
    rows: Rows
    kept: Ints
    metrics: tuple[str, ...]


@dataclass(frozen=True)
class Certainty:
    """How sure a model is of its answers. `probability`: float64[units], of the answer; `right`:
    bool[units]; `rows`: int64[units], ascending, the row that each unit is of."""

    probability: NDArray[np.float64]
    right: NDArray[np.bool_]
    rows: Ints


@dataclass(frozen=True)
class AutoClasses:
    """The classes that a reader of the card loads the model with."""

    torch: str
    onnx: str
    neural_compressor: str
    openvino: str


@dataclass(frozen=True)
class Changes:
    """One model against another on the same units."""

    flips: int  # units answered differently
    now_right: int
    now_wrong: int
    p: float  # two-sided, of "as many became right as became wrong"
    loss_interval: Interval  # of metric(baseline) - metric(ours), paired


class Scorer(Protocol[AnswersT]):
    """Scores models on one set of rows. `unit`: "row" or "word"; `units`: how many there are."""

    unit: str
    units: int

    def answers(self, kept: Floats) -> AnswersT:
        """What a model answers, from what `Task.keep` kept of all inputs, put one after another.

        Raises ModelError where the shape does not fit the rows or the labels.
        """

    def metrics(
        self, answers: AnswersT, names: Sequence[str], confidence: float, reference: AnswersT
    ) -> tuple[Metric, ...]:
        """The named metrics with their intervals. `reference`: the answers of the FP32 model, which
        only tasks without labels look at."""

    def changes(
        self,
        ours: AnswersT,
        baseline: AnswersT,
        metric: str,
        confidence: float,
        reference: AnswersT,
    ) -> Changes:
        """`ours` against `baseline`, with the paired interval of that metric's loss."""


class Task(Protocol):
    """One task of the Hub. Contract: tests/tasks/test_contract.py."""

    name: str
    pipeline_tag: str
    classes: AutoClasses
    # Names of the data_keys: needed, and allowed beside them.
    required_keys: tuple[str, ...]
    optional_keys: tuple[str, ...]
    reference: Reference
    metrics: Mapping[
        str, str
    ]  # name -> "module:class" of an evaluate.Metric, "" where there is none
    default_metrics: tuple[str, ...]  # the first is the gate's
    outputs: tuple[str, ...]  # of the model, that `keep` reads

    def encode(self, rows: Rows, model: Path, *, max_length: int) -> Encoding:
        """The inputs for the rows, by the tokenizer of the model folder."""

    def keep(
        self, outputs: Mapping[str, Floats], inputs: Ints, encoded: Arrays
    ) -> Sequence[Floats]:
        """What scoring needs of one batch: for each input float32[n, width], n the same for every
        model.

        `outputs`: float32[batch, length, ...] or float32[batch, width], padded on the right;
        `inputs`: int64[batch], numbers of the inputs in the batch; `encoded`: all arrays of
        encoded.npz.
        """

    def recorded(self, outputs: Mapping[str, Floats]) -> Floats:
        """What `verify` compares of one input that was run alone and unpadded, float32[n].

        `outputs`: as above, with a batch of one.
        """

    def scorer(
        self, encoded: Arrays, rows: Rows, labels: tuple[str, ...], scratch: Path
    ) -> Scorer[object]:
        """The scorer of these rows. `scratch`: where `evaluate` may put its files."""

    def subset(self, encoded: Arrays, rows: Rows, chosen: Ints, labels: tuple[str, ...]) -> Subset:
        """The rows with the numbers `chosen`, int64, ascending, at least one. `rows`: as for
        `scorer`. A model answers each of them as it does among all rows."""

    def certainty(self, encoded: Arrays, kept: Floats) -> Certainty | None:
        """Of what `keep` kept of all inputs; None for a task whose answers have no probability."""
