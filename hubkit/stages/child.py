"""The parent's end of a process that measures: started, spoken to in JSON lines, ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Generic, TypeVar

from pydantic import TypeAdapter

from hubkit.errors import HubkitError
from hubkit.executors.pipes import close_pipes
from hubkit.executors.worker import error_from
from hubkit.records import Record
from hubkit.stages.benchmark_worker import Fault

A = TypeVar("A", bound=Record)

# Its working folder is another, so a checkout that is only in the caller's would not be found.
_START = "import sys; sys.path.append(sys.argv[1]); from {module} import main; main()"


class Child(Generic[A]):
    """A process that runs `main` of a worker's module; it sleeps between calls.

    A subclass says which: `answers` parses its lines, `stage` and `process` are the words for its
    errors, `cure` is the hint where it dies.
    """

    module: str
    answers: TypeAdapter[A]
    stage: str
    process: str
    cure: str

    def __init__(self, subject: str, folder: Path) -> None:
        """`subject`: what it holds, for errors. `folder` is made: the process's working folder,
        since some libraries write there."""
        self.subject = subject
        folder.mkdir(parents=True)
        self._log = folder / "stderr.txt"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [
                    *(sys.executable, "-c", _START.format(module=self.module)),
                    str(Path(__file__).parents[2]),
                ],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                cwd=folder,
                env={**os.environ, "HF_HUB_OFFLINE": "1", "PYTHONWARNINGS": "ignore"},
                text=True,
                encoding="utf-8",
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    def send(self, call: Record) -> None:
        """Hand over a call; the answer is for `receive`."""
        stdin = self._process.stdin
        assert stdin is not None
        try:
            stdin.write(call.model_dump_json() + "\n")
            stdin.flush()
        except BrokenPipeError:
            raise self._death() from None

    def receive(self) -> A:
        """The answer to the last call, waited for without CPU; an error that it tells is raised."""
        stdout = self._process.stdout
        assert stdout is not None
        line = stdout.readline()
        if not line.endswith("\n"):
            raise self._death()
        answer = self.answers.validate_json(line)
        if isinstance(answer, Fault):
            error = error_from(answer.error, stage=self.stage)
            raise type(error)(
                f"{self.subject}: {error.message}", hint=error.hint, exit_code=error.exit_code
            )
        return answer

    def kill(self) -> None:
        """End the process now: it has nothing to save."""
        self._process.kill()
        self._process.wait()
        close_pipes(self._process)

    def _death(self) -> HubkitError:
        how = how_it_ended(self._process.wait())
        tail = self._log.read_text(encoding="utf-8", errors="replace").strip()[-2000:]
        return HubkitError(
            f"{self.subject}: {self.process} {how}" + (f"\n{tail}" if tail else ""), hint=self.cure
        )


def how_it_ended(code: int) -> str:
    """What an exit status says, in words that follow "the process"."""
    how = f"ended with code {code}" if code >= 0 else f"was killed by {_signal_name(-code)}"
    return f"{how}, often a sign that memory ran out" if code == -9 else how


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
