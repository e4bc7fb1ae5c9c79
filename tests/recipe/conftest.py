"""Recipes written on the spot."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from hubkit.errors import RecipeError
from hubkit.recipe_file import LoadedRecipe, load_recipe

SMALL = """\
name: small
base: {source: hub, id: me/model}
task: text-classification
dataset:
  path: me/data
  data_keys: {primary: text}
  ref_keys: [label]
labels:
  0: NEGATIVE
  1: POSITIVE
variants:
  - kind: onnx-dynamic
  - kind: onnx-static
    per_channel: true
  - kind: inc-static
publication:
  license: apache-2.0
  languages: [en]
"""

Load = Callable[..., LoadedRecipe]
Faults = Callable[..., list[str]]


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Load:
    """Load the small recipe after some replacements of its text, and with more text at its end."""
    monkeypatch.chdir(tmp_path)

    def loaded(*changes: tuple[str, str], more: str = "", demo: bool = False) -> LoadedRecipe:
        text = SMALL
        for old, new in changes:
            assert old in text
            text = text.replace(old, new)
        Path("r.yaml").write_text(text + more, encoding="utf-8")
        return load_recipe("r.yaml", demo=demo)

    return loaded


@pytest.fixture
def faults(load: Load) -> Faults:
    """The lines of the error that such a recipe gives."""

    def lines(*changes: tuple[str, str], more: str = "", demo: bool = False) -> list[str]:
        with pytest.raises(RecipeError) as caught:
            load(*changes, more=more, demo=demo)
        assert caught.value.exit_code == 2
        return caught.value.message.splitlines()

    return lines
