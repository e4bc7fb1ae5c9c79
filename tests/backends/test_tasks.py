"""Models of every task, in every backend: the same outputs by the same names."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from hubkit.backends import exporter_for, neural_compressor, onnxruntime, torch
from hubkit.errors import ModelError
from hubkit.keys import files_of
from hubkit.recipe import IncDynamic, IncStatic
from hubkit.tasks import task_for
from tests.tiny import SENTENCES, make_tiny_model

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from hubkit.backends.base import Arrays, Outputs

TASKS = (
    "text-classification",
    "token-classification",
    "question-answering",
    "feature-extraction",
)
each_task = pytest.mark.parametrize("task", TASKS)
each_architecture = pytest.mark.parametrize("architecture", ["distilbert", "bert"])


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], Path]:
    root = tmp_path_factory.mktemp("models")
    return {
        (task, kind): make_tiny_model(root / task / kind, model_type=kind, task=task)
        for task in TASKS
        for kind in ("distilbert", "bert")
    }


@pytest.fixture(scope="module")
def batch(folders: dict[tuple[str, str], Path]) -> Arrays:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folders[TASKS[0], "bert"])
    made = tokenizer(list(SENTENCES), padding=True, return_tensors="np")
    return {name: array.astype(np.int64) for name, array in made.items()}


def _real(task: str, outputs: Outputs, batch: Arrays) -> list[NDArray[np.float32]]:
    """The outputs that the task reads, without those of the padding."""
    mask = batch["attention_mask"].astype(bool)
    found = [outputs[name] for name in task_for(task).outputs]
    return [one if task == "text-classification" else one[mask] for one in found]


@each_architecture
@each_task
def test_pytorch_and_onnx_agree(
    task: str,
    architecture: str,
    folders: dict[tuple[str, str], Path],
    batch: Arrays,
    tmp_path: Path,
) -> None:
    folder = folders[task, architecture]
    exporter_for("onnx").export(folder, tmp_path / "onnx", task=task)
    reference = torch.runtime.load(folder, "model.safetensors", threads=1).run(batch)
    exported = onnxruntime.runtime.load(tmp_path / "onnx", "model.onnx", threads=1).run(batch)
    pairs = zip(_real(task, reference, batch), _real(task, exported, batch), strict=True)
    for theirs, ours in pairs:
        assert theirs.shape == ours.shape
        assert theirs.dtype == ours.dtype == np.float32
        assert np.ptp(theirs, axis=0).min() > 0.1, "the model says the same of everything"
        np.testing.assert_allclose(ours, theirs, atol=1e-4)


@each_architecture
@each_task
def test_neural_compressor_quantizes_and_reloads(
    task: str,
    architecture: str,
    folders: dict[tuple[str, str], Path],
    batch: Arrays,
    tmp_path: Path,
) -> None:
    pytest.importorskip("neural_compressor", reason="needs the inc extra")
    from optimum.intel import neural_compressor as inc
    from torch import from_numpy, no_grad

    folder = folders[task, architecture]
    reference = torch.runtime.load(folder, "model.safetensors", threads=1).run(batch)
    neural_compressor.static.quantize(
        folder, tmp_path / "int8", IncStatic(kind="inc-static"), [batch]
    )
    session = neural_compressor.runtime.load(tmp_path / "int8", "pytorch_model.bin", threads=1)
    made = session.run(batch)
    for theirs, ours in zip(_real(task, reference, batch), _real(task, made, batch), strict=True):
        difference = np.abs(ours - theirs)
        assert difference.max() > 1e-4, "not quantized at all"
        assert difference.mean() < 0.15 * np.ptp(theirs)
    # As the card shows it.
    loaded = getattr(inc, task_for(task).classes.neural_compressor).from_pretrained(
        tmp_path / "int8"
    )
    with no_grad():
        given = {name: from_numpy(batch[name]) for name in session.input_names}
        found = loaded(**given)
    for name in task_for(task).outputs:
        assert np.array_equal(found[name].numpy(), made[name])


def test_weights_that_lack_the_head_are_refused(
    folders: dict[tuple[str, str], Path], tmp_path: Path
) -> None:
    folder = tmp_path / "bare"
    shutil.copytree(folders["feature-extraction", "distilbert"], folder)
    config = json.loads((folder / "config.json").read_text())
    for head, word in (
        ("DistilBertForTokenClassification", "token classifier"),
        ("DistilBertForQuestionAnswering", "model for question answering"),
    ):
        (folder / "config.json").write_text(json.dumps({**config, "architectures": [head]}))
        with pytest.raises(ModelError, match=f"no fine-tuned {word}"):
            torch.load_model(folder)


def test_a_pooler_that_the_weights_lack_is_the_same_each_time(
    folders: dict[tuple[str, str], Path], batch: Arrays, tmp_path: Path
) -> None:
    """A token classifier of BERT has none, and its Transformer alone is asked for one."""
    pytest.importorskip("neural_compressor", reason="needs the inc extra")
    folder = tmp_path / "base"
    shutil.copytree(folders["token-classification", "bert"], folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "architectures": ["BertModel"]}))
    for name in ("a", "b"):
        spec = IncDynamic(kind="inc-dynamic")
        neural_compressor.dynamic.quantize(folder, tmp_path / name, spec)
    assert files_of(tmp_path / "a") == files_of(tmp_path / "b")
    session = torch.runtime.load(folder, "model.safetensors", threads=1)
    assert session.run(batch)["last_hidden_state"].shape[2] == 32
