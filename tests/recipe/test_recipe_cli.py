"""`hubkit recipe ...` as a user runs it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

# The command group alone, behind an error boundary like hubkit's.
RUN = """
import sys
from hubkit.cli.recipe import app
from hubkit.errors import HubkitError
from hubkit.output import output
heavy = {"pydantic", "yaml", "huggingface_hub"} & set(sys.modules)
assert not heavy, heavy
try:
    app(sys.argv[1:], standalone_mode=False)
except HubkitError as error:
    output().error(error.message, error.hint, error.exit_code)
    sys.exit(error.exit_code)
"""


def _recipe(cwd: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    root = Path(__file__).parents[2]
    return subprocess.run(
        [sys.executable, "-c", RUN, *arguments],
        capture_output=True,
        text=True,
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(root)},
        check=False,
    )


def test_list(tmp_path: Path) -> None:
    assert "distilbert-sst2" in _recipe(tmp_path, "list").stdout
    every = json.loads(_recipe(tmp_path, "list", "--format", "json").stdout)
    (listed,) = (one for one in every if one["name"] == "distilbert-sst2")
    assert (listed["name"], listed["dataset"]) == ("distilbert-sst2", "stanfordnlp/sst2")


def test_schema_is_json_on_stdout(tmp_path: Path) -> None:
    done = _recipe(tmp_path, "schema")
    Draft202012Validator.check_schema(json.loads(done.stdout))
    assert done.stderr == ""


def test_validate(tmp_path: Path) -> None:
    done = _recipe(tmp_path, "validate", "distilbert-sst2", "--demo", "--format", "json")
    report = json.loads(done.stdout)
    assert (report["recipe"], report["demo"], report["open"]) == ("distilbert-sst2", True, [])
    done = _recipe(tmp_path, "validate", "distilbert-sst3")
    assert (done.returncode, done.stdout) == (2, "")
    assert "did you mean distilbert-sst2?" in done.stderr


def test_new_then_validate(tmp_path: Path) -> None:
    away = ("--endpoint", "http://127.0.0.1:9")
    done = _recipe(tmp_path, "new", "me/model", *away)
    assert (done.returncode, done.stdout) == (0, "model/recipe.yaml\nmodel/notes.md\n")
    assert "cannot be reached" in done.stderr
    assert "next: hubkit recipe validate model" in done.stderr
    checked = _recipe(tmp_path, "validate", "model")
    assert checked.returncode == 0
    assert checked.stdout == "model/recipe.yaml: valid, with 4 placeholders to fill in\n"
    again = _recipe(tmp_path, "new", "me/model", *away)
    assert again.returncode == 2
    assert "not overwritten" in again.stderr


def test_validate_without_demo_checks_the_demo_too(tmp_path: Path) -> None:
    _recipe(tmp_path, "new", "me/model", "--endpoint", "http://127.0.0.1:9")
    recipe = tmp_path / "model" / "recipe.yaml"
    recipe.write_text(recipe.read_text() + "demo: {evaluation: {max_lenght: 7}}\n")
    done = _recipe(tmp_path, "validate", "model")
    assert done.returncode == 2
    assert "demo.evaluation.max_lenght: unknown key, did you mean max_length?" in done.stderr
