"""A report on formats, made up, of likely sizes: a classifier with everything, and embeddings."""

from __future__ import annotations

import math

from hubkit.formats_records import (
    Bandwidth,
    BatchCurve,
    BatchPoint,
    Cost,
    Distance,
    Divergence,
    Engine,
    FormatsReport,
    GpuInfo,
    Invariance,
    Level,
    Missing,
    NoiseFloor,
    PartCost,
    Peak,
    Peaks,
    Recommendation,
    Roofline,
    SearchPoint,
    SearchResult,
    ServingConfig,
    ServingCurve,
    ServingPlan,
    Window,
)
from hubkit.records import BaseModelInfo, Failed, Interval, MachineInfo, Metric
from tests.cards.examples import artifact, digest, make_lock, make_report

REFERENCE = "onnxruntime-cpu-fp32"
DYNAMIC, STATIC = "onnxruntime-cpu-int8-dynamic", "onnxruntime-cpu-int8-static"
HOSTILE = "a|b `c` <script>alert(1)</script> {{ 7*7 }} [x](y)"
_PBTXT = (
    'name: "tiny"\nbackend: "onnxruntime"\nmax_batch_size: 8\ndynamic_batching '
    "{ max_queue_delay_microseconds: 500 }\n"
)


CONFIG = ServingConfig(threads=2)


def engine(name: str, runtime: str, precision: str, **more: object) -> Engine:
    value = {"name": name, "runtime": runtime, "precision": precision, "device": "cpu", **more}
    return Engine.model_validate(value)


ENGINES = (
    engine("torch-cpu-fp32", "torch", "fp32", variant="pytorch-fp32", format="pytorch"),
    engine(
        REFERENCE,
        "onnxruntime",
        "fp32",
        provider="CPUExecutionProvider",
        variant="onnx-fp32",
        format="onnx",
    ),
    engine(DYNAMIC, "onnxruntime", "int8", variant="onnx-int8-dynamic", format="onnx"),
    engine(STATIC, "onnxruntime", "int8", variant="onnx-int8-static", format="onnx"),
    engine("openvino-cpu-best", "openvino", "best", variant="onnx-fp32", format="openvino"),
    engine(
        "openvino-cpu-bf16",
        "openvino",
        "bf16",
        variant="onnx-fp32",
        format="openvino",
        served=False,
        why_not_served="this CPU has no bf16 products",
    ),
    engine(
        "onnxruntime-tensorrt-fp16",
        "onnxruntime",
        "fp16",
        device="cuda",
        provider="TensorrtExecutionProvider",
        missing=Missing(
            reason="no NVIDIA GPU was found", cure="run it where nvidia-smi lists a GPU"
        ),
    ),
    engine(
        "torch-compile-cpu-fp32",
        "torch-compile",
        "fp32",
        missing=Missing(reason=f"no C++ compiler {HOSTILE}", cure="apt-get install g++"),
    ),
)


def distance(mean: float, *, kl: bool = True, flips: int | None = 0) -> Distance:
    return Distance(
        rows=400,
        max_abs=mean * 6.1,
        mean_abs=mean,
        mean_abs_interval=Interval(low=mean * 0.94, high=mean * 1.07),
        max_relative=mean * 2.2,
        mean_relative=mean * 0.7,
        mean_cosine=1 - mean**2 / 2,
        min_cosine=1 - mean**2 * 3,
        mean_kl=mean**2 / 3 if kl else None,
        max_kl=mean**2 * 4 if kl else None,
        flips=flips,
    )


def metric(value: float) -> Metric:
    return Metric(
        name="accuracy",
        value=value,
        interval=Interval(low=value - 0.031, high=value + 0.027),
        method="wilson",
        confidence=0.95,
    )


MEANS = {
    REFERENCE: 0.0,
    "torch-cpu-fp32": 4.1e-7,
    "openvino-cpu-best": 9.7e-7,
    "openvino-cpu-bf16": 0.00621,
    STATIC: 0.0714,
    DYNAMIC: 0.0319,
}


def level(
    clients: int, per_s: float, mean_ms: float, *, stable: bool = True, errors: int = 0
) -> Level:
    spread = 0.02 if stable else 0.3
    windows = tuple(
        Window(
            requests=round(per_s * 0.3),
            seconds=0.3,
            throughput_per_s=per_s * (1 + spread * sign),
            mean_ms=mean_ms * (1 - spread * sign),
            p99_ms=mean_ms * 1.9,
        )
        for sign in (-1, 0, 1)
    )
    return Level(
        loop="closed",
        concurrency=clients,
        requests=round(per_s * 0.9),
        errors=errors,
        seconds=0.9,
        throughput_per_s=per_s,
        mean_ms=mean_ms,
        p50_ms=mean_ms * 0.96,
        p90_ms=mean_ms * 1.2,
        p95_ms=mean_ms * 1.4,
        p99_ms=mean_ms * 1.9,
        stable=stable,
        windows=windows,
        cpu_cores=min(2.0, 0.95 * clients),
        peak_rss_mb=312.4,
    )


def opened(rate: float, mean_ms: float) -> Level:
    return level(1, rate * 0.998, mean_ms).model_copy(
        update={"loop": "open", "concurrency": None, "rate_per_s": rate}
    )


def serving(
    name: str,
    one_ms: float,
    most: float,
    *,
    clients: int = 32,
    unstable: tuple[int, ...] = (),
    config: ServingConfig | None = CONFIG,
    where: str = "in-process",
    server: str | None = None,
    opening: bool = False,
    slow_from: int = 1000,
) -> ServingCurve:
    """`slow_from`: so many clients and more were measured on a machine that had become slower."""
    levels = []
    for n in range(1, clients + 1):
        per_s = (
            most * (1 - math.exp(-n * 1000 / one_ms / most)) / (1 - math.exp(-1000 / one_ms / most))
        )
        per_s = min(most, per_s * (1000 / one_ms) / most)
        made = level(n, per_s, n * 1000 / per_s, stable=n not in unstable)
        speed = None if where != "in-process" else 143.3 if n >= slow_from else 190.4
        levels.append(made.model_copy(update={"machine_gflops": speed}))
    if opening:
        levels += [opened(most * share, one_ms * (1 + share)) for share in (0.25, 0.5, 0.75, 0.9)]
    return ServingCurve.model_validate(
        {
            "engine": name,
            "where": where,
            "server": server,
            "config": config,
            "batch_size": 1,
            "mean_tokens": 25.31,
            "levels": levels,
        }
    )


def machine() -> MachineInfo:
    return MachineInfo(
        cpu="Example CPU @ 2.00GHz",
        flags=("avx2", "avx512_vnni"),
        logical_cpus=2,
        physical_cores=2,
        memory_gib=15.6,
        os="Linux 6.1",
        python="3.11.7",
        packages={"onnxruntime": "1.31.1", "torch": "2.13.0+cpu", "openvino": "2026.4.1"},
        fingerprint=digest("machine"),
    )


def cost() -> Cost:
    return Cost(
        input_length=32,
        parts=(
            PartCost(
                part="embeddings",
                macs=0,
                flops=98_304,
                parameters=22_860_288,
                weight_bytes=6_144,
                activation_bytes=212_992,
                nodes=12,
            ),
            PartCost(
                part="backbone",
                macs=1_360_232_448,
                flops=2_720_464_896,
                parameters=42_527_232,
                weight_bytes=170_108_928,
                activation_bytes=9_437_184,
                nodes=318,
                products={"MatMul": 1_360_232_448},
            ),
            PartCost(
                part="head",
                macs=147_456,
                flops=294_912,
                parameters=73_824,
                weight_bytes=295_296,
                activation_bytes=3_456,
                nodes=2,
                products={"Gemm": 147_456},
            ),
        ),
        counter="hubkit.cost 1 (onnx 1.22.0)",
        formula_macs=1_360_232_448,
    )


def peaks() -> Peaks:
    most = {"fp32": 98.4e9, "int8": 311.9e9}
    return Peaks(
        machine=machine(),
        threads=2,
        peaks=tuple(
            Peak.model_validate(
                {
                    "precision": name,
                    "device": "cpu",
                    "flops_per_s": value,
                    "size": 1024,
                    "by": "onnxruntime 1.31.1 MatMul",
                }
            )
            for name, value in most.items()
        ),
        bandwidths=(Bandwidth(device="cpu", bytes_per_s=14.7e9, size_bytes=268_435_456),),
        missing={"bf16": "this CPU has no products of bf16"},
    )


def rooflines() -> tuple[Roofline, ...]:
    value = [
        ("embeddings", "fp32", 0.45, 6.69, "always", None, 0.0149),
        ("backbone", "fp32", 15.15, 6.69, "never", None, 27.6),
        ("head", "fp32", 0.99, 6.69, "up-to", 7, 0.0203),
        ("backbone", "int8", 60.6, 21.2, "never", None, 8.72),
        ("head", "int8", 3.9, 21.2, "up-to", 6, 0.0051),
        ("embeddings", "int8", 1.8, 21.2, "always", None, 0.0037),
    ]
    keys = ("part", "precision", "intensity", "ridge", "memory_bound", "memory_bound_up_to")
    return tuple(
        Roofline.model_validate(
            {**dict(zip(keys, one[:6], strict=True)), "floor_ms": one[6], "device": "cpu"}
        )
        for one in value
    )


def curve(name: str, best: float, limit: float, saturates: int | None) -> BatchCurve:
    points = []
    for size in (1, 2, 4, 8, 16, 32):
        per_s = best * size / (size + 0.7)
        bound = limit * size / (size + 0.3)
        points.append(
            BatchPoint(
                batch_size=size,
                mean_ms=1000 * size / per_s,
                throughput_per_s=per_s,
                limit_per_s=bound,
                share=per_s / bound,
            )
        )
    return BatchCurve(
        engine=name, input_length=32, threads=2, points=tuple(points), saturates_at=saturates
    )


def point(
    instances: int, threads: int, batch: int, delay: int, clients: int, rate: float, p99: float
) -> SearchPoint:
    return SearchPoint(
        config=ServingConfig(
            instances=instances, threads=threads, max_batch=batch, max_delay_us=delay
        ),
        concurrency=clients,
        throughput_per_s=rate,
        mean_ms=clients * 1000 / rate,
        p99_ms=p99,
        stable=instances != 4,
    )


def search() -> SearchResult:
    points = (
        point(1, 2, 1, 0, 1, 71.2, 17.9),
        point(2, 1, 1, 0, 8, 96.3, 141.0),
        point(1, 2, 8, 500, 32, 118.4, 402.0),
        point(4, 1, 8, 2000, 32, 120.1, 611.0),
    )
    return SearchResult(
        engine=DYNAMIC,
        points=points,
        recommendations=(
            Recommendation(
                aim="throughput",
                engine=DYNAMIC,
                point=points[2],
                p99_bound_ms=300.0,
                met=False,
                python="options = onnxruntime.SessionOptions()\noptions.intra_op_num_threads = 2\n",
                config_pbtxt=_PBTXT,
                command="hubkit serve tiny --threads 2 --max-batch 8 --max-delay-us 500",
            ),
            Recommendation(
                aim="latency",
                engine=DYNAMIC,
                point=points[0],
                python="options = onnxruntime.SessionOptions()\noptions.intra_op_num_threads = 2\n",
                config_pbtxt=_PBTXT,
                command="hubkit serve tiny --threads 2",
            ),
        ),
    )


def make_formats(**changes: object) -> FormatsReport:
    """A classifier: logits with KL and flips, an unstable engine, a server, a search."""
    base = make_report()
    accuracies = {STATIC: 0.8575, DYNAMIC: 0.8625, "openvino-cpu-bf16": 0.86}
    report = FormatsReport(
        recipe="tiny-sentiment",
        recipe_digest=digest("recipe"),
        task="text-classification",
        base=base.base,
        dataset=base.dataset,
        encoded=base.encoded,
        lock=make_lock(),
        machine=machine(),
        variants=base.variants,
        engines=ENGINES,
        cost=cost(),
        peaks=peaks(),
        rooflines=rooflines(),
        curves=(curve(REFERENCE, 33.0, 36.4, 4), curve(DYNAMIC, 92.0, 114.9, 8)),
        reference=REFERENCE,
        noise=(
            NoiseFloor(what="1 thread against 2", distance=distance(2.2e-7)),
            NoiseFloor(what="torch against onnxruntime", distance=distance(4.1e-7)),
        ),
        divergences=tuple(
            Divergence(
                engine=name,
                distance=distance(mean, flips=round(mean * 100)),
                metric=metric(accuracies.get(name, 0.8625)),
            )
            for name, mean in MEANS.items()
        ),
        invariances=(
            Invariance(
                engine=REFERENCE,
                batched=distance(3.0e-7),
                padded=distance(3.4e-7),
                batch_size=8,
                padded_length=128,
                holds=True,
            ),
            Invariance(
                engine=DYNAMIC,
                batched=distance(0.0081),
                padded=distance(0.0127),
                batch_size=8,
                padded_length=128,
                holds=False,
            ),
            Invariance(
                engine="openvino-cpu-best",
                batched=distance(9.9e-7),
                padded=distance(1.1e-6),
                batch_size=8,
                padded_length=128,
            ),
        ),
        plan=ServingPlan(),
        serving=(
            serving(REFERENCE, 31.2, 34.1, opening=True),
            serving("torch-cpu-fp32", 38.9, 27.0, clients=4),
            serving(DYNAMIC, 11.3, 93.4, unstable=(3, 4, 17), slow_from=17),
            serving(STATIC, 12.1, 90.8),
            serving("openvino-cpu-best", 29.8, 36.9),
            serving(
                "tiny@server",
                12.9,
                88.0,
                clients=8,
                config=None,
                where="kserve-v2",
                server="triton 2.50.0",
            ),
        ),
        search=(search(),),
        failures=(
            Failed(stage="serve-load", subject="openvino-cpu-int8", reason=f"it ended: {HOSTILE}"),
        ),
    )
    return report.model_copy(update=changes)


def make_embeddings(**changes: object) -> FormatsReport:
    """Embeddings of 96 numbers: no logits, no references, no search; a partial run, of few rows."""
    base = make_report()
    names = (REFERENCE, DYNAMIC, "openvino-cpu-best")
    engines = tuple(one for one in ENGINES if one.name in names or one.missing)
    report = make_formats(
        recipe="distilbert-embeddings",
        task="feature-extraction",
        base=BaseModelInfo(
            artifact=artifact("base", model__safetensors=265_000_000),
            architecture="DistilBertModel",
            model_type="distilbert",
            labels=(),
            num_parameters=66_000_000,
            max_positions=512,
            weights_bytes=265_000_000,
        ),
        output_dim=96,
        partial=(f"only engines of the names {HOSTILE}",),
        dataset=base.dataset.model_copy(update={"eval_rows": 21, "partial": True}),
        engines=engines,
        curves=(),
        divergences=tuple(
            Divergence(engine=name, distance=distance(MEANS[name], kl=False, flips=None))
            for name in names
        ),
        noise=(),
        invariances=(),
        serving=(
            serving(REFERENCE, 31.2, 34.1, clients=4),
            serving(DYNAMIC, 11.3, 93.4, clients=4, unstable=(4,)),
        ),
        search=(),
        failures=(),
    )
    return report.model_copy(update=changes)


def make_uncounted() -> FormatsReport:
    """A model whose graph cannot be counted, on a machine with a GPU."""
    report = make_formats()
    why = "model.onnx cannot be counted (hubkit: there is a MatMul in a branch or a loop (Loop))"
    curves = [
        one.model_copy(
            update={
                "points": tuple(
                    at.model_copy(update={"limit_per_s": None, "share": None}) for at in one.points
                )
            }
        )
        for one in report.curves
    ]
    return report.model_copy(
        update={
            "cost": None,
            "rooflines": (),
            "curves": tuple(curves),
            "gpu": GpuInfo(name="Example GPU 80GB", memory_gib=79.2, capability="8.0"),
            "failures": (Failed(stage="cost", subject=REFERENCE, reason=why),),
        }
    )
