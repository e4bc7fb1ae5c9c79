"""The parameters of a sweep by the names of optimum's reports: what is fixed, what is benchmarked.

Values are written as Python writes them, as in the reference: `['Add', 'MatMul']`, `False`, and a
word alone without quotes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from hubkit.recipe import OnnxStatic, Sweep
from hubkit.sweep_records import OnnxSpec, SweepReport

NOTHING = "–"  # does not apply here, which is not the same as not measured


@dataclass(frozen=True)
class Parameter:
    """One parameter; `key` has a dot where the reference nests it. `of`: its value in one
    configuration, NOTHING where it does not act."""

    key: str
    values: tuple[str, ...]
    of: Callable[[OnnxSpec], str]

    @property
    def benchmarked(self) -> bool:
        return len(self.values) > 1


@dataclass(frozen=True)
class Setting:
    """A line of the fixed parameters; `value` None: the title of what is nested below it."""

    level: int
    key: str
    value: str | None = None


def text_of(value: object) -> str:
    """A value as the reference writes it."""
    if isinstance(value, str):
        return value
    return repr(list(value)) if isinstance(value, tuple) else repr(value)


def _texts(values: Iterable[object]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(text_of(value) for value in values))


def _static(of: Callable[[OnnxStatic], object]) -> Callable[[OnnxSpec], str]:
    """The value in a static configuration; NOTHING in a dynamic one."""
    return lambda spec: text_of(of(spec)) if isinstance(spec, OnnxStatic) else NOTHING


def _for_methods(
    methods: Sequence[str], of: Callable[[OnnxStatic], object]
) -> Callable[[OnnxSpec], str]:
    """The value where the calibration method looks at it."""
    return lambda spec: (
        text_of(of(spec))
        if isinstance(spec, OnnxStatic) and spec.calibration.method in methods
        else NOTHING
    )


def parameters(sweep: Sweep) -> tuple[Parameter, ...]:
    """What a sweep can be given several values of, in the reference's order, then what it lacks."""
    return (
        Parameter(
            "quantization_approach",
            _texts(sweep.quantization_approach),
            lambda spec: spec.kind.removeprefix("onnx-"),
        ),
        Parameter(
            "operators_to_quantize",
            _texts(sweep.operators_to_quantize),
            lambda spec: text_of(spec.operators_to_quantize),
        ),
        Parameter(
            "node_exclusion",
            _texts(sweep.node_exclusion),
            lambda spec: text_of(spec.node_exclusion),
        ),
        Parameter("per_channel", _texts(sweep.per_channel), lambda spec: text_of(spec.per_channel)),
        *(_calibration(sweep) if "static" in sweep.quantization_approach else ()),
        Parameter(
            "framework_args.opset",
            _texts(sweep.framework_args.opset),
            lambda spec: text_of(spec.framework_args.opset),
        ),
        Parameter(
            "framework_args.optimization_level",
            _texts(sweep.framework_args.optimization_level),
            lambda spec: text_of(spec.framework_args.optimization_level),
        ),
        *_beyond_the_reference(sweep),
    )


def _calibration(sweep: Sweep) -> Iterable[Parameter]:
    given = sweep.calibration
    yield Parameter(
        "calibration.method", _texts(given.method), _static(lambda s: s.calibration.method)
    )
    yield Parameter(
        "calibration.num_calibration_samples",
        _texts(given.num_calibration_samples),
        _static(lambda s: s.calibration.num_samples),
    )
    if "percentile" in given.method:
        yield Parameter(
            "calibration.calibration_histogram_percentile",
            _texts(given.calibration_histogram_percentile),
            _for_methods(("percentile",), lambda s: s.calibration.percentile),
        )
    if set(given.method) - {"minmax"}:
        yield Parameter(
            "calibration.calibration_histogram_num_bins",
            _texts(given.calibration_histogram_num_bins),
            _for_methods(("percentile", "entropy"), lambda s: s.calibration.num_bins),
        )


def _beyond_the_reference(sweep: Sweep) -> Iterable[Parameter]:
    yield Parameter(
        "reduce_range", _texts(sweep.reduce_range), lambda spec: text_of(spec.reduce_range)
    )
    if "static" in sweep.quantization_approach:
        yield Parameter(
            "activation_type", _texts(sweep.activation_type), _static(lambda s: s.activation_type)
        )
    yield Parameter(
        "weight_type", _texts(sweep.weight_type), lambda spec: text_of(spec.weight_type)
    )
    if "static" in sweep.quantization_approach:
        yield Parameter("guards", _texts(sweep.guards), _static(lambda s: s.guards))


def benchmarked(sweep: Sweep) -> tuple[Parameter, ...]:
    """The parameters that have several values."""
    return tuple(parameter for parameter in parameters(sweep) if parameter.benchmarked)


def fixed(report: SweepReport) -> tuple[Setting, ...]:
    """The parameters that have one value, in the reference's order and nesting."""
    single = {p.key: p.values[0] for p in parameters(report.sweep) if not p.benchmarked}

    def taken(*keys: str, below: str = "") -> list[Setting]:
        found = [k for k in single if (k in keys if not below else k.startswith(f"{below}."))]
        lines = [Setting(bool(below), k.removeprefix(f"{below}."), single.pop(k)) for k in found]
        return [Setting(0, below), *lines] if below and lines else lines

    return (
        Setting(0, "model_name_or_path", report.lock.base.id),
        *_dataset(report),
        *taken("quantization_approach", "operators_to_quantize", "node_exclusion", "per_channel"),
        *taken(below="calibration"),
        Setting(0, "framework", report.sweep.framework),
        *taken(below="framework_args"),
        Setting(0, "aware_training", text_of(report.sweep.aware_training)),
        *(Setting(0, key, value) for key, value in single.items()),
    )


def _dataset(report: SweepReport) -> Iterable[Setting]:
    spec = report.dataset_spec
    yield Setting(0, "dataset")
    # The lock's id is never a path of one machine, which the recipe's may be.
    yield Setting(1, "path", report.lock.dataset.id)
    if spec.config is not None:
        yield Setting(1, "name", spec.config)
    yield Setting(1, "eval_split", spec.eval_split)
    yield Setting(1, "data_keys", text_of(dict(spec.data_keys)))
    yield Setting(1, "ref_keys", text_of(spec.ref_keys))
    yield Setting(1, "calibration_split", spec.calibration_split)
