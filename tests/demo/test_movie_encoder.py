"""The builder of an encoder without a head, and of sentences to fine-tune it on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from transformers import AutoModel, AutoTokenizer

from hubkit.demo import movie_encoder
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

    monkeypatch.setattr(movie_encoder, "obtain", obtain)
    return encoder


def _build(root: Path) -> tuple[Store, BuiltDemo]:
    store = Store(root)
    with store.scratch() as scratch:
        return store, build_demo(build_input("movie-encoder"), Context(store, scratch))


def test_the_weights_are_those_of_the_package(encoder: Path, tmp_path: Path) -> None:
    store, built = _build(tmp_path / "store")
    folder = store.path(built.model)
    weights = "model.safetensors"
    assert (folder / weights).read_bytes() == (encoder / weights).read_bytes()
    config = json.loads((folder / "config.json").read_text())
    assert config["hubkit_origin"] == built.model_origin
    assert "_name_or_path" not in config
    assert AutoModel.from_pretrained(folder).config.model_type == "bert"
    assert AutoTokenizer.from_pretrained(folder)("a film")["input_ids"]
    card = (folder / "README.md").read_text()
    assert MINILM.sha256 in card
    assert "It has no head" in card
    assert built.validation_accuracy is None
    assert built.dataset_public
    assert _build(tmp_path / "other")[1] == built
