"""`hubkit publish --tune`: what is searched for is what is published, and nothing else."""

from __future__ import annotations

import json

import pytest

from hubkit.recipe_file import load_recipe
from hubkit.tune_records import TuneReport
from tests.e2e_small.worlds import World, labelled, sentences, write_csv
from tests.tuning.conftest import make_wide_model

pytestmark = pytest.mark.conformance

FIRST = {"approach": "dynamic", "exit_policy": {"timeout": 0}}
BENCHMARK = {
    **{"batch_sizes": [4], "input_lengths": [64], "warmup": 1, "min_seconds": 0.3},
    **{"min_iterations": 9, "rounds": 3, "threads": 1},
}


def widened(world: World, **tune: object) -> World:
    """The world with a model on which INT8 is faster."""
    model = make_wide_model(world.folder / "model")
    for split, seed in (("train", 1), ("validation", 2)):
        rows = labelled(model, sentences(300, seed), 60)
        write_csv(world.folder / "data" / f"{split}.csv", rows)
    world.write(tune=tune, benchmark=BENCHMARK)
    return world


def test_what_is_found_is_published(fresh: World) -> None:
    world = widened(fresh, **FIRST, accuracy_criterion={"relative": 0.5})
    done = world.publish("--tune")
    assert done.code == 0, done.err
    tuning = TuneReport.model_validate_json(world.file("tune.json"))
    results = json.loads(world.file("results.json"))
    assert tuning.outcome == "met"
    assert results["selection"]["selected"] == results["tuned"]["taken"] == tuning.best
    assert "tune.json" in world.file("README.md").decode()
    folder = world.root / "again"
    folder.mkdir()
    (folder / "recipe.json").write_bytes(world.file("recipe.json"))
    for name in ("model", "data"):
        (folder / name).symlink_to(world.folder / name)
    assert load_recipe(str(folder / "recipe.json")).recipe.variants[0].name == tuning.best
    before = world.titles()
    dry = world.publish("--tune", "--dry-run")
    assert dry.code == 0, dry.err
    assert dry.json()["would_run"] == []
    assert world.publish("--tune").json()["made_commit"] is False
    assert world.titles() == before


def test_a_dry_run_names_what_a_search_would_run_and_runs_nothing(fresh: World) -> None:
    fresh.write(tune=FIRST)
    done = fresh.publish("--tune", "--dry-run")
    assert done.code == 0, done.out + done.err
    would = done.json()["would_run"]
    assert isinstance(would, list)
    assert would[0].startswith("fetch-model")
    assert {"quantize", "predict", "evaluate", "benchmark", "push", "verify"} <= set(would)
    assert fresh.titles() == []


def test_what_cannot_be_met_pushes_nothing(fresh: World) -> None:
    never = {"approach": "dynamic", "exit_policy": {"max_trials": 2}}
    world = widened(fresh, **never, accuracy_criterion={"absolute": 0})
    done = world.publish("--tune")
    assert done.code == 3, done.out + done.err
    said = done.json()["error"]
    assert isinstance(said, str)
    assert "No trial meets the criterion. The best so far is dynamic-" in said
    assert "Nothing was pushed." in said
    assert world.titles() == []
