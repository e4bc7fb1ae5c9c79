"""FP32 ONNX graphs, activation statistics and INT8 variants: each made once for all who need it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from hubkit.backends.onnx_float16 import instead_of
from hubkit.backends.onnx_plan import refusal
from hubkit.backends.onnx_quantizers import needs_reduced_range
from hubkit.machine import Target
from hubkit.recipe import (
    IncDynamic,
    OnnxBlockwise,
    OnnxDynamic,
    OnnxFloat16,
    OnnxStatic,
    OpenVinoStatic,
    TaskName,
    VariantSpec,
)
from hubkit.records import BaseModelInfo, Encoded, Failed, Variant
from hubkit.runner import Pending, Runner
from hubkit.stages.calibrate import ActivationStatistics, CalibrateInput, calibrate
from hubkit.stages.convert import ConvertInput, convert
from hubkit.stages.export import ExportInput, export
from hubkit.stages.optimize import OptimizeInput
from hubkit.stages.optimize import optimize as optimize_graph
from hubkit.stages.quantize import QuantizeInput, quantize
from hubkit.stages.smooth import SmoothInput, smooth

OnnxSpec = OnnxDynamic | OnnxStatic | OnnxBlockwise | OnnxFloat16
_RangeChoosing = OnnxDynamic | OnnxStatic | OpenVinoStatic | IncDynamic
# How much is smoothed, and the rows and their batches that tell where: None for none.
Smoothing = tuple[float | Literal["auto"], int, int]
GraphKey = tuple[int | None, int, Smoothing | None]  # opset, optimization level, smoothing
PLAIN: GraphKey = (None, 0, None)


@dataclass(frozen=True)
class CalibrationRows:
    """The rows that static quantization learns from, and their split; None: there are none."""

    encoded: Encoded | None = None
    split: str = ""


NO_ROWS = CalibrationRows()


@dataclass(frozen=True)
class Graphs:
    """FP32 ONNX models by how they are made, and why some could not be."""

    made: dict[GraphKey, Variant]
    failed: dict[GraphKey, Failed]

    def put(self, key: GraphKey, result: Variant | Failed) -> None:
        """Add a graph, or why it is not there."""
        if isinstance(result, Failed):
            self.failed[key] = result
        else:
            self.made[key] = result

    def of(self, spec: OnnxSpec) -> Variant | Failed:
        """What a spec starts from, or why that is not there."""
        key = graph_key(spec)
        return self.made[key] if key in self.made else self.failed[key]


def graph_key(spec: OnnxSpec) -> GraphKey:
    """Opset, optimization level and smoothing of the graph that a spec starts from."""
    opset, level = spec.framework_args.opset, spec.framework_args.optimization_level
    if not isinstance(spec, OnnxDynamic | OnnxStatic) or spec.smooth_quant is None:
        return opset, level, None
    plan = spec.calibration
    return opset, level, (spec.smooth_quant, plan.num_samples, plan.batch_size)


def make_graphs(
    run: Runner,
    base: BaseModelInfo,
    task: TaskName,
    plain: Variant,
    specs: Iterable[OnnxSpec],
    rows: CalibrationRows = NO_ROWS,
) -> Graphs:
    """The graphs of all specs beside `plain`, the default export. Raises only what is not a graph's
    own fault. `rows`: where a spec is smoothed."""
    wanted = list(dict.fromkeys(map(graph_key, specs)))
    keys: list[GraphKey] = list(dict.fromkeys((*key[:2], None) for key in wanted))
    graphs = Graphs({PLAIN: plain}, {})
    opsets = [opset for opset in dict.fromkeys(key[0] for key in keys) if opset is not None]
    exports = [(ExportInput(base=base, task=task, opset=o), f"opset {o}", "onnx") for o in opsets]
    exported = run.settle(export, exports)
    for opset, result in zip(opsets, exported, strict=True):
        graphs.put((opset, 0, None), result)
    optimized = [key for key in keys if key[1]]
    for key in optimized:
        if (key[0], 0, None) in graphs.failed:
            graphs.put(key, graphs.failed[key[0], 0, None])
    able = [key for key in optimized if (key[0], 0, None) in graphs.made]
    calls = [
        (
            OptimizeInput.model_validate({"fp32": graphs.made[key[0], 0, None], "level": key[1]}),
            _subject(*key[:2]),
            "onnx",
        )
        for key in able
    ]
    done = run.settle(optimize_graph, calls)
    for key, result in zip(able, done, strict=True):
        graphs.put(key, result)
    _smooth(run, graphs, [key for key in wanted if key[2] is not None], rows)
    return graphs


def _smooth(run: Runner, graphs: Graphs, keys: Sequence[GraphKey], rows: CalibrationRows) -> None:
    """Add the graphs that are smoothed, each made of the one that is not."""
    calls = []
    for key in keys:
        source, plan = (*key[:2], None), key[2]
        assert plan is not None
        subject = f"{_subject(*key[:2])}, {plan[0]}"
        if source in graphs.failed:
            graphs.put(key, graphs.failed[source])
        elif rows.encoded is None:
            why = "SmoothQuant learns from rows, and dataset.calibration_split has none"
            graphs.put(key, Failed(stage="smooth", subject=subject, reason=why))
        else:
            given = SmoothInput(
                fp32=graphs.made[source],
                encoded=rows.encoded,
                alpha=plan[0],
                num_samples=plan[1],
                batch_size=plan[2],
            )
            calls.append((key, (given, subject, "onnx")))
    results = run.settle(smooth, [call for _, call in calls])
    for (key, _), result in zip(calls, results, strict=True):
        graphs.put(key, result)


def source_of(graphs: Graphs, spec: OnnxSpec, target: Target | None = None) -> Variant | Failed:
    """What a spec starts from, or why nothing can come of it on the processor that will serve (this
    one where None)."""
    source = graphs.of(spec)
    if isinstance(source, Failed):
        return source.model_copy(update={"subject": spec.name})
    reason = refusal(spec, target)
    if reason is not None:
        hint = instead_of(spec.dtype) if isinstance(spec, OnnxFloat16) else ""
        return Failed(stage="quantize", subject=spec.name, reason=reason, hint=hint)
    return source


def _subject(opset: int | None, level: int) -> str:
    return f"level {level}" if opset is None else f"opset {opset}, level {level}"


def learn(
    run: Runner, graphs: Graphs, specs: Sequence[OnnxSpec], rows: CalibrationRows
) -> dict[tuple[GraphKey, int, int], ActivationStatistics]:
    """The activation statistics of each graph on each set of calibration rows: one pass of the
    model for all specs that share them."""
    if rows.encoded is None:
        return {}
    sets: dict[tuple[GraphKey, int, int], set[str]] = {}
    for spec in specs:
        if isinstance(spec, OnnxStatic) and graph_key(spec) in graphs.made:
            sets.setdefault(_set_of(spec), set()).update(spec.operators_to_quantize)
    calls = [
        (
            CalibrateInput(
                fp32=graphs.made[graph],
                encoded=rows.encoded,
                num_samples=samples,
                batch_size=batch_size,
                operators=tuple(sorted(operators)),
                split=rows.split,
            ),
            f"{samples} rows" if graph == PLAIN else f"{samples} rows, {graphs.made[graph].name}",
            "onnx",
        )
        for (graph, samples, batch_size), operators in sets.items()
    ]
    found = [run.expect(result) for result in run.map(calibrate, calls)]
    return dict(zip(sets, found, strict=True))


def _set_of(spec: OnnxStatic) -> tuple[GraphKey, int, int]:
    return graph_key(spec), spec.calibration.num_samples, spec.calibration.batch_size


def quantize_input(
    base: BaseModelInfo,
    fp32: Variant,
    spec: OnnxSpec,
    statistics: dict[tuple[GraphKey, int, int], ActivationStatistics],
    split: str,
) -> QuantizeInput:
    """The call that makes a spec's variant."""
    learnt = statistics.get(_set_of(spec)) if isinstance(spec, OnnxStatic) else None
    return QuantizeInput(
        base=base, fp32=fp32, spec=settled(spec), statistics=learnt, split=split if learnt else ""
    )


@dataclass(frozen=True)
class OpenVinoBegun:
    """The FP32 model of OpenVINO, where it is needed and could be made; the calls that quantize it,
    begun; and why the rest cannot be."""

    fp32: tuple[Variant, ...] = ()
    calls: tuple[Pending[QuantizeInput, Variant], ...] = ()
    failed: tuple[Failed, ...] = ()


def begin_openvino(
    run: Runner,
    base: BaseModelInfo,
    task: TaskName,
    onnx_fp32: Variant,
    specs: Sequence[OpenVinoStatic],
    rows: CalibrationRows,
) -> OpenVinoBegun:
    """Begin what OpenVINO's variants need, in a process of its own."""
    if not specs:
        return OpenVinoBegun()
    wanted = ConvertInput(fp32=onnx_fp32, task=task)
    fp32, failed = run.try_map(convert, [(wanted, "", "openvino")])
    if failed:
        (why,) = failed
        return OpenVinoBegun(
            failed=tuple(why.model_copy(update={"subject": spec.name}) for spec in specs)
        )
    calls = [
        QuantizeInput(
            base=base, fp32=fp32[0], spec=settled(spec), calibration=rows.encoded, split=rows.split
        )
        for spec in specs
    ]
    begun = run.start(quantize, [(call, call.spec.name, "openvino") for call in calls])
    return OpenVinoBegun(tuple(fp32), tuple(begun))


def settled(spec: VariantSpec) -> VariantSpec:
    """The spec with what depends on this machine decided: before the key is made, not by whoever
    runs the call."""
    if isinstance(spec, _RangeChoosing) and spec.reduce_range is None:
        return spec.model_copy(update={"reduce_range": needs_reduced_range()})
    return spec
