"""The process of the micro-benchmarks: one question as JSON on stdin, one answer on stdout."""

from __future__ import annotations

import math
import os
import statistics
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Literal

from hubkit.formats_records import Bandwidth, Device, Peak
from hubkit.lock import version_of
from hubkit.records import Record

if TYPE_CHECKING:
    import torch

Precision = Literal["fp32", "fp16", "bf16", "int8"]
# Without one of these a CPU computes float16 in software, a thousand times slower than float32.
FLOAT16_FLAGS = frozenset({"avx512_fp16", "amx_fp16", "asimdhp"})
_SIZES = {"cpu": (512, 1024, 2048), "cuda": (2048, 4096, 8192)}
_ROUNDS, _ROUND_SECONDS = 3, 0.08
_TOO_SLOW_SECONDS = 0.5  # of one product: larger ones are not tried
_LEAST_COPY, _MOST_COPY = 256 << 20, 1 << 30
_CACHES = Path("/sys/devices/system/cpu/cpu0/cache")


class Ask(Record):
    """What to measure. `float16`: whether the CPU computes in it by itself."""

    threads: int
    gpu: bool
    float16: bool
    memory_gib: float


class Found(Record):
    """Every library's best size, and why a precision has none."""

    peaks: tuple[Peak, ...]
    bandwidths: tuple[Bandwidth, ...]
    missing: dict[str, str]


Call = Callable[[], object]
Maker = Callable[[int], Call]  # size of the square matrices -> one product


def measure(ask: Ask) -> Found:
    """All of it, one after another."""
    found: list[Peak] = []
    missing: dict[str, str] = {}
    for precision, by, maker in _makers(ask, missing):
        try:
            size, flops = best_size(maker, _SIZES["cpu"])
        except (RuntimeError, NotImplementedError, ImportError) as error:
            missing.setdefault(precision, f"{by}: {_first_line(error)}")
            continue
        found.append(Peak(precision=precision, device="cpu", flops_per_s=flops, size=size, by=by))
    bandwidths = [_copy(ask)]
    if ask.gpu:
        peaks, bandwidth = _on_gpu()
        found += peaks
        bandwidths += bandwidth
    measured = {peak.precision for peak in found if peak.device == "cpu"}
    missing = {name: why for name, why in missing.items() if name not in measured}
    return Found(peaks=tuple(found), bandwidths=tuple(bandwidths), missing=missing)


def best_size(maker: Maker, sizes: tuple[int, ...]) -> tuple[int, float]:
    """The size that is fastest, and its operations a second, 2 for a multiply-accumulate."""
    best = (0, 0.0)
    for size in sizes:
        call = maker(size)
        seconds = least_time(call)
        best = max(best, (size, 2 * size**3 / seconds), key=lambda one: one[1])
        if seconds > _TOO_SLOW_SECONDS:
            break
    return best


def least_time(call: Call) -> float:
    """Seconds: the least of each round, and of those the median. One call before is not timed."""
    call()
    rounds = []
    for _ in range(_ROUNDS):
        least, began = math.inf, perf_counter()
        while perf_counter() - began < _ROUND_SECONDS or least == math.inf:
            start = perf_counter()
            call()
            least = min(least, perf_counter() - start)
        rounds.append(least)
    return statistics.median(rounds)


def _makers(ask: Ask, missing: dict[str, str]) -> Iterator[tuple[Precision, str, Maker]]:
    ort, torch_version = version_of("onnxruntime"), version_of("torch")
    if ort is None:
        ort = version_of("onnxruntime-gpu")
    if ort:
        yield "fp32", f"onnxruntime {ort} MatMul", lambda n: _onnx(n, "MatMul", ask.threads)
        integer = f"onnxruntime {ort} MatMulInteger"
        yield "int8", integer, lambda n: _onnx(n, "MatMulInteger", ask.threads)
    if not torch_version:
        missing["bf16"] = missing["fp16"] = "PyTorch, which would multiply in it, is not installed"
        return
    import torch

    torch.set_num_threads(ask.threads)
    name = f"torch {torch_version}"
    yield "fp32", f"{name} mm", lambda n: _torch(n, torch.float32, "cpu")
    yield "bf16", f"{name} mm", lambda n: _torch(n, torch.bfloat16, "cpu")
    yield "int8", f"{name} _int_mm", lambda n: _torch(n, torch.int8, "cpu")
    if ask.float16:
        yield "fp16", f"{name} mm", lambda n: _torch(n, torch.float16, "cpu")
    else:
        missing["fp16"] = "this CPU has no float16 products (avx512_fp16, amx_fp16, asimdhp)"


def _onnx(size: int, operator: Literal["MatMul", "MatMulInteger"], threads: int) -> Call:
    """y = x w in onnxruntime, w a constant, as in a model; INT8: unsigned by signed."""
    import numpy as np
    import onnxruntime
    from onnx import TensorProto, helper, numpy_helper

    draw = np.random.default_rng(0)
    shape = (size, size)
    if operator == "MatMul":
        x, w = (draw.standard_normal(shape).astype(np.float32) for _ in range(2))
        kinds = (TensorProto.FLOAT, TensorProto.FLOAT)
    else:
        x = draw.integers(0, 255, shape).astype(np.uint8)
        w = draw.integers(-127, 127, shape).astype(np.int8)
        kinds = (TensorProto.UINT8, TensorProto.INT32)
    graph = helper.make_graph(
        [helper.make_node(operator, ["x", "w"], ["y"])],
        "product",
        [helper.make_tensor_value_info("x", kinds[0], shape)],
        [helper.make_tensor_value_info("y", kinds[1], shape)],
        [numpy_helper.from_array(w, "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return lambda: session.run(None, {"x": x})


def _torch(size: int, dtype: torch.dtype, device: str) -> Call:
    import torch

    torch.manual_seed(0)
    if dtype is torch.int8:
        a, b = (torch.randint(-127, 127, (size, size), dtype=dtype).to(device) for _ in range(2))
        product = torch._int_mm
    else:
        a, b = (torch.randn(size, size).to(dtype).to(device) for _ in range(2))
        product = torch.mm
    if device == "cpu":
        return lambda: product(a, b)

    def call() -> None:
        product(a, b)
        torch.cuda.synchronize()

    return call


def _copy(ask: Ask) -> Bandwidth:
    """Of memory by all threads at once: what is read and what is written, each once."""
    import numpy as np

    most = min(_MOST_COPY, int(ask.memory_gib * 2**30 / 8))
    size = min(max(_LEAST_COPY, 8 * _last_level_cache()), max(most, 1 << 20))
    source = np.ones(size, np.uint8)
    target = np.zeros(size, np.uint8)
    bounds = [size * at // ask.threads for at in range(ask.threads + 1)]
    parts = list(pairwise(bounds))
    with ThreadPoolExecutor(ask.threads) as pool:

        def one(part: tuple[int, int]) -> None:  # numpy lets other threads run meanwhile
            np.copyto(target[part[0] : part[1]], source[part[0] : part[1]])

        seconds = least_time(lambda: list(pool.map(one, parts)))
    return Bandwidth(device="cpu", bytes_per_s=2 * size / seconds, size_bytes=size)


def _last_level_cache() -> int:
    """Bytes; 32 MiB where the system does not say."""
    found = []
    for path in _CACHES.glob("index*/size"):
        text = path.read_text().strip()
        unit = {"K": 1 << 10, "M": 1 << 20}.get(text[-1:], 1)
        if (digits := text.rstrip("KM")).isdigit():
            found.append(int(digits) * unit)
    return max(found, default=32 << 20)


def _on_gpu() -> tuple[list[Peak], list[Bandwidth]]:
    import torch

    if not torch.cuda.is_available():
        return [], []
    kinds: tuple[tuple[Precision, torch.dtype, str], ...] = (
        ("fp32", torch.float32, "mm"),
        ("bf16", torch.bfloat16, "mm"),
        ("fp16", torch.float16, "mm"),
        ("int8", torch.int8, "_int_mm"),
    )
    found = []
    device: Device = "cuda"
    for precision, dtype, name in kinds:
        by = f"torch {torch.__version__} {name}"
        try:
            size, flops = best_size(lambda n, d=dtype: _torch(n, d, "cuda"), _SIZES["cuda"])  # type: ignore[misc]
        except RuntimeError:  # a GPU without such products, or without the memory
            continue
        found.append(Peak(precision=precision, device=device, flops_per_s=flops, size=size, by=by))
    source = torch.ones(_MOST_COPY, dtype=torch.uint8, device="cuda")
    target = torch.zeros_like(source)

    def copy() -> None:
        target.copy_(source)
        torch.cuda.synchronize()

    speed = 2 * _MOST_COPY / least_time(copy)
    return found, [Bandwidth(device=device, bytes_per_s=speed, size_bytes=_MOST_COPY)]


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), "") or type(error).__name__


def main() -> None:
    """Answer the question; what libraries print goes to stderr."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    ask = Ask.model_validate_json(sys.stdin.read())
    with answers:
        answers.write(measure(ask).model_dump_json())
