"""The documentation is true: every command's help is in the README, and its shell blocks parse."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from hubkit.recipe_file import shipped_recipes

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
COMMANDS = (
    "publish",
    "sweep",
    "tune",
    "serve",
    "report formats",
    "quantize",
    "evaluate",
    "benchmark",
    "card",
    "diff",
    "push",
    "rollback",
    "verify",
    "recipe new",
    "recipe validate",
    "recipe schema",
    "recipe list",
    "hub serve",
    "hub mirror",
    "ci init",
    "ci rehearse",
    "ci compare",
    "ci comment",
    "ci publish",
    "ci summary",
    "ci attach",
)
_HELP = re.compile(r"(<!-- help -->\n)(.*?)(<!-- /help -->)", re.DOTALL)


def _help(command: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "hubkit", *command.split(), "--help"],
        env={**os.environ, "COLUMNS": "80", "TERMINAL_WIDTH": "80", "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.replace("python -m hubkit", "hubkit").strip()


def _section() -> str:
    parts = [
        f"<details><summary><code>hubkit {command}</code></summary>\n\n"
        f"```text\n{_help(command)}\n```\n\n</details>\n"
        for command in COMMANDS
    ]
    return "".join(parts)


def test_every_help_is_in_the_readme(request: pytest.FixtureRequest) -> None:
    text = README.read_text(encoding="utf-8")
    wanted = _HELP.sub(lambda m: m[1] + _section() + m[3], text)
    if request.config.getoption("--update-golden"):
        README.write_text(wanted, encoding="utf-8")
    assert text == wanted, "run pytest tests/test_docs.py --update-golden"


def test_no_command_is_left_out() -> None:
    listed = re.findall(r"^  ([a-z]+)  ", _help("").split("Commands:")[1], re.MULTILINE)
    assert {command.split()[0] for command in COMMANDS} == set(listed)


@pytest.mark.parametrize(
    "line",
    [
        line
        for block in re.findall(r"```console\n(.*?)```", README.read_text("utf-8"), re.DOTALL)
        for line in block.splitlines()
        if line.startswith("hubkit ")
    ],
)
def test_the_commands_of_the_readme_parse(line: str) -> None:
    words = shlex.split(line, comments=True)[1:]
    depth = 2 if words[0] in ("recipe", "hub", "ci", "report") else 1
    known = _help(" ".join(words[:depth]))
    for word in words[depth:]:
        if word.startswith("--"):
            assert word in known, f"{line}: no option {word}"
    if words[0] == "publish" and words[1] in shipped_recipes():
        return
    assert words[0] in {command.split()[0] for command in COMMANDS}


def test_the_readme_links_to_what_exists() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", README.read_text(encoding="utf-8")):
        assert target.startswith("http") or (ROOT / target).exists(), target
