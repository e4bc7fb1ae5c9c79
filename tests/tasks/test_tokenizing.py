"""Token ids are AutoTokenizer's, to the last one, whichever way they are made."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from transformers import AutoTokenizer

from hubkit.errors import ModelError
from hubkit.tasks.tokenizing import DirectTokenizer, TransformersTokenizer, load_tokenizer
from tests.tasks.models import make_byte_tokenizer
from tests.tiny import SENTENCES

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from hubkit.tasks.base import Tokenizer

Words = Sequence[list[str]]
ODD = (
    "",
    "   ",
    "Café RÉSUMÉ naïve",
    "[CLS] not a [MASK] token [SEP]",
    "电影很好 film",
    "tab\tnew\nline\u200b zero",
    "emoji 🎬 and ﬁ ligature",
    "x" * 300,
    "good " * 100,
)
TEXTS = (*SENTENCES, *ODD)
WORDS = ([], [""], ["\u200b", "good"], ["don't", "New York", "x" * 30], *(t.split() for t in TEXTS))
PAIRS = tuple(zip(TEXTS, reversed(TEXTS), strict=True))


def _changed(folder: Path, target: Path, **settings: object) -> Path:
    """A copy with other settings in tokenizer_config.json; None removes one."""
    shutil.copytree(folder, target)
    path = target / "tokenizer_config.json"
    written = {**json.loads(path.read_text()), **settings}
    path.write_text(json.dumps({k: v for k, v in written.items() if v is not None}))
    return target


def _same(folder: Path, max_length: int = 12) -> None:
    """Ids, token types and the number of cut rows, for single texts and for pairs."""
    ours, theirs = load_tokenizer(folder), AutoTokenizer.from_pretrained(folder)
    assert ours.input_names == tuple(theirs.model_input_names)
    assert ours.pad_id == theirs.pad_token_id
    for primary, secondary in ((TEXTS, None), tuple(zip(*PAIRS, strict=True))):
        texts = [list(primary)] if secondary is None else [list(primary), list(secondary)]
        expected = theirs(
            *texts, truncation=True, max_length=max_length, return_token_type_ids=True
        )
        whole = theirs(*texts)["input_ids"]
        found = ours(primary, secondary, max_length=max_length)
        assert [list(row) for row in found.ids] == expected["input_ids"]
        assert [list(row) for row in found.token_types] == expected["token_type_ids"]
        assert found.truncated == sum(len(row) > max_length for row in whole)

    _same_words(ours, theirs, max_length)


def _same_words(
    ours: Tokenizer, theirs: PreTrainedTokenizerBase, max_length: int, *, words: Words = WORDS
) -> None:
    found = ours.words(words, max_length=max_length)
    options = {"is_split_into_words": True, "return_token_type_ids": True}
    expected = theirs(list(words), truncation=True, max_length=max_length, **options)
    whole = theirs(list(words), **options)
    assert [list(row) for row in found.ids] == expected["input_ids"]
    assert [list(row) for row in found.token_types] == expected["token_type_ids"]
    assert found.truncated == sum(len(row) > max_length for row in whole["input_ids"])
    for row in range(len(words)):
        full, cut = whole.word_ids(row), expected.word_ids(row)
        known = list(found.word_ids[row])
        assert all(a in (b, None) for a, b in zip(known, cut, strict=True))
        # A word is there if its first token is, and then with all tokens that are left of it.
        for word in set(full) - {None}:
            left = theirs.truncation_side == "left"
            kept = cut.count(word) == full.count(word) if left else word in cut
            assert known.count(word) == (cut.count(word) if kept else 0)


@pytest.mark.parametrize("max_length", [4, 12, 64])
def test_distilbert(distilbert: Path, max_length: int) -> None:
    assert isinstance(load_tokenizer(distilbert), DirectTokenizer)
    _same(distilbert, max_length)


def test_bert(bert: Path) -> None:
    assert isinstance(load_tokenizer(bert), DirectTokenizer)
    _same(bert)


def test_padding_and_truncation_left_in_the_file_are_ignored(
    distilbert: Path, tmp_path: Path
) -> None:
    from tokenizers import Tokenizer

    folder = _changed(distilbert, tmp_path / "model")
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.enable_padding(length=32)
    tokenizer.enable_truncation(6)
    tokenizer.save(str(folder / "tokenizer.json"))
    assert isinstance(load_tokenizer(folder), DirectTokenizer)
    _same(folder)


def test_truncation_on_the_left(distilbert: Path, tmp_path: Path) -> None:
    folder = _changed(distilbert, tmp_path / "model", truncation_side="left")
    assert isinstance(load_tokenizer(folder), DirectTokenizer)
    _same(folder)


def test_a_tokenizer_that_takes_no_words_says_why(tmp_path: Path) -> None:
    tokenizer = TransformersTokenizer(
        AutoTokenizer.from_pretrained(make_byte_tokenizer(tmp_path / "bpe", list(SENTENCES)))
    )
    with pytest.raises(ModelError, match="cannot take words") as caught:
        tokenizer.words([["good"]], max_length=8)
    assert "add_prefix_space" in caught.value.hint
    able = AutoTokenizer.from_pretrained(tmp_path / "bpe", add_prefix_space=True)
    words = [words for words in WORDS if words]
    _same_words(TransformersTokenizer(able), able, 12, words=words)


def test_truncation_on_the_left_by_autotokenizer(distilbert: Path, tmp_path: Path) -> None:
    settings = {"truncation_side": "left", "do_lower_case": False}
    folder = _changed(distilbert, tmp_path / "model", **settings)
    assert isinstance(load_tokenizer(folder), TransformersTokenizer)
    _same(folder)


def test_older_repository_that_names_no_class(distilbert: Path, tmp_path: Path) -> None:
    names = ("tokenizer_class", "pad_token", "added_tokens_decoder", "cls_token", "mask_token")
    folder = _changed(distilbert, tmp_path / "model", **dict.fromkeys(names))
    (folder / "special_tokens_map.json").unlink()
    assert isinstance(load_tokenizer(folder), DirectTokenizer)
    _same(folder)


@pytest.mark.parametrize(
    "settings",
    [
        {"do_lower_case": False},
        {"strip_accents": False},
        {"tokenize_chinese_chars": False},
        {"additional_special_tokens": ["[NEW]"]},
        {"mask_token": "<mask>"},
    ],
    ids=lambda settings: next(iter(settings)),
)
def test_settings_that_the_file_does_not_hold_go_to_autotokenizer(
    distilbert: Path, tmp_path: Path, settings: dict[str, object]
) -> None:
    folder = _changed(distilbert, tmp_path / "model", **settings)
    assert isinstance(load_tokenizer(folder), TransformersTokenizer)
    _same(folder)


def test_vocabulary_alone(distilbert: Path, tmp_path: Path) -> None:
    folder = _changed(distilbert, tmp_path / "model")
    (folder / "tokenizer.json").unlink()
    assert isinstance(load_tokenizer(folder), TransformersTokenizer)
    _same(folder)


def test_no_tokenizer_is_an_error(distilbert: Path, tmp_path: Path) -> None:
    shutil.copy(distilbert / "config.json", tmp_path)
    with pytest.raises(ModelError, match="tokenizer cannot be read"):
        load_tokenizer(tmp_path)


def test_damaged_settings_are_an_error(distilbert: Path, tmp_path: Path) -> None:
    folder = _changed(distilbert, tmp_path / "model")
    (folder / "tokenizer_config.json").write_text("{")
    with pytest.raises(ModelError, match=r"tokenizer_config\.json"):
        load_tokenizer(folder)


def test_the_direct_way_imports_neither_torch_nor_transformers(distilbert: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from hubkit.tasks.tokenizing import load_tokenizer;"
        f"load_tokenizer(Path({str(distilbert)!r}))(['good'], None, max_length=8);"
        "print(sorted({'torch', 'transformers', 'numpy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
