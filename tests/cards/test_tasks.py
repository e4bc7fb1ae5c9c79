"""The card of every task says what that task's answers and units are."""

from __future__ import annotations

import pytest

from hubkit.cards.layout import metric_title, metric_words
from hubkit.recipe import Recipe
from hubkit.records import Metric, Report, Scores
from hubkit.stages.card import render_card
from hubkit.tasks import TASKS, task_for
from hubkit.tasks.feature_extraction import NEIGHBOUR_ROWS
from tests.cards.examples import RECIPE, REPO_ID, make_base, make_lock, make_recipe, make_report
from tests.cards.markdown import table_lines, tables

WORDS = 7_654


def _scores(one: Scores, task: str, units: int | None) -> Scores:
    """The same numbers under the names of another task's metrics."""
    names = task_for(task).default_metrics
    metrics: list[Metric] = [
        one.metrics[at % len(one.metrics)].model_copy(update={"name": name})
        for at, name in enumerate(names)
    ]
    paired = one.paired and one.paired.model_copy(
        update={"units": units, "unit": "row" if units is None else "word"}
    )
    return one.model_copy(update={"metrics": tuple(metrics), "paired": paired})


def report_of(task: str, **changes: object) -> Report:
    report = make_report()
    has_labels = task_for(task).reference in ("label", "word-labels")
    units = WORDS if task == "token-classification" else None
    return make_report(
        task=task,
        base=make_base(labels=report.base.labels if has_labels else ()),
        dataset=report.dataset.model_copy(
            update={} if has_labels else {"label_counts": {}},
        ),
        scores=tuple(_scores(one, task, units) for one in report.scores),
        **changes,
    )


def recipe_of(task: str) -> Recipe:
    labels = RECIPE["labels"] if report_of(task).base.labels else {}
    keys = {key: key for key in task_for(task).required_keys}
    dataset = {"path": "example/x", "data_keys": keys, "ref_keys": []}
    return make_recipe(task=task, labels=labels, dataset=dataset)


def card_of(task: str, report: Report | None = None) -> str:
    return render_card(recipe_of(task), "", make_lock(), report or report_of(task), REPO_ID)


@pytest.mark.parametrize("task", TASKS.names())
def test_every_card_is_whole(task: str) -> None:
    text = card_of(task)
    found = tables(text)
    assert all(len(cells) == len(table[0]) for table in found for cells in table)
    assert len(table_lines(text)) == sum(len(table) + 1 for table in found)
    scores = next(t for t in found if any(row[0] == "Model size (MB)" for row in t))
    titles = [row[0] for row in scores]
    assert len(set(titles)) == len(titles)
    assert not any("_" in title for title in titles)
    assert ("McNemar's p" in titles) == (task != "feature-extraction")
    assert sum(title.startswith("Loss (") for title in titles) == 1
    assert ("| Labels |" in text) == bool(report_of(task).base.labels)


def test_words_are_counted_in_words() -> None:
    text = card_of("token-classification")
    assert "It gives another label to 27 of 7,654 words. Now right: 13; now wrong: 14." in text
    assert "another label for 0 of 7,654 words" in text
    assert "F1 (entities) on 1,000 examples of" in text
    assert "Words by label: `NEGATIVE`: 488, `POSITIVE`: 512." in text


def test_answers_are_no_labels() -> None:
    text = card_of("question-answering")
    assert "another answer to 27 of 1,000 questions. Now right: 13; now wrong: 14." in text
    assert "label" not in text.split("## Model details")[0].split("---\n")[2].lower()


def test_vectors_are_neither_right_nor_wrong() -> None:
    text = card_of("feature-extraction")
    assert "Another text is the nearest neighbour of 27 of 1,000 examples.\n" in text
    assert "ow right" not in text
    assert "lower is better" in text


def test_neighbours_are_looked_for_among_so_many() -> None:
    report = report_of("feature-extraction")
    dataset = report.dataset.model_copy(update={"eval_rows": 5000, "eval_rows_available": 5000})
    text = card_of("feature-extraction", report.model_copy(update={"dataset": dataset}))
    assert f"neighbour of 27 of {NEIGHBOUR_ROWS:,} examples" in text
    assert f"among the first {NEIGHBOUR_ROWS:,} examples" in text


def test_made_up_rows_are_not_passed_off_as_the_datasets() -> None:
    one = make_report().samples[0]
    text = card_of("token-classification", report_of("token-classification", samples=(one,) * 16))
    assert "16 rows of the evaluation split are published word for word" in text
    hidden = report_of("token-classification", samples=(one,) * 16, made_up_samples=True)
    text = card_of("token-classification", hidden)
    assert (
        "Rows of this dataset may not be shown, so none is in this repository. The 16 examples in"
        " `results.json`, with the logits of the published models, are made up and not from the"
        " dataset; `hubkit verify` asks them again." in text
    )
    assert "word for word" not in text


def test_windows_and_lost_words_are_told() -> None:
    encoded = make_report().encoded
    windows = encoded.model_copy(update={"inputs": 1234, "truncated": 2})
    text = card_of("question-answering", report_of("question-answering", encoded=windows))
    assert (
        "cut into windows that overlap, so that nothing is unseen: 1,234 inputs for 1,000 examples."
        " The questions of 2 examples were cut. The mean length" in text
    )
    lost = encoded.model_copy(update={"lost_units": 5})
    text = card_of("token-classification", report_of("token-classification", encoded=lost))
    assert (
        "That shortened 3 examples of 1,000. 5 words that were cut off, or have no token, are not"
        " scored. The mean length" in text
    )


@pytest.mark.parametrize("task", TASKS.names())
def test_metrics_have_titles(task: str) -> None:
    for name in task_for(task).metrics:
        assert "_" not in metric_title(name)
        assert metric_words(name).lower() == metric_title(name).lower()
