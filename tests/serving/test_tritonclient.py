"""`hubkit serve` to NVIDIA's own client."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.conformance.environments import python_of
from tests.serving.conftest import Running
from tests.serving.tiny_onnx import NAME

_PROBE = Path(__file__).parent / "triton_probe.py"


@pytest.mark.conformance
def test_tritonclient_finds_what_it_takes_for_granted(server: Running) -> None:
    python = python_of("tritonclient-2.73.0")
    command = [str(python), str(_PROBE), f"127.0.0.1:{server.port}", NAME]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
