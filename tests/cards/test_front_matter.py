"""The YAML block gives back, through huggingface_hub, what the recipe and the records say."""

from __future__ import annotations

import pytest
import yaml
from huggingface_hub import ModelCard, ModelCardData

from hubkit.cards.context import build_context
from hubkit.cards.front_matter import front_matter
from hubkit.errors import HubkitError
from hubkit.recipe import Recipe
from hubkit.records import Lock, Report
from hubkit.stages.card import render_card
from hubkit.tasks import TASKS, task_for
from tests.cards.examples import RECIPE, REPO_ID, make_lock, make_recipe, make_report
from tests.cards.test_tasks import report_of


def card_of(
    recipe: Recipe | None = None, lock: Lock | None = None, report: Report | None = None
) -> ModelCard:
    recipe, lock, report = recipe or make_recipe(), lock or make_lock(), report or make_report()
    return ModelCard(render_card(recipe, "", lock, report, REPO_ID))


def data_of(
    recipe: Recipe | None = None, lock: Lock | None = None, report: Report | None = None
) -> ModelCardData:
    data = card_of(recipe, lock, report).data
    assert isinstance(data, ModelCardData)
    return data


def test_round_trip() -> None:
    data = data_of()
    assert data.language == "en"
    assert data.license == "apache-2.0"
    assert data.library_name == "optimum"
    assert data.pipeline_tag == "text-classification"
    assert data.base_model == "example/tiny-sentiment"
    assert data.get("base_model_relation") == "quantized"
    assert data.datasets == ["example/sentences"]
    assert data.metrics == ["accuracy", "f1"]
    assert data.model_name == "tiny-sentiment-int8"


def test_model_index_holds_the_records_values_and_is_honest() -> None:
    report = make_report()
    results = {result.metric_name: result for result in data_of(report=report).eval_results or []}
    assert set(results) == {
        "Accuracy (PyTorch INT8)",
        "F1 (PyTorch INT8)",
        "Accuracy (ONNX INT8)",
        "F1 (ONNX INT8)",
    }
    scores = report.scores_of("onnx-int8-dynamic")
    assert scores
    accuracy = results["Accuracy (ONNX INT8)"]
    assert accuracy.metric_value == scores.metrics[0].value
    assert accuracy.metric_type == "accuracy"
    assert accuracy.verified is False
    assert accuracy.dataset_type == "example/sentences"
    assert accuracy.dataset_config == "default"
    assert accuracy.dataset_split == "validation"
    assert accuracy.dataset_revision == make_lock().dataset.sha
    assert accuracy.dataset_args is None


def test_the_block_survives_being_written_again() -> None:
    card = card_of()
    assert yaml.safe_load(str(ModelCard(str(card)).data)) == yaml.safe_load(str(card.data))
    assert str(card) == card.content


def test_keys_are_in_the_order_people_look_for_them() -> None:
    text = render_card(make_recipe(), "", make_lock(), make_report(), REPO_ID)
    block = yaml.safe_load(text.split("---\n")[1])
    assert list(block) == [
        "language",
        "license",
        "library_name",
        "pipeline_tag",
        "base_model",
        "base_model_relation",
        "datasets",
        "metrics",
        "tags",
        "model-index",
    ]


def test_tags_name_only_what_is_in_the_repository() -> None:
    assert data_of().tags == [
        "distilbert",
        "int8",
        "onnx",
        "onnxruntime",
        "pytorch",
        "neural-compressor",
        "post-training-dynamic",
        "PostTrainingDynamic",
        "post-training-static",
        "PostTrainingStatic",
    ]
    publication = {"license": "mit", "formats": ["onnx"], "languages": ["en", "fr"]}
    only_onnx = data_of(make_recipe(publication=publication))
    assert only_onnx.tags == [
        *("distilbert", "int8", "onnx", "onnxruntime"),
        *("post-training-dynamic", "PostTrainingDynamic"),
    ]
    assert only_onnx.language == ["en", "fr"]
    assert only_onnx.license == "mit"


def test_a_local_base_is_not_passed_off_as_a_hub_id() -> None:
    lock = make_lock()
    local = lock.base.model_copy(update={"source": "local", "id": "my-folder", "url": None})
    data = data_of(lock=lock.model_copy(update={"base": local}))
    assert data.base_model is None
    assert data.get("base_model_relation") is None


def test_a_partial_evaluation_is_marked() -> None:
    dataset = make_report().dataset.model_copy(update={"partial": True, "eval_rows_available": 9})
    data = data_of(report=make_report(dataset=dataset))
    assert [r.dataset_args for r in data.eval_results or []] == [{"rows": 1000}] * 4


@pytest.mark.parametrize(
    "hostile", ["x\n---\nlicense: gpl\n---\n", "a: b", "'\"", "- x", "{{ x }}", "no", "\u2028---"]
)
def test_hostile_strings_stay_values(hostile: str) -> None:
    lock = make_lock()
    changed = lock.model_copy(
        update={
            "base": lock.base.model_copy(update={"id": hostile}),
            "dataset": lock.dataset.model_copy(update={"id": hostile, "sha": hostile}),
        }
    )
    base = make_report().base.model_copy(update={"model_type": hostile})
    context = build_context(make_recipe(), "", changed, make_report(base=base), REPO_ID)
    card = ModelCard(f"{front_matter(context)}\n# Tiny sentiment\n")
    assert isinstance(card.data, ModelCardData)
    assert card.data.license == "apache-2.0"
    assert card.data.base_model == " ".join(hostile.split())
    assert (card.data.tags or [])[0] == " ".join(hostile.split())
    assert card.text == "\n# Tiny sentiment\n"


def test_a_card_that_the_hub_would_refuse_is_not_written() -> None:
    lock = make_lock()
    base = lock.base.model_copy(update={"id": "not an id"})
    with pytest.raises(HubkitError, match="base_model: 'not an id' is no id of a model"):
        card_of(lock=lock.model_copy(update={"base": base}))


@pytest.mark.parametrize("task", TASKS.names())
def test_every_task_is_named_as_the_hub_does(task: str) -> None:
    labels = RECIPE["labels"] if task_for(task).reference in ("label", "word-labels") else {}
    keys = {key: key for key in task_for(task).required_keys}
    dataset = {"path": "example/x", "data_keys": keys, "ref_keys": []}
    recipe = make_recipe(task=task, labels=labels, dataset=dataset)
    data = data_of(recipe, report=report_of(task))
    assert data.pipeline_tag == task_for(task).pipeline_tag
    results = data.eval_results or []
    assert {(r.task_type, r.task_name) for r in results} == {(task, task.replace("-", " ").title())}
