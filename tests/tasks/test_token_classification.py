"""The token classification task: which words are scored, and how."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from seqeval.metrics import f1_score
from transformers import AutoTokenizer

from hubkit.errors import DataError, ModelError
from hubkit.statistics import mcnemar_exact
from hubkit.tasks.base import Rows
from hubkit.tasks.token_classification import WordScorer, task
from tests.tiny import ENTITIES, SENTENCES, make_tiny_model

NO_ROWS = Rows({}, None)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_model(tmp_path_factory.mktemp("model") / "m", task="token-classification")


def _scorer(truth: list[list[int]], scratch: Path) -> WordScorer:
    arrays = {
        "labels": np.array([label for row in truth for label in row]),
        "word_offsets": np.cumsum([0, *map(len, truth)]),
    }
    return task.scorer(arrays, NO_ROWS, ENTITIES, scratch)


@pytest.mark.parametrize("max_length", [6, 64])
def test_a_label_is_read_at_the_first_token_of_its_word(model: Path, max_length: int) -> None:
    words = [sentence.split() for sentence in SENTENCES]
    words[1] = ["loving", "", "unwatchable", "\u200b", "film"]
    labels = [[(row + at) % 5 for at in range(len(one))] for row, one in enumerate(words)]
    made = task.encode(Rows({"primary": words}, labels), model, max_length=max_length)
    tokenizer = AutoTokenizer.from_pretrained(model)
    expected = tokenizer(words, is_split_into_words=True, truncation=True, max_length=max_length)
    offsets, positions = made.arrays["word_offsets"], made.arrays["word_positions"]
    scored = 0
    for row, given in enumerate(labels):
        ids = expected.word_ids(row)
        here = slice(offsets[row], offsets[row + 1])
        first = {word: ids.index(word) for word in dict.fromkeys(ids) if word is not None}
        assert positions[here].tolist() == list(first.values())
        assert made.arrays["labels"][here].tolist() == [given[word] for word in first]
        scored += len(first)
    assert made.lost == sum(map(len, words)) - scored
    whole = tokenizer(words, is_split_into_words=True)["input_ids"]
    assert made.truncated == sum(len(ids) > max_length for ids in whole)
    assert (made.truncated > 0) == (max_length == 6)
    assert made.lost == 2 if max_length == 64 else made.lost > 2


def test_padding_is_not_kept(model: Path) -> None:
    made = task.encode(Rows({"primary": [["good", "film"], []]}, None), model, max_length=16)
    logits = np.arange(2 * 7 * 5, dtype=np.float32).reshape(2, 7, 5)
    kept = task.keep({"logits": logits}, np.array([1, 0]), dict(made.arrays))
    assert [one.shape for one in kept] == [(0, 5), (2, 5)]
    assert np.array_equal(kept[1], logits[1, 1:3])
    with pytest.raises(ModelError, match=r"shape \[2, 5\] for 2 rows"):
        task.keep({"logits": logits[:, 0]}, np.array([1, 0]), dict(made.arrays))


def test_scores_are_seqevals_with_the_names_of_the_labels(tmp_path: Path) -> None:
    truth, found = [[1, 2, 0, 3], [0], [1]], [[1, 2, 0, 0], [3], [1]]
    scorer = _scorer(truth, tmp_path)
    answers = np.array([label for row in found for label in row])
    metrics = scorer.metrics(answers, ("f1", "accuracy"), 0.95, answers)
    names = [[[ENTITIES[label] for label in row] for row in rows] for rows in (truth, found)]
    assert [m.value for m in metrics] == pytest.approx([f1_score(*names), 4 / 6])
    assert {m.method for m in metrics} == {"bootstrap"}
    assert (scorer.unit, scorer.units) == ("word", 6)


def test_the_interval_is_over_sentences_not_words(tmp_path: Path) -> None:
    """Ten sentences of 100 words, each wholly right or wholly wrong, are ten trials."""
    truth = [[0] * 100 for _ in range(10)]
    scorer = _scorer(truth, tmp_path)
    answers = np.repeat([0, 0, 0, 0, 0, 1, 1, 1, 1, 1], 100)
    (accuracy,) = scorer.metrics(answers, ("accuracy",), 0.95, answers)
    assert accuracy.value == 0.5
    assert accuracy.interval.high - accuracy.interval.low > 0.5
    changes = scorer.changes(answers, np.zeros(1000, np.int64), "accuracy", 0.95, answers)
    assert (changes.flips, changes.now_right, changes.now_wrong) == (500, 0, 500)
    assert changes.p == mcnemar_exact(0, 5)
    assert changes.loss_interval.low < 0.3 < 0.7 < changes.loss_interval.high


def test_intervals_hold_the_truth_about_as_often_as_they_say(tmp_path: Path) -> None:
    """F1 of many drawn samples of sentences against that of the population they come from."""
    random = np.random.default_rng(5)
    population = random.integers(0, 5, (4000, 6))
    guesses = np.where(random.random(population.shape) < 0.8, population, 0)
    names = [[[ENTITIES[label] for label in row] for row in rows] for rows in (population, guesses)]
    whole = f1_score(*names)
    inside = 0
    for _ in range(60):
        rows = random.integers(0, len(population), 150)
        scorer = _scorer(population[rows].tolist(), tmp_path)
        (f1,) = scorer.metrics(guesses[rows].ravel(), ("f1",), 0.9, guesses)
        inside += f1.interval.low <= whole <= f1.interval.high
    assert 47 <= inside <= 60  # binomial(60, 0.9): outside in 1 of 1,000


def test_labels_and_words_that_do_not_fit(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no words to score"):
        _scorer([[], []], tmp_path)
    with pytest.raises(DataError, match="the model has 5 of them"):
        _scorer([[0, 5]], tmp_path)


def test_sentences_without_an_entity_are_scored_by_words_alone() -> None:
    begin = next(number for number, name in enumerate(ENTITIES) if name.startswith("B-"))
    none = ENTITIES.index("O")
    arrays = {
        "offsets": np.arange(4),
        "input_ids": np.arange(3),
        "word_offsets": np.array([0, 2, 3, 3]),
        "word_positions": np.array([1, 2, 1]),
        "labels": np.array([none, begin, none]),
    }
    found = [task.subset(arrays, NO_ROWS, np.array([row]), ENTITIES) for row in range(3)]
    assert [part.metrics for part in found] == [tuple(task.metrics), ("accuracy",), ("accuracy",)]
    assert [part.kept.tolist() for part in found] == [[0, 1], [2], []]
