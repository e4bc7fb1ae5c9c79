"""Every engine that a report on formats has a row for, and how each is loaded.

What this machine lacks is an engine with `missing`; what it would run slowly is one that is not
`served`. None is left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

from hubkit.backends.engines_missing import (
    Here,
    no_choice,
    no_variant,
    of_cuda,
    of_inc,
    of_openvino,
    of_torch_compile,
)
from hubkit.errors import ModelError
from hubkit.formats_records import Engine, Missing
from hubkit.paths import cache_dir
from hubkit.records import Format, MachineInfo, Variant

if TYPE_CHECKING:
    from hubkit.backends.base import Session
    from hubkit.backends.torch_engines import TorchPrecision

CPU_PROVIDER = "CPUExecutionProvider"
CUDA_PROVIDER = "CUDAExecutionProvider"
TENSORRT_PROVIDER = "TensorrtExecutionProvider"
REFERENCE = "onnxruntime-cpu-fp32"
# OpenVINO's words for what it computes in; None: its own choice.
_HINTS = {"fp32": "f32", "bf16": "bf16", "fp16": "f16", "best": None}


def engines_of(
    variants: Sequence[Variant], machine: MachineInfo, here: Here | None = None
) -> tuple[Engine, ...]:
    """The engines in the order of the report, the reference (REFERENCE) first.

    `here`: what this machine has beside its CPU; None: found out now, in milliseconds where there
    is no GPU. An engine's `variant` is the name of one of `variants`.
    """
    here = here or Here.found(machine)
    made = [
        *_onnx_on_cpu(variants, here),
        *_torch_on_cpu(variants, here),
        *_openvino(variants, here),
        *_onnx_on_gpu(variants, here),
        *_torch_on_gpu(variants, here),
    ]
    return tuple(_named_apart(made))


def _onnx_on_cpu(variants: Sequence[Variant], here: Here) -> Iterator[Engine]:
    common = Engine(
        name=REFERENCE,
        runtime="onnxruntime",
        device="cpu",
        precision="fp32",
        provider=CPU_PROVIDER,
        format="onnx",
    )
    yield _of(common, _fp32(variants, "onnx"), "FP32, ONNX")
    smaller = [v for v in variants if v.format == "onnx" and v.precision != "fp32"]
    for variant in smaller:
        slow = here.target.slow("float16") if variant.precision == "fp16" else None
        yield common.model_copy(
            update={
                "name": _name("onnxruntime-cpu", variant),
                "precision": variant.precision,
                "variant": variant.name,
                **_unless_slow(slow),
            }
        )
    for precision, words in (("fp16", "FP16, ONNX"), ("int8", "INT8, ONNX")):
        if not any(v.precision == precision for v in smaller):
            update = {"name": f"onnxruntime-cpu-{precision}", "precision": precision}
            yield _of(common.model_copy(update=update), None, words)


def _torch_on_cpu(variants: Sequence[Variant], here: Here) -> Iterator[Engine]:
    fp32 = _fp32(variants, "pytorch")
    eager = Engine(
        name="torch-cpu-fp32", runtime="torch", device="cpu", precision="fp32", format="pytorch"
    )
    words = "FP32, PyTorch"
    yield _of(eager, fp32, words)
    half = {"name": "torch-cpu-bf16", "precision": "bf16", **_unless_slow(here.slow_bfloat16())}
    yield _of(eager.model_copy(update=half), fp32, words)
    compiled = {"name": "torch-compile-cpu-fp32", "runtime": "torch-compile"}
    yield _of(eager.model_copy(update=compiled), fp32, words, of_torch_compile())
    quantized = [v for v in variants if v.format == "pytorch" and v.precision == "int8"]
    for variant in quantized:
        update = {
            "name": _name("torch-cpu", variant),
            "precision": "int8",
            "variant": variant.name,
            "missing": of_inc(),
        }
        yield eager.model_copy(update=update)
    if not quantized:
        int8 = eager.model_copy(update={"name": "torch-cpu-int8", "precision": "int8"})
        yield _of(int8, None, "INT8, PyTorch (Neural Compressor)", of_inc())


def _openvino(variants: Sequence[Variant], here: Here) -> Iterator[Engine]:
    # Without an IR it reads the ONNX file itself.
    fp32 = _fp32(variants, "openvino") or _fp32(variants, "onnx")
    common = Engine(
        name="openvino-cpu-fp32",
        runtime="openvino",
        device="cpu",
        precision="fp32",
        format=fp32.format if fp32 else "openvino",
    )
    missing, words = of_openvino(), "FP32, OpenVINO IR / ONNX"
    for precision in ("fp32", "bf16", "fp16"):
        why = missing or here.openvino_lacks(precision)
        slow = here.slow_bfloat16() if precision == "bf16" else None
        update = {"name": f"openvino-cpu-{precision}", "precision": precision, **_unless_slow(slow)}
        yield _of(common.model_copy(update=update), fp32, words, why)
    quantized = [v for v in variants if v.format == "openvino" and v.precision == "int8"]
    for variant in quantized:
        yield common.model_copy(
            update={
                "name": _name("openvino-cpu", variant),
                "precision": "int8",
                "variant": variant.name,
                "format": "openvino",
                "missing": missing,
            }
        )
    if not quantized:
        update = {"name": "openvino-cpu-int8", "precision": "int8", "format": "openvino"}
        int8 = common.model_copy(update=update)
        yield _of(int8, None, "INT8, OpenVINO IR", missing)
    best = common.model_copy(update={"name": "openvino-cpu-best", "precision": "best"})
    yield _of(best, fp32, words, missing)


def _onnx_on_gpu(variants: Sequence[Variant], here: Here) -> Iterator[Engine]:
    fp32 = _fp32(variants, "onnx")
    half = next((v for v in variants if v.format == "onnx" and v.precision == "fp16"), None)
    # TensorRT takes QuantizeLinear and DequantizeLinear with fixed ranges, which are a static one's
    fixed = next((v for v in variants if v.format == "onnx" and v.approach == "static"), None)
    typed = (half, "FP16, ONNX") if here.typed_by_graph else (fp32, "FP32, ONNX")
    rows: tuple[tuple[str, str, str, Variant | None, str], ...] = (
        (CUDA_PROVIDER, "onnxruntime-cuda", "fp32", fp32, "FP32, ONNX"),
        (CUDA_PROVIDER, "onnxruntime-cuda", "fp16", half, "FP16, ONNX"),
        (TENSORRT_PROVIDER, "onnxruntime-tensorrt", "fp32", fp32, "FP32, ONNX"),
        (TENSORRT_PROVIDER, "onnxruntime-tensorrt", "fp16", *typed),
        (TENSORRT_PROVIDER, "onnxruntime-tensorrt", "int8", fixed, "INT8 static, ONNX"),
        (TENSORRT_PROVIDER, "onnxruntime-tensorrt", "best", fp32, "FP32, ONNX"),
    )
    for provider, prefix, precision, variant, words in rows:
        engine = Engine.model_validate(
            {
                "name": f"{prefix}-{precision}",
                "runtime": "onnxruntime",
                "device": "cuda",
                "precision": precision,
                "provider": provider,
                "format": "onnx",
            }
        )
        missing = of_cuda(here, provider)
        if missing is None and precision == "best" and here.typed_by_graph:
            missing = no_choice()
        yield _of(engine, variant, words, missing)


def _torch_on_gpu(variants: Sequence[Variant], here: Here) -> Iterator[Engine]:
    fp32, missing = _fp32(variants, "pytorch"), of_cuda(here, "torch")
    for runtime in ("torch", "torch-compile"):
        for precision in ("fp32", "fp16"):
            engine = Engine.model_validate(
                {
                    "name": f"{runtime}-cuda-{precision}",
                    "runtime": runtime,
                    "device": "cuda",
                    "precision": precision,
                    "format": "pytorch",
                }
            )
            yield _of(engine, fp32, "FP32, PyTorch", missing)


def _of(
    engine: Engine, variant: Variant | None, words: str, missing: Missing | None = None
) -> Engine:
    """The engine with its variant, or what keeps it from being measured."""
    if variant is None:
        return engine.model_copy(update={"missing": missing or no_variant(words)})
    return engine.model_copy(update={"variant": variant.name, "missing": missing})


def _unless_slow(why: str | None) -> dict[str, object]:
    return {"served": False, "why_not_served": why} if why else {}


def _fp32(variants: Sequence[Variant], format: Format) -> Variant | None:
    found = (v for v in variants if v.format == format and v.precision == "fp32")
    return next(found, None)


def _name(prefix: str, variant: Variant) -> str:
    stem = variant.name.removeprefix(f"{variant.format}-")
    return f"{prefix}-{re.sub(r'[^a-z0-9.]+', '-', stem.lower()).strip('-') or 'model'}"


def _named_apart(engines: Sequence[Engine]) -> Iterator[Engine]:
    seen: set[str] = set()
    for engine in engines:
        name, number = engine.name, 2
        while name in seen:
            name, number = f"{engine.name}.{number}", number + 1
        seen.add(name)
        yield engine.model_copy(update={"name": name})


def load_engine(engine: Engine, folder: Path, model_file: str, *, threads: int) -> Session:
    """The engine with the files of its variant, ready to run; `run` may be called from several
    threads.

    `folder`, `model_file`: of the variant that the engine names. `threads`: of one call; those of
    PyTorch are the whole process's. Engines that TensorRT builds are kept below hubkit's cache
    folder. Raises ModelError where the model or the device cannot do it, MissingDependencyError
    where a package is not there.
    """
    if engine.missing is not None:
        raise ModelError(f"{engine.name}: {engine.missing.reason}", hint=engine.missing.cure)
    if engine.runtime == "openvino":
        return _load_openvino(engine, folder, model_file, threads)
    if engine.runtime == "onnxruntime" and engine.device == "cpu":
        from hubkit.backends.onnxruntime import runtime

        return runtime.load(folder, model_file, threads=threads)
    if engine.runtime == "onnxruntime":
        from hubkit.backends.onnxruntime_gpu import load_on_gpu

        return load_on_gpu(
            folder,
            model_file,
            engine.provider or CUDA_PROVIDER,
            engine.precision,
            threads=threads,
            cache=cache_dir() / "engines" / "tensorrt",
        )
    return _load_torch(engine, folder, model_file, threads)


def _load_openvino(engine: Engine, folder: Path, model_file: str, threads: int) -> Session:
    from hubkit.backends.openvino import OpenVinoRuntime

    # As a reader of the card gets the INT8 one: what is not INT8 in it is OpenVINO's own choice.
    hint = _HINTS.get(engine.precision)
    return OpenVinoRuntime(hint).load(folder, model_file, threads=threads)


def _load_torch(engine: Engine, folder: Path, model_file: str, threads: int) -> Session:
    if engine.precision == "int8":
        from hubkit.backends.neural_compressor import runtime

        return runtime.load(folder, model_file, threads=threads)
    from hubkit.backends.torch_engines import load_torch

    return load_torch(
        folder,
        precision=cast("TorchPrecision", engine.precision),
        device=engine.device,
        compiled=engine.runtime == "torch-compile",
        threads=threads,
    )
