"""One undisturbed publication of the demo, on real weights and sentences, for all tests here."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.demo_home import environment, hub_of, warm_home

PUBLISH = (sys.executable, "-m", "hubkit", "publish", "distilbert-sst2", "--demo")


@dataclass(frozen=True)
class Publication:
    """A home, and what `publish --format json` said there."""

    home: Path
    said: dict[str, object]

    def run(self, *arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        """`hubkit` with these arguments in this home."""
        done = subprocess.run(
            [sys.executable, "-m", "hubkit", *arguments],
            env=environment(self.home),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == code, done.stderr + done.stdout
        return done

    @property
    def endpoint(self) -> str:
        return str(self.said["endpoint"])

    @property
    def repo_id(self) -> str:
        return str(self.said["repo_id"])


@pytest.fixture(scope="session")
def warm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with the base model, to copy."""
    return warm_home(tmp_path_factory.mktemp("warm"))


@pytest.fixture(scope="session")
def published(warm: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Publication]:
    home = tmp_path_factory.mktemp("published") / "home"
    shutil.copytree(warm, home)
    with hub_of(home):
        done = subprocess.run(
            [*PUBLISH, "--format", "json"],
            env=environment(home),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert done.stderr == ""
        yield Publication(home, json.loads(done.stdout))
