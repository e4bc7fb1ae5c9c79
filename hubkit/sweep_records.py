"""What a sweep writes: results.json of `hubkit sweep`, and the report made of it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer

from hubkit.recipe import DatasetSpec, Evaluation, MetricName, OnnxDynamic, OnnxStatic, Sweep
from hubkit.records import (
    BaseBuild,
    BaseModelInfo,
    Dataset,
    Encoded,
    Failed,
    Lock,
    Record,
    Scores,
    Timing,
    Timings,
    Variant,
)

OnnxSpec = Annotated[OnnxDynamic | OnnxStatic, Field(discriminator="kind")]


class SweepRow(Record):
    """One configuration. Exactly one of `variant` and `failed` is there.

    `same_as`: the first configuration, or the ONNX FP32 baseline, whose graph is the same by its
    digest; that one was measured, and its scores and times are this one's too.
    """

    name: str
    spec: OnnxSpec
    variant: Variant | None = None
    same_as: str | None = None
    failed: Failed | None = None


class NoisePoint(Record):
    """ONNX FP32 against itself in a second process, at one point of the grid.

    `relative`: largest of |ratio − 1| over the rounds, 0 to infinity: a difference of less is
    within what this machine shows between two runs of the same model.
    """

    batch_size: int
    input_length: int
    ratio: float  # mean latency of the second process over that of the first
    relative: float


class FullModel(Record):
    """The model with all its layers, that a pruned one is compared with in a sweep.

    `baselines`: full-pytorch-fp32 and full-onnx-fp32; `rows`: the same configurations as of the
    pruned model, each named "full-" and its name. `scores`: of the models of both, under their
    names, each against full-pytorch-fp32. Times are in `SweepReport.timings` under these names.
    """

    base: BaseModelInfo
    built: BaseBuild | None = None  # None: the base as it is
    baselines: tuple[Variant, ...]
    rows: tuple[SweepRow, ...]
    scores: tuple[Scores, ...]

    def scores_of(self, name: str) -> Scores | None:
        return next((s for s in self.scores if s.variant == name), None)


class SweepReport(Record):
    """results.json of a sweep: everything that was declared and measured.

    `baselines`: pytorch-fp32 ("original" in the tables), onnx-fp32, and one ONNX FP32 for each
    other opset and optimization level. `scores` and `timings` go by the name of a baseline or of
    the configuration that was measured. `partial`: why these results must not be published; empty
    for whole ones.
    """

    schema_version: Annotated[Literal[1], Field(alias="schema")] = 1
    kind: Literal["sweep"] = "sweep"
    recipe: str
    task: str
    lock: Lock
    dataset_spec: DatasetSpec
    evaluation: Evaluation
    metric: MetricName | None = None  # of the gate: what `Paired.loss` is a loss of
    sweep: Sweep
    where: str | None = None  # the filter; None: every combination
    combinations: int  # before the filter
    base: BaseModelInfo
    dataset: Dataset
    encoded: Encoded
    baselines: tuple[Variant, ...]
    rows: tuple[SweepRow, ...]
    scores: tuple[Scores, ...]
    timings: Timings | None = None
    noise: tuple[NoisePoint, ...] = ()
    partial: tuple[str, ...] = ()
    full: FullModel | None = None  # None: the base was not pruned

    @model_serializer(mode="wrap")
    def _without_no_full_model(self, serialize: SerializerFunctionWrapHandler) -> dict[str, object]:
        """results.json of a base with all its layers does not speak of another."""
        value: dict[str, object] = serialize(self)
        if self.full is None:
            value.pop("full", None)
        return value

    @property
    def failures(self) -> tuple[Failed, ...]:
        return tuple(row.failed for row in self.rows if row.failed)

    def measured_as(self, row: SweepRow) -> str:
        """The name under which a configuration's scores and times are."""
        return row.same_as or row.name

    def scores_of(self, name: str) -> Scores | None:
        return next((s for s in self.scores if s.variant == name), None)

    def timing_of(self, name: str) -> Timing | None:
        timings = self.timings.timings if self.timings else ()
        return next((t for t in timings if t.variant == name), None)
