"""The wheel works alone: templates and recipes are in it, and a card is rendered from it."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.cards.examples import make_lock, make_report

ROOT = Path(__file__).resolve().parent.parent

_RENDER = """
import pathlib, sys
import hubkit, hubkit.paths
assert pathlib.Path(hubkit.__file__).is_relative_to(sys.argv[1]), hubkit.__file__
assert hubkit.paths.templates_dir().is_relative_to(sys.argv[1])
from hubkit.records import Lock, Report
folder = pathlib.Path(sys.argv[2])
loaded = hubkit.load_recipe("distilbert-sst2", demo=True)
lock = Lock.model_validate_json((folder / "lock.json").read_text())
report = Report.model_validate_json((folder / "results.json").read_text())
sys.stdout.write(hubkit.render_card(loaded.recipe, loaded.notes, lock, report, "me/model"))
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    return next(folder.glob("*.whl"))


def test_the_wheel_holds_what_is_shipped(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert "hubkit/_shipped/templates/card/base.md.j2" in names
    assert "hubkit/_shipped/model_cards/distilbert-sst2/recipe.yaml" in names
    assert not [name for name in names if name.startswith("tests/")]


def test_a_card_is_rendered_from_the_wheel_alone(wheel: Path, tmp_path: Path) -> None:
    site = tmp_path / "site"
    subprocess.run(
        [
            *(sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index"),
            *("--disable-pip-version-check", "--target", str(site), str(wheel)),
        ],
        check=True,
    )
    (tmp_path / "lock.json").write_text(make_lock().model_dump_json(by_alias=True))
    (tmp_path / "results.json").write_text(make_report().model_dump_json(by_alias=True))
    done = subprocess.run(
        [sys.executable, "-c", _RENDER, str(site), str(tmp_path)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("---\nlanguage: en\n")
    assert "from_pretrained(repo_id)" in done.stdout
