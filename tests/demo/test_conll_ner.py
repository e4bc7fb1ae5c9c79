from __future__ import annotations

from pathlib import Path

import pytest
from huggingface_hub import ModelCard
from transformers import AutoTokenizer, pipeline

from hubkit.demo import conll, conll_ner
from hubkit.demo.builders import find_builder
from hubkit.demo.conll import Sentence
from hubkit.demo.conll_ner import entity_f1, rows_of
from hubkit.demo.finetune import NO_LABEL
from hubkit.demo.materials import CONLL, MINILM, Material
from hubkit.demo.minilm import tokenizer_of
from hubkit.demo.stage import BuiltDemo, build_demo, build_input
from hubkit.stage import Context
from hubkit.store import Store
from tests.demo.conftest import make_tiny_encoder

SENTENCE = "clever NNP B-NP B-PER\nstory NNP I-NP I-PER\nfor IN B-PP O\nfilm NNP B-NP B-ORG\n\n"


@pytest.fixture
def tiny_materials(one_thread: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the packages would hold, in small: a BERT encoder and sentences with names."""
    encoder, texts = tmp_path / "encoder", tmp_path / "texts"
    make_tiny_encoder(encoder)
    texts.mkdir()
    for member, count in zip(CONLL.members, (80, 20, 10), strict=True):
        (texts / member.name).write_text(SENTENCE * count, encoding="utf-8")

    def obtain(material: Material) -> Path:
        return encoder if material is MINILM else texts

    monkeypatch.setattr(conll_ner, "obtain", obtain)


def _build(root: Path) -> tuple[Store, BuiltDemo]:
    store = Store(root)
    with store.scratch() as scratch:
        return store, build_demo(build_input("conll-ner"), Context(store, scratch))


@pytest.mark.usefixtures("tiny_materials")
def test_builds_a_model_that_a_user_can_load(tmp_path: Path) -> None:
    store, built = _build(tmp_path / "store")
    folder = store.path(built.model)
    tag = pipeline("token-classification", model=str(folder), device="cpu")
    assert {found["entity"] for found in tag("a clever story")} <= set(conll.TAGS)
    config = tag.model.config
    assert config.architectures == ["DistilBertForTokenClassification"]
    assert config.id2label == dict(enumerate(conll.TAGS))
    assert config.label2id == {name: i for i, name in enumerate(conll.TAGS)}
    assert config.hubkit_origin == built.model_origin
    assert built.model_origin.startswith("MiniLM-L6 weights in the DistilBERT architecture")
    assert AutoTokenizer.from_pretrained(folder).model_max_length == 512
    assert {f.path for f in built.model.files} >= {"README.md", "config.json", "model.safetensors"}


@pytest.mark.usefixtures("tiny_materials")
def test_the_dataset_is_built_and_is_not_public(tmp_path: Path) -> None:
    _, built = _build(tmp_path / "store")
    assert not built.dataset_public
    assert "not passed on" in built.dataset_origin
    assert {f.path for f in built.dataset.files} == {
        "README.md",
        "data/train-00000-of-00001.parquet",
        "data/validation-00000-of-00001.parquet",
        "data/test-00000-of-00001.parquet",
    }


@pytest.mark.usefixtures("tiny_materials")
def test_no_sentence_is_in_the_model_repository(tmp_path: Path) -> None:
    store, built = _build(tmp_path / "store")
    folder = store.path(built.model)
    for name in ("README.md", "config.json", "tokenizer_config.json"):
        assert "clever" not in (folder / name).read_text(encoding="utf-8"), name


@pytest.mark.usefixtures("tiny_materials")
def test_the_model_card_says_what_it_is(tmp_path: Path) -> None:
    store, built = _build(tmp_path / "store")
    card = ModelCard.load(store.path(built.model) / "README.md")
    data = card.data.to_dict()
    assert data["license"] == "apache-2.0"
    assert data["pipeline_tag"] == "token-classification"
    assert "MiniLM-L6 weights in the DistilBERT architecture" in card.text
    assert "not distilbert-base" in card.text
    assert "**The text is Reuters'.**" in card.text
    assert built.validation_f1 is not None
    assert f"(20 sentences): entity F1 {built.validation_f1:.3f}, accuracy" in card.text
    assert f"{built.validation_accuracy:.3f}" in card.text
    assert MINILM.sha256 in card.text
    assert CONLL.sha256 in card.text


@pytest.mark.usefixtures("tiny_materials")
def test_building_again_gives_the_same_bytes(tmp_path: Path) -> None:
    (_, one), (_, two) = _build(tmp_path / "one"), _build(tmp_path / "two")
    assert one == two


def test_the_first_token_of_a_word_has_its_tag(tmp_path: Path) -> None:
    make_tiny_encoder(tmp_path / "encoder")
    tokenizer = tokenizer_of(tmp_path / "encoder")
    words = ("Film", "xyz", "film")
    rows = rows_of(tokenizer, [Sentence(words, (3, 1, 2))], 16)
    assert tokenizer.convert_ids_to_tokens(rows.input_ids[0]) == [
        *("[CLS]", "film", "x", "##y", "##z", "film", "[SEP]")
    ]
    none = NO_LABEL
    assert rows.labels == [[none, 3, 1, none, none, 2, none]]
    cut = rows_of(tokenizer, [Sentence(words, (3, 1, 2))], 4)
    assert cut.labels == [[none, 3, 1, none]]


def test_a_word_that_is_repeated_has_two_first_tokens(tmp_path: Path) -> None:
    make_tiny_encoder(tmp_path / "encoder")
    rows = rows_of(
        tokenizer_of(tmp_path / "encoder"), [Sentence(("bad", "bad"), (1, 3)), Sentence((), ())], 8
    )
    assert rows.labels == [[NO_LABEL, 1, 3, NO_LABEL], [NO_LABEL, NO_LABEL]]


def test_f1_counts_whole_entities() -> None:
    known = [(1, 2, 0, 5), (3, 4)]  # PER, LOC; ORG
    assert entity_f1(known, known) == 1.0
    assert entity_f1([(1, 0, 0, 5), (3, 4)], known) == pytest.approx(2 / 3)  # its end is wrong
    assert entity_f1([(3, 4, 0, 5), (3, 4)], known) == pytest.approx(2 / 3)  # its kind is wrong
    assert entity_f1([(0, 0, 0, 0), (0, 0)], known) == 0.0


def test_the_identity_covers_code_materials_and_hyperparameters() -> None:
    one = build_input("conll-ner")
    assert one == build_input("conll-ner")
    assert conll_ner.identity_of(conll_ner.HOW) == one.identity
    faster = conll_ner.HOW.model_copy(update={"learning_rate": 1e-3})
    assert conll_ner.identity_of(faster) != one.identity
    assert one.identity != find_builder("movie-sentiment").identity


@pytest.mark.demo
def test_the_demo_model_is_good_enough() -> None:
    from hubkit.pipeline import running

    with running() as run:  # the user's own store, where the end-to-end tests find it too
        built = run.run(build_demo, build_input("conll-ner"))
    assert built.validation_f1 is not None
    assert built.validation_f1 >= 0.86
