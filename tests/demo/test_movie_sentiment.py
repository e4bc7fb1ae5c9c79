from __future__ import annotations

from pathlib import Path

import pytest
from huggingface_hub import ModelCard
from transformers import AutoTokenizer, pipeline

from hubkit.demo import movie_sentiment
from hubkit.demo.builders import find_builder
from hubkit.demo.materials import MINILM, MOVIES, Material
from hubkit.demo.stage import BuiltDemo, build_demo, build_input
from hubkit.errors import UsageError
from hubkit.stage import Context
from hubkit.store import Store
from tests.demo.conftest import make_tiny_encoder


@pytest.fixture
def tiny_materials(one_thread: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the packages would hold, in small: a BERT encoder and 2,200 rated sentences."""
    encoder, texts = tmp_path / "encoder", tmp_path / "texts"
    make_tiny_encoder(encoder)
    texts.mkdir()
    lines = [
        f"{i}\t{'2.5' if i % 2 else '-2.5'}\t{'great' if i % 2 else 'dull'} film number {i}"
        for i in range(2200)
    ]
    (texts / MOVIES.members[0].name).write_text("\n".join(lines), encoding="utf-8")

    def obtain(material: Material) -> Path:
        return encoder if material is MINILM else texts

    monkeypatch.setattr(movie_sentiment, "obtain", obtain)


def _build(root: Path, progress: object = None) -> tuple[Store, BuiltDemo]:
    store = Store(root)
    listener = progress if callable(progress) else lambda *_: None
    with store.scratch() as scratch:
        ctx = Context(store, scratch, listener)
        return store, build_demo(build_input("movie-sentiment"), ctx)


@pytest.mark.usefixtures("tiny_materials")
def test_builds_a_model_that_a_user_can_load(tmp_path: Path) -> None:
    store, built = _build(tmp_path / "store")
    folder = store.path(built.model)
    classify = pipeline("text-classification", model=str(folder), device="cpu")
    assert {r["label"] for r in classify(["a great film", "a dull film"])} <= {
        "NEGATIVE",
        "POSITIVE",
    }
    config = classify.model.config
    assert config.architectures == ["DistilBertForSequenceClassification"]
    assert config.hubkit_origin == built.model_origin
    assert built.model_origin.startswith("MiniLM-L6 weights in the DistilBERT architecture")
    assert AutoTokenizer.from_pretrained(folder).model_max_length == 512
    assert built.dataset_public
    assert built.validation_f1 is None
    assert {f.path for f in built.dataset.files} == {
        "README.md",
        "data/train-00000-of-00001.parquet",
        "data/validation-00000-of-00001.parquet",
        "data/test-00000-of-00001.parquet",
    }


@pytest.mark.usefixtures("tiny_materials")
def test_the_model_card_says_what_it_is(tmp_path: Path) -> None:
    store, built = _build(tmp_path / "store")
    card = ModelCard.load(store.path(built.model) / "README.md")
    data = card.data.to_dict()
    assert data["license"] == "apache-2.0"
    assert data["pipeline_tag"] == "text-classification"
    assert "MiniLM-L6 weights in the DistilBERT architecture" in card.text
    assert "neither distilbert-base nor trained on SST-2" in card.text
    assert f"{built.validation_accuracy:.3f} (1,000 sentences)" in card.text
    assert MINILM.sha256 in card.text
    assert MOVIES.sha256 in card.text


@pytest.mark.usefixtures("tiny_materials")
def test_building_again_gives_the_same_bytes(tmp_path: Path) -> None:
    (_, one), (_, two) = _build(tmp_path / "one"), _build(tmp_path / "two")
    assert one == two


@pytest.mark.usefixtures("tiny_materials")
def test_a_build_that_is_broken_off_leaves_nothing(tmp_path: Path) -> None:
    def stop(what: str, done: int, total: int) -> None:
        if what == "fine-tuning" and done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        _build(tmp_path / "store", stop)
    assert not any((tmp_path / "store").rglob("*.*"))


def test_the_identity_covers_code_materials_and_hyperparameters() -> None:
    one = build_input("movie-sentiment")
    assert one == build_input("movie-sentiment")
    assert {"torch", "transformers", "pyarrow"} <= set(build_demo.tools)
    assert movie_sentiment.identity_of(movie_sentiment.HOW) == one.identity
    faster = movie_sentiment.HOW.model_copy(update={"learning_rate": 1e-3})
    assert movie_sentiment.identity_of(faster) != one.identity


def test_the_identity_is_that_of_the_models_that_are_built_already() -> None:
    # Another identity would have everyone wait for the demo's fine-tuning once more: change it
    # only where the model or the dataset really changes.
    assert build_input("movie-sentiment").identity == (
        "5893235c96620e5b66e97d35b2edbbace93e55bbdf0b0407c6de367271123327"
    )


def test_an_unknown_builder_names_the_nearest() -> None:
    with pytest.raises(UsageError, match="did you mean movie-sentiment"):
        find_builder("movie-sentimant")


@pytest.mark.demo
def test_the_demo_model_is_good_enough() -> None:
    from hubkit.pipeline import running

    with running() as run:  # the user's own store, where the end-to-end tests find it too
        built = run.run(build_demo, build_input("movie-sentiment"))
    assert built.validation_accuracy >= 0.83
