"""The ONNX runtime: light to start, plain about faults."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from hubkit.backends.onnxruntime import runtime
from hubkit.errors import ModelError

_LOAD_AND_RUN = """
import sys
from pathlib import Path
import numpy as np
from hubkit.backends.onnxruntime import runtime
session = runtime.load(Path(sys.argv[1]), "model.onnx", threads=1)
ids = np.array([[2, 10, 3]], dtype=np.int64)
logits = session.run({"input_ids": ids, "attention_mask": np.ones_like(ids)})["logits"]
heavy = {"torch", "transformers", "optimum", "onnx", "datasets", "scipy", "pandas"}
print(logits.shape, sorted(heavy & set(sys.modules)))
"""


def test_loading_and_running_imports_nothing_heavy(exports: dict[str, Path]) -> None:
    root = Path(__file__).resolve().parents[2]
    ran = subprocess.run(
        [sys.executable, "-c", _LOAD_AND_RUN, str(exports["distilbert"])],
        env={**os.environ, "PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert ran.stdout == "(1, 2) []\n"
    assert ran.stderr == ""


def test_a_missing_or_damaged_file_is_a_model_error(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"no model\.onnx"):
        runtime.load(tmp_path, "model.onnx", threads=1)
    (tmp_path / "model.onnx").write_bytes(b"this is no protobuf")
    with pytest.raises(ModelError, match="cannot be loaded by onnxruntime"):
        runtime.load(tmp_path, "model.onnx", threads=1)
