"""The workflows and the action, by actionlint (with shellcheck) and zizmor; ours and those that
`hubkit ci init` writes."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from hubkit.ci.init import FILES, files

ROOT = Path(__file__).resolve().parent.parent.parent
WHERE = "hubkit[demo] @ git+https://host.example/acme/hubkit@0123456"
_USES = re.compile(r"uses: (?![$.]/)(?P<action>[\w./-]+)@(?P<at>\S+)(?P<version> # v[\d.]+)?")
# Anybody may choose these: a title, a branch, a name.
_UNTRUSTED = re.compile(r"\$\{\{[^}]*(github\.(event|head_ref|ref|actor)|inputs\.|env\.)[^}]*\}\}")


def tool(name: str) -> str:
    """A program beside Python or on the PATH; what is missing fails, it is not skipped."""
    found = shutil.which(name, path=str(Path(sys.executable).parent)) or shutil.which(name)
    assert found, f"no {name}: pip install -c constraints.txt '.[dev]'"
    return found


@pytest.fixture(name="repositories", scope="module")
def _repositories(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Ours, one with a token, one with trusted publishing, and the files as they are shipped."""
    made = [tmp_path_factory.mktemp(name) for name in ("ours", "token", "trusted", "shipped")]
    shutil.copytree(ROOT / ".github", made[0] / ".github")
    for folder, trusted in zip(made[1:3], (False, True), strict=True):
        for path, text in files("models/one", "acme/one", WHERE, trusted=trusted).items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(text)
    shutil.copytree(made[1] / ".github", made[3] / ".github")
    for name in ("release", "pull-request"):
        target = made[3] / ".github" / "workflows" / f"hubkit-{name}.yml"
        shutil.copyfile(FILES / f"{name}.yml", target)
    for folder in made:
        (folder / ".git").mkdir()  # how actionlint knows a project
    return made


def test_actionlint_finds_nothing(repositories: list[Path]) -> None:
    for folder in repositories:
        command = [tool("actionlint"), "-no-color", "-shellcheck", tool("shellcheck")]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def test_actionlint_would_find_something(repositories: list[Path], tmp_path: Path) -> None:
    shutil.copytree(repositories[1], tmp_path / "repo")
    path = tmp_path / "repo" / ".github" / "workflows" / "hubkit-release.yml"
    path.write_text(path.read_text().replace("          recipe: ${{ env.RECIPE }}\n", ""))
    command = [tool("actionlint"), "-no-color"]
    done = subprocess.run(
        command, cwd=tmp_path / "repo", capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert 'missing input "recipe"' in done.stdout


def test_zizmor_finds_nothing(repositories: list[Path]) -> None:
    for folder in repositories:
        command = [tool("zizmor"), "--offline", "--no-progress", "--strict-collection", "."]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "No findings" in done.stdout + done.stderr


def texts() -> list[Path]:
    return [*sorted(FILES.glob("*.yml")), *sorted((ROOT / ".github").rglob("*.yml"))]


@pytest.mark.parametrize("path", texts(), ids=lambda path: path.name)
def test_actions_are_pinned_and_say_their_version(path: Path) -> None:
    for found in _USES.finditer(path.read_text()):
        assert re.fullmatch("[0-9a-f]{40}", found["at"]), found[0]
        assert found["version"], found[0]


@pytest.mark.parametrize("path", texts(), ids=lambda path: path.name)
def test_no_run_block_is_written_by_an_expression(path: Path) -> None:
    for step in steps_of(yaml.safe_load(path.read_text())):
        assert "${{" not in step.get("run", ""), step
    assert "pull_request_target" not in path.read_text()


def steps_of(found: dict[str, dict[str, object]]) -> list[dict[str, str]]:
    jobs = found.get("jobs") or {"one": found["runs"]}
    return [step for job in jobs.values() for step in job["steps"]]  # type: ignore[index]


def test_one_version_of_each_action() -> None:
    """The same commit wherever an action is used, so that one place tells what is trusted."""
    used: dict[str, set[str]] = {}
    for path in texts():
        for found in _USES.finditer(path.read_text()):
            used.setdefault(found["action"], set()).add(found["at"])
    assert {len(commits) for commits in used.values()} == {1}, used


def test_who_may_write_what() -> None:
    """All that any job may do beyond reading."""
    rights = {}
    for name in ("release", "pull-request"):
        found = yaml.safe_load((FILES / f"{name}.yml").read_text())
        assert found["permissions"] == {}
        for job, body in found["jobs"].items():
            given = {right for right, level in body["permissions"].items() if level == "write"}
            rights[f"{name} {job}"] = given
    assert rights == {
        "release publish": {"id-token"},
        "release attach": {"contents"},
        "pull-request measure": set(),
        "pull-request comment": {"pull-requests"},
    }
