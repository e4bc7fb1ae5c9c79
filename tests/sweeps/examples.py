"""Two sweeps: the eight configurations of the reference, and one in which everything goes wrong.

Metrics and times of configurations are the reference's; sizes, intervals, counts of nodes, the ONNX
baseline and the noise floor are made up, of a likely size.
"""

from __future__ import annotations

from itertools import product

from hubkit.recipe import Calibration, DatasetSpec, Evaluation, OnnxDynamic, OnnxStatic, Sweep
from hubkit.records import (
    BaseModelInfo,
    CalibrationInfo,
    Dataset,
    Encoded,
    Failed,
    Interval,
    Lock,
    MachineInfo,
    Metric,
    Paired,
    Scores,
    Source,
    Timing,
    TimingPoint,
    Timings,
    Variant,
)
from hubkit.sweep_records import NoisePoint, OnnxSpec, SweepReport, SweepRow
from tests.cards.examples import artifact, digest
from tests.sweeps.reference_numbers import METRICS, TIMES

PATTERNS = ("layernorm", "gelu", "residual", "gather", "softmax")
NAMES = ("precision", "recall", "f1", "accuracy")
WORDS = 51_362
SWEEP: dict[str, object] = {
    "quantization_approach": ["dynamic", "static"],
    "operators_to_quantize": [["Add"], ["Add", "MatMul"]],
    "node_exclusion": [[], list(PATTERNS)],
    "per_channel": False,
    "calibration": {"method": "minmax", "num_calibration_samples": 100},
    "framework_args": {"opset": 11, "optimization_level": 1},
    "time_benchmark_args": {"duration": 15},
    "guards": False,
}


def name_of(key: str) -> str:
    """The name of a configuration, made as hubkit makes it: of a digest."""
    return key if key.endswith("fp32") else f"{key.split('-')[0]}-{digest(key)[:8]}"


def spec_of(approach: str, operators: tuple[str, ...], excluded: tuple[str, ...]) -> OnnxSpec:
    """One configuration of the reference."""
    tail = f"{'-matmul' if 'MatMul' in operators else ''}{'-excluded' if excluded else ''}"
    name = f"{approach}-add{tail}"
    args = {"opset": 11, "optimization_level": 1}
    common = {
        "name": name_of(name),
        "operators_to_quantize": operators,
        "node_exclusion": excluded,
        "per_channel": False,
        "framework_args": args,
    }
    if approach == "dynamic":
        return OnnxDynamic.model_validate({"kind": "onnx-dynamic", **common})
    return OnnxStatic.model_validate({"kind": "onnx-static", "guards": False, **common})


def _excluded(spec: OnnxSpec) -> dict[str, int]:
    counts = {"layernorm": 0, "gelu": 6, "residual": 12, "gather": 0, "softmax": 6}
    static = isinstance(spec, OnnxStatic)
    found = {p: counts.get(p, 0) if static else 0 for p in spec.node_exclusion}
    guard = static and getattr(spec, "guards", False) and "softmax" not in found
    return {**found, "softmax": 6} if guard else found


def variant_of(spec: OnnxSpec, nodes: int | None = None) -> Variant:
    """What quantizing by a spec may have made."""
    static = isinstance(spec, OnnxStatic)
    matmul = "MatMul" in spec.operators_to_quantize
    whole = (36 if matmul else 0) + (62 if static else 0)
    excluded = _excluded(spec)
    size = (133_400_512 if matmul else 265_700_123) + 1_000 * len(spec.node_exclusion)
    return Variant(
        name=spec.name,
        format="onnx",
        precision="int8",
        approach="static" if static else "dynamic",
        artifact=artifact(spec.name, model_quantized__onnx=size),
        model_file="model_quantized.onnx",
        size_bytes=size,
        opset=11,
        per_channel=False,
        reduce_range=False,
        operators_to_quantize=spec.operators_to_quantize,
        nodes_quantized=whole - sum(excluded.values()) if nodes is None else nodes,
        nodes_excluded=excluded,
        calibration=CalibrationInfo(
            method=spec.calibration.method,
            asked_samples=100,
            real_samples=100,
            batch_size=8,
            split="train",
        )
        if isinstance(spec, OnnxStatic)
        else None,
    )


def baselines() -> tuple[Variant, ...]:
    """PyTorch and ONNX FP32."""
    return (
        Variant(
            name="pytorch-fp32",
            format="pytorch",
            precision="fp32",
            artifact=artifact("base", model__safetensors=265_481_570),
            model_file="model.safetensors",
            size_bytes=265_481_570,
        ),
        Variant(
            name="onnx-fp32",
            format="onnx",
            precision="fp32",
            artifact=artifact("onnx", model__onnx=265_600_413),
            model_file="model.onnx",
            size_bytes=265_600_413,
            opset=11,
        ),
    )


def _around(value: float, half: float) -> Interval:
    return Interval(low=max(0.0, value - half), high=min(1.0, value + half))


def scores_of(key: str) -> Scores:
    """The reference's metrics, with intervals and flips of a likely size."""
    # A dynamic Add has no integer form: that graph is FP32's.
    int8 = "static" in key or "matmul" in key
    values = METRICS[key if int8 else "pytorch-fp32"]
    lost = METRICS["pytorch-fp32"][2] - values[2]
    wrong = round(WORDS * (METRICS["pytorch-fp32"][3] - values[3]))
    paired = Paired(
        baseline="pytorch-fp32" if key == "onnx-fp32" else "onnx-fp32",
        flips=wrong + 30 if int8 else 0,
        now_right=10 if int8 else 0,
        now_wrong=wrong + 12 if int8 else 0,
        mcnemar_p=(0.00012 if wrong else 0.83) if int8 else 1.0,
        loss=lost,
        loss_interval=Interval(low=lost - 0.0021, high=lost + 0.0024),
        max_abs_logit_diff=0.8 if int8 else 4e-06,
        mean_abs_logit_diff=0.07 if int8 else 3e-07,
        unit="word",
        units=WORDS,
    )
    return Scores(
        variant=name_of(key),
        rows=3250,
        metrics=tuple(
            Metric(
                name=metric,
                value=value,
                interval=_around(value, 0.0011 if metric == "accuracy" else 0.0068),
                method="wilson" if metric == "accuracy" else "bootstrap",
                confidence=0.95,
            )
            for metric, value in zip(NAMES, values, strict=True)
        ),
        paired=None if key == "pytorch-fp32" else paired,
    )


def timing_of(key: str) -> Timing:
    """The reference's latencies, and its calls a second times the batch size; ONNX FP32 takes four
    fifths of PyTorch's time."""
    same, scale = ("pytorch-fp32", 0.8) if key == "onnx-fp32" else (key, 1.0)
    points = []
    for (batch, length), rows in TIMES.items():
        mean, rate = rows[same][0] * scale, rows[same][1] / scale
        points.append(
            TimingPoint(
                batch_size=batch,
                input_length=length,
                iterations=300,
                seconds=mean * 0.3,
                mean_ms=mean,
                p50_ms=mean * 0.981,
                p90_ms=mean * 1.073,
                p99_ms=mean * 1.314,
                throughput_per_s=rate * batch,
                round_means_ms=(mean * 0.99, mean, mean * 1.01),
            )
        )
    peak = 812.4 if key.startswith("pytorch") else 403.7
    return Timing(variant=name_of(key), points=tuple(points), threads=2, peak_rss_mb=peak)


def _noise() -> tuple[NoisePoint, ...]:
    return tuple(
        NoisePoint(
            batch_size=batch,
            input_length=length,
            ratio=1.004 + 0.003 * i,
            relative=0.013 + 0.007 * i,
        )
        for i, (batch, length) in enumerate(TIMES)
    )


def _lock() -> Lock:
    return Lock(
        recipe_digest=digest("recipe"),
        base=Source(
            kind="model",
            source="hub",
            id="elastic/distilbert-base-uncased-finetuned-conll03-english",
            revision="main",
            sha="6a6b7ee9d2ab3ae6fb4ed4ca2c4c9c3e5b0f4f6a",
        ),
        dataset=Source(
            kind="dataset",
            source="hub",
            id="conll2003",
            revision="main",
            sha="01ad4ad271976c5258b9ed9b910469a806ff3288",
        ),
        python="3.11.7",
        tools={"onnxruntime": "1.31.1", "optimum": "2.1.0", "torch": "2.13.0+cpu"},
    )


def _machine() -> MachineInfo:
    return MachineInfo(
        cpu="Example CPU @ 2.60GHz",
        flags=("avx2", "avx512f", "avx512_vnni"),
        logical_cpus=2,
        physical_cores=1,
        memory_gib=7.8,
        os="Linux 6.1",
        python="3.11.7",
        packages={"onnxruntime": "1.31.1", "torch": "2.13.0+cpu"},
        fingerprint=digest("machine"),
    )


def _specs() -> tuple[OnnxSpec, ...]:
    operators: tuple[tuple[str, ...], ...] = (("Add",), ("Add", "MatMul"))
    exclusions: tuple[tuple[str, ...], ...] = ((), PATTERNS)
    return tuple(spec_of(*one) for one in product(("dynamic", "static"), operators, exclusions))


def make_report(**changes: object) -> SweepReport:
    """The reference's sweep, every configuration measured on its own as it was there."""
    rows = tuple(SweepRow(name=s.name, spec=s, variant=variant_of(s)) for s in _specs())
    keys = ("pytorch-fp32", "onnx-fp32", *list(METRICS)[1:])
    report = SweepReport(
        recipe="distilbert-conll03",
        task="token-classification",
        lock=_lock(),
        dataset_spec=DatasetSpec(
            path="conll2003", data_keys={"primary": "tokens"}, ref_keys=("ner_tags",)
        ),
        evaluation=Evaluation(metrics=NAMES),
        sweep=Sweep.model_validate(SWEEP),
        combinations=8,
        base=BaseModelInfo(
            artifact=artifact("base", model__safetensors=265_481_570),
            architecture="DistilBertForTokenClassification",
            model_type="distilbert",
            labels=("O", "B-PER", "I-PER"),
            num_parameters=66_369_801,
            max_positions=512,
            weights_bytes=265_481_570,
        ),
        dataset=Dataset(
            artifact=artifact("dataset", eval__parquet=810_204),
            eval_rows=3250,
            eval_rows_available=3250,
            calibration_rows=100,
            label_counts={"O": 42_759, "PER": 8_603},
        ),
        encoded=Encoded(
            artifact=artifact("encoded", encoded__npz=900_000),
            rows=3250,
            truncated=3,
            max_length=128,
            mean_tokens=22.71,
            input_names=("input_ids", "attention_mask"),
        ),
        baselines=baselines(),
        rows=rows,
        scores=tuple(map(scores_of, keys)),
        timings=Timings(machine=_machine(), timings=tuple(map(timing_of, keys))),
        noise=_noise(),
    )
    return report.model_copy(update=changes)


def _guarded(spec: OnnxSpec, guards: bool) -> OnnxSpec:
    if not isinstance(spec, OnnxStatic):
        return spec
    calibration = Calibration(method="percentile", percentile=99.99)
    name = f"static-{digest(f'{spec.name} {guards}')[:8]}"
    changes = {"guards": guards, "name": name, "calibration": calibration}
    return spec.model_copy(update=changes)


def messy_report(**changes: object) -> SweepReport:
    """Partial, filtered, with guards on and off, equal graphs, nothing quantized, and failures."""
    report = make_report()
    by_name = {key: s for key in METRICS for s in _specs() if s.name == name_of(key)}
    nothing, twin = by_name["dynamic-add"], by_name["dynamic-add-matmul-excluded"]
    off = _guarded(by_name["static-add-matmul"], guards=False)
    on = _guarded(by_name["static-add-matmul"], guards=True)
    bad = _guarded(by_name["static-add-excluded"], guards=False)
    first = by_name["dynamic-add-matmul"]
    rows = (
        SweepRow(
            name=nothing.name, spec=nothing, variant=variant_of(nothing, 0), same_as="onnx-fp32"
        ),
        SweepRow(name=first.name, spec=first, variant=variant_of(first)),
        SweepRow(name=twin.name, spec=twin, variant=variant_of(twin, 36), same_as=first.name),
        SweepRow(name=off.name, spec=off, variant=variant_of(off)),
        SweepRow(name=on.name, spec=on, variant=variant_of(on)),
        SweepRow(
            name=bad.name,
            spec=bad,
            failed=Failed(
                stage="quantize",
                subject=bad.name,
                reason="node_exclusion gelu matches no node at opset 11",
                hint="Here are: Add (38), MatMul (36), Softmax (6).",
            ),
        ),
    )
    measured = {
        "pytorch-fp32": "pytorch-fp32",
        "onnx-fp32": "onnx-fp32",
        "dynamic-add-matmul": first.name,
        "static-add-matmul": off.name,
        "static-add-matmul-excluded": on.name,
    }
    scores = [scores_of(key).model_copy(update={"variant": n}) for key, n in measured.items()]
    timings = [timing_of(key).model_copy(update={"variant": n}) for key, n in measured.items()]
    updates: dict[str, object] = {
        "noise": tuple(n for n in _noise() if n.batch_size != 8 and n.input_length != 64),
        "sweep": Sweep.model_validate(
            {
                **SWEEP,
                "guards": [False, True],
                "calibration": {
                    "method": ["percentile"],
                    "calibration_histogram_percentile": 99.99,
                },
                "batch_sizes": [1, 4],
                "input_lengths": [32, 128],
            }
        ),
        "where": "dynamic or guards is not None",
        "combinations": 12,
        "rows": rows,
        "scores": tuple(scores),
        "timings": Timings(machine=_machine(), timings=tuple(timings)),
        "dataset": report.dataset.model_copy(
            update={"eval_rows": 200, "eval_rows_available": 3250, "partial": True}
        ),
        "partial": ("--limit 200: 200 of 3,250 rows were scored", "times of 0.2 s a point"),
    }
    return report.model_copy(update={**updates, **changes})
