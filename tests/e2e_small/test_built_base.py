"""A base that is pruned and fine-tuned, by the command line: swept, killed, published, verified."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from hubkit.records import Lock
from hubkit.sweep_records import SweepReport
from tests.e2e_small.worlds import World
from tests.tiny import make_tiny_model

pytestmark = pytest.mark.conformance

BASE = {
    "source": "local",
    "path": "encoder",
    "prune": {"layers": "every_second"},
    "finetune": {"epochs": 2, "batch_size": 8, "learning_rate": 1e-3, "max_length": 32},
}
SWEEP = {
    "quantization_approach": ["dynamic", "static"],
    "operators_to_quantize": ["MatMul", "Gemm"],
    "calibration": {"num_calibration_samples": 16},
    "time_benchmark_args": {"duration": 0.05, "warmup_runs": 1},
    "batch_sizes": [1, 2],
    "input_lengths": [8],
}


def _declare(world: World, **finetune: object) -> None:
    make_tiny_model(world.folder / "encoder", model_type="bert", task="feature-extraction")
    base = {**BASE, "finetune": {**BASE["finetune"], **finetune}}  # type: ignore[dict-item]
    world.write(base=base, sweep=SWEEP)


def test_full_and_pruned_are_swept_in_one_table(fresh: World, tmp_path: Path) -> None:
    _declare(fresh)
    folder = tmp_path / "report"
    arguments = ("sweep", str(fresh.folder), "-o", str(folder), "--format", "json")
    done = fresh.hubkit(*arguments)
    assert done.code == 0, done.err
    report = SweepReport.model_validate(done.json()["results"])
    full = report.full
    assert full is not None
    assert full.base.num_parameters > report.base.num_parameters
    names = {v.name for v in report.baselines} | {row.name for row in report.rows}
    assert names == {"pytorch-fp32", "onnx-fp32", *(row.name for row in report.rows)}
    both = names | {f"full-{name}" for name in names}
    assert {one.variant for one in full.scores} == both
    against = {one.paired.baseline for one in full.scores if one.paired}
    assert against == {"full-pytorch-fp32"}
    assert report.timings is not None
    assert {t.variant for t in report.timings.timings} == both | {"onnx-fp32-again"}
    for name in ("README.md", "report.html"):
        assert "Full and pruned" in (folder / name).read_text()
    again = fresh.hubkit(*arguments)
    assert again.ran() <= {"resolve", "sweep-report"}


def test_a_killed_training_goes_on_to_the_same_publication(fresh: World) -> None:
    _declare(fresh, epochs=400)
    process = fresh.start(*fresh.publishing())
    checkpoints = fresh.store / "checkpoints"
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        if checkpoints.is_dir() and any(p.is_dir() for p in checkpoints.iterdir()):
            break
        time.sleep(0.05)
    time.sleep(1.0)
    assert process.poll() is None, "it ended before it could be killed"
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    done = fresh.publish()
    assert done.code == 0, done.err
    assert "finetune" in done.ran()
    assert not list(checkpoints.iterdir())
    lock = Lock.model_validate_json(fresh.file("lock.json"))
    assert lock.built is not None
    assert lock.built.pruned is not None
    assert lock.built.pruned.layers_kept == (0,)
    assert lock.built.finetuned is not None
    assert lock.built.finetuned.split == "train"
    card = fresh.file("README.md").decode()
    assert "hubkit took layers out of the base model" in card
    assert "hubkit fine-tuned it on 60 rows" in card
    verified = fresh.hubkit("verify", fresh.repo)
    assert verified.code == 0, verified.err
    once_more = fresh.publish()
    assert once_more.code == 0, once_more.err
    assert not once_more.ran() & {"prune", "fetch-training", "finetune", "export", "quantize"}
    assert len(fresh.titles()) == 2  # that of the publication, and the repository's first


def test_two_processes_at_once(fresh: World, tmp_path: Path) -> None:
    _declare(fresh, epochs=50)
    arguments = ("sweep", str(fresh.folder), "--format", "json")
    started = [fresh.start(*arguments, "-o", str(tmp_path / name)) for name in ("one", "other")]
    done = [fresh.end(process) for process in started]
    assert [one.code for one in done] == [0, 0], [one.err for one in done]
    one, other = (SweepReport.model_validate(d.json()["results"]) for d in done)
    assert one == other
    assert not list((fresh.store / "checkpoints").iterdir())
