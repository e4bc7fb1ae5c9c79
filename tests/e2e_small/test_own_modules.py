"""`hubkit publish` of a base that is a model of sentence-transformers with a Dense layer: what is
on the Hub gives the base's own embedding, in every format."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from huggingface_hub import snapshot_download
from transformers import AutoModel, AutoTokenizer

from hubkit.backends.projection import FILES, projection_of
from hubkit.records import Report
from tests.backends.test_embedding_modules import OUT, expected, layout
from tests.e2e_small.programs import CLOSE, blocks, run_python
from tests.e2e_small.worlds import World, sentences, tiny_recipe
from tests.javascript.node import run as run_javascript
from tests.tiny import make_tiny_model

pytestmark = pytest.mark.conformance
pytest.importorskip("neural_compressor", reason="needs the inc extra")
pytest.importorskip("nncf", reason="needs the openvino extra")

TASK, WIDTH = "feature-extraction", 32


def test_the_base_s_own_embedding_is_published(fresh: World, tmp_path: Path) -> None:
    for path in fresh.model.iterdir():
        path.unlink()
    make_tiny_model(fresh.model, task=TASK)
    layer = layout(fresh.model, width=WIDTH, pickled=True)
    for split, seed in (("train", 1), ("validation", 2)):
        rows = [json.dumps({"text": text}) + "\n" for text in sentences(40, seed)]
        (fresh.folder / "data" / f"{split}.csv").unlink()
        (fresh.folder / "data" / f"{split}.jsonl").write_text("".join(rows), encoding="utf-8")
    publication = tiny_recipe()["publication"]
    assert isinstance(publication, dict)
    formats = ["pytorch", "onnx", "openvino"]
    fresh.write(
        task=TASK,
        dataset={"source": "local", "path": "data", "data_keys": {"primary": "text"}},
        labels={},
        variants=[
            {"kind": "onnx-dynamic"},
            {"kind": "inc-dynamic"},
            {"kind": "openvino-static", "calibration": {"num_samples": 20, "batch_size": 1}},
        ],
        evaluation={"max_length": 48},
        gates={"max_relative_loss": 0.9, "must_pay": False},
        publication={**publication, "formats": formats, "include_fp32_onnx": True},
    )
    done = fresh.publish()
    assert done.code == 0, done.out + done.err
    verified = done.json()["verified"]
    assert isinstance(verified, dict)
    checked = {check["format"] for check in verified["formats"] if check["checked"]}
    assert {"onnx", "pytorch"} <= checked

    folder = Path(
        snapshot_download(
            fresh.repo, endpoint=fresh.server.endpoint, token=fresh.token, cache_dir=tmp_path
        )
    )
    assert {path.relative_to(folder).as_posix() for path in folder.rglob("*.*")} >= set(FILES)
    projection = projection_of(folder)
    assert projection is not None
    assert (projection.activation, projection.pooling) == ("Tanh", "cls")
    assert projection.normalized
    report = Report.model_validate_json((folder / "results.json").read_bytes())
    # Against the formula on the base itself: the FP32 graph exactly, INT8 as far as it rounds.
    tokenizer = AutoTokenizer.from_pretrained(fresh.model)
    model = AutoModel.from_pretrained(fresh.model).eval()
    fp32 = onnxruntime.InferenceSession(
        str(folder / "onnx" / "model_fp32.onnx"), providers=["CPUExecutionProvider"]
    )
    names = {one.name for one in fp32.get_inputs()}
    alike: dict[str, list[float]] = {}
    for sample in report.samples:
        inputs = tokenizer(sample.primary, return_tensors="pt")
        with torch.no_grad():
            states = model(**inputs).last_hidden_state
        wanted = expected(states, inputs["attention_mask"], layer, "Tanh", "cls_token")[0].numpy()
        feed = {name: one.numpy() for name, one in inputs.items() if name in names}
        (found,) = fp32.run(["sentence_embedding"], feed)
        np.testing.assert_allclose(found[0], wanted, atol=1e-5)
        for kind, values in sample.logits.items():
            assert len(values) == OUT
            assert np.linalg.norm(values) == pytest.approx(1, abs=1e-5)
            alike.setdefault(kind, []).append(float(np.dot(values, wanted)))
    assert set(alike) == set(formats)
    # INT8 of a model with random weights; the mean over the tokens would be unlike it altogether.
    assert min(np.mean(values) for values in alike.values()) > 0.95
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert "by its own modules: `Pooling (cls)`, `Dense (Tanh)`, `Normalize`." in card
    programs = [one for one in blocks(card, "python") if "from_pretrained(repo_id" in one]
    printed = [
        float(run_python(one, fresh.repo, folder).printed)
        for one in programs
        if "print(" in one and "SentenceTransformer(" not in one and "openvino" not in one
    ]
    assert len(printed) == 2
    assert printed[0] == pytest.approx(printed[1], abs=0.05)
    (program,) = blocks(card, "javascript")
    (said,) = run_javascript(program, tmp_path, hub=fresh.server.endpoint)
    assert said == pytest.approx(printed[1], abs=CLOSE)
