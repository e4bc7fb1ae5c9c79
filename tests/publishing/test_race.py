"""Ten publishers at once: each revision is one of the ten, whole, and nobody claims what is not."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.hub_client.hubs import TOKENS, World
from tests.publishing.whole import bundle_of, files_at, ids_of, write

TEN = [f"p{number}" for number in range(10)]


def raced(world: World, folder: Path, bundles: dict[str, dict[str, bytes]]) -> dict[str, str]:
    """Publisher -> its commit, of those that say that they have one; the others must say clearly
    that they have not."""
    folders = [str(write(files, folder / name)) for name, files in bundles.items()]
    arguments = [world.server.endpoint, TOKENS["alice"], "alice/model", str(folder / "stores")]
    command = [sys.executable, "-m", "tests.publishing.programs", "race", *arguments, *folders]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    said = [json.loads(line) for line in done.stdout.splitlines()]
    assert {one["folder"] for one in said} == bundles.keys(), done.stderr
    for one in said:
        if "error" in one:
            assert "changed by somebody else" in one["error"]
            assert "nothing was pushed" in one["error"]
            assert "same command again" in one["hint"]
    return {one["folder"]: one["commit"] for one in said if "commit" in one}


def revisions(world: World) -> list[tuple[str, str]]:
    """(commit, title) of the branch, oldest first."""
    commits = world.api().list_repo_commits("alice/model")
    return [(commit.commit_id, commit.title) for commit in reversed(commits)]


def bundles_of(round_: str) -> dict[str, dict[str, bytes]]:
    """Ten bundles: each with a file that no other has, so that a mixture shows."""
    own = [{f"only_{name}.md": b"x", f"only_{name}.bin": b"x" * 2000} for name in TEN]
    return {
        f"{name}-{round_}": bundle_of(f"{name}-{round_}", **more)
        for name, more in zip(TEN, own, strict=True)
    }


@pytest.mark.parametrize(
    "round_", ["creation", pytest.param("update", marks=pytest.mark.conformance)]
)
def test_ten_publishers_at_once(world: World, tmp_path: Path, round_: str) -> None:
    before = 1
    if round_ == "update":
        raced(world, tmp_path / "first", {"old": bundle_of("old")})
        before = 2
    bundles = bundles_of(round_)
    claimed = raced(world, tmp_path, bundles)
    history = revisions(world)[before:]
    assert claimed
    assert len(history) == len(claimed)
    assert {sha for sha, _ in history} == set(claimed.values())
    for sha, title in history:
        name = title.removeprefix("Publish ")
        assert claimed[name] == sha
        assert files_at(world, "alice/model", sha) == ids_of(bundles[name])
    assert world.hub().head("alice/model") == history[-1][0]
