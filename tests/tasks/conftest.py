"""Model folders with tokenizers of different kinds; no weights where none are needed."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.tiny import make_tiny_model


@pytest.fixture(scope="session")
def distilbert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_model(tmp_path_factory.mktemp("models") / "distilbert")


@pytest.fixture(scope="session")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_model(tmp_path_factory.mktemp("models") / "bert", model_type="bert")


def _forget_modules() -> None:
    for name in [name for name in sys.modules if name.startswith("evaluate_modules")]:
        del sys.modules[name]


@pytest.fixture
def own_modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """`evaluate` offline, with a cache of scripts of the test's own: it imports them from the first
    cache that it ever put on sys.path, and from no other afterwards."""
    import evaluate

    monkeypatch.setattr(evaluate.config, "HF_MODULES_CACHE", str(tmp_path / "modules"))
    monkeypatch.setattr(evaluate.config, "HF_EVALUATE_OFFLINE", True)
    elsewhere = [p for p in sys.path if not (Path(p) / "evaluate_modules").is_dir()]
    monkeypatch.setattr(sys, "path", elsewhere)
    _forget_modules()
    yield
    _forget_modules()
