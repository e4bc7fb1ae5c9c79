"""What a tuning run writes: results.json of `hubkit tune`, and the report made of it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from hubkit.recipe import DatasetSpec, Evaluation, MetricName, VariantSpec
from hubkit.recipe_tune import Tune
from hubkit.records import (
    BaseModelInfo,
    Dataset,
    Failed,
    Interval,
    Lock,
    MachineInfo,
    Record,
    Scores,
    Variant,
)

# What a trial is of: see docs/tune.md, "How it searches".
Phase = Literal["whole-model", "give-back", "take-back", "finer", "refine", "neural-compressor"]
State = Literal["holds", "undecided", "fails"]
Outcome = Literal["met", "not-met"]


class Group(Record):
    """Nodes that are quantized or not together. `patterns`: node_exclusion entries that mean them
    and no other node that could be INT8."""

    key: str
    patterns: tuple[str, ...]
    nodes: int
    multiplications: int  # for one token; 0: a look-up
    weights_bytes: int  # in FP32


class GroupCost(Record):
    """What it costs and wins to make one group INT8, all else in float."""

    group: Group
    damage: float | None  # mean |difference of the outputs| from FP32; None: could not be made
    flips: int | None
    gain_us: float  # estimated: of a call, over the grid
    gain_bytes: int


class Sensitivity(Record):
    """The costs of all groups under the settings of one trial, on `rows` rows."""

    of: str  # the trial's name
    rows: int
    costs: tuple[GroupCost, ...]


class Verdict(Record):
    """The criterion against one trial. Losses are in the metric's own unit: FP32 − trial."""

    state: State
    passes: bool  # by the loss itself
    loss: float
    interval: Interval
    confidence: float
    allowed: float
    baseline: float
    rows: int
    rows_needed: int | None  # to decide with the power 0.8; None: decided, or no number would


class PointTime(Record):
    """Of each round of the benchmark, a trial's least latency over that of FP32 at one point;
    `slower`: whether the rounds show it to be slower there (`is_slower` of stages/select.py)."""

    batch_size: int
    input_length: int
    relative_ms: tuple[float, ...]
    slower: bool


class Trial(Record):
    """One model that was tried: with `variant`, or with `failed`, which says why there is none;
    with both where it was made and could not be timed.

    `scores`: on the rows that are searched on; None where it is the `same_as` an earlier trial.
    `relative_ms`: of each round of the benchmark, its least latency over that of FP32, geometric
    mean over the grid; empty where it was not timed. `points`: the same, point by point.
    """

    number: int
    phase: Phase
    spec: VariantSpec
    base: str | None = None  # the trial that it was made from
    gave_back: tuple[str, ...] = ()  # keys of the groups that are float, or finer, in it
    variant: Variant | None = None
    failed: Failed | None = None
    same_as: str | None = None
    scores: Scores | None = None
    verdict: Verdict | None = None
    relative_ms: tuple[float, ...] = ()
    points: tuple[PointTime, ...] = ()

    @property
    def name(self) -> str:
        return self.spec.name

    @property
    def slower_at(self) -> tuple[PointTime, ...]:
        """Where it is shown to be slower than FP32."""
        return tuple(point for point in self.points if point.slower)


class Confirmation(Record):
    """A trial on the rows that the search has not seen."""

    trial: str
    scores: Scores
    verdict: Verdict


class TuneReport(Record):
    """results.json of a tuning run. `best`: the trial that is taken, or, where the outcome is
    "not-met", that comes nearest; None: no model could be made at all.

    `stopped`: why the search ended before its end, in words; None: it did not. `notes`: what was
    not tried, and why.
    """

    schema_version: Annotated[Literal[1], Field(alias="schema")] = 1
    kind: Literal["tune"] = "tune"
    recipe: str
    task: str
    lock: Lock
    dataset_spec: DatasetSpec
    evaluation: Evaluation
    metric: MetricName
    tune: Tune  # with nothing left open
    base: BaseModelInfo
    dataset: Dataset
    search_rows: int
    confirm_rows: int
    baseline: Variant
    baseline_search: Scores
    baseline_ms: float | None = None  # mean latency, geometric mean over the grid
    machine: MachineInfo
    trials: tuple[Trial, ...]
    sensitivities: tuple[Sensitivity, ...] = ()
    confirmations: tuple[Confirmation, ...] = ()
    best: str | None
    outcome: Outcome
    stopped: str | None = None
    notes: tuple[str, ...] = ()

    def trial(self, name: str) -> Trial:
        return next(trial for trial in self.trials if trial.name == name)

    @property
    def refuted(self) -> frozenset[str]:
        """The trials that met the criterion on the rows to search on, and not on the others."""
        return frozenset(c.trial for c in self.confirmations if not c.verdict.passes)

    @property
    def taken(self) -> Trial | None:
        return self.trial(self.best) if self.best else None
