"""The code on the card is code, and is the code that the issue promises."""

from __future__ import annotations

import ast

import pytest

from hubkit.cards import snippets
from hubkit.recipe_tasks import TASK_KEYS
from hubkit.records import Format
from hubkit.tasks import TASKS, task_for

REPO = 'me/a-"b'


@pytest.mark.parametrize(
    ("kind", "lines"),
    [
        (
            "pytorch",
            "from optimum.intel.neural_compressor import INCModelForSequenceClassification\n"
            "model = INCModelForSequenceClassification.from_pretrained(repo_id)\n",
        ),
        (
            "onnx",
            "from optimum.onnxruntime import ORTModelForSequenceClassification\n"
            "model = ORTModelForSequenceClassification.from_pretrained(repo_id)\n",
        ),
    ],
)
def test_the_two_snippets_are_exactly_these(kind: Format, lines: str) -> None:
    text = snippets.loading(kind, "me/x")
    assert text == f'repo_id = "me/x"\n{lines}'


@pytest.mark.parametrize("task", TASKS.names())
def test_the_classes_are_those_that_verify_loads(task: str) -> None:
    classes = task_for(task).classes
    onnx, torch = (snippets.loading(kind, "me/x", task) for kind in ("onnx", "pytorch"))
    assert f"model = {classes.onnx}.from_pretrained(repo_id)" in onnx
    assert f"model = {classes.neural_compressor}.from_pretrained(repo_id)" in torch
    assert f"model = {classes.onnx}.from_pretrained(" in snippets.loading_fp32_onnx("me/x", task)


@pytest.mark.parametrize("kind", ["pytorch", "onnx"])
@pytest.mark.parametrize("pair", [False, True])
@pytest.mark.parametrize("task", TASKS.names())
def test_every_task_has_a_pipeline(task: str, pair: bool, kind: Format) -> None:
    text = snippets.pipeline_example(task, REPO, kind=kind, pair=pair)
    assert text.startswith(snippets.loading(kind, REPO, task))
    assert f'pipeline("{task}", model=model, tokenizer=tokenizer)' in text
    tree = ast.parse(text)
    assert ast.literal_eval(tree.body[0].value) == REPO  # type: ignore[attr-defined]
    assert max(map(len, text.splitlines())) <= 100
    takes_two = "secondary" in TASK_KEYS[task].optional
    assert ("text_pair" in text) == (pair and takes_two)


@pytest.mark.parametrize("pair", [False, True])
@pytest.mark.parametrize("task", TASKS.names())
def test_every_task_has_an_example(task: str, pair: bool) -> None:
    text = snippets.prediction(task, pair=pair)
    ast.parse(text)
    assert max(map(len, text.splitlines())) <= 100


@pytest.mark.parametrize("pair", [False, True])
def test_examples_are_python(pair: bool) -> None:
    text = snippets.loading("onnx", REPO) + snippets.prediction(pair=pair)
    tree = ast.parse(text)
    assert ast.literal_eval(tree.body[0].value) == REPO  # type: ignore[attr-defined]
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    tokenizing = next(c for c in calls if isinstance(c.func, ast.Name) and c.func.id == "tokenizer")
    assert len(tokenizing.args) == (2 if pair else 1)


def test_the_fp32_snippet_names_folder_and_file_apart() -> None:
    # ORTModel refuses file_name="onnx/model_fp32.onnx"
    text = snippets.loading_fp32_onnx("me/x")
    assert 'subfolder="onnx", file_name="model_fp32.onnx"' in text
    ast.parse(text)


def test_installing_pins_what_was_measured() -> None:
    tools = {"torch": "2.13.0+cpu", "optimum_intel": "1.27.0", "transformers": "4.50.3"}
    text = snippets.installing("pytorch", tools)
    assert '"torch==2.13.0"' in text  # a local build's mark exists on one index only
    assert '"optimum-intel==1.27.0"' in text
    assert '"neural-compressor[pt]"' in text  # not recorded, so not pinned
    assert text.replace("\\\n", " ").split()[:2] == ["pip", "install"]
