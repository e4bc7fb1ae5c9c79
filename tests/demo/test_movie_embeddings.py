"""The builder of an encoder in the DistilBERT architecture, and of sentences to embed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from transformers import AutoModel, AutoTokenizer

from hubkit.demo import movie_embeddings
from hubkit.demo.materials import MINILM, MOVIES, Material
from hubkit.demo.stage import BuiltDemo, build_demo, build_input
from hubkit.stage import Context
from hubkit.store import Store
from tests.demo.conftest import make_tiny_encoder


@pytest.fixture(name="encoder")
def _encoder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What the packages would hold, in small."""
    encoder, texts = tmp_path / "encoder", tmp_path / "texts"
    make_tiny_encoder(encoder)
    texts.mkdir()
    lines = [f"{i}\t{2.5 if i % 2 else -2.5}\tfilm number {i}" for i in range(2100)]
    (texts / MOVIES.members[0].name).write_text("\n".join(lines), encoding="utf-8")

    def obtain(material: Material) -> Path:
        return encoder if material is MINILM else texts

    monkeypatch.setattr(movie_embeddings, "obtain", obtain)
    return encoder


def _build(root: Path) -> tuple[Store, BuiltDemo]:
    store = Store(root)
    with store.scratch() as scratch:
        return store, build_demo(build_input("movie-embeddings"), Context(store, scratch))


def test_it_says_what_the_encoder_of_the_package_says(encoder: Path, tmp_path: Path) -> None:
    store, built = _build(tmp_path / "store")
    folder = store.path(built.model)
    config = json.loads((folder / "config.json").read_text())
    assert (config["model_type"], config["architectures"]) == ("distilbert", ["DistilBertModel"])
    assert config["hubkit_origin"] == built.model_origin
    assert "MiniLM-L6 weights in the DistilBERT architecture" in built.model_origin
    assert "_name_or_path" not in config
    ours, theirs = (AutoModel.from_pretrained(one).eval() for one in (folder, encoder))
    ids = AutoTokenizer.from_pretrained(folder)("a film", return_tensors="pt")["input_ids"]
    with torch.no_grad():
        states = [model(input_ids=ids).last_hidden_state for model in (ours, theirs)]
    assert (states[0] - states[1]).abs().max() < 1e-5
    card = (folder / "README.md").read_text()
    assert MINILM.sha256 in card
    assert "it has no head" in " ".join(card.split())
    assert built.validation_accuracy is None
    assert built.dataset_public
    assert _build(tmp_path / "other")[1] == built
