"""The parent's end of a benchmark process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from pydantic import TypeAdapter

from hubkit.errors import HubkitError
from hubkit.executors.worker import error_from
from hubkit.stages.benchmark_worker import Answer, Fault, Load, Measure

# Its working folder is another, so a checkout that is only in the caller's would not be found.
_WORKER = (
    "import sys; sys.path.append(sys.argv[1]);"
    " from hubkit.stages.benchmark_worker import main; main()"
)
_ANSWER: TypeAdapter[Answer] = TypeAdapter(Answer)


class Child:
    """A process that holds one variant, spoken to in JSON lines; it sleeps between calls."""

    def __init__(self, variant: str, folder: Path) -> None:
        """`folder` is made: the process's working folder, since some libraries write there."""
        self.variant = variant
        folder.mkdir(parents=True)
        self._log = folder / "stderr.txt"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-c", _WORKER, str(Path(__file__).parents[2])],
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

    def send(self, call: Load | Measure) -> None:
        """Hand over a call; the answer is for `receive`."""
        stdin = self._process.stdin
        assert stdin is not None
        try:
            stdin.write(call.model_dump_json() + "\n")
            stdin.flush()
        except BrokenPipeError:
            raise self._death() from None

    def receive(self) -> Answer:
        """The answer to the last call, waited for without CPU; a fault in it is raised."""
        stdout = self._process.stdout
        assert stdout is not None
        line = stdout.readline()
        if not line.endswith("\n"):
            raise self._death()
        answer = _ANSWER.validate_json(line)
        if isinstance(answer, Fault):
            error = error_from(answer.error, stage="benchmark")
            raise type(error)(
                f"{self.variant}: {error.message}", hint=error.hint, exit_code=error.exit_code
            )
        return answer

    def kill(self) -> None:
        """End the process now: it has nothing to save."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                try:
                    pipe.close()
                except BrokenPipeError:  # an unsent call was still in the buffer
                    continue

    def _death(self) -> HubkitError:
        how = how_it_ended(self._process.wait())
        tail = self._log.read_text(encoding="utf-8", errors="replace").strip()[-2000:]
        return HubkitError(
            f"{self.variant}: the benchmark process {how}" + (f"\n{tail}" if tail else ""),
            hint="Run the same command again: finished stages are kept. Where memory is short, take"
            " fewer variants or smaller benchmark.batch_sizes.",
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
