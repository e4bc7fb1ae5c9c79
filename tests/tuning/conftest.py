"""A model that is small, but wide enough that INT8 is faster, and a recipe to tune it by."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from tests.e2e_small.worlds import labelled, sentences, tiny_recipe, write_csv
from tests.tiny import make_tiny_model

ROWS = 120


@dataclass(frozen=True)
class Place:
    """A folder with a recipe, and a home."""

    root: Path
    home: Path

    @property
    def recipe(self) -> Path:
        return self.root / "recipe"

    def write(self, **changes: object) -> None:
        """The recipe, changed."""
        benchmark = {
            **{"batch_sizes": [4], "input_lengths": [64], "warmup": 1, "min_seconds": 0.3},
            **{"min_iterations": 9, "rounds": 3, "threads": 1},
        }
        text = yaml.safe_dump(tiny_recipe(benchmark=benchmark, **changes))
        (self.recipe / "recipe.yaml").write_text(text, encoding="utf-8")

    def environment(self) -> dict[str, str]:
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "HUBKIT_"))}
        return {**kept, "HUBKIT_HOME": str(self.home), "HF_HOME": str(self.home / "hf")}

    def start(self, *words: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "hubkit", *words],
            cwd=self.root,
            env=self.environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def hubkit(self, *words: str) -> tuple[int, str, str]:
        """Exit code, stdout and stderr of a command."""
        process = self.start(*words)
        out, err = process.communicate(timeout=600)
        return process.returncode, out, err


@pytest.fixture(scope="session", name="template")
def _template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import torch

    torch.set_num_threads(1)  # calls of one row gain nothing by more, and wait for one another
    root = tmp_path_factory.mktemp("tuning")
    model = make_wide_model(root / "recipe" / "model")
    for split, seed in (("train", 1), ("validation", 2)):
        rows = labelled(model, sentences(5 * ROWS, seed), ROWS)
        write_csv(root / "recipe" / "data" / f"{split}.csv", rows)
    return root


@pytest.fixture(scope="session", name="place")
def _place(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Place:
    """One home for all tests, so that what they share is made once."""
    return Place(template, tmp_path_factory.mktemp("home"))


@pytest.fixture(name="bare")
def _bare(tmp_path: Path) -> Place:
    """A recipe of a model that is none, for what is refused before it is looked at."""
    (tmp_path / "bare" / "recipe" / "model").mkdir(parents=True)
    (tmp_path / "bare" / "recipe" / "data").mkdir()
    (tmp_path / "bare" / "recipe" / "model" / "config.json").write_text("{}", encoding="utf-8")
    return Place(tmp_path / "bare", tmp_path / "home")


def make_wide_model(folder: Path) -> Path:
    """The tiny model's tokenizer under a DistilBERT of 2 layers × 256."""
    import torch
    import transformers

    make_tiny_model(folder)
    config = transformers.DistilBertConfig.from_pretrained(folder)
    config.dim, config.hidden_dim, config.n_heads = 256, 1024, 4
    config.initializer_range = 0.15
    torch.manual_seed(0)
    model = transformers.DistilBertForSequenceClassification(config)
    model.eval().save_pretrained(folder, safe_serialization=True)
    return folder
