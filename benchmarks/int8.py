"""hubkit's INT8 models among their peers': python -m benchmarks.int8 --output FOLDER.

One run, one machine, one FP32 model (the demo's, or --model and --rows) and all that makes an INT8
model of it: hubkit's configurations, `optimum-cli onnxruntime quantize --avx512_vnni`, the recipe
of sentence-transformers (export_dynamic_quantized_onnx_model), Neural Compressor's ONNX tuning,
NNCF's default, OpenVINO FP32, and PyTorch INT8 by Neural Compressor's defaults. --model-of
NAME=FOLDER adds a finished model, such as the one that `hubkit tune` wrote. Every model is made,
scored and timed in a process of its own, all of them in the same batches; times are taken in rounds
in which the models take turns, one loaded at a time. Before and after each time the machine's own
speed is taken (hubkit.serving.yardstick): on a shared machine it halves for seconds or minutes, and
ratios are of times at which it was within 15 % of its best. Flips: predictions that differ from
ONNX FP32. Writes int8.json, int8.md and int8.png; what fails has its reason there. With --only
NAME,NAME some of them; models that are already in FOLDER are neither made nor scored again. Leave
the machine alone meanwhile: the load before and after is written down. Where that cannot be had,
--clock cpu takes the CPU time of one thread, which other work disturbs less, and says so.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import int8_models, int8_rows
from benchmarks.int8_plot import plot
from hubkit.keys import digest_of_folder
from hubkit.machine import default_threads, machine_info
from hubkit.serving.yardstick import machine_gflops

POINTS = ((1, 32), (1, 128), (8, 128))
BASELINE = "ort-fp32"
_PASS = "--child"
_OWN_LOAD = 2.5
_TIMES = 4  # of a point in a visit
_FAST = 0.85  # of the machine's best speed; readings of one speed vary by 10 %

# Of one model: a visit each; of a visit the times of each point with the machine's speed.
Visits = Sequence[Mapping[str, Sequence[tuple[float, float]]]]


def child(*arguments: str) -> dict[str, object]:
    """What this module says in a process of its own, or why it said nothing."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.int8", _PASS, *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "OMP_WAIT_POLICY": "PASSIVE", "NNCF_CI": "1"},  # NNCF calls nobody
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    if done.returncode or not lines:
        why = (done.stderr.strip().splitlines() or ["no answer"])[-1]
        return {"failed": why[:300]}
    found: dict[str, object] = json.loads(lines[-1])
    return found


def make(name: str, folder: Path, source: Path, rows: Path) -> dict[str, object]:
    """Make one model; seconds, and bytes of its weights."""
    target = folder / "models" / name
    shutil.rmtree(target, ignore_errors=True)  # what a run that was stopped left
    target.mkdir(parents=True)
    started = time.perf_counter()
    int8_models.MAKERS[name](source, folder / "models" / BASELINE, target, rows)
    return {
        "made_s": time.perf_counter() - started,
        "made_load": os.getloadavg()[0],  # what else ran meanwhile
        "bytes": int8_models.size_of(target),
    }


def take(name: str, folder: Path, made: Path) -> None:
    """Put a finished model among the others; one that has changed is scored anew."""
    target = folder / "models" / name
    digest = digest_of_folder(made)
    mark = target / "taken.txt"
    if mark.is_file() and mark.read_text(encoding="utf-8") == digest:
        return
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(made, target, ignore=shutil.ignore_patterns("made.json"))
    mark.write_text(digest, encoding="utf-8")


def predict(name: str, folder: Path, rows: Path) -> dict[str, object]:
    """The predicted class of each held-out row, in batches of 32 of like length."""
    encoded = json.loads(rows.read_text(encoding="utf-8"))["test"]
    call = int8_models.load(folder / "models" / name, default_threads())
    order = sorted(range(len(encoded["ids"])), key=lambda row: len(encoded["ids"][row]))
    classes = [0] * len(order)
    for start in range(0, len(order), 32):
        part = order[start : start + 32]
        found = call(int8_rows.padded([encoded["ids"][row] for row in part])).argmax(-1)
        for row, one in zip(part, found, strict=True):
            classes[row] = int(one)
    return {"classes": classes}


def visit(name: str, folder: Path, seconds: float, clock: str) -> dict[str, object]:
    """In one visit of the model: of each point some times, each the median milliseconds of a call,
    with the machine's own speed around it in GFLOP/s."""
    import numpy as np

    now = time.perf_counter if clock == "wall" else time.process_time
    call = int8_models.load(folder / "models" / name, default_threads() if clock == "wall" else 1)
    found: dict[str, object] = {}
    for batch, length in POINTS:
        tokens = np.random.default_rng(7).integers(1000, 20000, (batch, length)).tolist()
        given = int8_rows.padded(tokens)
        for _ in range(3):
            call(given)
        taken, before = [], machine_gflops()
        for _ in range(_TIMES):
            times: list[float] = []
            until = time.perf_counter() + seconds / _TIMES
            while time.perf_counter() < until or len(times) < 5:
                started = now()
                call(given)
                times.append((now() - started) * 1e3)
            after = machine_gflops()
            taken.append((statistics.median(times), (before + after) / 2))
            before = after
        found[f"{batch}x{length}"] = taken
    return found


def run(given: argparse.Namespace, names: Sequence[str], source: Path, rows: Path) -> None:
    """Make, score and time the models, and write what was found."""
    folder = given.output.resolve()
    report = {name: made_and_scored(name, folder, source, rows) for name in names}
    able = [name for name in names if "failed" not in report[name]]
    before = os.getloadavg()
    visits: dict[str, list[dict[str, Any]]] = {name: [] for name in able}
    for turn in range(given.rounds):
        for name in able[turn % len(able) :] + able[: turn % len(able)]:
            visits[name].append(child("visit", name, str(folder), str(given.seconds), given.clock))
        say(f"round {turn + 1} of {given.rounds}")
    speeds = [
        speed
        for done in visits.values()
        for one in done
        for times in one.values()
        for _, speed in times
    ]
    # Not the very best: that is what a single lucky moment reaches.
    best = statistics.quantiles(speeds, n=10)[-1]
    fast = {name: fast_times(visits[name], best) for name in able}
    labels = json.loads(rows.read_text(encoding="utf-8"))["test"]["labels"]
    base = report[BASELINE]["classes"]
    for name in able:
        classes = report[name]["classes"]
        assert isinstance(classes, list)
        assert isinstance(base, list)
        report[name]["flips"] = sum(a != b for a, b in zip(classes, base, strict=True))
        right = [a == b for a, b in zip(classes, labels, strict=True)]
        report[name]["accuracy"] = statistics.fmean(right)
        report[name]["ms"] = visits[name]
        report[name]["times"] = {point: len(times) for point, times in fast[name].items()}
        report[name]["ratio"] = ratios(fast[BASELINE], fast[name])
    for name in able:
        del report[name]["classes"]
    whole = {
        "machine": machine_info().model_dump(mode="json"),
        "clock": given.clock,
        "threads": default_threads() if given.clock == "wall" else 1,
        "rows": len(labels),
        "rounds": given.rounds,
        "load_before": before,
        "load_after": os.getloadavg(),
        "machine_gflops": {"best": best, "median": statistics.median(speeds)},
        "models": report,
    }
    (folder / "int8.json").write_text(json.dumps(whole, indent=1), encoding="utf-8")
    (folder / "int8.md").write_text(table(report), encoding="utf-8")
    plot(report, folder / "int8.png")
    sys.stdout.write(table(report))


def made_and_scored(name: str, folder: Path, source: Path, rows: Path) -> dict[str, object]:
    """What is known of a model before it is timed: looked up where it was made before."""
    place = folder / "models" / name
    known = place / "made.json"
    if known.is_file():
        found: dict[str, object] = json.loads(known.read_text(encoding="utf-8"))
        if "classes" in found:
            return found
    if (place / "taken.txt").is_file():
        found = {"made_s": None, "bytes": int8_models.size_of(place)}
    else:
        found = child("make", name, str(folder), str(source), str(rows))
    if "failed" not in found:
        found |= child("predict", name, str(folder), str(rows))
    if "failed" not in found:
        known.write_text(json.dumps(found), encoding="utf-8")
    say(f"{name}: {found.get('failed', 'made')}")
    return found


def fast_times(visits: Visits, best: float) -> dict[str, list[float]]:
    """Of each point the times at which the machine was at `best` or near it."""
    return {
        f"{batch}x{length}": [
            ms for one in visits for ms, speed in one[f"{batch}x{length}"] if speed >= _FAST * best
        ]
        for batch, length in POINTS
    }


def ratios(base: Mapping[str, list[float]], other: Mapping[str, list[float]]) -> dict[str, float]:
    """Of each point FP32's median time over the model's; NaN where there is none of the one or the
    other."""
    return {
        point: statistics.median(base[point]) / statistics.median(times)
        if base[point] and times
        else math.nan
        for point, times in other.items()
    }


def say(text: str) -> None:
    """Tell how far it is."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def _number(value: object) -> float:
    assert isinstance(value, int | float)
    return float(value)


def _made(one: dict[str, object]) -> str:
    """Seconds that making it took; with the load, where that was more than its own two threads."""
    if one["made_s"] is None:
        return "–"
    load = _number(one.get("made_load", 0))
    return f"{_number(one['made_s']):.0f}" + (f" (load {load:.0f})" if load > _OWN_LOAD else "")


def table(report: dict[str, dict[str, object]]) -> str:
    """The models in Markdown: times of the speed of ONNX FP32."""
    points = [f"{batch}x{length}" for batch, length in POINTS]
    lines = [
        f"| model | accuracy | flips | {' | '.join(points)} | MB | made in s | times |",
        "|---" * (6 + len(points)) + "|",
    ]
    for name, one in report.items():
        if "failed" in one:
            lines.append(f"| {name} | failed: {one['failed']} |" + " |" * (4 + len(points)))
            continue
        ratios = one["ratio"]
        assert isinstance(ratios, dict)
        cells = [f"{_number(one['accuracy']):.4f}", str(one["flips"])]
        cells += [f"{ratios[point]:.2f}" for point in points]
        times = one["times"]
        assert isinstance(times, dict)
        cells += [f"{_number(one['bytes']) / 1e6:.1f}", _made(one), str(min(times.values()))]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Read the command line and run."""
    if len(sys.argv) > 1 and sys.argv[1] == _PASS:
        what, name, folder, *rest = sys.argv[2:]
        if what == "make":
            found = make(name, Path(folder), Path(rest[0]), Path(rest[1]))
        elif what == "predict":
            found = predict(name, Path(folder), Path(rest[0]))
        else:
            found = visit(name, Path(folder), float(rest[0]), rest[1])
        sys.stdout.write("\n" + json.dumps(found) + "\n")
        return
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--model", type=Path, help="a folder with an FP32 text classifier")
    parser.add_argument("--rows", type=Path, help="JSON: calibration and test, as int8_models has")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.0, help="of each point in each visit")
    parser.add_argument("--clock", choices=("wall", "cpu"), default="wall")
    parser.add_argument("--only", default="", help="names, separated by commas")
    parser.add_argument(
        "--model-of", action="append", default=[], metavar="NAME=FOLDER", help="a finished model"
    )
    given = parser.parse_args()
    names = [name for name in given.only.split(",") if name] or list(int8_models.MAKERS)
    folder = given.output.resolve()
    (folder / "models").mkdir(parents=True, exist_ok=True)
    for name, _, made in (one.partition("=") for one in given.model_of):
        if name in int8_models.MAKERS or not Path(made).is_dir():
            parser.error(f"--model-of {name}={made}: a new name, and the folder of a model")
        take(name, folder, Path(made))
        names.append(name)
    source, rows = given.model, given.rows
    if source is None:
        source, rows = int8_rows.demo(folder)
    run(given, list(dict.fromkeys((BASELINE, *names))), source, rows)


if __name__ == "__main__":
    main()
