from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import AutoModelForSequenceClassification, PreTrainedModel

from hubkit.demo.finetune import Hyperparameters, Rows, accuracy, batches_of, finetune, padded
from tests.tiny import make_tiny_model

pytestmark = pytest.mark.usefixtures("one_thread")


def _model(folder: Path) -> PreTrainedModel:
    make_tiny_model(folder)
    model: PreTrainedModel = AutoModelForSequenceClassification.from_pretrained(folder)
    return model


def _separable(count: int) -> Rows:
    """Token 7 in a row makes it positive, token 8 negative."""
    ids = [[2, *([9] * (i % 5)), 7 if i % 2 else 8, 3] for i in range(count)]
    return Rows(ids, [i % 2 for i in range(count)])


HOW = Hyperparameters(rows=64, epochs=6, learning_rate=3e-3, batch_size=16, max_length=16)


def test_learns_what_can_be_learned(tmp_path: Path) -> None:
    model, rows = _model(tmp_path / "m"), _separable(64)
    finetune(model, rows, HOW, lambda *_: None)
    assert accuracy(model, rows) == 1.0
    assert not model.training


def test_the_same_again_gives_the_same_weights(tmp_path: Path) -> None:
    weights = []
    for _ in range(2):
        model = _model(tmp_path / "m")
        torch.rand(3)  # what happened to the global generator before does not matter
        finetune(model, _separable(32), HOW, lambda *_: None)
        weights.append(model.state_dict())
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


def test_the_global_generator_is_left_as_it_was(tmp_path: Path) -> None:
    model = _model(tmp_path / "m")
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    finetune(model, _separable(16), HOW, lambda *_: None)
    assert torch.equal(torch.rand(2), expected)


def test_progress_counts_every_step(tmp_path: Path) -> None:
    heard: list[tuple[int, int]] = []
    finetune(
        _model(tmp_path / "m"), _separable(40), HOW, lambda _, done, n: heard.append((done, n))
    )
    assert heard == [(step, 18) for step in range(19)]


def test_each_row_is_in_one_batch_and_little_is_padded() -> None:
    rows = Rows([[1] * (3 + i % 40) for i in range(320)], [0] * 320)
    batches = batches_of(rows, 32, seed=1)
    assert sorted(row for batch in batches for row in batch) == list(range(320))
    cells = sum(len(b) * max(len(rows.input_ids[row]) for row in b) for b in batches)
    assert cells < 1.1 * sum(len(ids) for ids in rows.input_ids)
    assert batches != batches_of(rows, 32, seed=2)
    lengths = [len(rows.input_ids[batch[0]]) for batch in batches]
    assert lengths != sorted(lengths)


def test_padding_is_masked() -> None:
    ids, mask = padded([[5, 6, 7], [8]])
    assert ids.tolist() == [[5, 6, 7], [8, 0, 0]]
    assert mask.tolist() == [[1, 1, 1], [1, 0, 0]]


def test_accuracy_counts_rows(tmp_path: Path) -> None:
    model, rows = _model(tmp_path / "m"), _separable(10)
    found = accuracy(model, rows, batch_size=4)
    flipped = accuracy(model, Rows(rows.input_ids, [1 - y for y in rows.labels]), batch_size=3)
    assert found + flipped == 1.0
