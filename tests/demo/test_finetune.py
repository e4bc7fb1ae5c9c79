from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import (
    AutoModelForSequenceClassification,
    DistilBertConfig,
    DistilBertForTokenClassification,
    PreTrainedModel,
)

from hubkit.demo.finetune import (
    NO_LABEL,
    Hyperparameters,
    Rows,
    accuracy,
    batches_of,
    finetune,
    known_labels,
    padded,
    predictions,
    targets,
)
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
    other = [1 - label for (label,) in known_labels(rows)]
    flipped = accuracy(model, Rows(rows.input_ids, other), batch_size=3)
    assert found + flipped == 1.0


def _tagger() -> DistilBertForTokenClassification:
    torch.manual_seed(0)
    sizes = {"vocab_size": 20, "dim": 32, "n_layers": 2, "n_heads": 2, "hidden_dim": 64}
    return DistilBertForTokenClassification(DistilBertConfig(num_labels=3, **sizes))


def _tagged(count: int) -> Rows:
    """Token 7 has label 1, token 8 label 2, token 9 label 0; the first and the last have none."""
    kinds = [[(i + at) % 3 for at in range(1 + i % 5)] for i in range(count)]
    ids = [[2, *((9, 7, 8)[kind] for kind in one), 3] for one in kinds]
    return Rows(ids, [[NO_LABEL, *one, NO_LABEL] for one in kinds])


def test_learns_labels_of_tokens() -> None:
    model, rows = _tagger(), _tagged(64)
    before = accuracy(model.eval(), rows)
    finetune(model, rows, HOW, lambda *_: None)
    assert before < 0.8
    assert accuracy(model, rows) == 1.0
    assert predictions(model, rows, batch_size=7) == known_labels(rows)


def test_a_batch_of_tokens_is_filled_up_with_no_label() -> None:
    assert targets([1, 0, 1]).tolist() == [1, 0, 1]
    assert targets([[NO_LABEL, 2], [0]]).tolist() == [[NO_LABEL, 2], [0, NO_LABEL]]
    assert targets([[2], [0]]).tolist() == [[2], [0]]


def test_accuracy_counts_the_tokens_that_have_a_label() -> None:
    model, rows = _tagger().eval(), _tagged(9)
    known, found = known_labels(rows), predictions(model, rows)
    assert [len(one) for one in known] == [len(ids) - 2 for ids in rows.input_ids]
    pairs = [zip(*two, strict=True) for two in zip(known, found, strict=True)]
    right = sum(ours == theirs for row in pairs for ours, theirs in row)
    assert accuracy(model, rows) == right / sum(len(one) for one in known)
