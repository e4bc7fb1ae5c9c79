"""The propose stage: what Neural Compressor's own loop proposes, from records."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("neural_compressor", reason="needs the inc extra")

from hubkit.recipe_tune import AccuracyCriterion, ExitPolicy, Tune
from hubkit.stage import Context
from hubkit.stages.propose import Proposed, ProposeInput, propose
from tests.stages.evaluation_data import dataset
from tests.stages.test_quantize import World

LOOSE = AccuracyCriterion(relative=0.99)


@pytest.fixture(scope="module", name="world")
def _world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(tmp_path_factory.mktemp("world"))


def run(world: World, *, calibrates: bool = True, **tune: object) -> Proposed:
    given = ProposeInput(
        fp32=world.torch,
        tune=Tune.model_validate({"framework": "pytorch", **tune}),
        metric="accuracy",
        task="text-classification",
        labels=world.base.labels,
        batch_size=4,
        encoded=world.encoded,
        dataset=dataset(world.store, eval={"text": ["a"], "label": [0]}),
        calibration=world.encoded if calibrates else None,
        seed=7,
    )
    with world.store.scratch() as scratch:
        found = propose(given, Context(world.store, scratch))
        assert list(scratch.glob("inc-*")) == []
    return found


def test_what_it_proposes_has_its_ranges_and_the_searchs_rows(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its static default takes ranges by what it calls kl: not by our own default."""
    monkeypatch.chdir(tmp_path)
    found = run(world, accuracy_criterion=LOOSE, num_calibration_samples=7)
    assert list(tmp_path.iterdir()) == []
    dynamic, static = found.specs
    assert (dynamic.kind, dynamic.node_exclusion) == ("inc-dynamic", ())
    assert (static.kind, static.node_exclusion) == ("inc-static", ())
    assert static.kind == "inc-static"
    plan = static.calibration
    assert (plan.method, plan.num_samples, plan.seed) == ("entropy", 7, 7)
    assert len(found.tried) == 4  # FP32 and the default, for each approach
    assert found.tried[0] == found.tried[2]


@pytest.mark.parametrize(("approach", "kinds"), [("dynamic", ["inc-dynamic"]), ("static", [])])
def test_static_needs_rows(world: World, approach: str, kinds: list[str]) -> None:
    found = run(world, approach=approach, accuracy_criterion=LOOSE, calibrates=False)
    assert [spec.kind for spec in found.specs] == kinds


def test_where_it_finds_nothing_it_proposes_nothing(world: World) -> None:
    found = run(
        world,
        approach="dynamic",
        accuracy_criterion=AccuracyCriterion(absolute=0),
        exit_policy=ExitPolicy(timeout=1e-6),
    )
    assert found == Proposed(specs=(), tried=())
