"""The recorded samples: which rows are taken, and that their logits are what the models give."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from hubkit.errors import DataError
from hubkit.records import BaseModelInfo, Dataset, Encoded, Source
from hubkit.stage import Context
from hubkit.stages.export import pytorch_baseline
from hubkit.stages.fetch_model import FetchModelInput, fetch_model
from hubkit.stages.model_files import digest_of_model
from hubkit.stages.sample import SampleInput, choose, sample
from hubkit.store import Store
from hubkit.tasks import task_for
from hubkit.tasks.made_up import QUESTIONS, SENTENCES, made_up_rows
from tests.stages.onnx_models import make_variant
from tests.tiny import make_tiny_model

Kind = Literal["bert", "distilbert"]
MAX_LENGTH = 12
ROWS = [list(range(1, 2 + at % 10)) for at in range(40)]  # ids 1, 1..2, …, 1..10
LABELS = [int(at % 4 == 0) for at in range(40)]


@pytest.fixture
def ctx(tmp_path: Path) -> Context:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    return Context(Store(tmp_path / "store"), scratch)


def make_input(ctx: Context, *, count: int = 16, pairs: bool = False) -> SampleInput:
    """Forty rows of known lengths, an ONNX variant and another in the place of PyTorch's."""
    with ctx.store.scratch() as scratch:
        rows = scratch / "rows"
        rows.mkdir()
        columns: dict[str, list[str] | list[int]] = {"label": LABELS}
        columns["primary"] = [f"sentence {at}" for at in range(len(ROWS))]
        if pairs:
            columns["secondary"] = [f"other {at}" for at in range(len(ROWS))]
        parquet.write_table(pa.table(columns), rows / "eval.parquet")
        dataset = ctx.store.adopt(rows)
        ids = scratch / "ids"
        ids.mkdir()
        np.savez(
            ids / "encoded.npz",
            offsets=np.cumsum([0, *map(len, ROWS)], dtype=np.int64),
            input_ids=np.concatenate([np.array(row, np.int32) for row in ROWS]),
            labels=np.array(LABELS, np.int64),
        )
        encoded = ctx.store.adopt(ids)
    return SampleInput(
        dataset=Dataset(
            artifact=dataset,
            eval_rows=40,
            eval_rows_available=40,
            calibration_rows=0,
            label_counts={"NEGATIVE": 30, "POSITIVE": 10},
        ),
        encoded=Encoded(
            artifact=encoded,
            rows=40,
            truncated=0,
            max_length=MAX_LENGTH,
            mean_tokens=5.5,
            input_names=("input_ids", "attention_mask"),
        ),
        published={
            "onnx": make_variant(ctx.store, "one", weight=1.0),
            "pytorch": make_variant(ctx.store, "two", weight=0.5),
        },
        count=count,
    )


def test_logits_are_those_of_the_row_alone(ctx: Context) -> None:
    table = sample(make_input(ctx), ctx)
    assert len(table.samples) == 16
    for one in table.samples:
        total = float(sum(ROWS[one.row]))
        assert one.logits == {"onnx": (total, -total), "pytorch": (total / 2, -total / 2)}
        assert (one.primary, one.secondary) == (f"sentence {one.row}", None)


def test_both_labels_and_all_lengths_are_there(ctx: Context) -> None:
    rows = [one.row for one in sample(make_input(ctx), ctx).samples]
    assert rows == sorted(set(rows))
    labels = [LABELS[row] for row in rows]
    assert labels.count(0) == labels.count(1) == 8
    lengths = {len(ROWS[row]) for row in rows}
    assert {min(lengths), max(lengths)} == {1, 10}
    assert len(lengths) >= 8


def test_the_same_input_gives_the_same_table(ctx: Context) -> None:
    given = make_input(ctx)
    assert sample(given, ctx).model_dump_json() == sample(given, ctx).model_dump_json()
    other = given.model_copy(update={"seed": 14})
    assert [s.row for s in sample(other, ctx).samples] != [
        s.row for s in sample(given, ctx).samples
    ]


def test_pairs_keep_both_texts_and_a_small_split_is_taken_whole(ctx: Context) -> None:
    table = sample(make_input(ctx, pairs=True, count=100), ctx)
    assert [one.row for one in table.samples] == list(range(40))
    assert all(one.secondary == f"other {one.row}" for one in table.samples)


def test_rows_that_may_have_been_cut_come_last() -> None:
    lengths = np.array([12, 3, 12, 5, 12, 7])
    labels = np.array([0, 1, 0, 1, 0, 1])
    assert choose(lengths, labels, 2, seed=0, max_length=12) == (1, 5)
    assert choose(lengths, labels, 3, seed=0, max_length=12) == (1, 3, 5)
    chosen = choose(lengths, labels, 4, seed=0, max_length=12)
    assert len(chosen) == 4
    assert {1, 3, 5} < set(chosen)


def test_an_empty_split_is_refused() -> None:
    none = np.zeros(0, np.int64)
    with pytest.raises(DataError, match="no rows"):
        choose(none, none, 4, seed=0, max_length=12)


@settings(deadline=None)
@given(
    rows=st.lists(st.tuples(st.integers(1, 12), st.integers(0, 2)), min_size=1, max_size=60),
    count=st.integers(1, 20),
    seed=st.integers(0, 9),
)
def test_as_many_rows_as_asked_for_and_labels_in_turn(
    rows: list[tuple[int, int]], count: int, seed: int
) -> None:
    lengths, labels = (np.array(column) for column in zip(*rows, strict=True))
    chosen = choose(lengths, labels, count, seed=seed, max_length=12)
    assert len(chosen) == len(set(chosen)) == min(count, len(rows))
    whole = [int(label) for length, label in rows if length < 12]
    if len(whole) > count:
        taken = [int(labels[row]) for row in chosen]
        for label in set(whole):
            others = [taken.count(other) for other in set(whole)]
            assert taken.count(label) == whole.count(label) or taken.count(label) >= max(others) - 1


def _base(ctx: Context, folder: Path, task: str, kind: Kind) -> BaseModelInfo:
    model = make_tiny_model(folder / "model", task=task, model_type=kind)
    source = Source(
        kind="model", source="local", id="m", revision="local", sha=digest_of_model(model)
    )
    given = FetchModelInput.model_validate({"source": source, "task": task, "path": str(model)})
    return fetch_model(given, ctx)


@pytest.mark.parametrize("kind", ["bert", "distilbert"])
@pytest.mark.parametrize(
    "task",
    ["text-classification", "token-classification", "question-answering", "feature-extraction"],
)
def test_made_up_rows_have_the_models_own_logits(
    ctx: Context, tmp_path: Path, task: str, kind: Kind
) -> None:
    """As a reader gets them, who knows the repository alone; nothing of the dataset is read."""
    import torch
    from transformers import AutoTokenizer

    from hubkit.backends.torch import load_model

    base, given = _base(ctx, tmp_path, task, kind), make_input(ctx)
    with ctx.store.scratch() as scratch:
        rows = scratch / "rows"
        rows.mkdir()
        secret = [["secret", "words"]] if task == "token-classification" else ["secret words"]
        parquet.write_table(
            pa.table(dict.fromkeys(task_for(task).required_keys, secret)), rows / "eval.parquet"
        )
        hidden = ctx.store.adopt(rows)
    table = sample(
        given.model_copy(
            update={
                "dataset": given.dataset.model_copy(update={"artifact": hidden}),
                "encoded": given.encoded.model_copy(update={"task": task, "max_length": 64}),
                "published": {"pytorch": pytorch_baseline(base)},
                "made_up_for": base,
            }
        ),
        ctx,
    )
    if task == "question-answering":  # what was cut is left out: nobody else would cut it there
        assert 1 < len(table.samples) < 16
    else:
        assert len(table.samples) == 16
    assert "secret" not in table.model_dump_json()
    folder = ctx.store.path(base.artifact)
    tokenizer, network = AutoTokenizer.from_pretrained(folder), load_model(folder)
    for one in table.samples:
        texts = [one.words] if one.words else [one.primary, one.secondary]
        inputs = tokenizer(
            *(list(text) if isinstance(text, tuple) else text for text in texts),
            is_split_into_words=one.words is not None,
            truncation="only_second" if task == "question-answering" else True,
            max_length=64,
            return_tensors="pt",
        )
        with torch.no_grad():
            outputs = {name: value.numpy() for name, value in network(**inputs).items()}
        wanted = task_for(task).recorded(outputs)
        assert one.logits["pytorch"] == pytest.approx(wanted.tolist(), abs=1e-5)


def test_made_up_rows_are_enough_and_of_many_lengths() -> None:
    assert len(SENTENCES) == len(QUESTIONS) == len(set(SENTENCES)) == len(set(QUESTIONS)) >= 16
    lengths = [len(text.split()) for text in SENTENCES[:16]]
    assert min(lengths) <= 3
    assert max(lengths) >= 25
    assert len(set(lengths)) >= 10


def test_made_up_rows_have_the_columns_asked_for() -> None:
    pairs = made_up_rows(("primary", "secondary"), "label")
    assert len(pairs) == len(SENTENCES)
    assert all(a != b for a, b in zip(*pairs.columns.values(), strict=True))
    asked = made_up_rows(("question", "context"), "answers")
    assert (asked.columns["question"], asked.columns["context"]) == (QUESTIONS, SENTENCES)
    words = made_up_rows(("primary",), "word-labels").columns["primary"]
    assert words[:3] == [
        ["It", "rains", "."],
        ["Lisbon", "slept", "late", "."],
        ["Nobody", "at", "Northwind", "Foods", "answered", "."],
    ]
