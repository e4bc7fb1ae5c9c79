"""The recipe of a model folder: the task is the model's."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hubkit.errors import ModelError
from hubkit.folder import LabelledData, folder_recipe
from hubkit.recipe import Recipe

ARCHITECTURES = {
    "text-classification": "DistilBertForSequenceClassification",
    "token-classification": "DistilBertForTokenClassification",
    "question-answering": "DistilBertForQuestionAnswering",
    "feature-extraction": "DistilBertModel",
}


def recipe_of(root: Path, architecture: str, *columns: str) -> Recipe:
    folder = root / "model"
    folder.mkdir()
    labels = {"0": "O", "1": "B-X"}
    config = {"architectures": [architecture], "id2label": labels, "max_position_embeddings": 64}
    (folder / "config.json").write_text(json.dumps(config))
    (root / "rows.jsonl").write_text("{}\n")
    data = LabelledData(
        path=str(root / "rows.jsonl"),
        text_column=columns[0],
        second_text_column=columns[1] if len(columns) > 1 else None,
        label_column="gold",
    )
    return folder_recipe(folder, data, root).recipe


@pytest.mark.parametrize(
    ("task", "columns", "keys"),
    [
        ("text-classification", ("a",), {"primary": "a"}),
        ("text-classification", ("a", "b"), {"primary": "a", "secondary": "b"}),
        ("token-classification", ("tokens",), {"primary": "tokens"}),
        ("question-answering", ("q", "c"), {"question": "q", "context": "c"}),
        ("feature-extraction", ("a",), {"primary": "a"}),
    ],
)
def test_task_columns_and_labels(
    tmp_path: Path, task: str, columns: tuple[str, ...], keys: dict[str, str]
) -> None:
    recipe = recipe_of(tmp_path, ARCHITECTURES[task], *columns)
    assert recipe.task == task
    assert recipe.dataset.data_keys == keys
    assert recipe.dataset.ref_keys == (() if task == "feature-extraction" else ("gold",))
    has_labels = task in ("text-classification", "token-classification")
    assert recipe.labels == ({"0": "O", "1": "B-X", "O": "O", "B-X": "B-X"} if has_labels else {})


def test_a_model_of_another_task_says_which(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="fill-mask"):
        recipe_of(tmp_path, "DistilBertForMaskedLM", "a")


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"architectures": []}'])
def test_a_configuration_that_says_nothing(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(ModelError, match=r"config\.json"):
        folder_recipe(tmp_path, LabelledData(path=str(tmp_path)), tmp_path)
