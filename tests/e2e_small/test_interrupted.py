"""Ctrl-C and kill -9 in the middle of a stage, and a full disk: nothing is lost, nobody is left."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from hubkit.errors import DataError, StoreError
from hubkit.store import Store, disk_errors
from tests.e2e_small.worlds import World
from tests.small_disk import small_disk

# Other weights than the kept ones: quantize and all that comes after it has to run.
CHANGED = {"variants": [{"kind": "onnx-dynamic", "per_channel": False}]}


def _read_until(process: subprocess.Popen[str], part: str) -> str:
    """What it prints on stderr, up to the line with `part`."""
    assert process.stderr is not None
    seen = ""
    for line in process.stderr:
        seen += line
        if part in line:
            return seen
    raise AssertionError(f"it ended before {part}:\n{seen}")


def _children(process: subprocess.Popen[str], part: str) -> list[psutil.Process]:
    """Its child processes, once there is one whose command has `part` in it."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        found = psutil.Process(process.pid).children(recursive=True)
        if any(part in " ".join(_command(child)) for child in found):
            return found
        time.sleep(0.02)
    raise AssertionError(f"no child process {part}")


def _command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.NoSuchProcess:
        return []


def _gone(processes: list[psutil.Process]) -> bool:
    return not psutil.wait_procs(processes, timeout=30)[1]


def test_ctrl_c_and_kill_lose_nothing(warm: World) -> None:
    warm.write(**CHANGED)
    process = warm.start(*warm.publishing(style="human"))
    seen = _read_until(process, "export")  # looked up; quantize is next
    children = _children(process, "hubkit.executors.worker")
    time.sleep(0.3)
    os.killpg(process.pid, signal.SIGINT)
    done = warm.end(process)
    assert done.code == 130
    assert "quantize" not in seen
    assert "error: interrupted" in done.err
    assert "hint: Run the same command again: it goes on after" in done.err
    assert _gone(children)
    assert list((warm.store / "scratch").iterdir()) == []
    assert warm.titles() == []

    process = warm.start(*warm.publishing(style="human"))
    _read_until(process, "evaluate")
    children = _children(process, "benchmark_worker")
    process.kill()
    assert process.wait() == -signal.SIGKILL
    process.communicate()
    assert _gone(children)  # nobody goes on computing for a parent that is no more
    assert warm.titles() == []

    done = warm.publish()
    assert done.code == 0
    assert done.ran() >= {"benchmark", "push", "verify"}
    assert done.ran().isdisjoint({"quantize", "predict", "evaluate"})
    assert list((warm.store / "scratch").iterdir()) == []
    assert len(warm.titles()) == 2


def test_ctrl_c_in_json_is_one_object(warm: World) -> None:
    warm.write(**CHANGED)
    process = warm.start(*warm.publishing())
    children = _children(process, "hubkit.executors.worker")
    os.killpg(process.pid, signal.SIGINT)
    done = warm.end(process)
    assert done.code == 130
    assert done.json()["error"] == "interrupted"
    assert done.err == ""
    assert _gone(children)


def test_a_full_disk_is_told_by_the_process_that_meets_it(warm: World) -> None:
    warm.write(**CHANGED)
    kept = warm.home.rename(warm.root / "kept")
    with small_disk(warm.home, "3m"):
        shutil.copytree(kept, warm.home, dirs_exist_ok=True)
        # onnx writes what fits and says nothing: room for less than one model.
        ballast = warm.home / "ballast"
        ballast.write_bytes(bytes(shutil.disk_usage(warm.home).free - 200_000))
        done = warm.publish(style="human")
        assert done.code == 1
        assert f"no space left on the disk of {warm.store}" in done.err
        assert "finished stages are kept" in done.err.partition("  hint: ")[2]
        assert warm.titles() == []
        assert list((warm.store / "scratch").iterdir()) == []

        ballast.unlink()
        assert warm.lacks()[0] == "quantize onnx-int8-dynamic"
        done = warm.hubkit("quantize", str(warm.folder), "--format", "json")
        assert done.code == 0
        assert done.json()["failures"] == []


def test_a_disk_without_room_for_anything(fresh: World) -> None:
    with small_disk(fresh.home, "64k"):
        done = fresh.publish(style="human")
        assert done.code == 1
        assert f"no space left on the disk of {fresh.store}" in done.err
        assert fresh.titles() == []


def test_a_full_disk_behind_other_errors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What libraries make of it: an error of their own, or a file that ends too early."""
    full = OSError(28, "No space left on device")
    with pytest.raises(StoreError, match="no space left"), disk_errors(tmp_path):
        raise DataError("the dataset cannot be read") from full
    with pytest.raises(ValueError, match="corrupt"), disk_errors(tmp_path):
        raise ValueError("wire format was corrupt")
    ring = ValueError("a")
    ring.__context__ = other = ValueError("b")
    other.__context__ = ring
    with pytest.raises(ValueError, match="a"), disk_errors(tmp_path):
        raise ring
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage._replace(free=4096))
    with pytest.raises(StoreError, match="no space left"), disk_errors(tmp_path):
        raise ValueError("wire format was corrupt")
    with pytest.raises(DataError, match="no such column"), disk_errors(tmp_path):
        raise DataError("no such column")


def test_measuring_alone(tmp_path: Path) -> None:
    """A process that wants to measure waits for the one that does."""
    store = Store(tmp_path)
    code = (
        "import sys; from pathlib import Path; from hubkit.store import Store\n"
        "with Store(Path(sys.argv[1])).alone(): print('in', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as other:
        assert other.stdout is not None
        assert other.stdin is not None
        assert other.stdout.readline() == "in\n"
        began = time.monotonic()
        waited = subprocess.Popen(["sh", "-c", f"sleep 0.5; kill -9 {other.pid}"])
        with store.alone():  # a killed process holds nothing
            assert time.monotonic() - began > 0.3
        waited.wait()
