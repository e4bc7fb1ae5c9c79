"""A GitHub on loopback, and two results to compare."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from hubkit.ci.github import GitHub
from hubkit.stages.report import record_json
from tests.cards.examples import make_lock, make_report
from tests.ci.fake_github import REPOSITORY, TOKEN, FakeGitHub


@pytest.fixture(name="fake")
def _fake() -> Iterator[FakeGitHub]:
    with FakeGitHub().serve() as fake:
        yield fake


@pytest.fixture(name="waits")
def _waits() -> list[float]:
    return []


@pytest.fixture(name="github")
def _github(fake: FakeGitHub, waits: list[float]) -> GitHub:
    return GitHub(REPOSITORY, TOKEN, fake.url, sleep=waits.append)


@pytest.fixture(name="results")
def _results(tmp_path: Path) -> Path:
    """A folder with what was measured and a card, as a bundle has them."""
    folder = tmp_path / "results"
    folder.mkdir()
    (folder / "results.json").write_text(record_json(make_report()))
    (folder / "lock.json").write_text(record_json(make_lock()))
    (folder / "README.md").write_text("# A card\n\nAccuracy 0.8630\n")
    return folder
