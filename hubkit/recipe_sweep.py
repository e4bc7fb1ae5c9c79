"""The part of a recipe that `hubkit sweep` runs: the parameters of optimum's sweep, by its names.

A parameter that is given one value is *fixed*, one that is given a list of several is
*benchmarked*: every combination of the benchmarked ones is a configuration. `operators_to_quantize`
and `node_exclusion` are lists themselves, so that there a list of lists is benchmarked.
"""

from __future__ import annotations

from typing import Annotated, Literal, TypeVar

from pydantic import BeforeValidator, Field, WithJsonSchema

from hubkit.recipe_card import Part

T = TypeVar("T")


# Tuples: what a validator gives is no JSON any more, and only there a strict tuple may be a list.
def _listed(value: object) -> object:
    """A scalar as a list of one."""
    return tuple(value) if isinstance(value, list | tuple) else (value,)


def _listed_twice(value: object) -> object:
    """A list of names as a list of one such list."""
    if isinstance(value, list | tuple) and not any(isinstance(v, list | tuple) for v in value):
        return (tuple(value),)
    return tuple(map(_tupled, value)) if isinstance(value, list | tuple) else (value,)


def _tupled(value: object) -> object:
    return tuple(value) if isinstance(value, list | tuple) else value


def _one_or_many(one: dict[str, object]) -> WithJsonSchema:
    return WithJsonSchema({"anyOf": [one, {"type": "array", "items": one, "minItems": 1}]})


_NAMES: dict[str, object] = {"type": "array", "items": {"type": "string"}}
_some = Field(min_length=1)

Approaches = Annotated[
    tuple[Literal["dynamic", "static"], ...],
    _some,
    BeforeValidator(_listed),
    _one_or_many({"enum": ["dynamic", "static"]}),
]
NameLists = Annotated[
    tuple[tuple[str, ...], ...], _some, BeforeValidator(_listed_twice), _one_or_many(_NAMES)
]
Flags = Annotated[
    tuple[bool, ...], _some, BeforeValidator(_listed), _one_or_many({"type": "boolean"})
]
MaybeFlags = Annotated[
    tuple[bool | None, ...],
    _some,
    BeforeValidator(_listed),
    _one_or_many({"type": ["boolean", "null"]}),
]
IntegerTypes = Annotated[
    tuple[Literal["int8", "uint8"], ...],
    _some,
    BeforeValidator(_listed),
    _one_or_many({"enum": ["int8", "uint8"]}),
]
Methods = Annotated[
    tuple[Literal["minmax", "entropy", "percentile"], ...],
    _some,
    BeforeValidator(_listed),
    _one_or_many({"enum": ["minmax", "entropy", "percentile"]}),
]
Counts = Annotated[
    tuple[Annotated[int, Field(ge=1)], ...],
    _some,
    BeforeValidator(_listed),
    _one_or_many({"type": "integer", "minimum": 1}),
]
Percentiles = Annotated[
    tuple[Annotated[float, Field(gt=50, le=100)], ...],
    _some,
    BeforeValidator(_listed),
    _one_or_many({"type": "number", "exclusiveMinimum": 50, "maximum": 100}),
]
MaybeBins = Annotated[
    tuple[Annotated[int, Field(ge=16)] | None, ...],
    _some,
    BeforeValidator(_listed),
    _one_or_many({"type": ["integer", "null"], "minimum": 16}),
]
Opsets = Annotated[
    tuple[Annotated[int, Field(ge=11)] | None, ...],
    _some,
    BeforeValidator(_listed),
    _one_or_many({"type": ["integer", "null"], "minimum": 11}),
]
Levels = Annotated[
    tuple[Literal[0, 1, 2, 3, 99], ...],
    _some,
    BeforeValidator(_listed),
    _one_or_many({"enum": [0, 1, 2, 3, 99]}),
]


class SweepCalibration(Part):
    """How static configurations learn activation ranges, on rows of dataset.calibration_split."""

    method: Methods = Field(("minmax",), description="How a range is taken from the activations.")
    num_calibration_samples: Counts = Field((100,), description="Rows to calibrate on.")
    calibration_histogram_percentile: Percentiles = Field(
        (99.999,), description="For percentile: per cent of the activations that a range keeps."
    )
    calibration_histogram_num_bins: MaybeBins = Field((None,), description="Bins; null: 2048.")


class SweepFrameworkArgs(Part):
    """How the FP32 ONNX graph is made that quantization starts from."""

    opset: Opsets = Field((None,), description="ONNX opset; null: the exporter's own.")
    optimization_level: Levels = Field(
        (0,), description="Graph optimization before quantizing: 0 none, 1 basic, 2 fused, 99 all."
    )


class TimeBenchmarkArgs(Part):
    """How long each batch size and input length of each configuration is timed."""

    duration: Annotated[float, Field(gt=0)] = Field(
        15.0, description="Least seconds that a point is measured, over all rounds."
    )
    warmup_runs: Annotated[int, Field(ge=0)] = Field(
        5, description="Calls before the clock starts."
    )


class BackendArgs(Part):
    """How the machine is used that measures."""

    threads: Annotated[int, Field(ge=1)] | None = Field(
        None, description="Threads of a timed call; null: one a physical CPU that may be used."
    )


class Sweep(Part):
    """Every combination of the benchmarked parameters, measured on the recipe's model and data."""

    backend: Literal["local"] = Field("local", description="local: this machine.")
    backend_args: BackendArgs = Field(BackendArgs(), description="Settings of the backend.")
    quantization_approach: Approaches = Field(description="dynamic, static.")
    operators_to_quantize: NameLists = Field(
        (("MatMul", "Gemm"),), description="ONNX operator types that become INT8."
    )
    node_exclusion: NameLists = Field(
        ((),),
        description="Nodes that stay float: layernorm, gelu, residual, gather, softmax,"
        " attention-matmul, node names or regular expressions.",
    )
    per_channel: Flags = Field((False,), description="One scale a channel of a weight.")
    reduce_range: MaybeFlags = Field(
        (None,), description="7-bit weights; null: off where the CPU has VNNI, on elsewhere."
    )
    activation_type: IntegerTypes = Field(("uint8",), description="Of static configurations.")
    weight_type: IntegerTypes = Field(("int8",), description="Integers of weights.")
    guards: Flags = Field((True,), description="Static: keep masked attention scores float.")
    calibration: SweepCalibration = Field(SweepCalibration(), description="Of static ones.")
    framework: Literal["onnxruntime"] = Field("onnxruntime", description="What quantizes.")
    framework_args: SweepFrameworkArgs = Field(
        SweepFrameworkArgs(), description="Export and graph optimization."
    )
    aware_training: bool = Field(
        False, description="Quantization-aware training: only false, docs/recipe.md says why."
    )
    time_benchmark_args: TimeBenchmarkArgs = Field(
        TimeBenchmarkArgs(), description="How long is measured."
    )
    batch_sizes: Counts = Field((1, 4, 8), description="Sequences a call.")
    input_lengths: Counts = Field((32, 64, 128), description="Tokens a sequence.")
