"""What hubkit writes for OpenVINO, loaded and asked as a card tells a reader to, for each task."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("nncf", reason="needs the openvino extra")

from hubkit.backends import openvino as backend
from hubkit.backends import openvino_quantizer, optimum
from hubkit.cards import snippets
from hubkit.cards.layout import MODEL_FILES
from hubkit.recipe import OpenVinoStatic
from hubkit.stages.merged_config import merged_config
from hubkit.tasks import TASKS, task_for
from tests.e2e_small.programs import run_python
from tests.tiny import SENTENCES, make_tiny_model

pytestmark = pytest.mark.conformance
REPO = "writer/model"


def _published(root: Path, task: str) -> Path:
    """A repository's root: tokenizer files and config.json, and openvino/."""
    from transformers import AutoTokenizer

    model = make_tiny_model(root / "model", task=task, model_type="bert")
    optimum.exporter.export(model, root / "onnx", task=task)
    backend.exporter.export(root / "onnx", root / "fp32", task=task)
    tokenizer = AutoTokenizer.from_pretrained(model)
    rows = [tokenizer(one, return_tensors="np") for one in SENTENCES]
    batches = [{name: array.astype(np.int64) for name, array in row.items()} for row in rows]
    openvino_quantizer.static.quantize(
        root / "fp32", root / "int8", OpenVinoStatic(kind="openvino-static"), batches
    )
    repository = root / "repository"
    shutil.copytree(model, repository, ignore=shutil.ignore_patterns("*.safetensors"))
    weights = (repository / MODEL_FILES["openvino"]).parent
    weights.mkdir()
    for name in (backend.MODEL_FILE, backend.WEIGHTS_FILE):
        shutil.copyfile(root / "int8" / name, weights / name)
    text = merged_config({"openvino": root / "int8"}, "writer/base")
    (weights / "config.json").write_text(text, encoding="utf-8")
    return repository


@pytest.mark.parametrize("task", TASKS.names())
def test_the_card_s_program_gives_what_hubkit_measures(task: str, tmp_path: Path) -> None:
    folder = _published(tmp_path, task)
    program = snippets.loading("openvino", REPO, task) + snippets.prediction(task)
    plain = run_python(program, REPO, folder)
    assert plain.printed
    model, tokenizer = plain.names["model"], plain.names["tokenizer"]
    assert type(model).__name__ == task_for(task).classes.openvino
    assert callable(model)
    assert callable(tokenizer)
    ours = backend.int8.load(folder / "openvino", backend.MODEL_FILE, threads=1)
    given = tokenizer(SENTENCES[0], SENTENCES[1], return_tensors="pt")
    theirs = model(**given)
    arrays = {name: tensor.numpy() for name, tensor in given.items()}
    found = ours.run(arrays)
    for name in task_for(task).outputs:
        assert np.abs(found[name] - theirs[name].numpy()).max() < 1e-4
    labels = json.loads((folder / "openvino" / "config.json").read_text()).get("id2label")
    if task in ("text-classification", "token-classification"):
        assert {str(at): name for at, name in model.config.id2label.items()} == labels  # type: ignore[attr-defined]


@pytest.mark.parametrize("task", TASKS.names())
def test_it_goes_into_a_pipeline(task: str, tmp_path: Path) -> None:
    program = snippets.pipeline_example(task, REPO, kind="openvino")
    assert run_python(program, REPO, _published(tmp_path, task)).printed
