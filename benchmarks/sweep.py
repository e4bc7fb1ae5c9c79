"""What a sweep costs beside its measurements: python -m benchmarks.sweep.

The eight reference configurations on the demo's NER model and the whole validation split, from a
home where only the base model is kept, with next to no timing plan; then the same nine models (FP32
and the eight) evaluated one after the other, each loaded, run and scored by itself. Takes about
five minutes; leave the machine alone meanwhile.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from pathlib import Path
from unittest import mock

import yaml

from benchmarks.tree import measure
from hubkit.machine import machine_info
from hubkit.paths import model_cards_dir
from hubkit.pipeline import running
from hubkit.records import Variant
from hubkit.runner import Runner
from hubkit.stages.evaluate import EvaluateInput, evaluate
from hubkit.stages.predict import PredictInput, predict
from hubkit.sweep_records import SweepReport
from tests.demo_home import environment, hub_of, warm_home

NAME = "distilbert-conll03"


def recipe_without_timing(folder: Path) -> Path:
    """The shipped recipe with the reference's eight configurations and one point to time."""
    recipe = yaml.safe_load((model_cards_dir() / NAME / "recipe.yaml").read_text(encoding="utf-8"))
    plan = {"time_benchmark_args": {"duration": 0.05}, "batch_sizes": 1, "input_lengths": 32}
    recipe["sweep"] |= plan
    recipe["demo"]["sweep"] = plan
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump(recipe, sort_keys=False), encoding="utf-8")
    return path


def one_after_the_other(report: SweepReport) -> list[dict[str, object]]:
    """Seconds of loading, running and scoring each model by itself, nothing looked up."""
    fp32 = next(v for v in report.baselines if v.name == "onnx-fp32")
    found = []
    with running() as run:
        run.again = frozenset({"predict", "evaluate"})
        for variant in (fp32, *(row.variant for row in report.rows if row.variant)):
            started = time.perf_counter()
            score_alone(run, report, variant)
            found.append({"variant": variant.name, "s": round(time.perf_counter() - started, 2)})
    return found


def score_alone(run: Runner, report: SweepReport, variant: Variant) -> None:
    """Predict and score one model, in a process that the first one starts."""
    given = PredictInput(
        variant=variant,
        encoded=report.encoded,
        batch_size=report.evaluation.batch_size,
        cpu=machine_info().flags,
    )
    made = run.run(predict, given, lane="onnx")
    wanted = EvaluateInput(
        predictions=(made,),
        encoded=report.encoded,
        dataset=report.dataset,
        task=report.task,
        labels=report.base.labels,
        metrics=report.evaluation.metrics,
        gate_metric=report.evaluation.metrics[0],
    )
    run.run(evaluate, wanted, lane="onnx")


def main() -> None:
    """Print as JSON; the goal is a ratio of at most 2."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        home = warm_home(root / "home", NAME)
        command = [sys.executable, "-m", "hubkit", "sweep", str(recipe_without_timing(root))]
        command += ["--demo", "--no-guards", "-o", str(root / "report"), "--format", "json"]
        with hub_of(home):
            done = measure(command, environment(home))
        if done.returncode:
            raise SystemExit(done.stderr or done.stdout)
        said = json.loads(done.stdout)
        report = SweepReport.model_validate(said["results"])
        with mock.patch.dict(os.environ, environment(home)):
            alone = one_after_the_other(report)
    timing = sum(one["seconds"] or 0 for one in said["stages"] if one["stage"] == "benchmark")
    total = sum(float(str(one["s"])) for one in alone)
    result = {
        "machine": machine_info().cpu,
        "configurations": len(report.rows),
        "rows": report.encoded.rows,
        "sweep_s": round(done.seconds - timing, 1),
        "timing_s": round(timing, 1),
        "peak_mb": round(done.peak_mb),
        "one_after_the_other_s": round(total, 1),
        "ratio": round((done.seconds - timing) / total, 2),
        "each": alone,
        "stages": said["stages"],
    }
    sys.stdout.write(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
