"""What must hold between keys."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest

from hubkit.recipe import Recipe, TaskName
from hubkit.recipe_check import check_recipe
from hubkit.recipe_tasks import TASK_KEYS
from hubkit.tasks import TASKS, task_for
from tests.recipe.conftest import Faults, Load

STATIC = "  - kind: onnx-static\n    per_channel: true\n"


def test_a_sound_recipe_has_no_fault(load: Load) -> None:
    assert check_recipe(load().recipe) == ()


def test_variant_names_are_unique(faults: Faults) -> None:
    found = faults(("  - kind: inc-static", "  - kind: onnx-dynamic\n  - kind: inc-static"))
    what = "variants[0] is named onnx-int8-dynamic too: give another name"
    assert found == [f"r.yaml:15: variants[2].name: {what}"]


def test_each_format_needs_a_variant(faults: Faults) -> None:
    (found,) = faults(("  - kind: inc-static\n", ""))
    assert found.startswith(
        "r.yaml:15: publication.formats[0]: no variant is made in the format pytorch"
    )
    (found,) = faults(
        (STATIC, ""), ("  - kind: onnx-dynamic\n", ""), ("license:", "formats: [onnx]\n  license:")
    )
    assert found.startswith(
        "r.yaml:14: publication.formats[0]: no variant is made in the format onnx"
    )


def test_the_gate_holds_a_measured_metric(faults: Faults) -> None:
    (found,) = faults(more="gates: {metric: recall}\n")
    assert found.startswith("r.yaml:19: gates.metric: the gate holds recall")
    (found,) = faults(more="evaluation:\n  metrics: [f1]\n")
    assert found.startswith("r.yaml:20: evaluation.metrics: the gate holds accuracy")


@pytest.mark.parametrize(
    ("calibration", "evaluation", "ok"),
    [
        ("train", "test", True),
        ("test", "test", False),
        ("test[:10%]", "test", False),
        ("train+test", "test", False),
        ("train[:90%]", "train[90%:]", True),
    ],
)
def test_calibration_never_sees_evaluation_data(
    load: Load, faults: Faults, calibration: str, evaluation: str, ok: bool
) -> None:
    splits = f"calibration_split: {calibration}\n  eval_split: {evaluation}\n  ref_keys"
    if ok:
        assert load(("ref_keys", splits)).recipe.dataset.calibration_split == calibration
        return
    (found,) = faults(("ref_keys", splits))
    assert found.startswith(f"r.yaml:7: dataset.calibration_split: calibrating on {calibration}")


def test_one_split_is_enough_without_static_variants(load: Load) -> None:
    one_split = ("ref_keys", "calibration_split: test\n  eval_split: test\n  ref_keys")
    changes = (one_split, (STATIC, ""), ("  - kind: inc-static", "  - kind: inc-dynamic"))
    assert load(*changes).recipe.dataset.eval_split == "test"


def test_the_columns(faults: Faults, load: Load) -> None:
    (found,) = faults(("{primary: text}", "{secondary: text}"))
    assert found == "r.yaml:6: dataset.data_keys.primary: missing key: the column of the text"
    (found,) = faults(("[label]", "[label, other]"))
    assert "takes 1 reference column, found 2" in found
    (found,) = faults(("[label]", "[text]"))
    assert found.startswith("r.yaml:7: dataset.ref_keys[0]: the column text is among data_keys too")
    (found,) = faults(("{primary: text}", "{primary: text, secondary: text}"))
    assert found == "r.yaml:6: dataset.data_keys.secondary: text is listed twice"
    pair = load(("{primary: text}", "{primary: a, secondary: b}")).recipe.dataset
    assert pair.data_keys == {"primary": "a", "secondary": "b"}


QA = (
    ("text-classification", "question-answering"),
    ("{primary: text}", "{question: q, context: c}"),
    ("labels:\n  0: NEGATIVE\n  1: POSITIVE\n", ""),
)
NER = (("text-classification", "token-classification"),)
VECTORS = (
    ("text-classification", "feature-extraction"),
    ("  ref_keys: [label]\n", ""),
    QA[2],
)


@pytest.mark.parametrize(
    ("changes", "metrics"),
    [
        (NER, ("f1", "precision", "recall", "accuracy")),
        (QA, ("f1", "exact_match")),
        (VECTORS, ("cosine", "relative_l2")),
    ],
    ids=["token-classification", "question-answering", "feature-extraction"],
)
def test_what_is_left_open_is_the_task_s(
    load: Load, changes: tuple[tuple[str, str], ...], metrics: tuple[str, ...]
) -> None:
    recipe = load(*changes).recipe
    assert recipe.evaluation.metrics == metrics
    assert recipe.gates.metric == metrics[0]
    assert check_recipe(recipe) == ()
    dumped = recipe.model_dump(mode="json", by_alias=True)
    assert Recipe.model_validate(dumped).evaluation == recipe.evaluation
    few = load(*changes, more=f"evaluation: {{metrics: [{metrics[0]}], batch_size: 4}}\n").recipe
    assert few.evaluation.metrics == metrics[:1]
    assert (few.evaluation.batch_size, few.gates.max_relative_loss) == (4, 0.01)


def test_the_metrics_are_those_of_the_task(faults: Faults) -> None:
    (found,) = faults(*QA, more="evaluation: {metrics: [f1, exact_match, accuracy]}\n")
    assert found.startswith(
        "r.yaml:16: evaluation.metrics[2]: question-answering has no metric accuracy"
    )
    (found,) = faults(more="gates: {metric: cosine}\n")
    assert found.startswith("r.yaml:19: gates.metric: text-classification has no metric cosine")
    (found,) = faults(*QA, more="evaluation: {metrics: [exact_match]}\n")
    assert found.startswith("r.yaml:16: evaluation.metrics: the gate holds f1")
    (found,) = faults(*VECTORS, more="gates: {metric: relative_l2}\n")
    assert "of relative_l2 less is better" in found
    assert found.endswith("hold cosine")


def test_labels_are_for_tasks_that_have_them(faults: Faults) -> None:
    for changes in ((QA[2],), (QA[2], *NER)):
        (found,) = faults(*changes)
        assert "labels: missing key: Value of the reference column" in found
    (found,) = faults(*QA[:2])
    assert found == "r.yaml:8: labels: question-answering has no labels: leave them out"


def test_the_columns_are_those_of_the_task(faults: Faults) -> None:
    (found,) = faults(QA[0], QA[2], ("{primary: text}", "{question: q}"))
    assert found == "r.yaml:6: dataset.data_keys.context: missing key: the column of the context"
    (found,) = faults(*NER, ("{primary: text}", "{primary: a, secondary: b}"))
    assert found.endswith("token-classification takes primary only")
    (found,) = faults(VECTORS[0], VECTORS[2])
    assert found.endswith("feature-extraction takes no reference column, found 1")


@pytest.mark.parametrize("name", TASK_KEYS)
def test_the_table_of_recipes_is_what_the_tasks_say(name: str) -> None:
    task, keys = task_for(name), TASK_KEYS[name]
    assert (task.required_keys, task.optional_keys) == (keys.required, keys.optional)
    assert task.default_metrics == keys.default_metrics
    assert set(task.metrics) == set(keys.metrics) >= set(keys.lower_is_better)
    assert keys.references == (task.reference != "none")
    assert keys.labels == (task.reference in ("label", "word-labels"))


def test_there_is_a_task_for_every_name_in_a_recipe() -> None:
    assert set(get_args(TaskName)) == set(TASK_KEYS) == set(TASKS.names())


def test_the_plan_of_the_benchmark(faults: Faults) -> None:
    found = faults(more="benchmark:\n  batch_sizes: [1, 8, 1]\n  input_lengths: [32, 256]\n")
    assert found == [
        "r.yaml:20: benchmark.batch_sizes[2]: 1 is listed twice",
        "r.yaml:21: benchmark.input_lengths[1]: 256 tokens would be timed, and"
        " evaluation.max_length cuts at 128: raise that, or leave this length out",
    ]


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("see the paper", "expected BibTeX entries"),
        ("@misc{key author = {A}}", "expected @type{key, with a comma after the key"),
        ("@misc{key, author = {A}", "the braces of this entry do not match"),
        ("@misc{key, title = {A}}} }", "the braces of this entry do not match"),
        (
            "@misc{a, title = {A}}\n    @book{b title = {B}}",
            "@book{b title = {B}}: expected @type{key,",
        ),
    ],
)
def test_bibtex_that_does_not_parse(faults: Faults, text: str, what: str) -> None:
    (found,) = faults(more=f"card:\n  bibtex: |\n    {text}\n")
    assert found.startswith("r.yaml:20: card.bibtex: ")
    assert what in found


def test_local_paths_are_there(faults: Faults, load: Load, tmp_path: Path) -> None:
    local = (
        ("{source: hub, id: me/model}", "{source: local, path: model}"),
        ("  path: me/data", "  source: local\n  path: rows.csv"),
    )
    assert faults(*local) == [
        "r.yaml:2: base.path: model: no folder with a config.json",
        "r.yaml:6: dataset.path: rows.csv: no such file or folder",
    ]
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text("{}")
    (tmp_path / "rows.csv").write_text("text,label\n")
    assert load(*local).recipe.base.source == "local"


def test_the_sweep(faults: Faults) -> None:
    (found,) = faults(more="gates: {select_from: sweep}\n")
    assert found.startswith("r.yaml:19: gates.select_from: the recipe declares no sweep")
    (found,) = faults(more="sweep: {quantization_approach: dynamic, aware_training: true}\n")
    assert found.startswith("r.yaml:19: sweep.aware_training: quantization-aware training is not")
    (found,) = faults(more="sweep: {quantization_approach: dynamic, batch_sizes: [4, 4]}\n")
    assert found == "r.yaml:19: sweep.batch_sizes[1]: 4 is listed twice"
