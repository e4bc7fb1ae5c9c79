"""What `hubkit report formats` measures: cost, roofline, divergence, serving of engines."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from hubkit.record_base import Interval, Metric, Record, Sha
from hubkit.records import (
    BaseModelInfo,
    Dataset,
    Encoded,
    Failed,
    Format,
    Lock,
    MachineInfo,
    Variant,
)

RuntimeName = Literal["torch", "torch-compile", "onnxruntime", "openvino"]
Device = Literal["cpu", "cuda"]
# best: the engine's own choice for each operator (TensorRT with every precision allowed, OpenVINO
# without a hint).
EnginePrecision = Literal["fp32", "fp16", "bf16", "int8", "best"]
PartName = Literal["embeddings", "backbone", "head"]


class Missing(Record):
    """Why an engine is not measured on this machine, and how to get it, each in a sentence."""

    reason: str
    cure: str


class Engine(Record):
    """What runs a model: a runtime on a device with a precision, and the variant's files."""

    name: str  # onnxruntime-cpu-int8-dynamic: unique in a report, [a-z0-9.-]
    runtime: RuntimeName
    device: Device
    precision: EnginePrecision
    provider: str | None = None  # of onnxruntime: CPUExecutionProvider, TensorrtExecutionProvider …
    variant: str | None = None  # name of the Variant that is run; None where there is none
    format: Format | None = None
    missing: Missing | None = None  # None: it was measured
    served: bool = True  # False: measured for divergence alone, since it would be slow here
    why_not_served: str = ""


# --- cost -----------------------------------------------------------------------------------------


class PartCost(Record):
    """One part of the graph, for one sentence of `Cost.input_length` tokens in FP32.

    `activation_bytes`: what its products read and write beside weights, the rows of tables that are
    looked up, and what goes from part to part; what is elementwise is taken as fused with them. A
    batch of b costs b × flops and moves weight_bytes + b × activation_bytes.
    """

    part: PartName
    macs: int  # multiply-accumulates of products (MatMul, Gemm, Conv)
    flops: int  # 2 × macs, and one for each element of what is elementwise, reduced or normalised
    parameters: int
    weight_bytes: int  # that one call reads: of a table only the rows looked up (in activation)
    activation_bytes: int
    nodes: int
    # Products by operator type: MatMul -> macs. Their sum is `macs`.
    products: dict[str, int] = Field(default_factory=dict)


class Cost(Record):
    """FLOPs and bytes of the exported FP32 graph, counted by `counter` (name and version)."""

    input_length: int
    parts: tuple[PartCost, ...]
    counter: str
    # Multiply-accumulates of products in the same encoder by the closed formula; None where the
    # architecture has none.
    formula_macs: int | None = None

    @property
    def flops(self) -> int:
        return sum(part.flops for part in self.parts)

    @property
    def macs(self) -> int:
        return sum(part.macs for part in self.parts)

    @property
    def parameters(self) -> int:
        return sum(part.parameters for part in self.parts)


class Peak(Record):
    """The most that a machine was seen to do with a precision: the best of some square products."""

    precision: Literal["fp32", "fp16", "bf16", "int8"]
    device: Device
    flops_per_s: float  # 2 for each multiply-accumulate
    size: int  # of the square matrices that it was reached with
    by: str  # onnxruntime 1.27.1 MatMul


class Bandwidth(Record):
    device: Device
    bytes_per_s: float  # read and written, by a copy of `size_bytes`
    size_bytes: int


class Peaks(Record):
    """Micro-benchmarks of a machine. Kept under its fingerprint. `missing`: precision -> why."""

    machine: MachineInfo
    threads: int
    peaks: tuple[Peak, ...]
    bandwidths: tuple[Bandwidth, ...]
    missing: dict[str, str] = Field(default_factory=dict)


class Roofline(Record):
    """A part of the model on this machine with a precision.

    `memory_bound`: up to `memory_bound_up_to` sentences a batch moving bytes takes longer than
    computing; always: at any batch size; never: not even for one sentence.
    """

    part: PartName
    precision: Literal["fp32", "fp16", "bf16", "int8"]
    device: Device
    intensity: float  # FLOPs a byte, of one sentence
    ridge: float  # of the machine: FLOPs a byte above which computing takes longer
    memory_bound: Literal["always", "never", "up-to"]
    memory_bound_up_to: int | None = None
    floor_ms: float  # least time of one sentence by the roofline


class BatchPoint(Record):
    batch_size: int
    mean_ms: float  # of one call
    throughput_per_s: float  # sentences
    # By the roofline, all parts together; None: the cost or the device's peaks are not known.
    limit_per_s: float | None = None
    share: float | None = None  # throughput_per_s / limit_per_s


class BatchCurve(Record):
    """What an engine really reached at each batch size, beside what the machine allows.
    `saturates_at`: the least batch size within 5 % of the best throughput."""

    engine: str
    input_length: int
    threads: int
    points: tuple[BatchPoint, ...]
    saturates_at: int | None = None


# --- divergence -----------------------------------------------------------------------------------


class Distance(Record):
    """How far outputs are from the reference's, over `rows` real sentences.

    Of the vector that the task keeps of each sentence (logits, embedding): absolute differences
    over all numbers; relative: |ours - reference| / |reference|, L2, of a row; cosine of a row; KL
    of the softmax of logits in nats, None where there are none.
    """

    rows: int
    max_abs: float
    mean_abs: float
    mean_abs_interval: Interval  # bootstrap over rows, 95 %
    max_relative: float
    mean_relative: float
    mean_cosine: float
    min_cosine: float
    mean_kl: float | None = None
    max_kl: float | None = None
    flips: int | None = None  # answers that differ; None where the task has none


class Divergence(Record):
    """An engine against FP32 ONNX on the CPU. `metric`: the task's, where rows have references."""

    engine: str
    distance: Distance
    metric: Metric | None = None


class NoiseFloor(Record):
    """FP32 against itself: other threads, another provider or runtime. What is below it means
    nothing."""

    # "1 thread against 2", or names of engines: "torch-cpu-fp32 against onnxruntime-cpu-fp32"
    what: str
    distance: Distance


class Invariance(Record):
    """The same sentences alone, in a batch of `batch_size` of one length, and padded to
    `padded_length`: against alone and unpadded, by the same engine."""

    engine: str
    batched: Distance
    padded: Distance
    batch_size: int
    padded_length: int
    # Both within ten times the FP32 engine's own self-noise; None where that is not known.
    holds: bool | None = None


# --- serving --------------------------------------------------------------------------------------


class GpuInfo(Record):
    """The GPU that engines of the device cuda ran on, as its driver names it."""

    name: str
    memory_gib: float
    capability: str  # of computing: 8.0


class Window(Record):
    """One measurement window of one level."""

    requests: int
    seconds: float
    throughput_per_s: float
    mean_ms: float
    p99_ms: float


class Level(Record):
    """Load of one level, over the last three windows (all of them where it is unstable).

    Closed loop: `concurrency` clients, each sends its next request when it has its answer. Open
    loop: requests arrive as a Poisson process at `rate_per_s`, whatever the server does; latency
    counts from when a request was due, so that waiting is not left out.
    """

    loop: Literal["closed", "open"]
    concurrency: int | None = None  # closed
    rate_per_s: float | None = None  # open
    requests: int
    errors: int = 0
    seconds: float
    throughput_per_s: float  # sentences: requests × batch_size / seconds
    mean_ms: float  # client average
    p50_ms: float
    p90_ms: float
    p95_ms: float
    p99_ms: float
    stable: bool  # three windows in a row within 10 % in throughput and mean, in ten tries
    windows: tuple[Window, ...]
    cpu_cores: float | None = None  # used by the server: CPU seconds a second; None: not known
    peak_rss_mb: float | None = None
    # Of the machine itself, just before and after: see `serving.yardstick`. None: not taken.
    machine_gflops: float | None = None


class ServingPlan(Record):
    """How serving is measured. `input_length`: None: real sentences at their own length."""

    concurrency: tuple[int, ...] = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32)
    open_rates: tuple[float, ...] = (0.5, 0.8)  # shares of the best closed throughput
    batch_size: int = 1
    input_length: int | None = None
    window_s: float = 0.3
    min_requests: int = 20  # of a window, which is longer where so many take longer
    max_windows: int = 10
    # A level that is not steady ends after so long too, but not before its third window.
    level_s: float = 5.0
    warmup_requests: int = 10
    seed: int = 13


class ServingConfig(Record):
    """How an engine is set up for serving: `instances` of the model, each with `threads`, and
    dynamic batching where max_batch > 1: at most `max_delay_us` of waiting for others."""

    instances: int = 1
    threads: int = 1
    max_batch: int = 1
    max_delay_us: int = 0


class ServingCurve(Record):
    """All levels of one engine. `where`: in this process without a server, or over HTTP.
    `url_host` is never kept: an address is of one machine."""

    engine: str
    where: Literal["in-process", "kserve-v2"]
    server: str | None = None  # what the server calls itself: triton 2.50.0
    config: ServingConfig | None = None  # None: the server's own affair
    batch_size: int
    mean_tokens: float  # of a sentence
    levels: tuple[Level, ...]

    @property
    def best(self) -> Level | None:
        closed = [level for level in self.levels if level.loop == "closed"]
        return max(closed, key=lambda level: level.throughput_per_s, default=None)


class SearchPoint(Record):
    config: ServingConfig
    concurrency: int
    throughput_per_s: float
    mean_ms: float
    p99_ms: float
    stable: bool


class Recommendation(Record):
    """The best of a search for an aim, as it is configured."""

    aim: Literal["throughput", "latency"]
    engine: str
    point: SearchPoint
    p99_bound_ms: float | None = None  # of the aim "throughput"; None: it was not bounded
    met: bool = True  # False: nothing keeps the bound; the nearest is shown
    python: str  # onnxruntime SessionOptions, or OpenVINO's properties, as code
    config_pbtxt: str | None = None  # Triton; None for an engine that it has no backend for
    command: str  # hubkit serve …


class SearchResult(Record):
    engine: str
    points: tuple[SearchPoint, ...]
    recommendations: tuple[Recommendation, ...]


# --- the whole ------------------------------------------------------------------------------------


class FormatsReport(Record):
    """formats.json: all of the report on formats and serving."""

    schema_version: Annotated[Literal[1], Field(alias="schema")] = 1
    recipe: str
    recipe_digest: Sha
    task: str
    demo: bool = False
    partial: tuple[str, ...] = ()  # in words, why it is no whole report; pages translate them
    base: BaseModelInfo
    dataset: Dataset
    encoded: Encoded
    lock: Lock
    machine: MachineInfo
    gpu: GpuInfo | None = None  # None: there is none, or its name was not kept yet
    variants: tuple[Variant, ...]
    engines: tuple[Engine, ...]
    cost: Cost | None = None  # None: it could not be counted; `failures` says why (stage cost)
    peaks: Peaks
    rooflines: tuple[Roofline, ...]
    curves: tuple[BatchCurve, ...]
    reference: str  # name of the engine that the others are compared with
    # Numbers in the model's output for a sentence: of an embedding, its length. None: not known.
    output_dim: int | None = None
    noise: tuple[NoiseFloor, ...] = ()
    divergences: tuple[Divergence, ...] = ()
    invariances: tuple[Invariance, ...] = ()
    plan: ServingPlan
    serving: tuple[ServingCurve, ...] = ()
    search: tuple[SearchResult, ...] = ()
    failures: tuple[Failed, ...] = ()

    def engine(self, name: str) -> Engine:
        return next(one for one in self.engines if one.name == name)
