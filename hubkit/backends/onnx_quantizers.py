"""ONNX Runtime's dynamic and static INT8 quantization.

onnxruntime.quantization is called itself, not through optimum's ORTQuantizer: that one cannot leave
the outputs of matrix products in float (see `StaticQuantizer`).
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from hubkit.backends import onnx_files
from hubkit.backends.activation_ranges import ranges_of, tensors_data
from hubkit.backends.activation_statistics import gather_statistics
from hubkit.backends.base import Quantized
from hubkit.backends.calibration import real_samples
from hubkit.backends.node_patterns import Graph, named_nodes, read_graph
from hubkit.backends.onnx_blockwise_quantizer import named_blockwise, rewrite
from hubkit.backends.onnx_order import sort_nodes
from hubkit.backends.onnx_plan import (
    Plan,
    check_operators,
    count_quantized,
    float_names,
    make_plan,
    with_fused,
)
from hubkit.backends.quiet import quiet
from hubkit.errors import DataError, ModelError
from hubkit.machine import has_exact_products, machine_info
from hubkit.recipe import OnnxDynamic, OnnxStatic

if TYPE_CHECKING:
    from onnxruntime.quantization.calibrate import TensorsData

    from hubkit.backends.activation_histogram import Histogram
    from hubkit.backends.base import Arrays

MODEL_FILE = "model.onnx"
_PRODUCTS = ("MatMul", "Gemm")
_TYPES = {"int8": "QInt8", "uint8": "QUInt8"}


def needs_reduced_range(flags: Iterable[str] | None = None) -> bool:
    """Whether weights must keep to 7 bits on a CPU with those flags (on this one where None)."""
    return not has_exact_products(machine_info().flags if flags is None else flags)


class DynamicQuantizer:
    """Weights ahead of time, activations U8 with a new range in each call.

    Products of two activations stay float, as in onnxruntime's own defaults: quantized they flip
    more predictions and win no time (measured on the demo model: 22 of 1,000 against 14). With
    scales per channel, embedding tables have one for each row. Products that the spec names as
    blockwise are that.
    """

    def quantize(
        self, model: Path, output: Path, spec: OnnxDynamic, calibration: Sequence[Arrays] = ()
    ) -> Quantized:
        """Write a loadable folder: the FP32 model itself where the spec leaves no node to quantize.

        Nodes of operators that have no dynamic quantization, such as Add, stay float. Raises
        RecipeError where an operator or a pattern means nothing in this model.
        """
        from onnxruntime.quantization import QuantType, quantize_dynamic
        from onnxruntime.quantization.registry import IntegerOpsRegistry

        graph = read_graph(model / MODEL_FILE)
        forms = {*IntegerOpsRegistry, "Gemm"}
        check_operators(spec.operators_to_quantize, forms, "dynamic", graph=graph)
        plan = make_plan(
            graph,
            spec.operators_to_quantize,
            spec.node_exclusion,
            forms=forms,
            never=named_nodes(graph, "attention-matmul"),
            allow_none=True,
        )
        blockwise = named_blockwise(graph, plan, spec)
        # A Gemm is quantized as the MatMul that it becomes, so MatMul must be among the operators.
        operators = list(
            dict.fromkeys((*with_fused(graph, spec.operators_to_quantize), *_PRODUCTS))
        )
        reduce_range = _reduce_range(spec)
        _copy_companions(model, output)
        if plan.quantized:
            with _own_copy(model, output) as copy, quiet():
                by_row = _tables_by_row(graph, plan) if spec.per_channel else frozenset()
                done = rewrite(copy, look_ups=by_row, products=blockwise, blocks=spec.blockwise)
                quantize_dynamic(
                    copy,
                    output / MODEL_FILE,
                    op_types_to_quantize=operators,
                    nodes_to_exclude=[*float_names(graph, plan, operators), *done],
                    weight_type=QuantType[_TYPES[spec.weight_type]],
                    per_channel=spec.per_channel,
                    reduce_range=reduce_range,
                )
                sort_nodes(output / MODEL_FILE)
        return _report(model, output, plan, reduce_range)


class StaticQuantizer:
    """Weights, and activations with ranges learned from calibration rows, as QDQ nodes.

    A tensor is quantized where a quantized node reads it, not because a quantized node wrote it: to
    round the output of a product that float nodes read costs accuracy and wins no time (measured on
    the demo model: 50 flips of 1,000 with it, 15 without).
    """

    def quantize(
        self, model: Path, output: Path, spec: OnnxStatic, calibration: Sequence[Arrays]
    ) -> Quantized:
        """`quantize_with` statistics of these batches; DataError where there are none."""
        if not calibration:
            raise DataError(
                "static quantization learns ranges from rows, and was given none",
                hint="Name a dataset.calibration_split with rows in the recipe.",
            )
        operators = spec.operators_to_quantize
        with tempfile.TemporaryDirectory(dir=output.parent, prefix="onnxruntime-") as scratch:
            found = gather_statistics(model / MODEL_FILE, calibration, operators, Path(scratch))
        return self.quantize_with(model, output, spec, found, real_samples(calibration))

    def quantize_with(
        self,
        model: Path,
        output: Path,
        spec: OnnxStatic,
        statistics: Mapping[str, Histogram],
        samples: int,
    ) -> Quantized:
        """Write a loadable folder: the FP32 model itself where the spec leaves no node to quantize.

        `statistics`: of each tensor that nodes of the operators read or write, over `samples`
        rows. Masked attention scores stay float unless the spec has guards off. Raises
        RecipeError where an operator or a pattern means nothing in this model, ModelError where
        onnxruntime cannot do what the spec says.
        """
        from onnxruntime.quantization.registry import QDQRegistry

        graph = read_graph(model / MODEL_FILE)
        check_operators(spec.operators_to_quantize, QDQRegistry, "static", graph=graph)
        plan = make_plan(graph, spec.operators_to_quantize, spec.node_exclusion, allow_none=True)
        if spec.guards:
            plan = _guarded(graph, plan)
        _refuse(graph, spec)
        reduce_range = _reduce_range(spec)
        _copy_companions(model, output)
        if plan.quantized:
            known = {t: statistics[t] for t in _tensors(graph, plan) if t in statistics}
            ranges = tensors_data(ranges_of(known, spec.calibration), spec.calibration)
            with quiet():
                _write_qdq(model, output, spec, float_names(graph, plan, _every(graph)), ranges)
        return _report(model, output, plan, reduce_range, samples=samples)


def _tables_by_row(graph: Graph, plan: Plan) -> frozenset[str]:
    return frozenset(n.name for n in graph.nodes if n.op == "Gather" and n.name in plan.quantized)


def _refuse(graph: Graph, spec: OnnxStatic) -> None:
    if spec.per_channel and graph.opset < 13:
        raise ModelError(
            f"the model's opset {graph.opset} has no scales per channel in static quantization",
            hint="Set framework_args.opset to 13 or later, or per_channel to false.",
        )


def _write_qdq(
    model: Path, output: Path, spec: OnnxStatic, exclude: Sequence[str], ranges: TensorsData
) -> None:
    import onnx
    from onnxruntime.quantization import QuantType
    from onnxruntime.quantization.qdq_quantizer import QDQQuantizer

    graph = onnx.load(str(model / MODEL_FILE))
    onnx_files.read_weights_directly(graph)
    quantizer = QDQQuantizer(
        graph,
        per_channel=spec.per_channel,
        reduce_range=_reduce_range(spec),
        weight_qType=QuantType[_TYPES[spec.weight_type]],
        activation_qType=QuantType[_TYPES[spec.activation_type]],
        tensors_range=ranges,
        nodes_to_quantize=[],
        nodes_to_exclude=list(exclude),
        op_types_to_quantize=list(spec.operators_to_quantize),
        extra_options={
            "WeightSymmetric": spec.weight_type == "int8",
            "ActivationSymmetric": False,
            "OpTypesToExcludeOutputQuantization": list(_PRODUCTS),
        },
    )
    quantizer.quantize_model()
    quantizer.model.save_model_to_file(str(output / MODEL_FILE))
    sort_nodes(output / MODEL_FILE)


def _report(
    model: Path, output: Path, plan: Plan, reduce_range: bool, *, samples: int = 0
) -> Quantized:
    written = output / MODEL_FILE
    count = count_quantized(written, plan, allow_none=True) if plan.quantized else 0
    if not count:
        if written.exists():
            onnx_files.remove(written)
        onnx_files.copy(model / MODEL_FILE, output)
    return Quantized(
        model_file=MODEL_FILE,
        nodes_quantized=count,
        nodes_excluded=plan.excluded,
        reduce_range=reduce_range,
        real_samples=samples,
    )


def _guarded(graph: Graph, plan: Plan) -> Plan:
    """The plan less the nodes that read or write masked attention scores, counted as "softmax".

    The mask's huge negatives would take the whole range, and accuracy falls to chance.
    """
    masked = plan.quantized & named_nodes(graph, "softmax")
    if not masked:
        return plan
    return Plan(plan.quantized - masked, {**plan.excluded, "softmax": len(masked)})


def _tensors(graph: Graph, plan: Plan) -> list[str]:
    touched = (
        tensor
        for node in graph.nodes
        if node.name in plan.quantized
        for tensor in (*node.inputs, *node.outputs)
    )
    return list(dict.fromkeys(touched))


def _every(graph: Graph) -> set[str]:
    return {node.op for node in graph.nodes}


def _reduce_range(spec: OnnxDynamic | OnnxStatic) -> bool:
    return needs_reduced_range() if spec.reduce_range is None else spec.reduce_range


@contextmanager
def _own_copy(model: Path, output: Path) -> Iterator[Path]:
    """The model file in a folder of its own: onnxruntime writes beside what it reads, and that may
    be a store's, which others read at the same time."""
    with tempfile.TemporaryDirectory(dir=output.parent, prefix="onnxruntime-") as folder:
        yield onnx_files.copy(model / MODEL_FILE, Path(folder))


def _copy_companions(model: Path, output: Path) -> None:
    # Byte for byte, so that config and tokenizer are those of the FP32 export.
    output.mkdir(parents=True, exist_ok=True)
    for file in sorted(model.iterdir()):
        if file.is_file() and file.suffix in {".json", ".txt", ".model", ".jinja"}:
            shutil.copyfile(file, output / file.name)


dynamic = DynamicQuantizer()
static = StaticQuantizer()
