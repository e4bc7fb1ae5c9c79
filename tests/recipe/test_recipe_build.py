"""What a recipe may do to its base, and how faults in it are told."""

from __future__ import annotations

import pytest

from hubkit.recipe import Finetune, HubModel, Project, Prune
from hubkit.recipe_build import kept_layers
from hubkit.recipe_file import digest_of_recipe
from tests.recipe.conftest import Faults, Load

BASE = "base: {source: hub, id: me/model}"


def _with(what: str) -> tuple[str, str]:
    return BASE, f"base:\n  source: hub\n  id: me/model\n  {what}"


def test_what_is_done_to_a_base(load: Load) -> None:
    base = load(_with("prune: {layers: [0, 2, 5]}\n  finetune: {learning_rate: 3e-5}")).recipe.base
    assert base.prune == Prune(layers=(0, 2, 5))
    assert base.finetune == Finetune(learning_rate=3e-05)


def test_a_base_that_nothing_is_done_to_keeps_its_digest(load: Load) -> None:
    assert HubModel(id="me/model").model_dump() == {
        "source": "hub",
        "id": "me/model",
        "revision": "main",
    }
    plain = load().recipe
    assert digest_of_recipe(plain) != digest_of_recipe(load(_with("prune: {layers: [0]}")).recipe)


@pytest.mark.parametrize(
    ("layers", "count", "kept"),
    [
        ("every_second", 12, (0, 2, 4, 6, 8, 10)),
        ("every_second", 5, (0, 2, 4)),
        ("every_second", 1, (0,)),
        ((1, 3), 6, (1, 3)),
    ],
)
def test_every_second(layers: tuple[int, ...], count: int, kept: tuple[int, ...]) -> None:
    assert kept_layers(layers, count) == kept


@pytest.mark.parametrize(
    ("what", "said"),
    [
        (
            "prune: {layers: every_secnd}",
            "base.prune.layers: expected every_second or a list of layer numbers, found"
            ' "every_secnd", did you mean every_second?',
        ),
        ("prune: {layers: []}", "base.prune.layers: must not be empty: a model without"),
        ("prune: {layers: [0, 0]}", "base.prune.layers: layer 0 is listed twice"),
        ("prune: {layers: [2, 0]}", "base.prune.layers: layers stay in their order"),
        ("prune: {layers: [-1]}", "base.prune.layers: -1 is no layer"),
        ("prune: {layers: [0.5]}", "base.prune.layers: 0.5 is no layer"),
        ("prune: {layers: 3}", "base.prune.layers: expected every_second or a list"),
        ("prune: {}", "base.prune.layers: missing key"),
        ("pruen: {layers: [0]}", "base.pruen: unknown key, did you mean prune?"),
        ("finetune: {epoch: 3}", "base.finetune.epoch: unknown key, did you mean epochs?"),
        ("finetune: {epochs: 0}", "base.finetune.epochs: expected at least 1, found 0"),
        ("finetune: {learning_rate: fast}", "base.finetune.learning_rate: expected a number"),
        ("finetune: {learning_rate: 2}", "base.finetune.learning_rate: expected less than 1"),
        ("finetune: {seed: -1}", "base.finetune.seed: expected at least 0, found -1"),
        ("finetune: {split: validation}", "base.finetune.split: fine-tuning on validation and"),
        (
            'finetune: {split: "validation[:9]"}',
            "base.finetune.split: fine-tuning on validation[:9]",
        ),
        (
            "finetune: {aware_training: true}",
            "base.finetune.aware_training: quantization-aware training is not to be had:"
            " optimum-intel's INCTrainer trains to the end and then saves an FP32 model without a"
            " word; leave it out, fine-tune as usual and let `hubkit tune` find",
        ),
    ],
)
def test_a_fault_in_it(faults: Faults, what: str, said: str) -> None:
    found = faults(_with(what))[0]
    assert found.startswith(f"r.yaml:5: {said}"), found


def test_the_default_split_may_be_the_evaluation_split_of_a_recipe(faults: Faults) -> None:
    (found,) = faults(
        _with("finetune: {}"),
        (
            "  - kind: onnx-static\n    per_channel: true\n  - kind: inc-static\n",
            "  - kind: inc-dynamic\n",
        ),
        ("ref_keys: [label]", "ref_keys: [label]\n  eval_split: train"),
    )
    assert "dataset.eval_split: fine-tuning on train and evaluating on train" in found


_EMBEDDINGS = (
    ("task: text-classification", "task: feature-extraction"),
    ("  ref_keys: [label]\n", ""),
    ("labels:\n  0: NEGATIVE\n  1: POSITIVE\n", ""),
)


def test_a_projection(load: Load) -> None:
    loaded = load(_with("project: {dimensions: 96}"), *_EMBEDDINGS)
    assert loaded.recipe.base.project == Project(dimensions=96, pooling="mean", split="train")
    assert "project" in loaded.recipe.base.model_dump()


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("project: {}", "base.project.dimensions: missing key"),
        ("project: {dimensions: 0}", "base.project.dimensions: expected at least 1, found 0"),
        (
            "project: {dimensions: 8, pooling: max}",
            "base.project.pooling: expected one of mean, cls",
        ),
        ("project: {dimension: 8}", "base.project.dimension: unknown key, did you mean dimensions"),
        (
            "project: {dimensions: 8, samples: 8}",
            "base.project.samples: 8 rows span at most 7 dimensions, and 8 are wanted",
        ),
        (
            "project: {dimensions: 8, split: validation}",
            "base.project.split: fitting a projection to validation and evaluating on validation",
        ),
    ],
)
def test_a_fault_in_a_projection(faults: Faults, what: str, said: str) -> None:
    found = faults(_with(what), *_EMBEDDINGS)
    assert [line for line in found if line.startswith(f"r.yaml:5: {said}")], found


def test_only_embeddings_are_projected(faults: Faults) -> None:
    (found,) = faults(_with("project: {dimensions: 8}"))
    said = "feature-extraction gives and text-classification does not: leave it out"
    assert found.startswith("r.yaml:5: base.project: a projection is of embeddings")
    assert found.endswith(said)


def test_only_tasks_with_labels_are_fine_tuned(faults: Faults) -> None:
    found = faults(
        _with("finetune: {}"),
        ("task: text-classification", "task: feature-extraction"),
        ("  ref_keys: [label]\n", ""),
        ("labels:\n  0: NEGATIVE\n  1: POSITIVE\n", ""),
    )
    said = "feature-extraction cannot be fine-tuned here, only text-classification and"
    assert [line for line in found if said in line]
