"""`hubkit push`, `diff` and `rollback` in this process, on bundles that hold no model."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from hubkit.cli.app import app
from hubkit.errors import HubError, HubkitError, UsageError
from hubkit.output import set_format
from tests.hub_client.hubs import TOKENS, World, _world  # noqa: F401 - the fixture "world"
from tests.publishing.whole import bundle_of, publishing, with_sums, write

REPO = "alice/report"
NEW = bundle_of("new")
_LISTED = {path: data for path, data in bundle_of("old").items() if path != "SHA256SUMS"}
OLD = with_sums({**_LISTED, "assets/plot.svg": b"<svg/>"})
Run = Callable[..., str]


@pytest.fixture(name="hubkit")
def _hubkit(
    world: World,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Iterator[Run]:
    """Runs a command as alice, and gives what it printed on stdout."""
    monkeypatch.setenv("HUBKIT_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HF_TOKEN", TOKENS["alice"])

    def run(*args: str) -> str:
        capsys.readouterr()
        set_format("human")
        app([*args, "--endpoint", world.server.endpoint], standalone_mode=False)
        return capsys.readouterr().out

    with publishing(world, monkeypatch):
        yield run
    set_format("human")


@pytest.fixture(name="folders")
def _folders(tmp_path: Path) -> Mapping[str, str]:
    return {
        name: str(write(files, tmp_path / name)) for name, files in (("old", OLD), ("new", NEW))
    }


def test_push_as_a_pull_request(world: World, hubkit: Run, folders: Mapping[str, str]) -> None:
    hubkit("push", folders["old"], "--repo-id", REPO)
    out = hubkit("push", folders["new"], "--repo-id", REPO, "--create-pr", "--format", "json")
    done = json.loads(out)
    page = f"{world.server.endpoint}/{REPO}/discussions/1"
    assert (done["pushed"]["pull_request"], done["pushed"]["pull_request_url"]) == (1, page)
    assert done["verified"]["revision"] == world.hub().head(REPO, "refs/pr/1")
    assert any(
        path.endswith("/revision/refs/pr/1") for _, path in world.switch.seen
    )  # where readers find it
    again = hubkit("push", folders["new"], "--repo-id", REPO, "--create-pr")
    assert again.strip() == page
    assert len(world.titles(REPO)) == 2


def test_push_to_a_branch_moves_a_tag_by_force(
    world: World, hubkit: Run, folders: Mapping[str, str]
) -> None:
    first = json.loads(
        hubkit("push", folders["old"], "--repo-id", REPO, "--tag", "v1", "--format", "json")
    )
    where = ("--repo-id", REPO, "--branch", "next", "--tag", "v1", "--format", "json")
    with pytest.raises(HubError, match=r"tag v1 .* is there already.*nothing was pushed") as caught:
        hubkit("push", folders["new"], *where)
    assert "--force" in caught.value.hint
    assert world.hub().refs(REPO).branches.keys() == {"main"}
    done = json.loads(hubkit("push", folders["new"], *where, "--force"))
    assert done["tag_moved_from"] == first["pushed"]["commit"]
    assert world.hub().tags(REPO) == {"v1": world.hub().head(REPO, "next")}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--force",), "there is none to move"),
        (("--create-pr", "--tag", "v1"), "a pull request is not tagged"),
        (("--branch", "refs/pr/1", "--tag", "v1"), "a pull request is not tagged"),
        (("--create-pr", "--branch", "next"), "do not go together"),
    ],
)
def test_what_does_not_go_together(
    world: World, hubkit: Run, folders: Mapping[str, str], options: tuple[str, ...], said: str
) -> None:
    for command in ("push", "publish"):
        with pytest.raises(UsageError, match=said):
            hubkit(command, folders["old"], "--repo-id", REPO, *options)
    assert world.server.requests == []


def test_diff(
    world: World, hubkit: Run, folders: Mapping[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    out = hubkit("diff", REPO, folders["old"])
    assert out.startswith(f"One commit to {REPO} (main):\n")
    assert "a new repository" in out
    hubkit("push", folders["old"], "--repo-id", REPO)
    world.edit(REPO, "README.md", b"the author's words")
    world.switch.heal()
    monkeypatch.chdir(folders["new"])
    out = hubkit("diff", REPO)  # of the folder one is in
    lines = [line.split() for line in out.splitlines()]
    assert ["delete", "6", "B", "→", "–", "assets/plot.svg"] in lines
    assert ["change", "18", "B", "→", f"{len(NEW['README.md'])}", "B", "README.md", "*"] in lines
    assert "not as hubkit left it" in out
    assert "on the Hub already" not in out
    assert world.titles(REPO) == ["edit README.md", "Publish old", "initial commit"]
    assert not [path for method, path in world.switch.seen if method in ("PUT", "DELETE")]
    plan = json.loads(hubkit("diff", REPO, folders["old"], "--format", "json"))
    assert [(c["path"], c["action"], c["foreign"]) for c in plan["changes"]] == [
        ("README.md", "change", True)
    ]
    assert plan["send_bytes"] == len(OLD["README.md"])
    hubkit("push", folders["new"], "--repo-id", REPO)
    assert hubkit("diff", REPO) == f"{REPO} has all of it; no commit.\n"


def test_diff_counts_what_the_hub_has(
    world: World, hubkit: Run, folders: Mapping[str, str]
) -> None:
    hubkit("push", folders["old"], "--repo-id", REPO, "--branch", "other")
    out = hubkit("diff", REPO, folders["new"])
    assert f"{len(NEW['same.bin']) / 1000:.3g} kB on the Hub already" in out


def test_diff_of_what_may_not_be_pushed(
    hubkit: Run, folders: Mapping[str, str], tmp_path: Path
) -> None:
    Path(folders["old"], "README.md").write_text("edited")
    with pytest.raises(UsageError, match=r"README\.md differ from SHA256SUMS"):
        hubkit("diff", REPO, folders["old"])
    with pytest.raises(HubkitError):
        hubkit("diff", REPO, str(tmp_path / "nowhere"))


@pytest.fixture(name="released")
def _released(hubkit: Run, folders: Mapping[str, str]) -> None:
    """The old bundle tagged v1, and the new one on main."""
    hubkit("push", folders["old"], "--repo-id", REPO, "--tag", "v1")
    hubkit("push", folders["new"], "--repo-id", REPO)


@pytest.mark.usefixtures("released")
def test_rollback(world: World, hubkit: Run) -> None:
    seen = hubkit("rollback", REPO, "--to", "v1", "--dry-run")
    assert seen.startswith("Back to v1 (")
    assert "own.onnx" in seen
    assert len(world.titles(REPO)) == 3
    done = json.loads(hubkit("rollback", REPO, "--to", "v1", "--yes", "--format", "json"))
    assert done["rollback"]["made_commit"] is True
    assert done["verified"]["revision"] == done["rollback"]["commit"] == world.hub().head(REPO)
    assert world.content(REPO)["own.onnx"] == OLD["own.onnx"]
    assert "assets/plot.svg" in world.content(REPO)
    again = json.loads(hubkit("rollback", REPO, "--to", "v1", "--yes", "--format", "json"))
    assert again["rollback"]["made_commit"] is False
    assert again["verified"] == "before"
    assert len(world.titles(REPO)) == 4


@pytest.mark.usefixtures("released")
def test_rollback_asks(world: World, hubkit: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    world.switch.heal()
    with pytest.raises(UsageError, match="nobody is here to be asked") as caught:
        hubkit("rollback", REPO, "--to", "v1")
    assert "--yes" in caught.value.hint
    assert world.switch.seen == []

    def says(answer: str) -> None:
        terminal = io.StringIO(answer)
        terminal.isatty = lambda: True  # type: ignore[method-assign]
        monkeypatch.setattr(sys, "stdin", terminal)

    for answer in ("n\n", "\n", ""):
        says(answer)
        with pytest.raises(HubkitError, match="nothing was changed"):
            hubkit("rollback", REPO, "--to", "v1")
    assert len(world.titles(REPO)) == 3
    says("y\n")
    hubkit("rollback", REPO, "--to", "v1")
    assert len(world.titles(REPO)) == 4
