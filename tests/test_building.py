"""From a recipe to the base that is quantized: in the order and by the rules of docs/recipe.md."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from transformers import AutoTokenizer

from hubkit.backends.projection import has_projection
from hubkit.backends.torch import runtime
from hubkit.building import build_full, labels_of
from hubkit.errors import DataError, ModelError, RecipeError
from hubkit.executors.base import Call
from hubkit.executors.worker import execute
from hubkit.pipeline import Silent
from hubkit.preparing import Material, prepare
from hubkit.recipe_file import load_recipe
from hubkit.runner import Runner, WouldRun
from hubkit.stage import Progress
from hubkit.store import Store
from tests.e2e_small.worlds import sentences, tiny_recipe, write_csv
from tests.tiny import make_tiny_model

PRUNE = {"layers": [1]}
FINETUNE = {"epochs": 1, "max_length": 32, "samples": 40}


class Here:
    """Runs calls in this process, whose libraries are loaded."""

    def submit(self, call: Call, *, lane: str, progress: Progress) -> Future[float]:
        done: Future[float] = Future()
        try:
            execute(call, progress)
            done.set_result(0.0)
        except Exception as error:
            done.set_exception(error)
        return done

    def close(self) -> None:
        """Nothing to end."""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Data, a model with a head for its labels, and one without a head."""
    root = tmp_path_factory.mktemp("home")
    make_tiny_model(root / "model")
    make_tiny_model(root / "encoder", model_type="bert", task="feature-extraction")
    for split, seed in (("train", 1), ("validation", 2)):
        rows = [(text, int("good" in text)) for text in sentences(60, seed)]
        write_csv(root / "data" / f"{split}.csv", rows)
    torch.set_num_threads(1)
    return root


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runner]:
    made = Runner(Store(tmp_path_factory.mktemp("store")), Here(), Silent())
    yield made
    made.close()


def _prepared(run: Runner, home: Path, path: str, **base: object) -> Material:
    recipe = tiny_recipe(base={"source": "local", "path": path, **base})
    (home / "recipe.yaml").write_text(yaml.safe_dump(recipe, sort_keys=False), encoding="utf-8")
    return prepare(run, load_recipe(str(home)))


def test_a_base_is_used_as_it_is(run: Runner, home: Path) -> None:
    material = _prepared(run, home, "model")
    assert material.lock.built is None
    assert material.base == material.shop.fetched
    assert "accelerate" not in material.lock.tools


def test_an_encoder_is_pruned_then_fine_tuned(run: Runner, home: Path) -> None:
    material = _prepared(run, home, "encoder", prune=PRUNE, finetune=FINETUNE)
    built = material.lock.built
    assert built is not None
    assert built.pruned is not None
    assert (built.pruned.layers_kept, built.pruned.layers_before) == ((1,), 2)
    assert built.finetuned is not None
    assert (built.finetuned.rows, built.finetuned.head) == (40, "new")
    assert material.base.architecture == "BertForSequenceClassification"
    assert material.base.labels == ("NEGATIVE", "POSITIVE")
    assert "accelerate" in material.lock.tools
    # Compared with: the same training, with both layers.
    full = build_full(run, material.shop)
    assert full.done is not None
    assert full.done.pruned is None
    assert full.done.finetuned is not None
    assert full.done.finetuned.model_copy(update={"loss": built.finetuned.loss}) == built.finetuned
    assert full.base.num_parameters > material.base.num_parameters
    # The same again is a look-up.
    ran = len(run.ran)
    assert _prepared(run, home, "encoder", prune=PRUNE, finetune=FINETUNE) == material
    again = [one.stage for one in run.ran[ran:] if one.seconds is not None]
    assert set(again) <= {"resolve"}


def test_pruning_alone_keeps_the_head(run: Runner, home: Path) -> None:
    material = _prepared(run, home, "model", prune=PRUNE)
    assert material.lock.built is not None
    assert material.lock.built.finetuned is None
    assert material.base.architecture == "DistilBertForSequenceClassification"
    assert build_full(run, material.shop).base == material.shop.fetched


def test_a_model_that_was_fine_tuned_already_is_the_full_one_as_it_is(
    run: Runner, home: Path
) -> None:
    material = _prepared(run, home, "model", prune=PRUNE, finetune=FINETUNE)
    assert material.lock.built is not None
    assert material.lock.built.finetuned is not None
    assert material.lock.built.finetuned.head == "kept"
    full = build_full(run, material.shop)
    assert (full.base, full.done) == (material.shop.fetched, None)
    assert labels_of(material.shop) == material.shop.fetched.labels


def test_an_encoder_cannot_be_used_without_fine_tuning(run: Runner, home: Path) -> None:
    with pytest.raises(ModelError, match="feature-extraction"):
        _prepared(run, home, "encoder", prune=PRUNE)


def test_what_the_model_does_not_have_is_told_with_file_and_line(run: Runner, home: Path) -> None:
    with pytest.raises(RecipeError) as caught:
        _prepared(run, home, "encoder", prune={"layers": [0, 2]}, finetune=FINETUNE)
    assert "recipe.yaml:" in caught.value.message
    said = "base.prune.layers: there is no layer 2: the model has 2, 0 to 1"
    assert said in caught.value.message
    with pytest.raises(RecipeError, match=r"base\.prune\.layers: nothing is taken out: the model"):
        _prepared(run, home, "encoder", prune={"layers": [0, 1]}, finetune=FINETUNE)
    with pytest.raises(RecipeError, match=r"base\.finetune\.max_length: 99 tokens, and the model"):
        _prepared(run, home, "encoder", finetune={**FINETUNE, "max_length": 99})


EMBEDDINGS = {
    "task": "feature-extraction",
    "labels": {},
    "evaluation": {"metrics": ["cosine", "relative_l2"], "max_length": 32},
    "gates": {},
}


def test_an_encoder_is_given_a_projection(run: Runner, home: Path) -> None:
    plan = {"dimensions": 6, "samples": 30, "max_length": 32}
    material = _embedded(run, home, project=plan)
    built = material.lock.built
    assert built is not None
    done = built.projected
    assert done is not None
    assert (built.pruned, built.finetuned) == (None, None)
    assert (done.dimensions, done.width, done.rows, done.split) == (6, 32, 30, "train")
    assert 0.3 < done.explained_variance < 1
    fetched = material.shop.fetched
    assert material.base.num_parameters == fetched.num_parameters + 6 * 33
    assert material.base.weights_bytes > fetched.weights_bytes
    folder = run.store.path(material.base.artifact)
    assert has_projection(folder)
    weights = "model.safetensors"
    assert (folder / weights).read_bytes() == (home / "encoder" / weights).read_bytes()
    # The same again is a look-up.
    ran = len(run.ran)
    assert _embedded(run, home, project=plan) == material
    again = [one.stage for one in run.ran[ran:] if one.seconds is not None]
    assert set(again) <= {"resolve"}


@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_the_embeddings_are_coordinates_along_the_principal_components(
    run: Runner, home: Path, pooling: str
) -> None:
    """Of the rows that they are fitted to: around 0, uncorrelated, the first the widest."""
    material = _embedded(run, home, project={"dimensions": 6, "pooling": pooling})
    assert material.lock.built is not None
    done = material.lock.built.projected
    assert done is not None
    assert done.rows == 60 - done.overlapping
    folder = run.store.path(material.base.artifact)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    texts = (home / "data" / "train.csv").read_text().splitlines()[1:]
    seen = set((home / "data" / "validation.csv").read_text().splitlines())
    session = runtime.load(folder, "model.safetensors", threads=1)
    found = []
    for line in texts:
        if line not in seen:
            inputs = tokenizer(line.rpartition(",")[0], return_tensors="np")
            arrays = {name: inputs[name].astype(np.int64) for name in session.input_names}
            found.append(session.run(arrays)["sentence_embedding"][0])
    vectors = np.stack(found).astype(np.float64)
    assert vectors.shape == (done.rows, 6)
    covariance = np.cov(vectors.T)
    spread = np.sqrt(np.diag(covariance))
    assert np.abs(vectors.mean(axis=0)).max() < 1e-4 * spread[0]
    assert (covariance - np.diag(np.diag(covariance))) == pytest.approx(
        0, abs=1e-4 * spread[0] ** 2
    )
    assert (np.diff(spread) < 0).all()


def test_a_pruned_encoder_is_projected(run: Runner, home: Path) -> None:
    plan = {"dimensions": 4, "pooling": "cls"}
    material = _embedded(run, home, prune=PRUNE, project=plan)
    built = material.lock.built
    assert built is not None
    assert built.pruned is not None
    assert built.projected is not None
    assert built.projected.pooling == "cls"
    assert built.projected.max_length == 64  # that the model takes
    full = build_full(run, material.shop)
    assert full.done is not None
    assert full.done.projected is not None
    assert full.done.projected.rows == built.projected.rows
    assert full.base.num_parameters > material.base.num_parameters


def test_what_cannot_be_projected_is_told_with_file_and_line(run: Runner, home: Path) -> None:
    with pytest.raises(RecipeError) as caught:
        _embedded(run, home, project={"dimensions": 33})
    assert "recipe.yaml:" in caught.value.message
    said = "base.project.dimensions: 33 numbers, and an embedding of the model has 32"
    assert said in caught.value.message
    few = {"dimensions": 32, "split": "train[:30]"}
    with pytest.raises(
        DataError, match="has 30 rows to fit a projection to, which span at most 29"
    ):
        _embedded(run, home, project=few)


def _embedded(run: Runner, home: Path, **base: object) -> Material:
    recipe = tiny_recipe(base={"source": "local", "path": "encoder", **base}, **EMBEDDINGS)
    recipe["dataset"].pop("ref_keys", None)
    (home / "recipe.yaml").write_text(yaml.safe_dump(recipe, sort_keys=False), encoding="utf-8")
    return prepare(run, load_recipe(str(home)))


def test_a_dry_run_trains_nothing(run: Runner, home: Path) -> None:
    dry = Runner(run.store, run.executor, Silent(), dry=True)
    recipe = tiny_recipe(
        base={"source": "local", "path": "encoder", "finetune": {**FINETUNE, "seed": 99}}
    )
    (home / "recipe.yaml").write_text(yaml.safe_dump(recipe, sort_keys=False), encoding="utf-8")
    with pytest.raises(WouldRun) as caught:
        prepare(dry, load_recipe(str(home)))
    assert caught.value.stage in ("fetch-training", "finetune")
