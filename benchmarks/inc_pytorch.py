"""PyTorch INT8 beside Neural Compressor's defaults: python -m benchmarks.inc_pytorch --output DIR.

Neural Compressor's defaults (PostTrainingQuantConfig, 100 calibration rows, optimum-intel's
INCQuantizer) and hubkit's variants of one FP32 model: the demo's, or --model and --rows as for
benchmarks.int8. Every one is loaded by INCModelFor… from its folder, as users do. Flips are
predictions that differ from PyTorch FP32, with equal batches for all; the ratios are FP32's time
over the model's, medians over rounds in which all take turns; with --clock cpu the least CPU time
of one thread, which other work disturbs less. Writes inc_pytorch.json and .md.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.int8_models import size_of
from benchmarks.int8_rows import calibration, demo, padded
from hubkit.backends import neural_compressor, quantizer_for
from hubkit.backends import torch as float_backend
from hubkit.backends.torch import TorchSession, head_of, load_model
from hubkit.machine import default_threads, machine_info
from hubkit.recipe import IncDynamic, IncStatic

if TYPE_CHECKING:
    from hubkit.backends.base import Arrays

    Maker = Callable[[Path, Path, Sequence[Arrays]], None]

POINTS = ((1, 32), (1, 128), (8, 128))
BASELINE = "fp32"
_ROWS, _BATCH = 100, 8


def _peer(approach: str) -> Maker:
    """Neural Compressor by its defaults."""

    def make(source: Path, target: Path, rows: Sequence[Arrays]) -> None:
        import torch
        from neural_compressor.config import PostTrainingQuantConfig, options
        from optimum.intel.neural_compressor import INCQuantizer

        # Its files: else they go into nc_workspace/ in the current folder.
        options.workspace = str(target.parent.parent / "nc_workspace")

        def calibrate(network: torch.nn.Module) -> None:
            with torch.no_grad():
                for batch in rows:
                    network(**{name: torch.from_numpy(a) for name, a in batch.items()})

        network = load_model(source, attention="eager")
        quantizer = INCQuantizer(network, task=head_of(source).task, calibration_fn=calibrate)
        quantizer.quantize(PostTrainingQuantConfig(approach=approach), save_directory=target)

    return make


def _hubkit(**settings: object) -> Maker:
    """A variant by its spec, as the quantize stage makes it."""

    def make(source: Path, target: Path, rows: Sequence[Arrays]) -> None:
        kind = IncStatic if settings["kind"] == "inc-static" else IncDynamic
        spec = kind.model_validate(settings)
        quantizer_for(spec).quantize(source, target, spec, rows)

    return make


_STATIC, _DYNAMIC = {"kind": "inc-static"}, {"kind": "inc-dynamic"}
_ENTROPY = {**_STATIC, "calibration": {"method": "entropy"}}
MAKERS: dict[str, Maker] = {
    "nc-default-static": _peer("static"),
    "nc-default-dynamic": _peer("dynamic"),
    "hubkit-static": _hubkit(**_STATIC),
    "hubkit-static-entropy": _hubkit(**_ENTROPY),
    "hubkit-dynamic": _hubkit(**_DYNAMIC),
}


def flips_and_accuracy(
    session: TorchSession, rows: Path, base: Sequence[int] | None
) -> tuple[list[int], int, float]:
    """The predicted classes, those that are not the base's, and the share that is right."""
    encoded = json.loads(rows.read_text(encoding="utf-8"))["test"]
    ids, labels = encoded["ids"], encoded["labels"]
    order = sorted(range(len(ids)), key=lambda row: len(ids[row]))
    classes = [0] * len(order)
    for start in range(0, len(order), 32):
        part = order[start : start + 32]
        found = session.run(padded([ids[row] for row in part]))["logits"].argmax(-1)
        for row, one in zip(part, found, strict=True):
            classes[row] = int(one)
    flips = sum(a != b for a, b in zip(classes, base or classes, strict=True))
    return classes, flips, statistics.fmean(a == b for a, b in zip(classes, labels, strict=True))


def visit(session: TorchSession, seconds: float, clock: str) -> dict[str, float]:
    """Median milliseconds of a call at each point."""
    import numpy as np

    now = time.perf_counter if clock == "wall" else time.process_time
    found = {}
    for batch, length in POINTS:
        tokens = np.random.default_rng(7).integers(1000, 20000, (batch, length))
        given = padded(tokens.tolist())
        for _ in range(3):
            session.run(given)
        times: list[float] = []
        until = time.perf_counter() + seconds
        while time.perf_counter() < until or len(times) < 5:
            started = now()
            session.run(given)
            times.append((now() - started) * 1e3)
        found[f"{batch}x{length}"] = statistics.median(times)
    return found


def made(name: str, folder: Path, source: Path, rows: Path, threads: int) -> TorchSession:
    """A model of MAKERS, made where it is not there yet, as INCModel loads it."""
    target = folder / "models" / name
    if not (target / neural_compressor.MODEL_FILE).is_file():
        target.parent.mkdir(parents=True, exist_ok=True)
        learnt = [batch for batch in calibration(rows, _BATCH)][: -(-_ROWS // _BATCH)]
        MAKERS[name](source, target, _first(learnt, _ROWS))
    return neural_compressor.runtime.load(target, neural_compressor.MODEL_FILE, threads=threads)


def _first(batches: Sequence[Arrays], rows: int) -> list[Arrays]:
    found, left = [], rows
    for batch in batches:
        found.append({name: array[:left] for name, array in batch.items()})
        left -= min(left, len(batch["input_ids"]))
    return [batch for batch in found if len(batch["input_ids"])]


def run(given: argparse.Namespace, names: Sequence[str], source: Path, rows: Path) -> None:
    """Make, score and time the models, and write what was found."""
    folder = given.output.resolve()
    threads = default_threads() if given.clock == "wall" else 1
    sessions = {BASELINE: float_backend.runtime.load(source, "model.safetensors", threads=threads)}
    sessions |= {name: made(name, folder, source, rows, threads) for name in names}
    report: dict[str, dict[str, object]] = {}
    base: list[int] | None = None
    for name, session in sessions.items():
        classes, flips, accuracy = flips_and_accuracy(session, rows, base)
        base = base or classes
        size = (source / "model.safetensors").stat().st_size
        size = size if name == BASELINE else size_of(folder / "models" / name)
        report[name] = {"flips": flips, "accuracy": accuracy, "bytes": size}
        sys.stderr.write(f"{name}: {flips} flips\n")
    before = os.getloadavg()
    visits: dict[str, list[dict[str, float]]] = {name: [] for name in sessions}
    order = list(sessions)
    for turn in range(given.rounds):
        at = turn % len(order)
        for name in order[at:] + order[:at]:
            visits[name].append(visit(sessions[name], given.seconds, given.clock))
    for name in sessions:
        report[name]["ms"] = visits[name]
        report[name]["ratio"] = ratios(visits[BASELINE], visits[name], given.clock)
    whole = {
        "machine": machine_info().model_dump(mode="json"),
        "clock": given.clock,
        "threads": threads,
        "rounds": given.rounds,
        "load_before": before,
        "load_after": os.getloadavg(),
        "models": report,
    }
    (folder / "inc_pytorch.json").write_text(json.dumps(whole, indent=1), encoding="utf-8")
    (folder / "inc_pytorch.md").write_text(table(report), encoding="utf-8")
    sys.stdout.write(table(report))


def ratios(
    base: Sequence[dict[str, float]], other: Sequence[dict[str, float]], clock: str
) -> dict[str, float]:
    """FP32's time over the model's at each point: the median of the rounds, or of CPU time, which
    other work can only lengthen, least over least."""
    found = {}
    for point in base[0]:
        pairs = [(one[point], two[point]) for one, two in zip(base, other, strict=True)]
        found[point] = statistics.median(one / two for one, two in pairs)
        if clock == "cpu":
            found[point] = min(one for one, _ in pairs) / min(two for _, two in pairs)
    return found


def table(report: dict[str, dict[str, object]]) -> str:
    """The models in Markdown: times of the speed of PyTorch FP32."""
    points = [f"{batch}x{length}" for batch, length in POINTS]
    lines = [f"| model | accuracy | flips | {' | '.join(points)} | MB |", "|---" * 7 + "|"]
    for name, one in report.items():
        ratio = one["ratio"]
        assert isinstance(ratio, dict)
        speed = " | ".join(f"{ratio[point]:.2f}" for point in points)
        size = float(str(one["bytes"])) / 1e6
        lines.append(f"| {name} | {one['accuracy']:.4f} | {one['flips']} | {speed} | {size:.1f} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--model", type=Path, help="a folder with an FP32 text classifier")
    parser.add_argument("--rows", type=Path, help="JSON: calibration and test")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.0, help="of each point in each visit")
    parser.add_argument("--clock", choices=("wall", "cpu"), default="wall")
    parser.add_argument("--only", default="", help="names, separated by commas")
    given = parser.parse_args()
    names = [name for name in given.only.split(",") if name] or list(MAKERS)
    folder = given.output.resolve()
    (folder / "models").mkdir(parents=True, exist_ok=True)
    source, rows = given.model, given.rows
    if source is None:
        source, rows = demo(folder)
    run(given, names, source, rows)


if __name__ == "__main__":
    main()
