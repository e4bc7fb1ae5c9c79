"""What a search is told as: in the terminal, at 80 columns, and in README.md."""

from __future__ import annotations

from typing import cast

import pytest

from hubkit.cli.show_tune import table_of
from hubkit.errors import RecipeError
from hubkit.recipe import Recipe
from hubkit.recipe_file import load_recipe
from hubkit.records import Variant
from hubkit.runner import Runner
from hubkit.sweeps.tune_report import summary, tune_markdown
from hubkit.tune_records import TuneReport
from hubkit.tuned import tuned_recipe
from tests.cards.examples import make_lock, make_report
from tests.e2e_small.worlds import tiny_recipe
from tests.tuning.conftest import Place
from tests.tuning.synthetic import (
    FP32_BYTES,
    NO_ARTIFACT,
    ROWS,
    World,
    baseline,
    problem,
)
from tests.tuning.test_flow import Stages
from tests.tuning.test_strategy import BAD, all_dynamic

RECIPE = Recipe.model_validate(tiny_recipe())


def told(
    patch: pytest.MonkeyPatch, world: World, *, failing: int = 0, relative: float = 0.01
) -> TuneReport:
    """The report of a whole search."""
    wanted = problem(relative=relative)
    found = Stages(wanted, world, failing).run(patch)
    example = make_report()
    assert example.timings is not None
    fp32 = Variant(
        name="onnx-fp32",
        format="onnx",
        precision="fp32",
        artifact=NO_ARTIFACT,
        model_file="model.onnx",
        size_bytes=FP32_BYTES,
    )
    return TuneReport(
        recipe="a_b",
        task="text-classification",
        lock=make_lock(),
        dataset_spec=RECIPE.dataset,
        evaluation=RECIPE.evaluation,
        metric="accuracy",
        tune=wanted.tune,
        base=example.base,
        dataset=example.dataset,
        search_rows=ROWS,
        confirm_rows=ROWS,
        baseline=fp32,
        baseline_search=baseline(),
        baseline_ms=found.baseline_ms,
        machine=example.timings.machine,
        trials=found.history.trials,
        sensitivities=found.history.sensitivities,
        confirmations=found.confirmations,
        best=found.best,
        outcome="met" if found.met else "not-met",
        stopped=found.stopped,
    )


def test_every_trial_is_in_both_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    report = told(monkeypatch, all_dynamic(BAD))
    text, table = tune_markdown(report), table_of(report)
    assert max(map(len, table.splitlines())) <= 80
    for trial in report.trials:
        assert f"`{trial.name}`" in text
        assert trial.name in table
    assert table.count("taken") == text.count("(taken)") == 1
    assert report.best is not None
    assert f"{report.best} meets the criterion, and is taken." in summary(report)
    assert "# Tuning of a\\_b\n" in text
    groups = report.trial(report.best).gave_back
    assert groups
    assert all(f"`{key}`" in text for key in groups)


def test_what_did_not_hold_on_the_other_rows_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    report = told(monkeypatch, all_dynamic(BAD), failing=1)
    refuted = report.confirmations[0].trial
    line = next(one for one in table_of(report).splitlines() if refuted in one)
    assert line.endswith("refuted")
    assert "not on the other rows, so not taken" in tune_markdown(report)
    assert report.outcome == "met"


def test_the_best_so_far_is_shown_where_nothing_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    report = told(monkeypatch, all_dynamic((0.003,) * 6), relative=0.0001)
    said = " ".join(summary(report))
    assert f"No trial meets the criterion. The best so far is {report.best}" in said
    assert "it loses more than is allowed" in said
    assert table_of(report).count("best") == 1
    assert "(taken)" not in tune_markdown(report)
    three = told(monkeypatch, all_dynamic(BAD), failing=9)
    assert "it held on the rows that were searched on, and not on the others" in summary(three)[0]


def test_a_framework_that_is_not_published_is_refused_before_anything_runs(bare: Place) -> None:
    bare.write(tune={"framework": "pytorch"})
    nobody = cast("Runner", None)
    with pytest.raises(RecipeError, match=r"publication\.formats has no pytorch \(onnx\)"):
        tuned_recipe(nobody, load_recipe(str(bare.recipe)))


def test_a_criterion_looser_than_the_gate_is_refused_before_anything_runs(bare: Place) -> None:
    bare.write(tune={"accuracy_criterion": {"relative": 0.5}}, gates={"max_relative_loss": 0.1})
    nobody = cast("Runner", None)
    with pytest.raises(RecipeError, match=r"allows more than gates\.max_relative_loss \(0\.1\)"):
        tuned_recipe(nobody, load_recipe(str(bare.recipe)))
