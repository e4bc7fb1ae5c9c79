"""A tiny model behind `hubkit serve`, in a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.serving.tiny_onnx import NAME, make_model


@dataclass(frozen=True)
class Running:
    """A server: its process, and where it is."""

    process: subprocess.Popen[str]
    port: int
    log: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def said(self) -> str:
        """What it printed so far."""
        return self.log.read_text()

    def stop(self) -> int:
        """Tell it to stop; gives its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(20)


@contextmanager
def served(folder: Path, *options: str) -> Iterator[Running]:
    """`hubkit serve` of a model folder on a free port."""
    command = [sys.executable, "-m", "hubkit", "serve", str(folder), "--port", "0", *options]
    log = folder.parent / f"serve-{time.monotonic_ns()}.txt"
    with log.open("w") as stream:
        process = subprocess.Popen(command, stderr=stream, text=True, env={**os.environ})
    try:
        until = time.monotonic() + 30
        while " at http://" not in (said := log.read_text()):
            assert process.poll() is None, said
            assert time.monotonic() < until, said
            time.sleep(0.02)
        port = int(said.partition(" at http://")[2].split()[0].rpartition(":")[2])
        yield Running(process, port, log)
    finally:
        process.kill()
        process.wait()


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the tiny model, named as it is served."""
    return make_model(tmp_path_factory.mktemp("served") / NAME)


@pytest.fixture(scope="session")
def server(tiny_folder: Path) -> Iterator[Running]:
    """The tiny model served with batches of up to 8 and a small body limit."""
    options = ("--instances", "2", "--threads", "1", "--max-batch", "8", "--max-body-mb", "0.1")
    with served(tiny_folder, *options) as running:
        yield running
