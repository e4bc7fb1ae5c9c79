"""Loading through the libraries that users load with: HF_ENDPOINT set, an empty HF_HOME."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from huggingface_hub import CommitOperationAdd, HfApi

from hubkit.hub.server.embedded import EmbeddedHub
from tests.hub_server.conftest import OWNER

LOAD_DATASET = """
import datasets
found = datasets.load_dataset("ana/data", split="validation")
assert found.num_rows == 3 and found.column_names == ["text", "label"], found
assert datasets.load_dataset("ana/data", split="train[:5]")["label"][:] == [0, 1, 2, 3, 4]
streamed = datasets.load_dataset("ana/data", split="train", streaming=True)
assert next(iter(streamed))["text"] == "row 0"
"""
LOAD_MODEL = """
import torch
from huggingface_hub import HfApi
from transformers import AutoModelForSequenceClassification
from transformers import DistilBertConfig, DistilBertForSequenceClassification

config = DistilBertConfig(vocab_size=20, dim=8, hidden_dim=8, n_layers=1, n_heads=2)
made = DistilBertForSequenceClassification(config)
made.save_pretrained("made")
HfApi().create_repo("ana/tiny", private=True)
HfApi().upload_folder(repo_id="ana/tiny", folder_path="made")
HfApi().create_tag("ana/tiny", tag="v1")
found = AutoModelForSequenceClassification.from_pretrained("ana/tiny", revision="v1")
for name, value in made.state_dict().items():
    assert torch.equal(value, found.state_dict()[name])
"""


def run(code: str, endpoint: str, home: Path) -> None:
    home.mkdir()
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "HUGGING"))}
    environment |= {"HF_ENDPOINT": endpoint, "HF_HOME": str(home), "HF_TOKEN": OWNER}
    environment |= {"HF_HUB_DISABLE_TELEMETRY": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment,
        cwd=home,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]


def test_load_dataset(hub: EmbeddedHub, api: HfApi, tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    def parquet(rows: int) -> bytes:
        table = pa.table({"text": [f"row {n}" for n in range(rows)], "label": list(range(rows))})
        sink = pa.BufferOutputStream()
        pq.write_table(table, sink)
        return sink.getvalue().to_pybytes()

    api.create_repo("ana/data", repo_type="dataset", private=True)
    files = [
        CommitOperationAdd("data/train-00000-of-00001.parquet", parquet(50)),
        CommitOperationAdd("data/validation-00000-of-00001.parquet", parquet(3)),
        CommitOperationAdd("README.md", b"---\nlicense: mit\n---\n# Data\n"),
    ]
    api.create_commit("ana/data", files, repo_type="dataset", commit_message="data")
    run(LOAD_DATASET, hub.endpoint, tmp_path / "home")


def test_from_pretrained(hub: EmbeddedHub, tmp_path: Path) -> None:
    run(LOAD_MODEL, hub.endpoint, tmp_path / "home")
