"""A dataset that may not be passed on: the demo works with it, and no Hub gets it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import HfApi
from transformers import DistilBertConfig, DistilBertForTokenClassification

from hubkit.demo import conll
from hubkit.demo.stage import BuiltDemo, build_demo, build_input
from hubkit.errors import RecipeError
from hubkit.hub.server.embedded import EmbeddedHub
from hubkit.preparing import prepare
from hubkit.recipe import BuiltModel
from hubkit.recipe_file import LoadedRecipe, load_recipe
from hubkit.store import Store
from tests.tiny import make_tiny_model

TOKEN = "hf_owner_token"
RECIPE = """\
name: small
base: {source: built, id: ana/tagger, builder: conll-ner}
task: token-classification
dataset:
  source: built
  path: names
  data_keys: {primary: tokens}
  ref_keys: [ner_tags]
  redistributable: false
labels: {LABELS}
variants:
  - {kind: onnx-static, calibration: {num_samples: 2}}
evaluation: {metrics: [f1], max_length: 32}
benchmark: {input_lengths: [8]}
gates: {metric: f1}
publication: {license: apache-2.0, formats: [onnx]}
"""


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[EmbeddedHub]:
    with EmbeddedHub(tmp_path / "hub", users={"ana": {"token": TOKEN}}) as running:
        yield running


def _loaded(folder: Path, *changes: tuple[str, str]) -> tuple[LoadedRecipe, BuiltModel]:
    text = RECIPE.replace("LABELS", ", ".join(f"{tag}: {tag}" for tag in conll.TAGS))
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    (folder / "recipe.yaml").write_text(text, encoding="utf-8")
    loaded = load_recipe(str(folder))
    assert isinstance(loaded.recipe.base, BuiltModel)
    return loaded, loaded.recipe.base


def _make_tagger(folder: Path) -> None:
    make_tiny_model(folder, labels=conll.TAGS)
    sizes = DistilBertConfig.from_pretrained(folder)
    DistilBertForTokenClassification(sizes).save_pretrained(folder)


def _built(store: Store) -> BuiltDemo:
    """What the builder gives, in small."""
    singing = conll.Sentence(("a", "story", "sings"), (1, 2, 0))
    dull, good = (conll.Sentence((word, "plot"), (0, 0)) for word in ("dull", "good"))
    with store.scratch() as scratch:
        _make_tagger(scratch / "model")
        conll.write_dataset(
            conll.Splits((good, singing, good), (singing, dull), (dull,)), scratch / "dataset"
        )
        return BuiltDemo(
            builder="conll-ner",
            model=store.adopt(scratch / "model"),
            dataset=store.adopt(scratch / "dataset"),
            model_origin="clay",
            dataset_origin="sand",
            validation_accuracy=0.5,
            validation_f1=0.5,
            dataset_public=False,
        )


def test_the_rows_are_read_from_the_store_and_never_pushed(
    hub: EmbeddedHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hubkit.pipeline import running, seed

    monkeypatch.setenv("HUBKIT_HOME", str(tmp_path / "home"))
    loaded, base = _loaded(tmp_path)
    with running(endpoint=hub.endpoint, token=TOKEN) as run:
        built = _built(run.store)
        run.store.put_record(run.key(build_demo, build_input("conll-ner")), built)
        origins = seed(run, loaded.recipe, base)
        material = prepare(run, loaded, origins)
    assert material.lock.base.source == "built"
    pinned = material.lock.dataset
    assert (pinned.source, pinned.id, pinned.url) == ("built", "names", None)
    assert (pinned.sha, pinned.license, pinned.origin) == (built.dataset.digest, "other", "sand")
    assert (material.dataset.eval_rows, material.dataset.calibration_rows) == (2, 2)
    assert material.evaluation.rows == 2
    api = HfApi(hub.endpoint, token=TOKEN)
    assert api.repo_exists("ana/tagger")
    assert list(api.list_datasets()) == []


def test_a_recipe_that_would_show_the_rows_is_refused(
    hub: EmbeddedHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hubkit.pipeline import running, seed

    monkeypatch.setenv("HUBKIT_HOME", str(tmp_path / "home"))
    loaded, base = _loaded(tmp_path, ("  redistributable: false\n", ""))
    with (
        running(endpoint=hub.endpoint, token=TOKEN) as run,
        pytest.raises(RecipeError, match="conll-ner may not be passed on") as caught,
    ):
        seed(run, loaded.recipe, base)
    assert "dataset.redistributable: false" in caught.value.hint
