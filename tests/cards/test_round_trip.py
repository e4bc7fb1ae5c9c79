"""huggingface_hub reads back from a written README.md what the recipe and the records say."""

from __future__ import annotations

from pathlib import Path

import pytest
from huggingface_hub import EvalResult, ModelCard, ModelCardData

from hubkit.cards.lint import lint
from hubkit.hub.server.cards import parse_card
from hubkit.hub_terms import METRICS
from hubkit.recipe import Recipe
from hubkit.records import Lock, Report
from hubkit.stages.card import render_card
from hubkit.tasks import TASKS, task_for
from tests.cards.examples import RECIPE, REPO_ID, make_lock, make_recipe
from tests.cards.test_tasks import report_of

WIDGETS: dict[str, list[dict[str, str]]] = {
    "text-classification": [
        {"text": "no", "example_title": "A word that YAML 1.1 takes for false"},
        {"text": "It: was 'fine' #really | \\o/ {x} - “quoted” 好", "example_title": "Signs"},
    ],
    "token-classification": [{"text": "Marie Curie was born in Warsaw."}],
    "question-answering": [
        {"text": "Where?", "context": "In Warsaw.", "example_title": "Place"},
        {"text": "When?", "context": "In 1867: on 7 November."},
    ],
    "feature-extraction": [{"text": "A sentence."}, {"text": "Another one."}],
}


def recipe_of(task: str, **publication: object) -> Recipe:
    has_labels = task_for(task).reference in ("label", "word-labels")
    columns = {key: key for key in task_for(task).required_keys}
    dataset = {
        "path": "example/sentences",
        "config": "plain_text",
        "eval_split": "test",
        "data_keys": columns,
        "ref_keys": [] if task == "feature-extraction" else ["label"],
    }
    said = {
        "repo_id": REPO_ID,
        "license": "other",
        "license_name": "house-rules-1.0",
        "license_link": "https://example.org/rules",
        "languages": ["no", "zh-Hant", "en"],
        "widget": WIDGETS[task],
        **publication,
    }
    labels = RECIPE["labels"] if has_labels else {}
    return make_recipe(task=task, labels=labels, dataset=dataset, publication=said)


def written(
    recipe: Recipe, report: Report, folder: Path, lock: Lock | None = None
) -> ModelCardData:
    path = folder / "README.md"
    text = render_card(recipe, "", lock or make_lock(), report, REPO_ID)
    path.write_text(text, encoding="utf-8")
    assert lint(text) == ()
    assert parse_card(text).errors == ()
    data = ModelCard.load(path).data
    assert isinstance(data, ModelCardData)
    return data


@pytest.mark.parametrize("task", TASKS.names())
def test_all_that_the_recipe_says_comes_back(task: str, tmp_path: Path) -> None:
    recipe, lock = recipe_of(task), make_lock()
    data = written(recipe, report_of(task), tmp_path)
    assert data.language == ["no", "zh", "en"]
    assert data.get("language_bcp47") == ["zh-Hant"]
    assert data.license == recipe.publication.license
    assert data.license_name == recipe.publication.license_name
    assert data.license_link == recipe.publication.license_link
    assert data.library_name == "optimum"
    assert data.pipeline_tag == task
    assert data.base_model == lock.base.id
    assert data.get("base_model_relation") == "quantized"
    assert data.datasets == [lock.dataset.id]
    assert {"int8", "onnx", "neural-compressor", "PostTrainingStatic"} < set(data.tags or [])
    assert data.get("widget") == WIDGETS[task]
    assert data.get("widget") == [
        example.model_dump(exclude_none=True) for example in recipe.publication.widget
    ]
    assert data.model_name == REPO_ID.rsplit("/", 1)[-1]
    known = [metric for metric in recipe.evaluation.metrics if metric in METRICS]
    assert data.metrics == (known or None)


@pytest.mark.parametrize("task", TASKS.names())
def test_every_measured_number_comes_back(task: str, tmp_path: Path) -> None:
    recipe, report, lock = recipe_of(task), report_of(task), make_lock()
    results = written(recipe, report, tmp_path).eval_results or []
    expected = []
    for name, variant in report.published().items():
        scores = report.scores_of(variant.name)
        assert scores
        label = {"onnx": "ONNX INT8", "pytorch": "PyTorch INT8"}[name]
        expected += [(metric.name, label, metric.value) for metric in scores.metrics]
    found = []
    for result in results:
        assert isinstance(result, EvalResult)
        assert result.metric_name is not None
        label = result.metric_name.rpartition("(")[2].rstrip(")")
        found.append((result.metric_type, label, result.metric_value))
        assert result.task_type == task
        assert result.dataset_type == lock.dataset.id
        assert result.dataset_name == "sentences"
        assert result.dataset_config == recipe.dataset.config
        assert result.dataset_split == recipe.dataset.eval_split
        assert result.dataset_revision == lock.dataset.sha
        assert result.verified is False
    assert sorted(found) == sorted(expected)


def test_one_language_and_a_common_licence_are_plain(tmp_path: Path) -> None:
    task = "text-classification"
    said = {"license": "mit", "license_name": None, "license_link": None, "widget": []}
    recipe = recipe_of(task, **said, languages=["pt-BR"])
    data = written(recipe, report_of(task), tmp_path)
    assert (data.language, data.get("language_bcp47"), data.license) == ("pt", ["pt-BR"], "mit")
    for key in ("license_name", "license_link", "widget"):
        assert key not in data.to_dict()
    bare = written(recipe_of(task, **said, languages=["no"]), report_of(task), tmp_path)
    assert (bare.language, bare.get("language_bcp47")) == ("no", None)


def test_text_of_an_example_stays_in_its_place(tmp_path: Path) -> None:
    task = "text-classification"
    text = "x\n---\nlicense: gpl\n---\n\tand a tab"
    data = written(recipe_of(task, widget=[{"text": text}]), report_of(task), tmp_path)
    assert data.get("widget") == [{"text": "x --- license: gpl --- and a tab"}]
    assert data.license == "other"
