"""The parent's end of the load generator's process."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from hubkit.errors import HubkitError
from hubkit.formats_records import Level
from hubkit.serving.load_worker import LoadCall

# Ctrl-C is the parent's to handle, which ends this process.
_WORKER = (
    "import signal, sys; signal.signal(signal.SIGINT, signal.SIG_IGN);"
    " sys.path.append(sys.argv[1]);"
    " from hubkit.serving.load_worker import serve; serve(sys.stdin, sys.stdout)"
)


class LoadProcess:
    """A process that sends requests and times the answers; it sleeps between calls."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", _WORKER, str(Path(__file__).parents[2])],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
        )

    def level(self, call: LoadCall) -> Level:
        """Have a level measured. Raises HubkitError as `Drive` does, or where the process dies."""
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        stdin.write(call.model_dump_json() + "\n")
        stdin.flush()
        line = stdout.readline()
        if not line.endswith("\n"):
            raise HubkitError(f"the load generator ended with code {self._process.wait()}")
        answer = json.loads(line)
        if "error" in answer:
            raise HubkitError(answer["error"], hint=answer["hint"])
        return Level.model_validate(answer)

    def close(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()

    def __enter__(self) -> LoadProcess:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
