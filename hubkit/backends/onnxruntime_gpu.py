"""ONNX Runtime on an NVIDIA GPU: its CUDA and TensorRT providers.

Sources: onnxruntime's pages on the CUDA and TensorRT execution providers, "Configurations".
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from hubkit.backends.onnx_symmetric import symmetric_graph
from hubkit.backends.onnxruntime import OnnxSession, load_errors
from hubkit.errors import ModelError

CUDA, TENSORRT = "CUDAExecutionProvider", "TensorrtExecutionProvider"
_CPU = "CPUExecutionProvider"
GpuPrecision = Literal["fp32", "fp16", "bf16", "int8", "best"]
Options = Mapping[str, str]
_ERRORS_ONLY = 3
_WORKSPACE_BYTES = 2 << 30


@dataclass(frozen=True)
class Shapes:
    """What TensorRT builds one engine for: batch sizes and input lengths as (least, that it is
    tuned to, most). A call outside them would build another engine, for minutes."""

    batch: tuple[int, int, int] = (1, 8, 64)
    length: tuple[int, int, int] = (1, 64, 512)

    def profile(self, names: Sequence[str], which: int) -> str:
        """input_ids:8x64,attention_mask:8x64 for the `which`-th of the three."""
        shape = f"{self.batch[which]}x{self.length[which]}"
        return ",".join(f"{name}:{shape}" for name in names)


def shapes_for(folder: Path) -> Shapes:
    """Up to the positions that the model of a folder has."""
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        config = {}
    most = config.get("max_position_embeddings")
    most = most if isinstance(most, int) and most > 0 else 512
    return Shapes(length=(1, min(64, most), most))


def cuda_options(precision: GpuPrecision) -> dict[str, str]:
    """Of the CUDA provider. TF32, which has 10 bits of mantissa and is on by default, is off: what
    is called FP32 here is."""
    return {"device_id": "0", "use_tf32": "0"} if precision == "fp32" else {"device_id": "0"}


def tensorrt_options(
    precision: GpuPrecision, inputs: Sequence[str], shapes: Shapes, cache: Path | None
) -> dict[str, str]:
    """Of the TensorRT provider. best: TensorRT chooses between FP32, FP16 and BF16 by itself; INT8
    needs a graph with QuantizeLinear and DequantizeLinear, and is the precision "int8"."""
    options = {
        "device_id": "0",
        "trt_max_workspace_size": str(_WORKSPACE_BYTES),
        "trt_fp16_enable": str(int(precision in ("fp16", "best"))),
        "trt_bf16_enable": str(int(precision in ("bf16", "best"))),
        "trt_int8_enable": str(int(precision == "int8")),
        "trt_profile_min_shapes": shapes.profile(inputs, 0),
        "trt_profile_opt_shapes": shapes.profile(inputs, 1),
        "trt_profile_max_shapes": shapes.profile(inputs, 2),
    }
    if cache is not None:
        options |= {
            "trt_engine_cache_enable": "1",
            "trt_engine_cache_path": str(cache),
            "trt_timing_cache_enable": "1",
            "trt_timing_cache_path": str(cache),
        }
    return options


def providers_for(
    provider: str,
    precision: GpuPrecision,
    inputs: Sequence[str],
    shapes: Shapes,
    cache: Path | None,
) -> list[tuple[str, dict[str, str]]]:
    """The provider and those that take the nodes that it has no kernel for, best first."""
    rest: list[tuple[str, dict[str, str]]] = [(CUDA, cuda_options(precision)), (_CPU, {})]
    if provider == CUDA:
        return rest
    return [(TENSORRT, tensorrt_options(precision, inputs, shapes, cache)), *rest]


def load_on_gpu(
    folder: Path,
    model_file: str,
    provider: str,
    precision: GpuPrecision,
    *,
    threads: int,
    cache: Path | None = None,
) -> OnnxSession:
    """The model on the GPU. Inputs and outputs are numpy arrays on the host, a few kB each way, so
    that binding them to device memory would spare no copy.

    `threads`: of what is left to the CPU. `cache`: where TensorRT keeps its engines. Raises
    ModelError where the provider does not come up: onnxruntime would go on without it.
    """
    import onnxruntime

    if hasattr(onnxruntime, "preload_dlls"):
        onnxruntime.preload_dlls()  # CUDA and cuDNN from their pip packages
    path = folder / model_file
    if not path.is_file():
        raise ModelError(f"there is no {model_file} in {folder.name}")
    if cache is not None:
        cache.mkdir(parents=True, exist_ok=True)
    providers = providers_for(provider, precision, graph_inputs(path), shapes_for(folder), cache)
    model: str | bytes = str(path)
    if provider == TENSORRT and precision == "int8":
        model = symmetric_graph(path).SerializeToString()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = _ERRORS_ONLY
    errors: tuple[type[Exception], ...] = (*load_errors(), ValueError, RuntimeError)
    try:
        session = onnxruntime.InferenceSession(model, options, providers=providers)
    except errors as error:
        raise ModelError(f"{model_file} cannot be loaded by {provider}: {error}") from error
    if provider not in session.get_providers():
        raise ModelError(
            f"onnxruntime {onnxruntime.__version__} goes on without {provider}: its libraries"
            " cannot be loaded",
            hint="Its log names the library that is missing: set HUBKIT_DEBUG=1.",
        )
    return OnnxSession(session)


def graph_inputs(path: Path) -> tuple[str, ...]:
    """Names of a graph's inputs; weights beside it are not read."""
    import onnx

    graph = onnx.load(str(path), load_external_data=False).graph
    weights = {one.name for one in graph.initializer}
    return tuple(one.name for one in graph.input if one.name not in weights)
