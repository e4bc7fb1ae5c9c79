"""FP32 ONNX graphs, activation statistics and INT8 variants: each made once for all who need it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from hubkit.backends.onnx_plan import refusal
from hubkit.backends.onnx_quantizers import needs_reduced_range
from hubkit.recipe import OnnxDynamic, OnnxStatic, TaskName, VariantSpec
from hubkit.records import BaseModelInfo, Encoded, Failed, Variant
from hubkit.runner import Runner
from hubkit.stages.calibrate import ActivationStatistics, CalibrateInput, calibrate
from hubkit.stages.export import ExportInput, export
from hubkit.stages.optimize import OptimizeInput
from hubkit.stages.optimize import optimize as optimize_graph
from hubkit.stages.quantize import QuantizeInput

OnnxSpec = OnnxDynamic | OnnxStatic
GraphKey = tuple[int | None, int]  # opset, optimization level
PLAIN: GraphKey = (None, 0)


@dataclass(frozen=True)
class CalibrationRows:
    """The rows that static quantization learns from, and their split; None: there are none."""

    encoded: Encoded | None = None
    split: str = ""


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
    """Opset and optimization level of the graph that a spec starts from."""
    return spec.framework_args.opset, spec.framework_args.optimization_level


def make_graphs(
    run: Runner, base: BaseModelInfo, task: TaskName, plain: Variant, specs: Iterable[OnnxSpec]
) -> Graphs:
    """The graphs of all specs beside `plain`, the default export. Raises only what is not a graph's
    own fault."""
    keys = list(dict.fromkeys(map(graph_key, specs)))
    graphs = Graphs({PLAIN: plain}, {})
    opsets = [opset for opset in dict.fromkeys(opset for opset, _ in keys) if opset is not None]
    exports = [(ExportInput(base=base, task=task, opset=o), f"opset {o}", "onnx") for o in opsets]
    exported = run.settle(export, exports)
    for opset, result in zip(opsets, exported, strict=True):
        graphs.put((opset, 0), result)
    optimized = [key for key in keys if key[1]]
    for key in optimized:
        if (key[0], 0) in graphs.failed:
            graphs.put(key, graphs.failed[key[0], 0])
    able = [key for key in optimized if (key[0], 0) in graphs.made]
    calls = [
        (
            OptimizeInput.model_validate({"fp32": graphs.made[key[0], 0], "level": key[1]}),
            _subject(*key),
            "onnx",
        )
        for key in able
    ]
    done = run.settle(optimize_graph, calls)
    for key, result in zip(able, done, strict=True):
        graphs.put(key, result)
    return graphs


def source_of(graphs: Graphs, spec: OnnxSpec) -> Variant | Failed:
    """What a spec starts from, or why nothing can come of it."""
    source = graphs.of(spec)
    if isinstance(source, Failed):
        return source.model_copy(update={"subject": spec.name})
    reason = refusal(spec)
    if reason is not None:
        return Failed(stage="quantize", subject=spec.name, reason=reason)
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


def settled(spec: VariantSpec) -> VariantSpec:
    """The spec with what depends on this machine decided: before the key is made, not by whoever
    runs the call."""
    if isinstance(spec, OnnxDynamic | OnnxStatic) and spec.reduce_range is None:
        return spec.model_copy(update={"reduce_range": needs_reduced_range()})
    return spec
