"""`.eval_results/*.yaml` only where a benchmark asked for just what was measured."""

from __future__ import annotations

import pytest
import yaml

from hubkit.cards.context import CardContext, build_context
from hubkit.cards.eval_results import eval_result_files
from hubkit.records import Lock, Report
from tests.cards.examples import RECIPE, REPO_ID, make_lock, make_recipe, make_report
from tests.cards.test_round_trip import recipe_of
from tests.cards.test_tasks import report_of

TASKS = ("sentences_plain", "sentences/hard: yes")


def lock_of(*tasks: str, **changes: object) -> Lock:
    lock = make_lock()
    update = {"benchmark_tasks": tasks, **changes}
    return make_lock(dataset=lock.dataset.model_copy(update=update))


def context(lock: Lock, report: Report | None = None, **recipe: object) -> CardContext:
    return build_context(make_recipe(**recipe), "", lock, report or make_report(), REPO_ID)


def test_a_dataset_that_is_no_benchmark() -> None:
    assert eval_result_files(context(make_lock())) == ()


def test_a_file_for_each_format_with_an_entry_for_each_task() -> None:
    lock, report = lock_of(*TASKS), make_report()
    files = eval_result_files(context(lock))
    assert [file.path for file in files] == [
        ".eval_results/sentences-pytorch.yaml",
        ".eval_results/sentences-onnx.yaml",
    ]
    for file, variant, label in zip(
        files,
        ("pytorch-int8-static", "onnx-int8-dynamic"),
        ("PyTorch INT8", "ONNX INT8"),
        strict=True,
    ):
        scores = report.scores_of(variant)
        assert scores
        assert yaml.safe_load(file.text) == [
            {
                "dataset": {
                    "id": "example/sentences",
                    "task_id": task,
                    "revision": lock.dataset.sha,
                },
                "value": scores.metrics[0].value,
                "source": {
                    "url": f"https://huggingface.co/{REPO_ID}/blob/main/results.json",
                    "name": "results.json",
                },
                "notes": f"{label}, accuracy",
            }
            for task in TASKS
        ]


def test_the_metric_is_the_one_of_the_gate() -> None:
    evaluation = {"metrics": ["accuracy", "f1"]}
    found = context(lock_of("t"), evaluation=evaluation, gates={"metric": "f1"})
    (entry,) = yaml.safe_load(eval_result_files(found)[1].text)
    scores = make_report().scores_of("onnx-int8-dynamic")
    assert scores
    assert entry["value"] == scores.metrics[1].value
    assert entry["notes"] == "ONNX INT8, f1"


def test_there_is_no_clock() -> None:
    one, two = (eval_result_files(context(lock_of(*TASKS))) for _ in range(2))
    assert one == two
    assert all("date" not in entry for file in one for entry in yaml.safe_load(file.text))


def test_only_the_published_formats() -> None:
    publication = {**RECIPE["publication"], "formats": ["onnx"]}  # type: ignore[dict-item]
    (file,) = eval_result_files(context(lock_of("t"), publication=publication))
    assert file.path == ".eval_results/sentences-onnx.yaml"


def test_some_of_the_rows_are_not_the_benchmark() -> None:
    dataset = make_report().dataset.model_copy(update={"partial": True})
    assert eval_result_files(context(lock_of("t"), make_report(dataset=dataset))) == ()


def test_what_was_not_scored_has_no_file() -> None:
    report = make_report(scores=())
    assert eval_result_files(context(lock_of("t"), report)) == ()


def test_likeness_to_fp32_is_no_score_of_a_benchmark() -> None:
    task = "feature-extraction"
    found = build_context(recipe_of(task), "", lock_of("t"), report_of(task), REPO_ID)
    assert found.metrics
    assert eval_result_files(found) == ()


@pytest.mark.parametrize("url", ["/datasets/example/sentences", None])
def test_a_hub_of_ones_own_has_no_address_for_others(url: str | None) -> None:
    files = eval_result_files(context(lock_of("t", url=url)))
    assert files
    assert all("source" not in entry for file in files for entry in yaml.safe_load(file.text))


def test_the_path_is_one_of_the_folder() -> None:
    files = eval_result_files(context(lock_of("t", id="a/../../b c\n")))
    assert [file.path for file in files] == [
        ".eval_results/b-c-pytorch.yaml",
        ".eval_results/b-c-onnx.yaml",
    ]
