"""The part of a recipe that `hubkit tune` works by, in the vocabulary of Neural Compressor."""

from __future__ import annotations

from typing import Annotated, Literal, get_args

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator
from pydantic_core import PydanticCustomError
from typing_extensions import Self

from hubkit.recipe_card import Part

TargetName = Literal["avx2", "avx512", "avx512_vnni", "amx", "arm64"]
Framework = Literal["onnxruntime", "openvino", "pytorch"]
Approach = Literal["auto", "dynamic", "static"]
Objective = Literal["fastest", "smallest", "most-faithful"]

TARGETS: tuple[TargetName, ...] = get_args(TargetName)
OBJECTIVES: tuple[Objective, ...] = get_args(Objective)


class AccuracyCriterion(Part):
    """How much of the gate's metric may be lost: a share of its FP32 value, or an amount."""

    relative: Annotated[float, Field(ge=0, lt=1)] | None = Field(
        None, description="Most that the metric may fall, as a share of its FP32 value."
    )
    absolute: Annotated[float, Field(ge=0)] | None = Field(
        None, description="Most that the metric may fall, in its own unit; in place of relative."
    )
    higher_is_better: bool = Field(
        True, description="Only true: of every metric that a gate can hold more is better."
    )

    @model_validator(mode="after")
    def _one_of_two(self) -> Self:
        if self.relative is not None and self.absolute is not None:
            raise PydanticCustomError("two", "relative and absolute are two criteria: give one")
        return self


class ExitPolicy(Part):
    """When the search ends, if not by itself."""

    timeout: Annotated[float, Field(ge=0)] | None = Field(
        None,
        description="Seconds; 0: stop at the first that meets the criterion; null: no limit.",
    )
    max_trials: Annotated[int, Field(ge=1)] = Field(
        100, description="Most models that are made and scored."
    )


class Tune(Part):
    """What `hubkit tune` looks for, and how long."""

    framework: Framework = Field(
        "onnxruntime",
        description="What runs it: onnxruntime; openvino; pytorch, by Neural Compressor.",
    )
    approach: Approach = Field("auto", description="auto: dynamic and static are tried.")
    objective: Objective | None = Field(
        None, description="Of the trials that meet the criterion; null: what gates.prefer says."
    )
    accuracy_criterion: AccuracyCriterion = Field(
        AccuracyCriterion(), description="null throughout: relative, gates.max_relative_loss."
    )
    exit_policy: ExitPolicy = Field(ExitPolicy(), description="When the search ends.")
    random_seed: Annotated[int, Field(ge=0, lt=2**32)] = Field(
        9527, description="Seed of the choice of rows to search on."
    )
    num_calibration_samples: Annotated[int, Field(ge=1)] = Field(
        100, description="Rows that static trials learn their ranges from."
    )
    target: TargetName | None = Field(
        None, description="The CPU that will serve; null: this machine."
    )


class MayTune(Part):
    """What has a key `tune` that may be null: then it is as if there were no such key, so that a
    recipe without it has the digest that it had before there was one."""

    @model_serializer(mode="wrap")
    def _without_no_tune(self, serialize: SerializerFunctionWrapHandler) -> dict[str, object]:
        value: dict[str, object] = serialize(self)
        if value.get("tune") is None:
            value.pop("tune", None)
        return value
