"""SIGKILL at any stage, the same command again: the same repository as an undisturbed run."""

from __future__ import annotations

import hashlib
import json
import os
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


def _files(endpoint: str, repo_id: str, folder: Path) -> dict[str, bytes]:
    api = HfApi(endpoint=endpoint, token=False)
    root = Path(api.snapshot_download(repo_id, local_dir=folder))
    names = [p for p in root.rglob("*") if p.is_file() and ".cache" not in p.parts]
    return {p.relative_to(root).as_posix(): p.read_bytes() for p in names}


def _check_equal(mine: dict[str, bytes], theirs: dict[str, bytes]) -> None:
    """Equal but for timing records, and for what hangs on them: which ONNX variant is the fastest,
    where two of them are about as fast. Whichever it is, its bytes are those of its record."""
    assert mine.keys() == theirs.keys()
    one, other = (json.loads(files["results.json"]) for files in (mine, theirs))
    timed = {"README.md", "results.json", "SHA256SUMS"}
    if one["selection"]["selected"] != other["selection"]["selected"]:
        timed.add("model.onnx")
    assert {n: mine[n] for n in mine.keys() - timed} == {n: theirs[n] for n in mine.keys() - timed}
    for files, report in ((mine, one), (theirs, other)):
        chosen = report["selection"]["selected"]
        variant = next(v for v in report["variants"] if v["name"] == chosen)
        recorded = {ref["path"]: ref["sha256"] for ref in variant["artifact"]["files"]}
        assert hashlib.sha256(files["model.onnx"]).hexdigest() == recorded[variant["model_file"]]
        for sample in report["samples"] if "model.onnx" in timed else ():
            del sample["logits"]["onnx"]
        del report["timings"], report["selection"]
    assert one == other  # every variant's digest, every score, every logit


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
