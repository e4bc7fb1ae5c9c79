"""A tiny recipe, a home for its store, and an embedded Hub with accounts: a user's whole world."""

from __future__ import annotations

import csv
import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import requests
import yaml
from huggingface_hub import HfApi

from hubkit.hub.server.embedded import EmbeddedHub
from hubkit.hub.server.git import GitRepo
from hubkit.preview import preview
from tests.hub_client.hubs import Switchboard
from tests.tiny import WORDS

TOKENS = {"writer": "hf_writer_token_11", "reader": "hf_reader_token_22"}
USERS = {
    "writer": {"token": TOKENS["writer"]},
    "reader": {"token": TOKENS["reader"], "role": "read", "orgs": ["writer"]},
}
REPO = "writer/tiny-int8"
HEAVY = {"fetch-model", "fetch-dataset", "encode", "export", "quantize", "predict", "evaluate"}

Recipe = dict[str, object]


def sentences(count: int, seed: int) -> list[str]:
    """Sentences of known words, of many lengths, the same for a seed."""
    chance = random.Random(seed)
    return [" ".join(chance.choices(WORDS, k=chance.randint(3, 12))) for _ in range(count)]


def labelled(model: Path, texts: Sequence[str], count: int) -> list[tuple[str, int]]:
    """Those `count` sentences of which the FP32 model is least sure, each with the label that it
    gives them: FP32 is right everywhere, and INT8, which rounds, is not."""
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(model)
    network = AutoModelForSequenceClassification.from_pretrained(model).eval()
    rows = []
    with torch.no_grad():
        for text in texts:
            inputs = tokenizer(text, truncation=True, max_length=64, return_tensors="pt")
            negative, positive = network(**inputs).logits[0].tolist()
            rows.append((abs(positive - negative), text, int(positive > negative)))
    return [(text, label) for _, text, label in sorted(rows)[:count]]


def write_csv(path: Path, rows: Sequence[tuple[str, object]]) -> None:
    """A data file with the columns sentence and label."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(("sentence", "label"))
        writer.writerows(rows)


def tiny_recipe(**changes: object) -> Recipe:
    """A recipe that takes seconds: one ONNX variant, one point to measure."""
    recipe: Recipe = {
        "schema": 1,
        "name": "tiny",
        "base": {"source": "local", "path": "model"},
        "task": "text-classification",
        "dataset": {
            "source": "local",
            "path": "data",
            "data_keys": {"primary": "sentence"},
            "ref_keys": ["label"],
        },
        "labels": {"0": "NEGATIVE", "1": "POSITIVE"},
        "variants": [{"kind": "onnx-dynamic"}],
        "evaluation": {"metrics": ["accuracy", "f1"], "max_length": 64},
        "benchmark": {
            "batch_sizes": [1],
            "input_lengths": [8],
            "warmup": 1,
            "min_seconds": 0.05,
            "min_iterations": 3,
            "rounds": 1,
            "threads": 1,
        },
        # A model of this size may be slower in INT8.
        "gates": {"max_relative_loss": 0.9, "must_pay": False},
        "publication": {"formats": ["onnx"], "license": "apache-2.0", "languages": ["en"]},
    }
    return {**recipe, **changes}


def dataset(**changes: object) -> Recipe:
    """The dataset of the recipe, changed."""
    spec = tiny_recipe()["dataset"]
    assert isinstance(spec, dict)
    return {**spec, **changes}


@dataclass
class Done:
    """A command that has ended."""

    code: int
    out: str
    err: str

    def json(self) -> dict[str, object]:
        """The one JSON object on stdout."""
        value = json.loads(self.out)
        assert isinstance(value, dict)
        return value

    def ran(self) -> set[str]:
        """The stages that were computed, not looked up."""
        stages = self.json()["stages"]
        assert isinstance(stages, list)
        return {one["stage"] for one in stages if one["seconds"] is not None}


@dataclass
class World:
    """A folder with a recipe, a home and a Hub; `token` None: not logged in."""

    root: Path
    server: EmbeddedHub
    switch: Switchboard
    repo: str = REPO
    token: str | None = TOKENS["writer"]

    @property
    def home(self) -> Path:
        return self.root / "home"

    @property
    def store(self) -> Path:
        return self.home / "store"

    @property
    def folder(self) -> Path:
        return self.root / "recipe"

    @property
    def model(self) -> Path:
        return self.folder / "model"

    @property
    def evaluation(self) -> Path:
        return self.folder / "data" / "validation.csv"

    @property
    def recipe(self) -> Path:
        return self.folder / "recipe.yaml"

    def write(self, **changes: object) -> None:
        """Write the recipe, changed."""
        text = yaml.safe_dump(tiny_recipe(**changes), sort_keys=False)
        self.recipe.write_text(text, encoding="utf-8")

    def environment(self, **more: str) -> dict[str, str]:
        """A user's, without what the machine of the tests has of its own."""
        own = ("HF_", "HUBKIT_", "HUGGING")
        kept = {k: v for k, v in os.environ.items() if not k.startswith(own)}
        kept |= {
            "HUBKIT_HOME": str(self.home),
            "HF_HOME": str(self.root / "hf"),
            "HF_ENDPOINT": self.server.endpoint,
            "COLUMNS": "80",
        }
        if self.token is not None:
            kept["HF_TOKEN"] = self.token
        return kept | more

    def start(self, *args: str, **more: str) -> subprocess.Popen[str]:
        """`hubkit ARGS` as a process in a group of its own, as a shell starts it."""
        return subprocess.Popen(
            [sys.executable, "-m", "hubkit", *args],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=self.environment(**more),
            text=True,
            encoding="utf-8",
            start_new_session=True,
        )

    def end(self, process: subprocess.Popen[str], seconds: float = 180) -> Done:
        """Wait for a process; it printed neither a token nor a traceback."""
        try:
            out, err = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            raise
        for token in TOKENS.values():
            assert token not in out + err
        assert "Traceback" not in out + err, out + err
        return Done(process.returncode, out, err)

    def hubkit(self, *args: str, **more: str) -> Done:
        """`hubkit ARGS` to its end."""
        return self.end(self.start(*args, **more))

    def publish(self, *args: str, style: str = "json", **more: str) -> Done:
        """`hubkit publish` of the recipe to its end."""
        return self.hubkit(*self.publishing(*args, style=style), **more)

    def publishing(self, *args: str, style: str = "json") -> tuple[str, ...]:
        """The arguments of `hubkit publish`."""
        return ("publish", str(self.folder), "--repo-id", self.repo, "--format", style, *args)

    def lacks(self) -> list[str]:
        """What a publication would have to run now, before the push: what the store has not."""
        names = {"HUBKIT_HOME": str(self.home), "HF_TOKEN": TOKENS["writer"]}
        with mock.patch.dict(os.environ, names):  # in this process: it takes no second
            found = preview(
                str(self.folder), repo_id=self.repo, endpoint=self.server.endpoint
            ).would_run
        return [label for label in found if label not in ("push", "verify")]

    def api(self) -> HfApi:
        """A client that hubkit has no part in."""
        return HfApi(self.server.endpoint, token=TOKENS["writer"])

    def titles(self) -> list[str]:
        """Titles of the commits on main, newest first; empty where there is no repository."""
        if not self.api().repo_exists(self.repo):
            return []
        return [commit.title for commit in self.api().list_repo_commits(self.repo)]

    def file(self, path: str) -> bytes:
        """A file of main."""
        url = f"{self.server.endpoint}/{self.repo}/resolve/main/{path}"
        header = {"Authorization": f"Bearer {TOKENS['writer']}"}
        answer = requests.get(url, headers=header, timeout=20)
        answer.raise_for_status()
        return answer.content

    def intrude(self, path: str) -> None:
        """Somebody else's commit, straight into the repository: a Hub that waits for us cannot
        answer another client."""
        with GitRepo(self.server.root / "repos" / "models" / f"{self.repo}.git") as git:
            head = git.ref("refs/heads/main")
            assert head is not None
            files = {name: entry.oid for name, entry in git.files(head).items()}
            files[path] = git.write_blob(b"of somebody else")
            made = git.write_commit(git.write_tree(files), [head], "somebody", f"edit {path}")
            assert git.move_ref("refs/heads/main", head, made)
