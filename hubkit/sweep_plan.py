"""The configurations of a sweep: every combination of its parameters, less those filtered out.

Pure functions of the recipe; nothing is run here.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

from hubkit.errors import UsageError
from hubkit.keys import digest_of_value
from hubkit.recipe import Benchmark, Calibration, FrameworkArgs, OnnxDynamic, OnnxStatic, Sweep
from hubkit.sweep_records import OnnxSpec
from hubkit.sweep_where import Value, condition

# Least calls of each point, where one takes so long that the duration holds fewer.
_MIN_ITERATIONS = 12


def configurations(sweep: Sweep, where: str | None = None) -> tuple[OnnxSpec, ...]:
    """The specs of all combinations in the order of declaration, the first parameter slowest.

    A parameter without meaning in a configuration (calibration of a dynamic one, a percentile of
    minmax) makes no further ones. Raises UsageError for a filter that cannot be read, or that
    leaves nothing.
    """
    specs = every_configuration(sweep)
    if where is None:
        return specs
    wanted = condition(where, tuple(parameters(OnnxStatic(kind="onnx-static"))))
    chosen = tuple(spec for spec in specs if wanted(parameters(spec)))
    if not chosen:
        raise UsageError(
            f"--where '{where}': none of the {len(specs)} configurations is so",
            hint="Parameters: " + ", ".join(parameters(specs[0])) + ".",
        )
    return chosen


def every_configuration(sweep: Sweep) -> tuple[OnnxSpec, ...]:
    """The specs of all combinations, each once."""
    return tuple({spec.name: spec for spec in _combinations(sweep)}.values())


def _combinations(sweep: Sweep) -> Iterator[OnnxSpec]:
    learning, framework = sweep.calibration, sweep.framework_args
    for (
        approach,
        operators,
        excluded,
        per_channel,
        reduced,
        weights,
        opset,
        level,
    ) in itertools.product(
        sweep.quantization_approach,
        sweep.operators_to_quantize,
        sweep.node_exclusion,
        sweep.per_channel,
        sweep.reduce_range,
        sweep.weight_type,
        framework.opset,
        framework.optimization_level,
    ):
        common = {
            "operators_to_quantize": operators,
            "node_exclusion": excluded,
            "per_channel": per_channel,
            "reduce_range": reduced,
            "weight_type": weights,
            "framework_args": FrameworkArgs(opset=opset, optimization_level=level),
        }
        if approach == "dynamic":
            yield _named(OnnxDynamic.model_validate({"kind": "onnx-dynamic", **common}))
            continue
        for guards, activations, method, samples, percentile, bins in itertools.product(
            sweep.guards,
            sweep.activation_type,
            learning.method,
            learning.num_calibration_samples,
            learning.calibration_histogram_percentile,
            learning.calibration_histogram_num_bins,
        ):
            calibration = {
                "method": method,
                "num_samples": samples,
                **({"percentile": percentile} if method == "percentile" else {}),
                **({"num_bins": bins} if method != "minmax" else {}),
            }
            settings = {"guards": guards, "activation_type": activations}
            yield _named(
                OnnxStatic.model_validate(
                    {
                        "kind": "onnx-static",
                        **common,
                        **settings,
                        "calibration": Calibration.model_validate(calibration),
                    }
                )
            )


def _named(spec: OnnxSpec) -> OnnxSpec:
    """The spec under a name of its content, the same in every sweep that has it."""
    content = spec.model_dump(mode="json", exclude={"name"})
    name = f"{spec.kind.removeprefix('onnx-')}-{digest_of_value(content)[:8]}"
    return spec.model_copy(update={"name": name})


def parameters(spec: OnnxSpec) -> dict[str, Value]:
    """What a configuration is, by the sweep's names; None where a parameter has no meaning."""
    static = spec if isinstance(spec, OnnxStatic) else None
    learning = static.calibration if static else None
    method = learning.method if learning else None
    return {
        "quantization_approach": spec.kind.removeprefix("onnx-"),
        "operators_to_quantize": spec.operators_to_quantize,
        "node_exclusion": spec.node_exclusion,
        "per_channel": spec.per_channel,
        "reduce_range": spec.reduce_range,
        "activation_type": static.activation_type if static else None,
        "weight_type": spec.weight_type,
        "guards": static.guards if static else None,
        "method": method,
        "num_calibration_samples": learning.num_samples if learning else None,
        "calibration_histogram_percentile": learning.percentile
        if learning and method == "percentile"
        else None,
        "calibration_histogram_num_bins": learning.num_bins
        if learning and method != "minmax"
        else None,
        "opset": spec.framework_args.opset,
        "optimization_level": spec.framework_args.optimization_level,
    }


def time_plan(sweep: Sweep) -> Benchmark:
    """The time measurements of a sweep as the benchmark stage has them."""
    return Benchmark(
        batch_sizes=sweep.batch_sizes,
        input_lengths=sweep.input_lengths,
        warmup=sweep.time_benchmark_args.warmup_runs,
        min_seconds=sweep.time_benchmark_args.duration,
        min_iterations=_MIN_ITERATIONS,
        threads=sweep.backend_args.threads,
    )


def calibration_sets(specs: Sequence[OnnxSpec]) -> tuple[Calibration, ...]:
    """One plan for each distinct set of calibration rows."""
    plans = (spec.calibration for spec in specs if isinstance(spec, OnnxStatic))
    return tuple({(p.num_samples, p.batch_size, p.seed): p for p in plans}.values())
