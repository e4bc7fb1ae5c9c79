"""Windows are AutoTokenizer's, to the last token and character."""

from __future__ import annotations

import shutil
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from transformers import AutoTokenizer

from hubkit.errors import DataError, ModelError
from hubkit.tasks.windows import STRIDE, windows
from tests.squad_rows import squad_rows
from tests.tasks.models import make_byte_tokenizer

ROWS = squad_rows(24)
ODD = (
    ("Who?", ""),
    ("", "it was fun"),
    ("Où est Zoë ?", "Zoë 🎬 est à Köln , naïve ﬁlm 电影很好 . " * 12),
    ("[SEP] who [MASK]", "a [CLS] b [SEP] c " * 30),
    ("  what\twas it  ", "x" * 300),
    ("what was good ?", "a good film and a dull plot , " * 60),
)
QUESTIONS = [row["question"] for row in ROWS] + [question for question, _ in ODD]
CONTEXTS = [row["context"] for row in ROWS] + [context for _, context in ODD]


@pytest.fixture(scope="module")
def roberta(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "roberta"
    return make_byte_tokenizer(folder, [*QUESTIONS, *CONTEXTS])


def _same(folder: Path, max_length: int) -> int:
    """The number of windows, all equal to AutoTokenizer's of each row alone."""
    theirs = AutoTokenizer.from_pretrained(folder)
    found = windows(folder, QUESTIONS, CONTEXTS, max_length=max_length)
    assert found.input_names == tuple(theirs.model_input_names)
    assert found.pad_id == theirs.pad_token_id
    assert found.questions_cut == 0
    left = list(found.windows)
    for row, (question, context) in enumerate(zip(QUESTIONS, CONTEXTS, strict=True)):
        room = max_length - len(theirs([question], [""])["input_ids"][0])
        expected = theirs(
            [question],  # not the text alone: with that, an empty context is taken for none
            [context],
            truncation="only_second",
            max_length=max_length,
            stride=min(STRIDE, room // 2),
            return_overflowing_tokens=True,
            return_offsets_mapping=True,
            return_token_type_ids=True,
        )
        for at, ids in enumerate(expected["input_ids"]):
            ours, inside = left.pop(0), [s == 1 for s in expected.sequence_ids(at)]
            assert ours.row == row
            assert list(ours.ids) == ids
            assert list(ours.token_types) == expected["token_type_ids"][at]
            assert len(ids) <= max_length
            spans = np.array(expected["offset_mapping"][at])
            assert (ours.spans[inside] == spans[inside]).all()
            assert (ours.spans[~np.array(inside)] == -1).all()
    assert not left
    return len(found.windows)


@pytest.mark.parametrize("max_length", [48, 64, 300])
def test_wordpiece(distilbert: Path, max_length: int) -> None:
    assert _same(distilbert, max_length) > len(QUESTIONS)


def test_token_types(bert: Path) -> None:
    assert _same(bert, 64) > len(QUESTIONS)


def test_bytes(roberta: Path) -> None:
    assert _same(roberta, 64) > len(QUESTIONS)


def test_one_window_where_all_fits(distilbert: Path) -> None:
    assert _same(distilbert, 1000) == len(QUESTIONS)


def test_every_character_is_seen(distilbert: Path) -> None:
    """No word of any context is outside all windows, and neighbours share some tokens."""
    found = windows(distilbert, QUESTIONS, CONTEXTS, max_length=48).windows
    for row, context in enumerate(CONTEXTS):
        seen = np.zeros(len(context), dtype=bool)
        spans = [w.spans[w.spans[:, 0] >= 0] for w in found if w.row == row]
        for start, end in np.concatenate(spans):
            seen[start:end] = True
        unseen = [c for c, here in zip(context, seen, strict=True) if not here]
        assert not "".join(unseen).strip()
        for one, following in pairwise(spans):
            assert following[0, 0] <= one[-1, 0]


def test_a_long_question_is_cut_and_counted(distilbert: Path) -> None:
    long = "who made the very good film " * 20
    found = windows(distilbert, ["who?", long], ["it was Tom"] * 2, max_length=32)
    assert found.questions_cut == 1
    assert [w.row for w in found.windows if w.row == 0] == [0]
    ids = AutoTokenizer.from_pretrained(distilbert)(long)["input_ids"]
    for window in found.windows[1:]:
        # 29 tokens beside [CLS] and two [SEP]: 22 of the question, the rest for the context.
        assert list(window.ids[:23]) == ids[:23]
        assert len(window.ids) <= 32
        assert (window.spans >= 0).any()


def test_a_question_cut_within_a_word_still_fits(distilbert: Path) -> None:
    """Its pieces are single characters here, and the context keeps its part."""
    found = windows(distilbert, ["é" * 90 + "qqq " * 90], ["it was Tom"], max_length=24)
    assert found.questions_cut == 1
    assert all(len(w.ids) <= 24 and (w.spans >= 0).any() for w in found.windows)


def test_no_room_is_an_error(distilbert: Path) -> None:
    with pytest.raises(DataError, match="max_length 10 leaves 7 tokens"):
        windows(distilbert, ["who?"], ["Tom"], max_length=10)
    assert windows(distilbert, ["who?"], ["Tom"], max_length=11).windows


def test_tokenizer_that_cannot_be_read(distilbert: Path, tmp_path: Path) -> None:
    shutil.copy(distilbert / "config.json", tmp_path)
    with pytest.raises(ModelError, match="tokenizer cannot be read"):
        windows(tmp_path, ["who?"], ["Tom"], max_length=32)


def test_tokenizer_without_offsets(tmp_path: Path) -> None:
    from transformers import ByT5Tokenizer

    ByT5Tokenizer().save_pretrained(tmp_path)
    with pytest.raises(ModelError, match="where in the text its tokens are"):
        windows(tmp_path, ["who?"], ["Tom"], max_length=32)
