"""`hubkit tune` with `framework: pytorch`: Neural Compressor's models, and its own loop's."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("neural_compressor", reason="needs the inc extra")

from tests.tuning.conftest import Place
from tests.tuning.test_tune import report_in

pytestmark = pytest.mark.conformance


def test_static_and_what_its_loop_proposes(place: Place, tmp_path: Path) -> None:
    """Its default met the criterion in its loop: that was tried before."""
    wanted = {"framework": "pytorch", "approach": "static"}
    place.write(tune={**wanted, "accuracy_criterion": {"relative": 0.5}})
    before = sorted(place.root.iterdir())
    folder = tmp_path / "tuned"
    code, out, err = place.hubkit("tune", str(place.recipe), "-o", str(folder))
    report = report_in(folder)
    assert code == (0 if report.outcome == "met" else 3), out + err
    assert "Traceback" not in err
    assert {trial.spec.kind for trial in report.trials} == {"inc-static"}
    assert {trial.phase for trial in report.trials} == {"whole-model"}
    assert len(report.trials) == 2
    assert [t.failed for t in report.trials if t.failed] == []
    assert (folder / "model" / "pytorch_model.bin").is_file()
    assert sorted(place.root.iterdir()) == before


def test_a_loop_that_finds_nothing_ends_nothing(place: Place, tmp_path: Path) -> None:
    place.write(
        tune={
            "framework": "pytorch",
            "approach": "dynamic",
            "accuracy_criterion": {"absolute": 0},
            "exit_policy": {"timeout": 60},
        }
    )
    folder = tmp_path / "tuned"
    code, out, err = place.hubkit("tune", str(place.recipe), "-o", str(folder))
    report = report_in(folder)
    assert code == (0 if report.outcome == "met" else 3), out + err
    assert "Traceback" not in err
    assert report.trials
    assert not list(place.root.rglob("nc_workspace"))
