"""The parent's end of a process that is under load, or makes it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from pydantic import TypeAdapter

from hubkit.errors import HubkitError
from hubkit.executors.worker import error_from
from hubkit.formats_records import Level
from hubkit.stages.benchmark_child import how_it_ended
from hubkit.stages.serving_worker import Answer, Done, Fault, Load, Ready, RunLevel

# Its working folder is another, so a checkout that is only in the caller's would not be found.
_WORKER = (
    "import sys; sys.path.append(sys.argv[1]);"
    " from hubkit.stages.serving_worker import main; main()"
)
_ANSWER: TypeAdapter[Answer] = TypeAdapter(Answer)


class ServingChild:
    """A process that holds the instances of one engine, spoken to in JSON lines."""

    def __init__(self, engine: str, folder: Path) -> None:
        """`folder` is made: the process's working folder, since some libraries write there."""
        self._engine = engine
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

    def load(self, call: Load) -> Ready:
        """Have the model loaded; how long a sentence of the requests is comes back."""
        answer = self._ask(call)
        assert isinstance(answer, Ready)
        return answer

    def level(self, *, concurrency: int | None = None, rate_per_s: float | None = None) -> Level:
        """Have one level measured; this process sleeps meanwhile."""
        answer = self._ask(RunLevel(concurrency=concurrency, rate_per_s=rate_per_s))
        assert isinstance(answer, Done)
        return answer.level

    def _ask(self, call: Load | RunLevel) -> Answer:
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        try:
            stdin.write(call.model_dump_json() + "\n")
            stdin.flush()
        except BrokenPipeError:
            raise self._death() from None
        line = stdout.readline()
        if not line.endswith("\n"):
            raise self._death()
        answer = _ANSWER.validate_json(line)
        if isinstance(answer, Fault):
            error = error_from(answer.error, stage="serve-load")
            raise type(error)(
                f"{self._engine}: {error.message}", hint=error.hint, exit_code=error.exit_code
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
            f"{self._engine}: the process under load {how}" + (f"\n{tail}" if tail else ""),
            hint="Run the same command again: finished levels are kept. Where memory is short, take"
            " fewer instances or a smaller batch.",
        )
