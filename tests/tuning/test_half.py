"""Half precision in a search: one of the first models where the target computes in it."""

from __future__ import annotations

import pytest

from hubkit.recipe import OnnxFloat16, Recipe
from hubkit.recipe_tune import TargetName, Tune
from hubkit.tune_candidates import candidates
from hubkit.tune_ranking import Problem
from hubkit.tuning import _candidates, _notes
from tests.e2e_small.worlds import tiny_recipe
from tests.tuning.synthetic import World, key_of, problem, search

RECIPE = Recipe.model_validate(tiny_recipe())


def _half(tune: Tune) -> list[str]:
    return [one.name for one in _candidates(RECIPE, tune) if isinstance(one, OnnxFloat16)]


def test_it_is_tried_on_arm_and_on_no_other() -> None:
    assert len(_half(Tune(target="arm64"))) == 1
    assert _half(Tune(target="arm64"))[0].startswith("float16-")
    targets: tuple[TargetName, ...] = ("avx2", "avx512_vnni", "amx")
    for target in targets:
        assert not _half(Tune(target=target))


@pytest.mark.parametrize("asked", [{"approach": "dynamic"}, {"framework": "pytorch"}])
def test_it_is_not_tried_where_something_else_is_asked_for(asked: dict[str, str]) -> None:
    tune = Tune.model_validate({"target": "arm64", **asked})
    assert not _half(tune)
    assert not [note for note in _notes(RECIPE, tune) if "Half" in note]


def test_where_it_is_skipped_one_note_says_why() -> None:
    (note,) = [note for note in _notes(RECIPE, Tune(target="amx")) if "Half precision" in note]
    assert note.startswith("Half precision was not tried: onnxruntime's CPU kernels compute")
    assert not [note for note in _notes(RECIPE, Tune(target="arm64")) if "Half" in note]


def test_the_others_are_what_they_were() -> None:
    with_it, without = (
        candidates(Tune(), reduce_range=False, static=True, seed=13, half=half)
        for half in (True, False)
    )
    assert with_it[:-1] == without


def test_it_is_judged_like_the_others() -> None:
    wanted = problem(objective="most-faithful")
    specs = candidates(wanted.tune, reduce_range=False, static=True, seed=13, half=True)
    kinds = {key_of(one) for one in specs}
    responses = World(dict.fromkeys(kinds, (0.0,)), dict.fromkeys(kinds, 0.5))
    history, _ = search(responses, Problem(wanted.tune, wanted.fp32_bytes, specs))
    (trial,) = [one for one in history.trials if isinstance(one.spec, OnnxFloat16)]
    assert trial.phase == "whole-model"
    assert trial.verdict is not None
    assert trial.relative_ms
