"""The best points of a search as configurations: code, Triton's config.pbtxt, a command.

Sources of config.pbtxt: docs/user_guide/model_configuration.md of triton-inference-server/server
(instance_group, dynamic_batching), README.md of its onnxruntime_backend and openvino_backend
(parameters). Of preferred_batch_size the former says that most models should not have it: it is for
TensorRT's profiles, so none is written.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from hubkit.formats_records import Engine, Recommendation, SearchPoint, ServingConfig
from hubkit.records import Variant

# What is so near the best is as good, and of those the one with the least latency is taken.
_AS_GOOD = 0.03


def recommendations(
    engine: Engine,
    variant: Variant,
    points: Sequence[SearchPoint],
    *,
    clients: int,
    p99_bound_ms: float | None,
    target: str,
) -> tuple[Recommendation, ...]:
    """The best for throughput (within the bound of p99, or the nearest to it) and for latency (the
    mean of a lone client)."""
    busy, met = _for_throughput(points, clients, p99_bound_ms)
    alone = min((p for p in points if p.concurrency == 1), key=lambda point: point.mean_ms)

    def made(point: SearchPoint) -> dict[str, object]:
        return {
            "engine": engine.name,
            "point": point,
            "python": python_of(engine, variant, point.config),
            "config_pbtxt": pbtxt_of(engine, point.config),
            "command": command_of(engine, variant, point.config, target),
        }

    return (
        Recommendation.model_validate(
            {"aim": "throughput", "p99_bound_ms": p99_bound_ms, "met": met, **made(busy)}
        ),
        Recommendation.model_validate({"aim": "latency", **made(alone)}),
    )


def _for_throughput(
    points: Sequence[SearchPoint], clients: int, bound: float | None
) -> tuple[SearchPoint, bool]:
    if bound is None:
        able = [point for point in points if point.concurrency == clients]
    else:
        able = [point for point in points if point.p99_ms <= bound]
    if not able:
        return min(points, key=lambda point: point.p99_ms), False
    best = max(point.throughput_per_s for point in able)
    near = [point for point in able if point.throughput_per_s >= best * (1 - _AS_GOOD)]
    return min(near, key=lambda point: point.p99_ms), True


def command_of(engine: Engine, variant: Variant, config: ServingConfig, target: str) -> str:
    """The `hubkit serve` command of a configuration; of a GPU's, which it does not run on, a line
    that says so."""
    if engine.device != "cpu":
        return "# hubkit serve runs on CPUs alone: this is for your own code or for Triton"
    return (
        f"hubkit serve {target} --engine {engine.runtime} --variant {variant.name}"
        f" --instances {config.instances} --threads {config.threads}"
        f" --max-batch {config.max_batch} --max-delay-ms {config.max_delay_us / 1000:g}"
    )


def python_of(engine: Engine, variant: Variant, config: ServingConfig) -> str:
    """The instances as code: whoever serves gives each a thread of its own."""
    makers: dict[str, Callable[[Engine, Variant, ServingConfig], str]] = {
        "onnxruntime": _onnxruntime,
        "openvino": _openvino,
    }
    return makers.get(engine.runtime, _torch)(engine, variant, config)


def _onnxruntime(engine: Engine, variant: Variant, config: ServingConfig) -> str:
    provider = engine.provider or "CPUExecutionProvider"
    return f"""\
import onnxruntime

options = onnxruntime.SessionOptions()
options.intra_op_num_threads = {config.threads}
options.inter_op_num_threads = 1
options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
sessions = [
    onnxruntime.InferenceSession("{variant.model_file}", options, providers=["{provider}"])
    for _ in range({config.instances})
]
"""


_HINTS = {"fp32": "f32", "bf16": "bf16", "fp16": "f16"}


def _openvino(engine: Engine, variant: Variant, config: ServingConfig) -> str:
    hint = _HINTS.get(engine.precision)
    precision = f'\n        "INFERENCE_PRECISION_HINT": "{hint}",' if hint else ""
    return f"""\
import openvino

compiled = openvino.Core().compile_model(
    "{variant.model_file}",
    "CPU",
    {{
        "NUM_STREAMS": {config.instances},
        "INFERENCE_NUM_THREADS": {config.instances * config.threads},{precision}
    }},
)
requests = [compiled.create_infer_request() for _ in range({config.instances})]
"""


def _torch(engine: Engine, variant: Variant, config: ServingConfig) -> str:
    return f"import torch\n\ntorch.set_num_threads({config.threads})\n"


def pbtxt_of(engine: Engine, config: ServingConfig) -> str | None:
    """Triton's config.pbtxt; None for an engine that hubkit knows no backend of Triton's for.

    Inputs and outputs are not in it: both backends read them from the model itself.
    """
    if engine.runtime not in ("onnxruntime", "openvino"):
        return None
    kind = "KIND_GPU" if engine.device == "cuda" else "KIND_CPU"
    lines = [
        f'backend: "{engine.runtime}"',
        f"max_batch_size: {config.max_batch}",
        f"instance_group [ {{ count: {config.instances} kind: {kind} }} ]",
    ]
    if config.max_batch > 1:
        lines.append(f"dynamic_batching {{ max_queue_delay_microseconds: {config.max_delay_us} }}")
    if engine.device == "cpu":
        lines += [_parameter(*pair) for pair in _threads(engine, config)]
    if engine.runtime == "openvino" and engine.precision == "bf16":
        lines.append('parameters { key: "HINT_BF16" value: { string_value: "YES" } }')
    if engine.provider == "TensorrtExecutionProvider":
        lines.append(_tensorrt(engine))
    return "\n".join(lines) + "\n"


def _threads(engine: Engine, config: ServingConfig) -> list[tuple[str, int]]:
    if engine.runtime == "onnxruntime":
        return [("intra_op_thread_count", config.threads), ("inter_op_thread_count", 1)]
    # Its instances share one compiled model, with a stream for each.
    total = config.instances * config.threads
    return [("NUM_STREAMS", config.instances), ("INFERENCE_NUM_THREADS", total)]


def _parameter(key: str, value: int) -> str:
    return f'parameters {{ key: "{key}" value: {{ string_value: "{value}" }} }}'


def _tensorrt(engine: Engine) -> str:
    words = {"fp16": "FP16", "int8": "INT8", "best": "FP16"}
    mode = words.get(engine.precision, "FP32")
    return (
        "optimization { execution_accelerators { gpu_execution_accelerator : [ {"
        f' name: "tensorrt" parameters {{ key: "precision_mode" value: "{mode}" }} }} ] }} }}'
    )
