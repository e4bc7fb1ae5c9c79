"""The command line answers at once and imports nothing heavy."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

HEAVY = {
    *("accelerate", "datasets", "dulwich", "evaluate", "huggingface_hub", "jinja2"),
    *("neural_compressor", "numpy", "onnx", "onnxruntime", "optimum", "pandas", "pyarrow"),
    *("rich", "scipy", "sklearn", "starlette", "torch", "transformers", "uvicorn", "yaml"),
}

_LIST = """
import json, sys
from hubkit.cli.app import app
try:
    app(sys.argv[1:], standalone_mode=False)
except SystemExit:
    pass
sys.stderr.write(json.dumps(sorted({name.split(".")[0] for name in sys.modules})))
"""


@pytest.mark.parametrize("arguments", ["--help", "publish --help", "hub serve --help"])
def test_help_imports_nothing_heavy(arguments: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _LIST, *arguments.split()],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "Usage" in done.stdout
    loaded = set(json.loads(done.stderr))
    assert not loaded & HEAVY
    # Typer itself reads a command's parameters with pydantic; the list of commands needs none.
    assert arguments != "--help" or "pydantic" not in loaded


def test_every_command_is_in_the_help() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "hubkit", "--help"], capture_output=True, text=True, check=True
    )
    for command in ("publish", "quantize", "evaluate", "benchmark", "card", "push", "verify"):
        assert command in done.stdout
