"""`hubkit tune` on a real, small model: what it writes, what it keeps, what a kill costs."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from hubkit.tune_records import TuneReport
from tests.tuning.conftest import Place
from tests.tuning.test_inc_config import TALK

FIRST = {"approach": "dynamic", "exit_policy": {"timeout": 0}}
LOOSE = {**FIRST, "accuracy_criterion": {"relative": 0.5}}
NEVER = {
    "approach": "dynamic",
    "accuracy_criterion": {"absolute": 0},
    "exit_policy": {"max_trials": 2},
}


def report_in(folder: Path) -> TuneReport:
    return TuneReport.model_validate_json((folder / "results.json").read_bytes())


@pytest.mark.conformance
def test_the_first_that_meets_it_is_written_and_kept(place: Place, tmp_path: Path) -> None:
    place.write(tune=LOOSE)
    folder = tmp_path / "tuned"
    words = ("tune", str(place.recipe), "-o", str(folder))
    code, out, err = place.hubkit(*words)
    assert code == 0, err
    assert "meets the criterion, and is taken" in out
    assert all(len(line) <= 80 for line in out.splitlines() if str(folder) not in line)
    report = report_in(folder)
    taken = report.taken
    assert report.outcome == "met"
    assert taken is not None
    assert taken.variant is not None
    assert report.search_rows == report.confirm_rows == 60
    assert [confirmation.trial for confirmation in report.confirmations] == [taken.name]
    model = folder / "model" / "model.onnx"
    assert model.stat().st_size == taken.variant.size_bytes < report.baseline.size_bytes
    assert taken.name in (folder / "README.md").read_text(encoding="utf-8")

    code, out, err = place.hubkit(*words, "--format", "json")
    assert code == 0, err
    stages = json.loads(out)["stages"]
    ran = {s["stage"] for s in stages if s["seconds"] is not None}
    assert ran <= {"resolve"}
    assert report_in(folder) == report


@pytest.mark.conformance
def test_what_cannot_be_met_ends_with_3_and_the_best_so_far(place: Place, tmp_path: Path) -> None:
    place.write(tune=NEVER)
    folder = tmp_path / "tuned"
    code, out, err = place.hubkit("tune", str(place.recipe), "-o", str(folder))
    assert code == 3, out + err
    assert "No trial meets the criterion. The best so far is" in err
    report = report_in(folder)
    assert (report.outcome, len(report.trials)) == ("not-met", 2)
    assert report.stopped == "2 trials were made"
    assert report.best is not None
    assert report.best in out
    assert (folder / "model" / "model.onnx").is_file()
    assert not report.confirmations


def test_a_folder_of_others_is_left_alone(bare: Place, tmp_path: Path) -> None:
    bare.write(tune=LOOSE)
    (tmp_path / "mine.txt").write_text("mine", encoding="utf-8")
    code, _, err = bare.hubkit("tune", str(bare.recipe), "-o", str(tmp_path))
    assert code == 2
    assert "holds files that are not of a tuning run" in err


def test_a_configuration_is_refused_before_anything_runs(bare: Place, tmp_path: Path) -> None:
    conf = tmp_path / "conf.yaml"
    conf.write_text(TALK.replace("cpu", "gpu"), encoding="utf-8")
    code, _, err = bare.hubkit("tune", str(bare.recipe), "--from", str(conf))
    assert code == 2
    assert "conf.yaml:5: device: gpu has no meaning here" in err
    code, _, err = bare.hubkit("tune")
    assert code == 2


@pytest.mark.conformance
def test_the_talks_yaml_runs_as_it_is(place: Place, tmp_path: Path) -> None:
    place.write()
    conf = tmp_path / "conf.yaml"
    conf.write_text(TALK, encoding="utf-8")
    folder = tmp_path / "tuned"
    code, out, err = place.hubkit("tune", str(place.recipe), "--from", str(conf), "-o", str(folder))
    report = report_in(folder)
    assert code == (0 if report.outcome == "met" else 3), out + err
    assert report.tune.framework == "pytorch"
    assert report.tune.accuracy_criterion.relative == 0.01
    assert {trial.spec.kind for trial in report.trials} == {"inc-dynamic"}
    assert (folder / "model" / "pytorch_model.bin").is_file()


@pytest.mark.conformance
def test_killed_ten_times_it_ends_like_an_undisturbed_run(place: Place, tmp_path: Path) -> None:
    place.write(tune={"accuracy_criterion": {"relative": 0.02}})
    killed = Place(place.root, tmp_path / "killed")
    words = ("tune", str(place.recipe), "-o", str(tmp_path / "out"))
    chance = random.Random(7)
    deaths = 0
    for _ in range(40):
        if deaths == 10:
            break
        process = killed.start(*words)
        try:
            process.communicate(timeout=chance.uniform(4, 25))
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            deaths += 1
        else:  # the whole search is there: begin anew
            shutil.rmtree(killed.home)
    assert deaths == 10
    code, _, err = killed.hubkit(*words)
    assert code in (0, 3), err
    # The same measured times, and nothing else that was kept.
    undisturbed = Place(place.root, tmp_path / "undisturbed")
    records = undisturbed.home / "store" / "records"
    records.mkdir(parents=True)
    times = 0
    for path in (killed.home / "store" / "records").rglob("*.json"):
        if {"machine", "timings"} <= json.loads(path.read_bytes()).keys():
            target = records / path.relative_to(killed.home / "store" / "records")
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, target)
            times += 1
    assert times
    other = tmp_path / "other"
    again = undisturbed.hubkit("tune", str(place.recipe), "-o", str(other))
    assert again[0] == code, again[2]
    for name in ("results.json", "README.md", "model/model.onnx"):
        assert (other / name).read_bytes() == (tmp_path / "out" / name).read_bytes(), name
