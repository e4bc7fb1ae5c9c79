"""The runner computes a key once, survives its workers, and never stores a failure."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from hubkit.errors import DataError, HubkitError, ModelError, RecipeError, WorkerError
from hubkit.executors.base import Call
from hubkit.executors.local import LocalExecutor
from hubkit.executors.worker import execute
from hubkit.records import Failed
from hubkit.runner import Runner, WouldRun
from hubkit.store import Store
from tests.stages_for_tests import Given, Made, inline, steps, write


class Ear:
    """A listener that remembers what it heard."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, int, int]] = []
        self.ended: list[tuple[str, bool]] = []

    def update(self, name: str, what: str = "", done: int = 0, total: int = 0) -> None:
        self.heard.append((what, done, total))

    def done(self, name: str, seconds: float | None) -> None:
        self.ended.append((name, seconds is not None))

    def failed(self, name: str) -> None:
        self.ended.append((name, False))


@pytest.fixture
def ear() -> Ear:
    return Ear()


@pytest.fixture
def runner(tmp_path: Path, ear: Ear) -> Iterator[Runner]:
    made = Runner(Store(tmp_path / "store"), LocalExecutor(), ear)
    yield made
    made.close()


def test_a_heavy_stage_runs_once_in_another_process(runner: Runner, ear: Ear) -> None:
    first = runner.run(write, Given(text="a"), subject="it")
    assert first.pid != os.getpid()
    assert (runner.store.path(first.artifact) / "text.txt").read_text() == "a"
    assert ("writing", 1, 2) in ear.heard
    assert runner.is_kept(write, Given(text="a"))
    assert not runner.is_kept(write, Given(text="b"))
    assert runner.run(write, Given(text="a"), subject="it") == first
    assert ear.ended == [(f"{write.name} it", True), (f"{write.name} it", False)]
    assert [ran.seconds is None for ran in runner.ran] == [False, True]


def test_one_lane_is_one_process(runner: Runner) -> None:
    calls = [(Given(text=str(n)), "", "ab"[n % 2]) for n in range(4)]
    made = [m for m in runner.map(write, calls) if isinstance(m, Made)]
    pids = [m.pid for m in made]
    assert pids[0] == pids[2] != pids[1] == pids[3]


def test_a_lost_artifact_is_made_again(runner: Runner) -> None:
    first = runner.run(write, Given(text="a"))
    shutil.rmtree(runner.store.path(first.artifact))
    again = runner.run(write, Given(text="a"))
    assert again.artifact == first.artifact
    assert runner.store.has(again.artifact)


@pytest.mark.parametrize("fail", ["model", "bug", "path"])
def test_failures_are_told_and_not_stored(runner: Runner, fail: str) -> None:
    good, failed = runner.try_map(
        write, [(Given(text="a", fail=fail), "bad", "x"), (Given(text="a"), "good", "y")]
    )
    assert len(good) == 1
    assert [f.subject for f in failed] == ["bad"]
    reason = {
        "model": "no such layer",
        "bug": "ZeroDivisionError: oops",
        "path": "no such file: weights.bin",  # without the folders of this machine
    }
    assert failed[0].reason.endswith(reason[fail])
    assert not runner.is_kept(write, Given(text="a", fail=fail))


def test_error_classes_cross_the_process(runner: Runner) -> None:
    with pytest.raises(ModelError, match="no such layer") as caught:
        runner.run(write, Given(text="a", fail="model"))
    assert caught.value.hint == "look at the layers"
    # The data's or the recipe's fault is no variant's, nor is a killed process: it ends the run.
    for fail, kind in (("data", DataError), ("recipe", RecipeError), ("die", WorkerError)):
        with pytest.raises(kind):
            runner.try_map(write, [(Given(text="a", fail=fail), "v", "")])
    with pytest.raises(HubkitError) as caught_bug:
        runner.run(write, Given(text="a", fail="bug"))
    assert "HUBKIT_DEBUG=1" in caught_bug.value.hint


def test_one_among_many_may_fail_by_its_settings(runner: Runner) -> None:
    calls = [(Given(text="a", fail=fail), fail, "") for fail in ("model", "", "recipe")]
    model, good, recipe = runner.settle(write, calls)
    assert isinstance(good, Made)
    assert isinstance(model, Failed)
    assert isinstance(recipe, Failed)
    assert (model.subject, recipe.subject) == ("model", "recipe")
    for fail, kind in (("data", DataError), ("die", WorkerError)):
        with pytest.raises(kind):
            runner.settle(write, [(Given(text="a", fail=fail), "v", "")])


def test_a_measured_stage_finds_its_journal_again(runner: Runner) -> None:
    given = Given(text="a", fail="once")
    with pytest.raises(ModelError, match="in the middle"):
        runner.run(steps, given)
    assert runner.run(steps, given).text == "2 steps were there"
    journal = runner.store.journal(runner.key(steps, given))
    assert not journal.exists()  # it is done
    # Measured anew is measured whole.
    journal.write_text("0\n1\n")
    runner.again = frozenset({steps.name})
    with pytest.raises(ModelError, match="in the middle"):
        runner.run(steps, given)


def test_a_dead_lane_is_replaced(runner: Runner) -> None:
    with pytest.raises(HubkitError, match="ended with code -9"):
        runner.run(write, Given(text="a", fail="die"))
    assert runner.run(write, Given(text="a")).pid > 0


def test_what_a_library_has_forked_holds_nobody_up(runner: Runner) -> None:
    made = runner.run(write, Given(text="", fail="orphan"))
    orphan = int((runner.store.path(made.artifact) / "text.txt").read_text())
    began = time.monotonic()
    try:
        runner.close()
        assert time.monotonic() - began < 30  # it holds the pipe for 60 s
    finally:
        os.kill(orphan, signal.SIGKILL)


def test_again_runs_what_is_kept(runner: Runner) -> None:
    first = runner.run(write, Given(text="a"))
    runner.close()
    runner.again = frozenset({write.name})
    assert runner.run(write, Given(text="a")).pid != first.pid


def test_a_dry_run_computes_nothing(runner: Runner) -> None:
    runner.dry = True
    with pytest.raises(WouldRun) as caught:
        runner.map(write, [(Given(text="a"), "it", ""), (Given(text="b"), "that", "")])
    assert caught.value.labels == (f"{write.name} it", f"{write.name} that")
    assert not runner.is_kept(write, Given(text="a"))


def test_pure_stages_run_here(runner: Runner) -> None:
    given = Given(text="a")
    assert runner.run(inline, given) == given


def test_a_call_is_json(tmp_path: Path) -> None:
    call = Call(stage=write.name, given={"text": "a"}, key="k", store=str(tmp_path))
    execute(Call.model_validate_json(call.model_dump_json()))
    assert Store(tmp_path).get_record("k", Made) is not None


_OTHER = """
import sys
from pathlib import Path
from hubkit.store import Store
with Store(Path(sys.argv[1])).turn("k", lambda: None):
    print("in", flush=True)
    sys.stdin.readline()
"""


@pytest.mark.parametrize("ends", ["done", "killed"])
def test_two_processes_do_not_do_the_same_beside_each_other(tmp_path: Path, ends: str) -> None:
    root = Path(__file__).resolve().parent.parent
    other = subprocess.Popen(
        [sys.executable, "-c", _OTHER, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=root,
    )
    assert other.stdout is not None
    assert other.stdout.readline() == b"in\n"
    store = Store(tmp_path)
    call = Call(stage=write.name, given={"text": "a"}, key="another", store=str(tmp_path))
    execute(call)  # nobody is at that
    made = store.get_record("another", Made)
    assert made is not None
    theirs = made.model_copy(update={"pid": -1})
    heard: list[str] = []

    def progress(what: str, done: int, total: int) -> None:
        heard.append(what)
        if what == "waiting for another process":
            if ends == "done":
                store.put_record("k", theirs)
            other.kill()

    execute(call.model_copy(update={"key": "k"}), progress)
    other.communicate()
    assert heard[0] == "waiting for another process"
    if ends == "done":  # taken, not made again
        assert (heard[1:], store.get_record("k", Made)) == ([], theirs)
    else:
        assert (heard[1:], store.get_record("k", Made)) == (["writing"], made)


_PARENT = """
import sys
from pathlib import Path
from hubkit.executors.base import Call
from hubkit.executors.local import LocalExecutor
executor = LocalExecutor()
call = Call(stage="tests.stages_for_tests:write", given={"text": "a", "fail": "slow"}, key="k",
            store=sys.argv[1])
executor.submit(call, lane="x", progress=lambda what, done, total: print("busy", flush=True))
"""


def test_workers_end_with_a_killed_parent(tmp_path: Path) -> None:
    root = Path(__file__).resolve().parent.parent
    parent = subprocess.Popen(
        [sys.executable, "-c", _PARENT, str(tmp_path)], stdout=subprocess.PIPE, cwd=root
    )
    assert parent.stdout is not None
    assert parent.stdout.readline() == b"busy\n"
    children = subprocess.run(
        ["ps", "-o", "pid=", "--ppid", str(parent.pid)], capture_output=True, text=True, check=True
    ).stdout.split()
    assert children
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    deadline = time.monotonic() + 10
    while any(_runs(int(pid)) for pid in children) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(_runs(int(pid)) for pid in children)


def _runs(pid: int) -> bool:
    stat = Path(f"/proc/{pid}/stat")
    return stat.exists() and stat.read_text().rsplit(")", 1)[1].split()[0] != "Z"
