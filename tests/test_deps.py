"""Optional packages: what importing them must not do."""

from __future__ import annotations

import subprocess
import sys

import pytest

_PROGRAM = """
import os, sys, time
forks = []
os.register_at_fork(before=lambda: forks.append(1))
from hubkit.deps import require
require("openvino", extra="openvino")
assert sys.modules["openvino_telemetry"] is None
time.sleep(1)  # a thread sends it
assert not forks
print("done")
"""


def test_importing_openvino_starts_no_process_that_reports_it() -> None:
    pytest.importorskip("openvino_telemetry")
    done = subprocess.run([sys.executable, "-c", _PROGRAM], capture_output=True, text=True)
    assert done.stdout == "done\n", done.stderr
