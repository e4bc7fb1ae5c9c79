"""What benchmarks.int8 makes and loads: hubkit's models by their defaults, beside the peers'."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import int8_peers
from benchmarks.int8_rows import Maker, calibration

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from benchmarks.int8_rows import Batch
    from hubkit.backends.base import Runtime


def size_of(folder: Path) -> int:
    """Bytes of the weights of a model."""
    files = [one for one in folder.iterdir() if one.suffix in {".onnx", ".bin"}]
    return sum(one.stat().st_size for one in files)


def load(folder: Path, threads: int) -> Callable[[Batch], NDArray[np.float32]]:
    """What runs the model of a folder, whatever its format: logits of a batch. OpenVINO FP32
    computes in float32, and not in bfloat16 where the CPU has that; its INT8 as it chooses."""
    from hubkit.backends import neural_compressor, onnxruntime, openvino

    runtime: Runtime
    if (folder / openvino.MODEL_FILE).is_file():
        file = openvino.MODEL_FILE
        integers = openvino.count_quantized(openvino.read_model(folder / file))
        runtime = openvino.int8 if integers else openvino.fp32
    elif (folder / neural_compressor.MODEL_FILE).is_file():
        file, runtime = neural_compressor.MODEL_FILE, neural_compressor.runtime
    else:
        file = next(one.name for one in sorted(folder.iterdir()) if one.suffix == ".onnx")
        runtime = onnxruntime.runtime
    session = runtime.load(folder, file, threads=threads)
    return lambda batch: session.run(_whole(batch, session.input_names))["logits"]


def _whole(batch: Batch, names: Sequence[str]) -> Batch:
    """The batch with the token types, where the model takes them."""
    if "token_type_ids" not in names:
        return batch
    return {**batch, "token_type_ids": batch["input_ids"] * 0}


def _export(source: Path, fp32: Path, target: Path, rows: Path) -> None:
    from hubkit.backends.optimum import exporter

    exporter.export(source, target, task="text-classification")


def _hubkit(**settings: object) -> Maker:
    """A dynamic variant as the stages make it: graph, smoothing, quantization."""

    def make(source: Path, fp32: Path, target: Path, rows: Path) -> None:
        import onnx

        from hubkit.backends import onnx_quantizers
        from hubkit.backends.activation_statistics import gather_channels
        from hubkit.backends.onnx_blockwise_quantizer import blockwise
        from hubkit.backends.onnx_optimizer import optimize
        from hubkit.backends.smooth_quant import product_inputs, smooth
        from hubkit.recipe import OnnxBlockwise, OnnxDynamic

        kind = OnnxBlockwise if settings.get("kind") == "onnx-blockwise" else OnnxDynamic
        spec = kind.model_validate({"kind": "onnx-dynamic", **settings})
        with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
            model = Path(scratch) / "graph"
            if level := spec.framework_args.optimization_level:
                optimize(fp32, model, level=level)
            else:
                shutil.copytree(fp32, model)
            if isinstance(spec, OnnxDynamic) and spec.smooth_quant is not None:
                graph = onnx.load(str(model / "model.onnx"))
                batches = list(calibration(rows, 8))[:13]  # a hundred rows, as by default
                seen = gather_channels(
                    model / "model.onnx", batches, product_inputs(graph), Path(scratch)
                )
                alpha = None if spec.smooth_quant == "auto" else spec.smooth_quant
                smooth(graph, seen, alpha)
                onnx.save(graph, str(model / "model.onnx"))
            if isinstance(spec, OnnxBlockwise):
                blockwise.quantize(model, target, spec)
            else:
                onnx_quantizers.dynamic.quantize(model, target, spec)

    return make


def _openvino_static(source: Path, fp32: Path, target: Path, rows: Path) -> None:
    """hubkit's openvino-static by its defaults."""
    from hubkit.backends import openvino, openvino_quantizer
    from hubkit.recipe import OpenVinoStatic

    spec = OpenVinoStatic(kind="openvino-static")
    plan = spec.calibration
    with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
        model = Path(scratch) / "graph"
        openvino.exporter.export(fp32, model, task="text-classification")
        made = Path(scratch) / "made"
        batches = list(calibration(rows, plan.batch_size))[: plan.num_samples // plan.batch_size]
        openvino_quantizer.static.quantize(model, made, spec, batches)
        shutil.copytree(made, target, dirs_exist_ok=True)


def _inc(kind: str) -> Maker:
    """hubkit's PyTorch INT8 by its defaults."""

    def make(source: Path, fp32: Path, target: Path, rows: Path) -> None:
        from hubkit.backends import neural_compressor
        from hubkit.recipe import IncDynamic, IncStatic

        if kind == "inc-dynamic":
            neural_compressor.dynamic.quantize(source, target, IncDynamic(kind="inc-dynamic"))
            return
        spec = IncStatic(kind="inc-static")
        size = spec.calibration.batch_size
        batches = list(calibration(rows, size))[: -(-spec.calibration.num_samples // size)]
        neural_compressor.static.quantize(source, target, spec, batches)

    return make


_LOWERED = {"framework_args": {"optimization_level": 3}}
MAKERS: dict[str, Maker] = {
    "ort-fp32": _export,
    "hubkit-dynamic": _hubkit(),
    "hubkit-fused": _hubkit(framework_args={"optimization_level": 2}),
    "hubkit-lowered": _hubkit(**_LOWERED),
    "hubkit-lowered-smooth": _hubkit(**_LOWERED, smooth_quant="auto"),
    "hubkit-lowered-smooth-0.5": _hubkit(**_LOWERED, smooth_quant=0.5),
    "hubkit-blockwise-8": _hubkit(kind="onnx-blockwise", **_LOWERED),
    "hubkit-blockwise-4": _hubkit(kind="onnx-blockwise", bits=4, block_size=32, **_LOWERED),
    "hubkit-openvino": _openvino_static,
    "hubkit-pytorch-static": _inc("inc-static"),
    "hubkit-pytorch-dynamic": _inc("inc-dynamic"),
    **int8_peers.MAKERS,
}
