"""What was looked at beyond the whole split: slices of the rows, and how honest the probabilities
are."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from hubkit.record_base import Interval, Record, Scores

SliceKind = Literal["length", "label", "pattern", "column"]


class SliceResult(Record):
    """The variants on some of the rows of the evaluation split.

    `scores` holds a variant each, as on the whole split; it is empty where no row is in the slice,
    or all words of its rows were cut off.
    Metrics that have no meaning there are left out: of rows with one label accuracy alone is left,
    which is that label's recall; of sentences without any entity accuracy too. `metric` is the one
    that the pairs' loss is of: the gate's, or accuracy where the gate's is left out.
    """

    name: str  # the recipe's; of a group column "column=value"
    kind: SliceKind
    definition: str  # "17–32" tokens, the label, the regular expression, or the column's value
    rows: int
    metric: str | None = None  # None: there are no scores
    at_least: int | None = None  # tokens, of a slice by length; None: no limit
    at_most: int | None = None
    column: str | None = None  # of the dataset, of a slice by its values
    scores: tuple[Scores, ...] = ()


class ReliabilityBin(Record):
    """Answers whose probability is in (low, high]: their mean probability, and how many are right,
    as a share."""

    low: float
    high: float
    count: int
    confidence: float | None  # None: no answer is in the bin
    accuracy: float | None


class Reliability(Record):
    """How far a variant's probabilities can be believed.

    `ece`: expected calibration error, the mean over the answers of |accuracy - confidence| of their
    bin (Naeini, Cooper and Hauskrecht 2015; Guo et al. 2017, arXiv:1706.04599), equal-width bins.
    An answer's probability is the softmax of its logit, the largest.
    """

    variant: str
    units: int  # answers: rows, or words
    bins: tuple[ReliabilityBin, ...]
    ece: float
    # Basic bootstrap over the rows (Davison and Hinkley 1997, section 5.2), which takes back that
    # an ECE of few answers is too large; then stretched to hold `ece`, and no lower than 0.
    ece_interval: Interval
    confidence: float  # of that interval


class Analyses(Record):
    """Everything beyond the whole split. `reliability`: for the tasks that give probabilities.
    `without_group`: group column -> rows that have no value in it, and so are in none of its
    slices."""

    slices: tuple[SliceResult, ...] = ()
    reliability: tuple[Reliability, ...] = ()
    without_group: dict[str, int] = Field(default_factory=dict)
