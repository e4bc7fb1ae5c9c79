"""`hubkit ci init`: what it writes, what it never overwrites, and what it says is left to do."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from hubkit.ci.init import _source, files, find_recipe_in, init, own_requirement
from hubkit.errors import UsageError
from tests.e2e_small.worlds import tiny_recipe

ROOT = Path(__file__).resolve().parent.parent.parent
WHERE = "hubkit[demo] @ git+https://host.example/acme/hubkit@0123456"
PATHS = {
    ".github/actions/publish/action.yml",
    ".github/hubkit/constraints.txt",
    ".github/hubkit/requirements.txt",
    ".github/workflows/hubkit-pull-request.yml",
    ".github/workflows/hubkit-release.yml",
}


def write_recipe(folder: Path, **publication: object) -> None:
    """A recipe that can be read: its model and data need only be there."""
    (folder / "model").mkdir(parents=True)
    (folder / "model" / "config.json").write_text("{}")
    (folder / "data").mkdir()
    base = tiny_recipe()["publication"]
    assert isinstance(base, dict)
    recipe = tiny_recipe(publication={**base, **publication})
    (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe, sort_keys=False))


@pytest.fixture(name="repo")
def _repo(tmp_path: Path) -> Path:
    (tmp_path / ".git").mkdir()
    write_recipe(tmp_path / "models" / "tiny", repo_id="acme/tiny-int8")
    return tmp_path


def there(repo: Path) -> set[str]:
    found = (path for path in (repo / ".github").rglob("*") if path.is_file())
    return {path.relative_to(repo).as_posix() for path in found}


def test_it_writes_all_and_then_nothing(repo: Path) -> None:
    done = init(repo, requirement=WHERE)
    assert set(done.written) == there(repo) == PATHS
    assert (done.recipe, done.repo_id) == ("models/tiny", "acme/tiny-int8")
    before = {path: (repo / path).stat().st_mtime_ns for path in PATHS}
    again = init(repo, requirement=WHERE)
    assert (again.written, set(again.unchanged)) == ((), PATHS)
    assert {path: (repo / path).stat().st_mtime_ns for path in PATHS} == before


def test_the_settings_are_filled_in(repo: Path) -> None:
    init(repo, requirement=WHERE)
    for name in ("release", "pull-request"):
        text = (repo / f".github/workflows/hubkit-{name}.yml").read_text()
        found = yaml.safe_load(text)
        assert found["env"]["RECIPE"] == "models/tiny"
        assert found["env"]["REPO_ID"] == "acme/tiny-int8"
        assert "way:" not in text
    assert found[True]["pull_request"]["paths"][0] == "models/tiny/**"
    assert WHERE in (repo / ".github/hubkit/requirements.txt").read_text().splitlines()


def test_what_is_in_the_way_is_left_alone(repo: Path) -> None:
    mine = repo / ".github/workflows/hubkit-release.yml"
    mine.parent.mkdir(parents=True)
    mine.write_text("# mine\n")
    with pytest.raises(UsageError, match=r"hubkit-release\.yml: there already"):
        init(repo, requirement=WHERE)
    assert there(repo) == {".github/workflows/hubkit-release.yml"}
    assert mine.read_text() == "# mine\n"
    assert set(init(repo, requirement=WHERE, force=True).written) == PATHS
    assert "mine" not in mine.read_text()


def test_a_link_leads_nowhere_else(repo: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (repo / ".github").symlink_to(elsewhere)
    with pytest.raises(UsageError):
        init(repo, requirement=WHERE, force=True)
    assert list(elsewhere.iterdir()) == []


def test_only_the_root_of_a_repository_is_written_to(repo: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="not the root of a git repository") as caught:
        init(repo / "models", requirement=WHERE)
    assert caught.value.hint == f"Add --dir {repo}."
    (repo / ".git").rmdir()
    with pytest.raises(UsageError) as caught:
        init(repo, requirement=WHERE, force=True)
    assert "git init" in caught.value.hint
    assert there(repo) == set()
    with pytest.raises(UsageError, match="no such folder"):
        init(tmp_path / "nowhere", requirement=WHERE)


def test_a_token_or_an_identity_but_not_both() -> None:
    token = files("recipe", "a/b", WHERE)[".github/workflows/hubkit-release.yml"]
    trusted = files("recipe", "a/b", WHERE, trusted=True)[".github/workflows/hubkit-release.yml"]
    assert "secrets.HF_TOKEN" in token
    assert "id-token" not in token
    assert "secrets." not in trusted
    job = yaml.safe_load(trusted)["jobs"]["publish"]
    assert job["permissions"] == {"contents": "read", "id-token": "write"}


def test_it_says_what_to_set(repo: Path) -> None:
    secret = " ".join(init(repo, requirement=WHERE).to_do)
    assert "HF_TOKEN" in secret
    assert "acme/tiny-int8" in secret
    assert "HUBKIT_REPO_ID" not in secret
    trusted = " ".join(init(repo, requirement=WHERE, trusted=True, force=True).to_do)
    assert "trusted publisher" in trusted
    assert "HF_TOKEN" not in trusted


def test_without_a_repository_it_is_a_variable(tmp_path: Path) -> None:
    (tmp_path / ".git").write_text("gitdir: elsewhere\n")  # as in a worktree
    write_recipe(tmp_path)
    done = init(tmp_path, requirement=WHERE)
    assert done.recipe == "."
    assert "HUBKIT_REPO_ID" in done.to_do[0]
    text = (tmp_path / ".github/workflows/hubkit-pull-request.yml").read_text()
    assert "REPO_ID: ${{ vars.HUBKIT_REPO_ID }}" in text
    assert yaml.safe_load(text)[True]["pull_request"]["paths"][0] == "**"


def test_which_recipe(repo: Path) -> None:
    assert find_recipe_in(repo, "models/tiny/recipe.yaml") == "models/tiny"
    for wrong in ("models", "../elsewhere", "/etc"):
        with pytest.raises(UsageError, match=r"no folder with a recipe\.yaml"):
            find_recipe_in(repo, wrong)
    write_recipe(repo / "models" / "more")
    with pytest.raises(UsageError, match="which recipe"):
        find_recipe_in(repo, None)
    write_recipe(repo / "odd[a-z]*")
    with pytest.raises(UsageError, match="filters"):
        find_recipe_in(repo, "odd[a-z]*")
    with pytest.raises(UsageError, match=r"no recipe\.yaml in it"):
        find_recipe_in(repo / "models" / "tiny" / "data", None)


@pytest.mark.parametrize("wrong", ["tiny", "a/b/c", "a/b $(id)", "a/b\n"])
def test_a_repository_has_an_owner(repo: Path, wrong: str) -> None:
    with pytest.raises(UsageError, match="not USER/NAME"):
        init(repo, repo_id=wrong, requirement=WHERE)


def test_where_hubkit_is_from(tmp_path: Path) -> None:
    url = "https://host.example/acme/hubkit"
    vcs = {"url": url, "vcs_info": {"vcs": "git", "commit_id": "abc"}}
    assert _source(vcs) == f"git+{url}@abc"
    wheel = "https://host.example/hubkit-0.1.0-py3-none-any.whl"
    assert _source({"url": wheel, "archive_info": {}}) == wheel
    assert _source({}) is None  # from an index: the name there is another project's
    here = {"url": tmp_path.as_uri(), "dir_info": {"editable": True}}
    assert _source(here) is None
    git = ("git", "-c", "user.name=a", "-c", "user.email=a@b.example", "-C", str(tmp_path))
    subprocess.run([*git, "init", "-q"], check=True)
    subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "one"], check=True)
    assert _source(here) is None
    subprocess.run([*git, "remote", "add", "origin", url], check=True)
    found = _source(here)
    assert found is not None
    assert found.startswith(f"git+{url}@")
    assert len(found.rpartition("@")[2]) == 40
    subprocess.run([*git, "remote", "set-url", "origin", "https://me:secret@host.example/x"])
    assert _source(here) is None


def test_an_unknown_source_must_be_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hubkit.ci.init._source", lambda _: None)
    with pytest.raises(UsageError) as caught:
        own_requirement()
    assert "--hubkit" in caught.value.hint


def test_the_action_here_is_the_one_that_is_shipped() -> None:
    here = ROOT / ".github" / "actions" / "publish" / "action.yml"
    shipped = ROOT / "hubkit" / "ci" / "files" / "action.yml"
    assert here.read_bytes() == shipped.read_bytes(), "copy the one over the other"


def test_the_command(repo: Path) -> None:
    command = [sys.executable, "-m", "hubkit", "ci", "init", "--dir", str(repo)]
    command += ["--hubkit", WHERE]
    human = subprocess.run(command, capture_output=True, text=True, check=True)
    assert human.stdout.count("wrote") == len(PATHS)
    assert "1. On GitHub, in Settings > Environments" in human.stderr
    assert "the secret HF_TOKEN" in human.stderr
    told = subprocess.run([*command, "--format", "json"], capture_output=True, check=True)
    assert json.loads(told.stdout)["written"] == []


def test_a_comment_takes_no_model_s_tools() -> None:
    """The jobs that only talk to GitHub install typer alone beside hubkit."""
    program = (
        "import sys, hubkit.cli.app, hubkit.ci.comment, hubkit.ci.attach, hubkit.ci.github\n"
        "print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    loaded = set(done.stdout.split())
    assert "typer" in loaded
    assert loaded.isdisjoint({"pydantic", "yaml", "numpy", "huggingface_hub", "jinja2", "requests"})
