"""Runs a command and measures its wall time and the peak memory of its whole process tree."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil


@dataclass(frozen=True)
class Measured:
    """`peak_mb`: the largest sum over the tree of the proportional set sizes (PSS: shared pages are
    counted once), looked at every 0.2 s."""

    returncode: int
    seconds: float
    peak_mb: float
    stdout: str
    stderr: str


def measure(command: Sequence[str], environment: Mapping[str, str] | None = None) -> Measured:
    """Run to the end; a process that outlives the command is counted while the command runs."""
    started = time.perf_counter()
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **(environment or {})},
    ) as process:
        watcher = _Watcher(process.pid)
        watcher.start()
        stdout, stderr = process.communicate()
        seconds = time.perf_counter() - started
        watcher.stop()
    return Measured(process.returncode, seconds, watcher.peak / 1e6, stdout, stderr)


class _Watcher(threading.Thread):
    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self.peak = 0
        self._root = pid
        self._over = threading.Event()

    def run(self) -> None:
        while not self._over.wait(0.2):
            with suppress(psutil.Error):
                root = psutil.Process(self._root)
                tree = [root, *root.children(recursive=True)]
                self.peak = max(self.peak, sum(map(_pss, tree)))

    def stop(self) -> None:
        self._over.set()
        self.join()


def _pss(process: psutil.Process) -> int:
    with suppress(OSError):
        for line in Path(f"/proc/{process.pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    with suppress(psutil.Error):
        return int(process.memory_info().rss)
    return 0
