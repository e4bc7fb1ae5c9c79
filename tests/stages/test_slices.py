"""Which rows are in which slice."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from hubkit.errors import DataError
from hubkit.recipe_analyses import LengthRange, Slice
from hubkit.stages.slices import Found, Groups, Looked, find_slices, without_group
from hubkit.tasks.base import Rows

if TYPE_CHECKING:
    from hubkit.tasks.base import Arrays

LABELS = ("NEGATIVE", "POSITIVE")
TAGS = ("O", "B-PER", "I-PER", "B-LOC", "I-LOC")
TEXTS = ["a fine film", "not fine", "never again, said Ms. Not", "UTTER BORE"]
ARRAYS: Arrays = {"offsets": np.array([0, 3, 5, 11, 14]), "labels": np.array([1, 0, 0, 0])}


def _find(
    *wanted: Slice,
    arrays: Arrays = ARRAYS,
    rows: Rows | None = None,
    groups: Groups | None = None,
    labels: tuple[str, ...] = LABELS,
) -> list[Found]:
    rows = Rows({"primary": TEXTS}, None) if rows is None else rows
    return find_slices(wanted, Looked(arrays, rows, groups or {}, labels))


def _rows(found: list[Found]) -> dict[str, list[int]]:
    assert all(one.result.rows == len(one.rows) for one in found)
    return {one.result.name: one.rows.tolist() for one in found}


def test_by_length_with_both_ends() -> None:
    found = _find(
        Slice(name="short", length=LengthRange(at_most=2)),
        Slice(name="middle", length=LengthRange(at_least=3, at_most=5)),
        Slice(name="long", length=LengthRange(at_least=3)),
        Slice(name="none", length=LengthRange(at_least=7)),
    )
    assert _rows(found) == {"short": [1], "middle": [0, 3], "long": [0, 2, 3], "none": []}
    assert [one.result.definition for one in found] == ["≤ 2", "3–5", "≥ 3", "≥ 7"]
    middle = found[1].result
    assert (middle.kind, middle.at_least, middle.at_most) == ("length", 3, 5)


def test_the_windows_of_a_row_count_together() -> None:
    arrays: Arrays = {"offsets": np.array([0, 6, 12, 20]), "rows": np.array([0, 0, 1])}
    rows = Rows({"question": ["a", "b"], "context": ["c", "d"]}, None)
    found = _find(Slice(name="x", length=LengthRange(at_least=9)), arrays=arrays, rows=rows)
    assert _rows(found) == {"x": [0]}


def test_by_the_label_of_a_row() -> None:
    found = _find(Slice(name="bad", label="NEGATIVE"))
    assert _rows(found) == {"bad": [1, 2, 3]}
    assert (found[0].result.kind, found[0].result.definition) == ("label", "NEGATIVE")


def test_by_the_labels_of_words() -> None:
    arrays: Arrays = {
        "offsets": np.array([0, 4, 8, 12, 16]),
        "word_offsets": np.array([0, 2, 3, 3, 6]),  # all words of the third row were cut off
        "labels": np.array([1, 2, 0, 0, 3, 2]),
    }
    rows = Rows({"primary": [["a"]] * 4}, None)
    wanted = {"PER": [0, 3], "B-PER": [0], "LOC": [3], "O": [1, 3]}
    found = _find(
        *(Slice(name=name, label=name) for name in wanted), arrays=arrays, rows=rows, labels=TAGS
    )
    assert _rows(found) == wanted


def test_by_a_pattern_in_any_text() -> None:
    found = _find(
        Slice(name="not", pattern=r"\bnot\b"),
        Slice(name="any case", pattern=r"(?i)\bnot\b"),
        Slice(name="capitals", pattern=r"^[^a-z]*$"),
        Slice(name="two lines", pattern=r"x\ny"),
    )
    assert _rows(found) == {"not": [1], "any case": [1, 2], "capitals": [3], "two lines": []}
    pair = Rows({"primary": ["a", "b", "c", "d"], "secondary": ["x", "a", "x", "x"]}, None)
    assert _rows(_find(Slice(name="a", pattern="a"), rows=pair)) == {"a": [0, 1]}
    words = Rows({"primary": [["New", "York"], ["NewYork"], [], ["New"]]}, None)
    assert _rows(_find(Slice(name="ny", pattern="New York"), rows=words)) == {"ny": [0]}


HOSTILE = "a|b`c`\n| d | <b>&amp;"


def test_each_value_of_a_column_is_a_slice() -> None:
    groups: Groups = {"country": ["UK", HOSTILE, None, "UK"], "year": ["10", "9", "x", ""]}
    found = _find(Slice(name="first", label="NEGATIVE"), groups=groups)
    assert _rows(found) == {
        "first": [1, 2, 3],
        "country=UK": [0, 3],
        f"country={HOSTILE}": [1],
        "year=9": [1],
        "year=10": [0],
        "year=": [3],
        "year=x": [2],
    }
    hostile = found[2].result
    assert (hostile.kind, hostile.column, hostile.definition) == ("column", "country", HOSTILE)
    assert without_group(groups) == {"country": 1}


def test_a_label_that_is_not_there() -> None:
    with pytest.raises(DataError, match="the label NEUTRAL, which is none of the model's"):
        _find(Slice(name="x", label="NEUTRAL"))
    with pytest.raises(DataError, match="there are no labels"):
        _find(Slice(name="x", label="NEGATIVE"), arrays={"offsets": ARRAYS["offsets"]})
