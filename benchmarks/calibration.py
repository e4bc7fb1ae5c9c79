"""Calibration against onnxruntime's own: python -m benchmarks.calibration.

One pass of ours and the ranges of all three methods, on 96 rows of 64 tokens, in alternating rounds
with onnxruntime's percentile calibrator, each in a process of its own; then ours on 1,000 rows of
128. Tensors of MatMul and Add, of a random model of the demo's shape: times and memory do not
depend on what a model has learnt. Takes about four minutes; leave the machine alone meanwhile.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.noise import make_model
from benchmarks.tree import Measured, measure
from hubkit.backends import exporter_for
from hubkit.backends.activation_ranges import ranges_of
from hubkit.backends.activation_statistics import gather_statistics
from hubkit.machine import machine_info
from hubkit.recipe import Calibration

if TYPE_CHECKING:
    from hubkit.backends.base import Arrays

ROUNDS = 3
Costs = dict[str, tuple[float, float]]  # part -> wall and CPU seconds
SMALL, LARGE = (96, 64), (1000, 128)
OPERATORS = ("Add", "MatMul")
METHODS = {
    "minmax": Calibration(method="minmax"),
    "entropy": Calibration(method="entropy"),
    "percentile": Calibration(method="percentile"),
}
# No part of the comparison: with as many bins onnxruntime itself takes minutes.
SLOW = Calibration(method="entropy", num_bins=2048)


def make_batches(rows: int, length: int) -> list[Arrays]:
    """Random ids, eight rows at a time; every second row is padded in its last quarter."""
    import numpy as np

    draw = np.random.default_rng(0)
    ids = draw.integers(1, 30522, (rows, length), dtype=np.int64)
    mask = np.ones_like(ids)
    ids[::2, -length // 4 :] = mask[::2, -length // 4 :] = 0
    return [
        {"input_ids": ids[at : at + 8], "attention_mask": mask[at : at + 8]}
        for at in range(0, rows, 8)
    ]


@contextmanager
def clock(costs: Costs, part: str) -> Iterator[None]:
    """Adds what happens inside to the costs."""
    wall, cpu = time.perf_counter(), time.process_time()
    yield
    costs[part] = (time.perf_counter() - wall, time.process_time() - cpu)


def ours(model: Path, batches: Sequence[Arrays], scratch: Path) -> Costs:
    """One pass, and the ranges of all methods."""
    costs: Costs = {}
    with clock(costs, "pass"):
        found = gather_statistics(model, batches, OPERATORS, scratch)
    for name, method in METHODS.items():
        with clock(costs, name):
            assert len(ranges_of(found, method)) == len(found)
    return costs


def ours_slow(model: Path, batches: Sequence[Arrays], scratch: Path) -> Costs:
    """Only the ranges of entropy with 2,048 bins."""
    found = gather_statistics(model, batches[:1], OPERATORS, scratch)
    costs: Costs = {}
    with clock(costs, "entropy_2048_bins"):
        ranges_of(found, SLOW)
    return costs


def theirs(model: Path, batches: Sequence[Arrays], scratch: Path) -> Costs:
    """The ranges of onnxruntime's percentile, as its own quantize_static collects them."""
    return _theirs(model, [batches], scratch)


def theirs_in_parts(model: Path, batches: Sequence[Arrays], scratch: Path) -> Costs:
    """The same, collected batch by batch, which holds its memory down."""
    return _theirs(model, [[batch] for batch in batches], scratch)


def _theirs(model: Path, parts: Sequence[Sequence[Arrays]], scratch: Path) -> Costs:
    from onnxruntime.quantization.calibrate import PercentileCalibrater

    from hubkit.backends.quiet import quiet

    class Reader:
        def __init__(self, batches: Sequence[Arrays]) -> None:
            self._batches = iter(batches)

        def get_next(self) -> Arrays | None:
            return next(self._batches, None)

    costs: Costs = {}
    with clock(costs, "percentile"), quiet():
        peer = PercentileCalibrater(
            model, list(OPERATORS), augmented_model_path=str(scratch / "augmented.onnx")
        )
        peer.augment_graph()
        peer.create_inference_session()
        for part in parts:
            peer.collect_data(Reader(part))
        peer.compute_data()
    return costs


WAYS: dict[str, Callable[[Path, Sequence[Arrays], Path], Costs]] = {
    "ours": ours,
    "ours_slow": ours_slow,
    "onnxruntime_percentile": theirs,
    "onnxruntime_percentile_in_parts": theirs_in_parts,
}


def run_one(way: str, model: Path, rows: int, length: int) -> None:
    """In a process of its own: print what it cost, libraries loaded before the clock starts."""
    import onnxruntime.quantization.calibrate  # noqa: F401

    batches = make_batches(rows, length)
    with tempfile.TemporaryDirectory() as scratch:
        costs = WAYS[way](model, batches, Path(scratch))
    sys.stdout.write(json.dumps(costs) + "\n")


def summary(runs: Sequence[Measured]) -> dict[str, object]:
    """Medians of the runs' sums and parts, and the largest of their peaks."""
    costs = [json.loads(run.stdout) for run in runs]

    def middle(values: Iterable[float]) -> float:
        return round(statistics.median(values), 2)

    return {
        "wall_s": middle(sum(part[0] for part in cost.values()) for cost in costs),
        "cpu_s": middle(sum(part[1] for part in cost.values()) for cost in costs),
        "peak_mb": round(max(run.peak_mb for run in runs)),
        "parts_wall_s": {part: middle(cost[part][0] for cost in costs) for part in costs[0]},
        "runs": len(runs),
    }


def main() -> None:
    """Print as JSON; `--way` is one run."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--way", choices=WAYS)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--rows", type=int, default=SMALL[0])
    parser.add_argument("--length", type=int, default=SMALL[1])
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    options = parser.parse_args()
    if options.way:
        run_one(options.way, options.model, options.rows, options.length)
        return
    with tempfile.TemporaryDirectory() as root:
        model = options.model or _make(Path(root))

        def run(way: str, rows: int, length: int) -> Measured:
            size = ["--rows", str(rows), "--length", str(length)]
            here = [sys.executable, "-m", "benchmarks.calibration", "--way", way]
            done = measure([*here, "--model", str(model), *size])
            if done.returncode:
                raise SystemExit(done.stderr)
            return done

        small: dict[str, list[Measured]] = {way: [] for way in WAYS}
        del small["ours_slow"]
        for _ in range(options.rounds):
            for way, runs in small.items():
                runs.append(run(way, *SMALL))
        slow = run("ours_slow", *SMALL)
        large = run("ours", *LARGE)
    machine = machine_info()
    result = {
        "machine": f"{machine.cpu}, {machine.logical_cpus} CPUs",
        "96x64": {way: summary(runs) for way, runs in small.items()},
        "entropy_2048_bins": summary([slow]),
        "1000x128": {"ours": summary([large])},
    }
    sys.stdout.write(json.dumps(result, indent=1) + "\n")


def _make(root: Path) -> Path:
    make_model(root / "base")
    file = exporter_for("onnx").export(root / "base", root / "onnx", task="text-classification")
    return root / "onnx" / file


if __name__ == "__main__":
    main()
