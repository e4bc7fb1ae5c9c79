"""ONNX Runtime's dynamic and static INT8 quantization.

onnxruntime.quantization is called itself, not through optimum's ORTQuantizer: that one cannot leave
the outputs of matrix products in float (see `StaticQuantizer`).
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from hubkit.backends.base import Quantized
from hubkit.backends.calibration import activation_ranges, real_samples
from hubkit.backends.node_patterns import Graph, named_nodes, read_graph
from hubkit.backends.onnx_plan import (
    Plan,
    check_operators,
    count_quantized,
    float_names,
    make_plan,
)
from hubkit.backends.quiet import quiet
from hubkit.errors import DataError
from hubkit.machine import machine_info
from hubkit.recipe import OnnxDynamic, OnnxStatic

if TYPE_CHECKING:
    from onnxruntime.quantization.calibrate import TensorsData

    from hubkit.backends.base import Arrays

MODEL_FILE = "model.onnx"
_PRODUCTS = ("MatMul", "Gemm")
# Products of U8 and S8 saturate in the 16-bit sums of x86 before VNNI; ARM has no such sums.
_EXACT_PRODUCTS = {"avx512_vnni", "avx_vnni", "amx_int8", "asimd"}


def needs_reduced_range(flags: Iterable[str] | None = None) -> bool:
    """Whether weights must keep to 7 bits on a CPU with those flags (on this one where None).

    Source: onnxruntime's documentation of quantize_static, "Choosing parameters for CPU inference".
    """
    return not _EXACT_PRODUCTS & set(machine_info().flags if flags is None else flags)


class DynamicQuantizer:
    """Weights S8 ahead of time, activations U8 with a new range in each call.

    Products of two activations stay float, as in onnxruntime's own defaults: quantized they flip
    more predictions and win no time (measured on the demo model: 22 of 1,000 against 14).
    """

    def quantize(
        self, model: Path, output: Path, spec: OnnxDynamic, calibration: Sequence[Arrays] = ()
    ) -> Quantized:
        """Write a loadable folder. Raises RecipeError where the spec does not fit the model."""
        from onnxruntime.quantization import QuantType, quantize_dynamic
        from onnxruntime.quantization.registry import IntegerOpsRegistry

        check_operators(spec.operators_to_quantize, [*IntegerOpsRegistry, "Gemm"], "dynamic")
        graph = read_graph(model / MODEL_FILE)
        plan = make_plan(
            graph,
            spec.operators_to_quantize,
            spec.node_exclusion,
            never=named_nodes(graph, "attention-matmul"),
        )
        # A Gemm is quantized as the MatMul that it becomes, so MatMul must be among the operators.
        operators = list(dict.fromkeys((*spec.operators_to_quantize, *_PRODUCTS)))
        reduce_range = _reduce_range(spec)
        _copy_companions(model, output)
        with _own_copy(model, output) as copy, quiet():
            quantize_dynamic(
                copy,
                output / MODEL_FILE,
                op_types_to_quantize=operators,
                nodes_to_exclude=float_names(graph, plan, operators),
                weight_type=QuantType.QInt8,
                per_channel=spec.per_channel,
                reduce_range=reduce_range,
            )
        return _report(output, plan, reduce_range)


class StaticQuantizer:
    """Weights S8, and activations U8 with ranges learned from calibration batches, as QDQ nodes.

    A tensor is quantized where a quantized node reads it, not because a quantized node wrote it: to
    round the output of a product that float nodes read costs accuracy and wins no time (measured on
    the demo model: 50 flips of 1,000 with it, 15 without).
    """

    def quantize(
        self, model: Path, output: Path, spec: OnnxStatic, calibration: Sequence[Arrays]
    ) -> Quantized:
        """Write a loadable folder. Adds of the attention mask stay float whatever the spec says.

        Raises DataError without calibration batches, RecipeError where the spec does not fit.
        """
        from onnxruntime.quantization.registry import QDQRegistry

        if not calibration:
            raise DataError(
                "static quantization learns ranges from rows, and was given none",
                hint="Name a dataset.calibration_split with rows in the recipe.",
            )
        graph = read_graph(model / MODEL_FILE)
        able = [*QDQRegistry, *(n.op for n in graph.nodes if n.op != "Constant")]
        check_operators(spec.operators_to_quantize, able, "static")
        plan = make_plan(graph, spec.operators_to_quantize, _with_mask_guard(graph, spec))
        with _own_copy(model, output) as copy:
            ranges = activation_ranges(
                copy,
                calibration,
                tensors=_tensors(graph, plan),
                method=spec.calibration.method,
                scratch=copy.parent,
            )
        reduce_range = _reduce_range(spec)
        _copy_companions(model, output)
        with quiet():
            _write_qdq(model, output, spec, float_names(graph, plan, _every(graph)), ranges)
        return _report(output, plan, reduce_range, samples=real_samples(calibration))


def _write_qdq(
    model: Path, output: Path, spec: OnnxStatic, exclude: Sequence[str], ranges: TensorsData
) -> None:
    import onnx
    from onnxruntime.quantization import QuantType
    from onnxruntime.quantization.qdq_quantizer import QDQQuantizer

    quantizer = QDQQuantizer(
        onnx.load(str(model / MODEL_FILE)),
        per_channel=spec.per_channel,
        reduce_range=_reduce_range(spec),
        weight_qType=QuantType.QInt8,
        activation_qType=QuantType.QUInt8,
        tensors_range=ranges,
        nodes_to_quantize=[],
        nodes_to_exclude=list(exclude),
        op_types_to_quantize=list(spec.operators_to_quantize),
        extra_options={
            "WeightSymmetric": True,
            "ActivationSymmetric": False,
            "OpTypesToExcludeOutputQuantization": list(_PRODUCTS),
        },
    )
    quantizer.quantize_model()
    quantizer.model.save_model_to_file(str(output / MODEL_FILE))


def _report(output: Path, plan: Plan, reduce_range: bool, *, samples: int = 0) -> Quantized:
    return Quantized(
        model_file=MODEL_FILE,
        nodes_quantized=count_quantized(output / MODEL_FILE, plan),
        nodes_excluded=plan.excluded,
        reduce_range=reduce_range,
        real_samples=samples,
    )


def _with_mask_guard(graph: Graph, spec: OnnxStatic) -> tuple[str, ...]:
    """The spec's exclusions, and "softmax" where Adds are quantized: the mask's huge negatives
    would take the whole range, and accuracy falls to chance."""
    guarded = "Add" in spec.operators_to_quantize and named_nodes(graph, "softmax")
    return tuple(dict.fromkeys((*spec.node_exclusion, *(["softmax"] if guarded else []))))


def _tensors(graph: Graph, plan: Plan) -> frozenset[str]:
    return frozenset(
        tensor
        for node in graph.nodes
        if node.name in plan.quantized
        for tensor in (*node.inputs, *node.outputs)
    )


def _every(graph: Graph) -> set[str]:
    return {node.op for node in graph.nodes}


def _reduce_range(spec: OnnxDynamic | OnnxStatic) -> bool:
    return needs_reduced_range() if spec.reduce_range is None else spec.reduce_range


@contextmanager
def _own_copy(model: Path, output: Path) -> Iterator[Path]:
    """The model file in a folder of its own: onnxruntime writes beside what it reads, and that may
    be a store's, which others read at the same time."""
    with tempfile.TemporaryDirectory(dir=output.parent, prefix="onnxruntime-") as folder:
        yield Path(shutil.copyfile(model / MODEL_FILE, Path(folder) / MODEL_FILE))


def _copy_companions(model: Path, output: Path) -> None:
    # Byte for byte, so that config and tokenizer are those of the FP32 export.
    output.mkdir(parents=True, exist_ok=True)
    for file in sorted(model.iterdir()):
        if file.is_file() and file.suffix in {".json", ".txt", ".model", ".jinja"}:
            shutil.copyfile(file, output / file.name)


dynamic = DynamicQuantizer()
static = StaticQuantizer()
