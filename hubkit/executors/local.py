"""Runs calls in child processes of this machine, one process a lane."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from concurrent.futures import Future, ThreadPoolExecutor
from typing import IO

from hubkit.errors import HubkitError, WorkerError
from hubkit.executors.base import Call
from hubkit.executors.pipes import close_pipes
from hubkit.executors.worker import error_from
from hubkit.output import Stopwatch
from hubkit.stage import Progress

# Quiet libraries, no progress bars on a pipe, no spinning OpenMP threads beside other work.
_ENVIRONMENT = {
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "OMP_WAIT_POLICY": "PASSIVE",
    "PYTHONWARNINGS": "ignore",
    "TOKENIZERS_PARALLELISM": "false",
    "TRANSFORMERS_VERBOSITY": "error",
    "DATASETS_VERBOSITY": "error",
}


class LocalExecutor:
    """Child processes that stay until `close`, so that each imports its libraries once."""

    def __init__(self, *, endpoint: str | None = None, token: str | None = None) -> None:
        self._environment = {**os.environ, **_ENVIRONMENT}
        if endpoint:
            self._environment["HF_ENDPOINT"] = endpoint
        if token:
            self._environment["HF_TOKEN"] = token
        self._lanes: dict[str, _Lane] = {}

    def submit(self, call: Call, *, lane: str, progress: Progress) -> Future[float]:
        found = self._lanes.get(lane)
        if found is None or found.dead:
            if found is not None:
                found.close()
            found = self._lanes[lane] = _Lane(self._environment)
        return found.submit(call, progress)

    def close(self) -> None:
        for lane in self._lanes.values():
            lane.close()
        self._lanes.clear()


class _Lane:
    """One child process and the thread that talks to it."""

    def __init__(self, environment: dict[str, str]) -> None:
        self._log: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - it lives as long as the lane
        self._process = subprocess.Popen(
            [sys.executable, "-m", "hubkit.executors.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            env=environment,
            text=True,
            encoding="utf-8",
        )
        self._thread = ThreadPoolExecutor(1)

    @property
    def dead(self) -> bool:
        """Whether the process has ended."""
        return self._process.poll() is not None

    def submit(self, call: Call, progress: Progress) -> Future[float]:
        return self._thread.submit(self._run, call, progress)

    def close(self) -> None:
        self._process.kill()
        self._thread.shutdown(wait=True, cancel_futures=True)
        self._process.wait()
        close_pipes(self._process)
        self._log.close()

    def _run(self, call: Call, progress: Progress) -> float:
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        watch = Stopwatch()
        try:
            stdin.write(call.model_dump_json() + "\n")
            stdin.flush()
        except (BrokenPipeError, ValueError):
            raise self._death(call) from None
        for line in stdout:
            event = json.loads(line)
            if "progress" in event:
                progress(*event["progress"])
            elif "error" in event:
                raise error_from(event["error"], stage=call.stage)
            else:
                return watch.seconds
        raise self._death(call)

    def _death(self, call: Call) -> HubkitError:
        code = self._process.wait()
        self._log.seek(0, os.SEEK_END)
        self._log.seek(max(0, self._log.tell() - 2000))
        tail = self._log.read().decode(errors="replace").strip()
        killed = " (killed: often for want of memory)" if code == -9 else ""
        return WorkerError(
            f"the process that ran stage {call.stage} ended with code {code}{killed}"
            + (f"\n{tail}" if tail else ""),
            hint="Run the same command again: finished stages are kept.",
        )
