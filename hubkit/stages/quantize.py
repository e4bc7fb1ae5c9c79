"""A variant in INT8, or in half precision, from an FP32 one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hubkit.backends import onnx_quantizers, quantizer_for
from hubkit.backends.activation_histogram import load_histograms
from hubkit.backends.base import Quantized
from hubkit.backends.calibration import calibration_batches
from hubkit.backends.node_patterns import read_graph
from hubkit.errors import DataError
from hubkit.recipe import (
    Calibrated,
    IncStatic,
    OnnxDynamic,
    OnnxFloat16,
    OnnxStatic,
    OpenVinoStatic,
    VariantSpec,
)
from hubkit.records import Approach, BaseModelInfo, CalibrationInfo, Encoded, Record, Variant
from hubkit.stage import Context, stage
from hubkit.stages.calibrate import STATISTICS_FILE, ActivationStatistics
from hubkit.stages.export import weights_size

if TYPE_CHECKING:
    from pathlib import Path

    from hubkit.backends.base import Arrays

ENCODED_FILE = "encoded.npz"


class QuantizeInput(Record):
    """What to make of which model.

    `fp32`: onnx-fp32 for the ONNX kinds, pytorch-fp32 for those of Neural Compressor, openvino-fp32
    for OpenVINO's. `statistics`: what onnx-static learns its ranges from; `calibration`: what the
    other static kinds do; both of rows of the split named `split`.
    """

    base: BaseModelInfo
    fp32: Variant
    spec: VariantSpec
    statistics: ActivationStatistics | None = None
    calibration: Encoded | None = None
    split: str = ""


@stage(
    "quantize",
    version=5,
    kind="heavy",
    takes=QuantizeInput,
    gives=Variant,
    tools=(
        *("onnx", "onnxruntime", "numpy", "torch", "transformers", "optimum"),
        *("optimum-intel", "neural-compressor", "openvino", "nncf"),
    ),
)
def quantize(given: QuantizeInput, ctx: Context) -> Variant:
    """The variant that the spec names: a folder that ORTModel, INCModel or OVModel loads.

    Where the spec leaves no ONNX node to quantize it is the FP32 model, with `nodes_quantized` 0.
    Raises RecipeError where the spec does not fit the model, ModelError where the library cannot do
    what it says, DataError where what it learns from is missing, MissingDependencyError where
    Neural Compressor or NNCF is.
    """
    spec = given.spec
    ctx.progress(f"quantizing {spec.name}", 0, 1)
    model = ctx.store.path(given.fp32.artifact)
    output = ctx.scratch / "quantized"
    if isinstance(spec, OnnxStatic):
        done = _with_statistics(given, spec, ctx, model, output)
    else:
        done = quantizer_for(spec).quantize(model, output, spec, _batches(given, ctx))
    onnx = spec if isinstance(spec, OnnxDynamic | OnnxStatic) else None
    graph = given.fp32.format == "onnx"
    opset = read_graph(output / done.model_file).opset if graph else None
    artifact = ctx.store.adopt(output)
    ctx.progress(f"quantizing {spec.name}", 1, 1)
    return Variant(
        name=spec.name,
        format=given.fp32.format,
        precision="fp16" if isinstance(spec, OnnxFloat16) else "int8",
        approach=_approach(spec),
        artifact=artifact,
        model_file=done.model_file,
        size_bytes=weights_size(artifact, done.model_file),
        opset=opset,
        per_channel=onnx.per_channel if onnx else done.per_channel,
        reduce_range=done.reduce_range,
        operators_to_quantize=onnx.operators_to_quantize if onnx else done.operators,
        nodes_quantized=done.nodes_quantized,
        nodes_excluded=dict(done.nodes_excluded),
        calibration=_calibration(given, done.real_samples),
        smoothing=given.fp32.smoothing if done.smoothing is None else done.smoothing,
    )


def _approach(spec: VariantSpec) -> Approach:
    if isinstance(spec, OnnxFloat16):
        return "none"
    return "static" if isinstance(spec, Calibrated) else "dynamic"


def _with_statistics(
    given: QuantizeInput, spec: OnnxStatic, ctx: Context, model: Path, output: Path
) -> Quantized:
    learnt = given.statistics
    if learnt is None:
        raise _nothing_to_learn_from(spec)
    if missing := set(spec.operators_to_quantize) - set(learnt.operators):
        raise DataError(
            f"{spec.name} quantizes {', '.join(sorted(missing))}, whose tensors were not watched in"
            " calibration",
            hint="Name them among the operators of the calibrate stage.",
        )
    statistics = load_histograms(ctx.store.path(learnt.artifact) / STATISTICS_FILE)
    return onnx_quantizers.static.quantize_with(
        model, output, spec, statistics, learnt.real_samples
    )


def _batches(given: QuantizeInput, ctx: Context) -> list[Arrays]:
    if not isinstance(given.spec, IncStatic | OpenVinoStatic):
        return []
    if given.calibration is None:
        raise _nothing_to_learn_from(given.spec)
    return calibration_batches(
        ctx.store.path(given.calibration.artifact) / ENCODED_FILE,
        num_samples=given.spec.calibration.num_samples,
        batch_size=given.spec.calibration.batch_size,
        pad_token_id=given.calibration.pad_id,
    )


def _nothing_to_learn_from(spec: Calibrated) -> DataError:
    return DataError(
        f"{spec.name} is quantized statically, which learns from rows, and was given none",
        hint="Name a dataset.calibration_split in the recipe.",
    )


def _calibration(given: QuantizeInput, real_samples: int) -> CalibrationInfo | None:
    spec = given.spec
    if not isinstance(spec, Calibrated):
        return None
    return CalibrationInfo(
        method=spec.calibration.method,
        asked_samples=spec.calibration.num_samples,
        real_samples=real_samples,
        batch_size=spec.calibration.batch_size,
        split=given.split,
    )
