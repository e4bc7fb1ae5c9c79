"""`hubkit card` where no model is needed: --check, and the options that do not go together."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from hubkit.cards.completeness import mandatory_keys
from hubkit.cli.app import app
from hubkit.errors import GateError, HubkitError, UsageError
from hubkit.output import set_format
from hubkit.paths import model_cards_dir
from hubkit.recipe_file import shipped_recipes


@pytest.fixture(autouse=True)
def _human() -> object:
    yield
    set_format("human")


def _card(*arguments: str) -> tuple[int, str, HubkitError | None]:
    """Exit code, stdout, and the error that the boundary would print."""
    done = CliRunner().invoke(app, ["card", *arguments])
    error = done.exception if isinstance(done.exception, HubkitError) else None
    if done.exception is not None and error is None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return (error.exit_code if error else done.exit_code), done.stdout, error


def _without(folder: Path, name: str, key: str, *, demo: bool) -> Path:
    """A copy of a shipped recipe that lacks a key."""
    recipe = yaml.safe_load((model_cards_dir() / name / "recipe.yaml").read_text("utf-8"))
    for top in (recipe, recipe["demo"]) if demo else (recipe,):
        holder = top
        *parts, last = key.split(".")
        for part in parts:
            holder = holder.get(part, {})
        holder.pop(last, None)
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump(recipe, sort_keys=False), encoding="utf-8")
    return path


@pytest.mark.parametrize("demo", [(), ("--demo",)], ids=["real", "demo"])
@pytest.mark.parametrize("name", shipped_recipes())
def test_the_shipped_recipes_are_clean(name: str, demo: tuple[str, ...]) -> None:
    code, out, error = _card(name, "--check", *demo)
    assert (code, error) == (0, None)
    assert out.splitlines()[-1].startswith("All ")
    assert max(map(len, out.splitlines())) <= 80


@pytest.mark.parametrize("key", mandatory_keys())
@pytest.mark.parametrize("demo", [False, True], ids=["real", "demo"])
@pytest.mark.parametrize("name", shipped_recipes())
def test_a_field_that_is_taken_away_is_named(
    name: str, demo: bool, key: str, tmp_path: Path
) -> None:
    path = _without(tmp_path, name, key, demo=demo)
    code, out, error = _card(str(path), "--check", *(["--demo"] if demo else []))
    assert code == 3
    assert isinstance(error, GateError)
    (line,) = error.message.splitlines()[1:]
    where, said = line.split(": ", 1)
    assert said.startswith(f"{'demo.' if said.startswith('demo.') else ''}{key}: not said: ")
    file, number = where.rsplit(":", 1)
    assert file == str(path)
    assert 1 <= int(number) <= len(path.read_text().splitlines())
    assert key in out
    assert max(map(len, out.splitlines())) <= 80


def test_the_place_is_where_the_key_belongs(tmp_path: Path) -> None:
    key = "card.intended_use.primary_users"
    path = _without(tmp_path, "distilbert-sst2", key, demo=False)
    lines = path.read_text("utf-8").splitlines()
    _, _, error = _card(str(path), "--check")
    assert error is not None
    number = int(error.message.splitlines()[1].rsplit(": card", 1)[0].rsplit(":", 1)[1])
    assert lines[number - 1].strip() == "intended_use:"


def test_as_json_there_is_one_object_and_the_exit_code(tmp_path: Path) -> None:
    path = _without(tmp_path, "distilbert-sst2", "card.caveats", demo=False)
    code, out, error = _card(str(path), "--check", "--format", "json")
    assert (code, error) == (3, None)
    found = json.loads(out)
    assert (found["passes"], found["complete"]) == (False, False)
    scores = {one["section"]: (one["said"], one["total"]) for one in found["sections"]}
    assert (scores["caveats"], scores["ethics"]) == ((0, 1), (5, 5))
    assert scores["notes"] == (0, 1)  # a copy of the recipe alone has none
    assert found["said"] == sum(said for said, _ in scores.values())
    assert found["total"] == sum(total for _, total in scores.values())
    assert [one["key"] for one in found["missing"]] == ["card.caveats"]
    assert found["missing"][0]["file"] == str(path)


def test_quiet_is_the_keys_alone(tmp_path: Path) -> None:
    path = _without(tmp_path, "distilbert-sst2", "card.caveats", demo=False)
    assert _card(str(path), "--check", "--format", "quiet")[1] == "card.caveats\n"


def test_it_takes_less_than_a_second_and_no_model(tmp_path: Path) -> None:
    program = (
        "import sys, time; from hubkit.cli.app import app\n"
        "try: app(['card', 'distilbert-sst2', '--check'])\n"
        "except SystemExit: pass\n"
        "print(sorted({'torch', 'transformers', 'numpy', 'onnxruntime', 'datasets', 'requests'}"
        " & set(sys.modules)), time.process_time(), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "HUBKIT_HOME": str(tmp_path / "home")},
        capture_output=True,
        text=True,
        check=True,
    )
    heavy, seconds = done.stderr.splitlines()[-1].rsplit(" ", 1)
    assert heavy == "[]"
    assert float(seconds) < 1  # of the processor: other tests may run beside this one
    assert not (tmp_path / "home").exists()


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (("--lang", "en", "--all-langs"), "--lang and --all-langs"),
        (("--check", "--diff"), "--check and --diff"),
        (("--check", "--lang", "en"), "--lang and --check"),
        (("--diff", "--all-langs"), "--all-langs and --diff"),
        (("--open", "--output", "x"), "--open and --output"),
        (("--check", "--dataset", "x"), "--check and --dataset"),
    ],
)
def test_options_that_do_not_go_together(options: tuple[str, ...], named: str) -> None:
    code, _, error = _card("distilbert-sst2", *options)
    assert code == 2
    assert isinstance(error, UsageError)
    assert error.message == f"{named} do not go together"
    assert error.hint


def test_an_unknown_language_is_told_before_anything_is_run() -> None:
    code, _, error = _card("no-such-recipe", "--lang", "rus")
    assert code == 2
    assert error is not None
    assert "did you mean ru?" in error.message
    assert "ja" in error.hint


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def _diffs(monkeypatch: pytest.MonkeyPatch, stream: io.StringIO) -> str:
    from hubkit.card_diff import CardDiff
    from hubkit.cli.show_card import show_diffs

    monkeypatch.setattr(sys, "stdout", stream)
    lines = ("--- a/README.md", "+++ b/README.md", "@@ -1 +1 @@", "-old\033[2J", "+new", " same")
    show_diffs([CardDiff(path="README.md", lines=lines)])
    return stream.getvalue()


def test_a_diff_is_coloured_on_a_terminal_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    plain = _diffs(monkeypatch, io.StringIO())
    assert plain.splitlines()[3:] == ["-old\033[2J", "+new", " same"]
    seen = _diffs(monkeypatch, _Terminal())
    assert "\033[32m+new\033[0m\n" in seen
    assert "\n same\n" in seen
    assert "\033[2J" not in seen  # what came from a Hub clears nobody's screen
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\033" not in _diffs(monkeypatch, _Terminal())


def test_equal_cards_are_said_to_be_equal(capsys: pytest.CaptureFixture[str]) -> None:
    from hubkit.card_diff import CardDiff
    from hubkit.cli.show_card import show_diffs

    show_diffs([CardDiff(path="README.md", lines=())])
    assert capsys.readouterr() == ("", "No difference.\n")
