"""How far runs of the benchmark stage differ, and the memory it takes: python -m benchmarks.noise.

On a random model of the demo's shape (DistilBERT, 6 layers of 384): times and memory do not depend
on what a model has learnt. Takes about five minutes; leave the machine alone meanwhile.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.tree import measure
from hubkit.backends import exporter_for, quantizer_for
from hubkit.machine import machine_info
from hubkit.recipe import Benchmark, IncStatic, OnnxDynamic, OnnxStatic, VariantSpec
from hubkit.records import Timing, Variant
from hubkit.stage import Context
from hubkit.stages.benchmark import BenchmarkInput, benchmark
from hubkit.store import Store

if TYPE_CHECKING:
    from hubkit.backends.base import Arrays

RUNS = 5
SPECS: tuple[VariantSpec, ...] = (
    OnnxDynamic(kind="onnx-dynamic"),
    OnnxStatic(kind="onnx-static"),
    IncStatic(kind="inc-static"),
)


def make_model(folder: Path) -> None:
    """A random classifier of the demo model's shape."""
    import torch
    from transformers import DistilBertConfig, DistilBertForSequenceClassification

    torch.manual_seed(0)
    config = DistilBertConfig(dim=384, n_layers=6, n_heads=12, hidden_dim=1536)
    DistilBertForSequenceClassification(config).save_pretrained(folder)


def calibration() -> list[Arrays]:
    """Random batches: the ranges do not matter to the time."""
    import numpy as np

    draw = np.random.default_rng(0)
    shape = (8, 64)
    return [
        {
            "input_ids": draw.integers(0, 30522, shape, dtype=np.int64),
            "attention_mask": np.ones(shape, np.int64),
        }
        for _ in range(4)
    ]


def make_variants(store: Store, scratch: Path) -> tuple[Variant, ...]:
    """FP32 in both formats and one INT8 variant of each kind."""
    base, onnx = scratch / "base", scratch / "onnx"
    make_model(base)
    file = exporter_for("onnx").export(base, onnx, task="text-classification")
    made = [("pytorch-fp32", base, "model.safetensors"), ("onnx-fp32", onnx, file)]
    for spec in SPECS:
        folder = scratch / spec.name
        source = onnx if spec.kind.startswith("onnx") else base
        batches = calibration() if "static" in spec.kind else []
        done = quantizer_for(spec).quantize(source, folder, spec, batches)
        made.append((spec.name, folder, done.model_file))
    return tuple(adopt(store, *one) for one in made)


def adopt(store: Store, name: str, folder: Path, file: str) -> Variant:
    """A variant record of a folder, which moves into the store."""
    size = (folder / file).stat().st_size
    return Variant(
        name=name,
        format="onnx" if file.endswith(".onnx") else "pytorch",
        precision="fp32" if name.endswith("fp32") else "int8",
        artifact=store.adopt(folder),
        model_file=file,
        size_bytes=size,
    )


def geometric_mean(timing: Timing) -> float:
    """The number that selection compares."""
    return math.exp(statistics.fmean(math.log(point.mean_ms) for point in timing.points))


def spread(values: Sequence[float]) -> float:
    """Largest over smallest, less one."""
    return round(max(values) / min(values) - 1, 4)


def run(given: BenchmarkInput, store: Store) -> tuple[Sequence[Timing], dict[str, float]]:
    """One run of the stage, and what it cost this process."""
    with store.scratch() as scratch:
        wall, cpu = time.perf_counter(), time.process_time()
        timings = benchmark(given, Context(store, scratch)).timings
        cost = {
            "wall_s": round(time.perf_counter() - wall, 1),
            "parent_cpu_s": round(time.process_time() - cpu, 2),
        }
    return timings, cost


def summary(runs: Sequence[Sequence[Timing]]) -> dict[str, dict[str, float | None]]:
    """By variant: median over the runs of the geometric mean, its spread, the worst point's."""
    found: dict[str, dict[str, float | None]] = {}
    for same in zip(*runs, strict=True):
        means = [geometric_mean(timing) for timing in same]
        points = zip(*(timing.points for timing in same), strict=True)
        found[same[0].variant] = {
            "geometric_mean_ms": round(statistics.median(means), 3),
            "spread": spread(means),
            "worst_point_spread": max(spread([p.mean_ms for p in point]) for point in points),
            "peak_rss_mb": same[0].peak_rss_mb and round(same[0].peak_rss_mb),
        }
    return found


def main() -> None:
    """Print as JSON; `--given FILE --store DIR` is one run, for the measurement of memory."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--given", type=Path)
    parser.add_argument("--store", type=Path)
    parser.add_argument("--runs", type=int, default=RUNS)
    options = parser.parse_args()
    if options.given:
        run(BenchmarkInput.model_validate_json(options.given.read_text()), Store(options.store))
        return
    with tempfile.TemporaryDirectory() as root:
        store = Store(Path(root) / "store")
        with store.scratch() as scratch:
            variants = make_variants(store, scratch)
        given = BenchmarkInput(
            variants=variants, plan=Benchmark(), machine=machine_info(), max_positions=512
        )
        file = Path(root) / "given.json"
        file.write_text(given.model_dump_json())
        here = [sys.executable, "-m", "benchmarks.noise"]
        memory = measure([*here, "--given", str(file), "--store", str(store.root)])
        done = [run(given, store) for _ in range(options.runs)]
    result = {
        "machine": f"{given.machine.cpu}, {given.machine.logical_cpus} CPUs",
        "plan": given.plan.model_dump(mode="json"),
        "tree_peak_mb": round(memory.peak_mb),
        "each_run": [cost for _, cost in done],
        "variants": summary([timings for timings, _ in done]),
    }
    sys.stdout.write(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
