"""SIGKILL at any stage, the same command again: the same repository as an undisturbed run."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
from huggingface_hub import HfApi

from tests.demo_home import environment, hub_of
from tests.e2e.conftest import PUBLISH, Publication

# The first test to ask for it waits for a whole publication, and on a new machine for the base.
pytestmark = pytest.mark.timeout(1500)

# Kill so many seconds after the line that ends the stage before: in the middle of the named one.
KILLS = (
    ("quantize", "export", 2.0),
    ("evaluate", "quantize pytorch-int8-static", 2.0),
    ("benchmark", "sample pytorch-int8-static", 6.0),
    ("push", "benchmark", 0.15),
)
_TIMES = re.compile(r"\bms\b|milliseconds|latency|times as fast")


def _files(endpoint: str, repo_id: str, folder: Path) -> dict[str, bytes]:
    api = HfApi(endpoint=endpoint, token=False)
    root = Path(api.snapshot_download(repo_id, local_dir=folder))
    names = [p for p in root.rglob("*") if p.is_file() and ".cache" not in p.parts]
    return {p.relative_to(root).as_posix(): p.read_bytes() for p in names}


def _check_equal(mine: dict[str, bytes], theirs: dict[str, bytes]) -> None:
    """Equal but for what was timed: in results.json, and in those sections of the card that tell
    it. SHA256SUMS holds the digests of these two."""
    assert mine.keys() == theirs.keys()
    timed = {"README.md", "results.json", "SHA256SUMS"}
    assert {n: mine[n] for n in mine.keys() - timed} == {n: theirs[n] for n in mine.keys() - timed}
    assert _without_times(mine["results.json"]) == _without_times(theirs["results.json"])
    one, other = (_sections(files["README.md"].decode()) for files in (mine, theirs))
    assert one.keys() == other.keys()
    alike = {name for name in one if not _TIMES.search(one[name] + other[name])}
    assert len(alike) > 10  # most of the card says nothing of time
    assert {n: one[n] for n in alike} == {n: other[n] for n in alike}


def _without_times(results: bytes) -> object:
    report = json.loads(results)
    del report["timings"]
    for candidate in report["selection"]["candidates"]:
        del candidate["mean_ms"]
    return report


def _sections(card: str) -> dict[str, str]:
    """Heading with its place -> the text under it; the front matter has none."""
    parts = re.split(r"^(#+ .*)$", card, flags=re.MULTILINE)
    found = {"": parts[0]}
    for at in range(1, len(parts), 2):
        found[f"{at} {parts[at]}"] = parts[at + 1]
    return found


def _publish_and_kill(home: Path, after: str, delay: float) -> None:
    process = subprocess.Popen(
        PUBLISH,
        env=environment(home),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    for line in process.stdout:
        if line.strip().startswith(after + " "):
            break
    else:
        pytest.fail(f"it ended before {after}")
    time.sleep(delay)
    assert process.poll() is None, "it ended before it could be killed"
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def test_killed_runs_go_on(published: Publication, warm: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    shutil.copytree(warm, home)
    with hub_of(home):
        for _, after, delay in KILLS:
            _publish_and_kill(home, after, delay)
        done = subprocess.run(
            [*PUBLISH, "--format", "json"],
            env=environment(home),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        said = json.loads(done.stdout)
        # Nothing that was finished before the last kill ran again.
        ran = {one["stage"] for one in said["stages"] if one["seconds"] is not None}
        assert not ran & {"export", "quantize", "predict", "evaluate", "benchmark", "sample"}
        mine = _files(said["endpoint"], said["repo_id"], tmp_path / "mine")
        theirs = _files(published.endpoint, published.repo_id, tmp_path / "theirs")
        commits = HfApi(endpoint=said["endpoint"], token=False).list_repo_commits(said["repo_id"])
    assert len([c for c in commits if c.title.startswith("Publish")]) == 1
    _check_equal(mine, theirs)
