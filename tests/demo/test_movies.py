from __future__ import annotations

from pathlib import Path

import pytest

from hubkit.demo.materials import MOVIES, obtain
from hubkit.demo.movies import (
    LABELS,
    Sentence,
    Splits,
    dataset_card,
    read_sentences,
    split,
    write_dataset,
)
from hubkit.errors import DataError
from hubkit.keys import digest_of_folder


def _sentences(count: int) -> list[Sentence]:
    return [Sentence(f"sentence {i}", 1.5 if i % 3 else -2.25) for i in range(count)]


def test_neutral_sentences_and_duplicates_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "ground.txt"
    path.write_bytes(
        b"1\t2.5\tA fine film. \r\n2\t0.49\tSo so.\r\n3\t-0.5\tDull.\r\n4\t1.0\tA fine film.\r\n"
    )
    assert read_sentences(path) == [Sentence("A fine film.", 2.5), Sentence("Dull.", -0.5)]


def test_a_line_of_another_form_names_itself(tmp_path: Path) -> None:
    path = tmp_path / "ground.txt"
    path.write_text("1\t2.5\tA fine film.\n2\tno number\tDull.\n")
    with pytest.raises(DataError, match=r"ground.txt, line 2"):
        read_sentences(path)


def test_the_label_is_the_sign_of_the_rating() -> None:
    assert [LABELS[Sentence("x", rating).label] for rating in (-0.5, 3.9)] == [
        "NEGATIVE",
        "POSITIVE",
    ]


def test_the_parts_share_no_row_and_lose_none() -> None:
    sentences = _sentences(2300)
    parts = split(sentences)
    assert (len(parts.train), len(parts.validation), len(parts.test)) == (300, 1000, 1000)
    assert {*parts.train, *parts.validation, *parts.test} == set(sentences)
    assert parts == split(sentences)
    assert parts.train != tuple(sentences[:300])


def test_too_few_sentences_are_refused() -> None:
    with pytest.raises(DataError, match="2000 sentences are too few"):
        split(_sentences(2000))


def test_datasets_reads_the_folder_with_class_names(tmp_path: Path) -> None:
    from datasets import ClassLabel, load_dataset

    parts = Splits(*(tuple(_sentences(n)) for n in (9, 4, 5)))
    write_dataset(parts, tmp_path / "movies")
    found = load_dataset(str(tmp_path / "movies"), cache_dir=str(tmp_path / "cache"))
    assert {name: len(rows) for name, rows in found.items()} == {
        "train": 9,
        "validation": 4,
        "test": 5,
    }
    label = found["train"].features["label"]
    assert isinstance(label, ClassLabel)
    assert label.names == ["NEGATIVE", "POSITIVE"]
    assert found["test"][1] == {"sentence": "sentence 1", "label": 1, "rating": 1.5}


def test_equal_rows_give_equal_bytes(tmp_path: Path) -> None:
    parts = Splits(*(tuple(_sentences(n)) for n in (9, 4, 5)))
    for name in ("one", "two"):
        write_dataset(parts, tmp_path / name)
    assert digest_of_folder(tmp_path / "one") == digest_of_folder(tmp_path / "two")


def test_the_card_says_where_the_sentences_come_from() -> None:
    from huggingface_hub import DatasetCard

    card = DatasetCard(dataset_card(Splits(*(tuple(_sentences(n)) for n in (9, 4, 5)))))
    data = card.data.to_dict()  # type: ignore[no-untyped-call]
    assert data["license"] == "mit"
    assert data["task_categories"] == ["text-classification"]
    files = data["configs"][0]["data_files"]
    assert [f["split"] for f in files] == ["train", "validation", "test"]
    assert "vaderSentiment 3.3.2" in card.text
    assert MOVIES.sha256 in card.text
    assert "Gilbert" in card.text
    assert "| train | 9 | 3 | 6 |" in card.text


@pytest.mark.demo
def test_the_real_sentences() -> None:
    parts = split(read_sentences(obtain(MOVIES) / MOVIES.members[0].name))
    assert [len(p) for p in (parts.train, parts.validation, parts.test)] == [8070, 1000, 1000]
    assert sum(s.label for p in (parts.train, parts.validation, parts.test) for s in p) == 4995
