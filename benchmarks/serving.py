"""Serving: python -m benchmarks.serving load|batching|soak.

`load`: the load generator against nginx, with wrk and perf_analyzer beside it, and with that one
against `hubkit serve` (needs nginx, wrk and taskset, and shows perf_analyzer where there is one;
some ten minutes). `batching`: `hubkit serve` with dynamic batching against one request at a
time behind the same server and in process, at 32 clients, on the demo model's real sentences (some
three minutes). `soak`: 10,000 requests, a third of them bad, on the demo model (some minutes). Run
them while nothing else runs.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from hubkit.formats_records import Engine, Level, ServingConfig, ServingPlan
from hubkit.machine import default_threads, machine_info
from hubkit.measuring import optimize
from hubkit.pipeline import session
from hubkit.preparing import prepare
from hubkit.quantizing import CalibrationRows
from hubkit.records import Encoded, Variant
from hubkit.serving.workload import requests
from hubkit.stage import Context
from hubkit.stages.serve_load import ServeLoadInput, serve_load
from hubkit.stages.serve_url import ServeUrlInput, serve_url
from hubkit.stages.serving_worker import read_sentences
from hubkit.store import Store

_RECIPE = "distilbert-sst2"
_CLIENTS = 32


@dataclass(frozen=True)
class Demo:
    """The demo model in the formats that are served, and its sentences."""

    store: Store
    variants: tuple[Variant, ...]
    encoded: Encoded

    def path(self, variant: Variant) -> Path:
        """The folder of a variant."""
        return self.store.path(variant.artifact)


def demo() -> Demo:
    """FP32 and dynamic INT8 in ONNX of the demo model, looked up where they have been made."""
    with session(_RECIPE, demo=True) as (run, loaded, origins):
        material = prepare(run, loaded, origins)
        specs = tuple(one for one in loaded.recipe.variants if one.kind == "onnx-dynamic")
        rows = CalibrationRows(material.calibration, loaded.recipe.dataset.calibration_split)
        made, _ = optimize(run, material.base, loaded.recipe.task, specs, rows)
        wanted = tuple(one for one in made if one.format == "onnx")
        return Demo(run.store, wanted, material.evaluation)


@contextmanager
def served(folder: Path, *options: str) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """`hubkit serve` of a folder: its process and its port."""
    command = [sys.executable, "-m", "hubkit", "serve", str(folder), "--port", "0", *options]
    with tempfile.NamedTemporaryFile("w+", suffix=".txt") as log:
        process = subprocess.Popen(command, stderr=log, text=True)
        try:
            while " at http://" not in (said := Path(log.name).read_text()):
                if process.poll() is not None:
                    raise SystemExit(said)
                time.sleep(0.05)
            yield process, int(said.partition(" at http://")[2].split()[0].rpartition(":")[2])
        finally:
            process.kill()
            process.wait()


def load() -> None:
    """nginx, then `hubkit serve` with dynamic INT8 where perf_analyzer is there to compare with."""
    from benchmarks import serving_nginx

    serving_nginx.main()
    if shutil.which("perf_analyzer") is not None:
        found = demo()
        folder = found.path(next(one for one in found.variants if one.precision == "int8"))
        with served(folder) as (_, port):
            serving_nginx.beside_analyzer(folder.name, port)


def batching(window_s: float) -> None:
    """Each variant: one request at a time in process and behind the server, then in batches."""
    found, cores = demo(), default_threads()
    plan = ServingPlan(
        concurrency=(_CLIENTS,), open_rates=(), window_s=window_s, warmup_requests=200
    )
    with found.store.scratch() as scratch:
        for variant in found.variants:
            alone = _in_process(found, variant, plan, scratch / f"{variant.name}-alone")
            _row(variant, "in process, one at a time", alone)
            peers = []
            for threads in sorted({cores, 1}, reverse=True):
                one = ("--instances", "1", "--threads", str(threads), "--max-batch", "1")
                peers.append(_over_http(found, variant, plan, scratch, one))
                _row(variant, f"served, one at a time, threads {threads}", peers[-1])
            behind = max(peers, key=lambda level: level.throughput_per_s)
            for batch in (1, 4, 8, 16):
                many = ("--instances", str(cores), "--threads", "1", "--max-batch", str(batch))
                level = _over_http(found, variant, plan, scratch, many)
                gain = level.throughput_per_s / behind.throughput_per_s
                _row(variant, f"served, {cores} instances, batches of {batch}", level, gain)


def _in_process(found: Demo, variant: Variant, plan: ServingPlan, scratch: Path) -> Level:
    scratch.mkdir()
    given = ServeLoadInput(
        engine=engine_of(variant),
        variant=variant,
        encoded=found.encoded,
        plan=plan,
        config=ServingConfig(instances=1, threads=default_threads()),
        machine=machine_info(),
    )
    return serve_load(given, Context(found.store, scratch)).levels[0]


def _over_http(
    found: Demo, variant: Variant, plan: ServingPlan, scratch: Path, options: Sequence[str]
) -> Level:
    folder = found.path(variant)
    with served(folder, *options) as (process, port):
        given = ServeUrlInput(
            url=f"http://127.0.0.1:{port}",
            model=folder.name,
            encoded=found.encoded,
            plan=plan,
            pid=process.pid,
        )
        return serve_url(given, Context(found.store, scratch)).levels[0]


def engine_of(variant: Variant) -> Engine:
    """onnxruntime on the CPU."""
    return Engine(
        name=f"onnxruntime-cpu-{variant.name}",
        runtime="onnxruntime",
        device="cpu",
        precision=variant.precision,
        provider="CPUExecutionProvider",
        variant=variant.name,
        format="onnx",
    )


def _row(variant: Variant, what: str, level: Level, gain: float | None = None) -> None:
    cores = level.cpu_cores or float("nan")
    cpu = f"{cores:.2f}, {level.throughput_per_s / cores:.0f} a core"
    _say(
        f"{variant.name:18} {what:38} {level.throughput_per_s:7.1f}/s  mean {level.mean_ms:7.1f}"
        f"  p50 {level.p50_ms:7.1f}  p99 {level.p99_ms:7.1f} ms"
        f"  {'' if level.stable else 'un'}stable"
        f"  errors {level.errors}  cores {cpu}" + (f"  × {gain:.2f}" if gain else "")
    )


def soak(total: int) -> None:
    """10,000 requests on each variant; raises AssertionError where something is not as it must."""
    from benchmarks.serving_soak import Soak, given
    from hubkit.backends.engines import load_engine

    found = demo()
    sentences = read_sentences(
        found.store.path(found.encoded.artifact) / "encoded.npz", found.encoded.pad_id
    )
    made = requests(sentences, ServingPlan())[:256]
    for variant in found.variants:
        folder = found.path(variant)
        alone = load_engine(engine_of(variant), folder, variant.model_file, threads=1)
        own = [{name: one[name] for name in alone.input_names} for one in made]
        asked = given(own, [alone.run(one) for one in own])
        alone.close()
        with served(folder, "--max-body-mb", "1", "--max-queue", "64") as (process, port):
            exact = variant.precision == "fp32"
            one = Soak(port, folder.name, asked, exact=exact, body_bytes=1_000_000)
            one.run(total, _CLIENTS, process.pid)
            seen = one.terminate(process, _CLIENTS)
        _say(json.dumps({"variant": variant.name, **seen.summary()}, indent=1))
        seen.check()


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def main() -> None:
    """Run one of the three."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("load", "batching", "soak"))
    parser.add_argument("--window", type=float, default=3.0, help="seconds of a window")
    parser.add_argument("--requests", type=int, default=10_000, help="of the soak")
    given = parser.parse_args()
    average = " ".join(f"{one:.2f}" for one in os.getloadavg())
    _say(f"load average before: {average}")
    if given.what == "load":
        load()
    elif given.what == "batching":
        batching(given.window)
    else:
        soak(given.requests)


if __name__ == "__main__":
    main()
