"""A model folder's tokenizer, giving the ids of AutoTokenizer.

Where tokenizer.json says all, the `tokenizers` library runs it, which is imported in 0.1 s;
AutoTokenizer takes seconds.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from hubkit.errors import ModelError
from hubkit.tasks.base import Tokenizer, Tokens, WordTokens

if TYPE_CHECKING:
    from tokenizers import Tokenizer as FastTokenizer
    from transformers import PreTrainedTokenizerBase

    Settings = dict[str, object]

# Classes of transformers that use tokenizer.json as it is, but for what `_normalizer_agrees` looks
# at, and the inputs that they make by default. Others (GPT-2, RoBERTa, Llama, …) rewrite parts of
# it when they load it.
_ALL, _NO_TYPES = (
    ("input_ids", "token_type_ids", "attention_mask"),
    ("input_ids", "attention_mask"),
)
_PLAIN = {
    "BertTokenizer": _ALL,
    "DistilBertTokenizer": _NO_TYPES,
    "ElectraTokenizer": _ALL,
    "PreTrainedTokenizer": _ALL,
}
# What AutoTokenizer takes where tokenizer_config.json names no class, as in older repositories.
_BY_MODEL_TYPE = {
    "bert": "BertTokenizer",
    "distilbert": "DistilBertTokenizer",
    "electra": "ElectraTokenizer",
}
# Of calls of AutoTokenizer.
_OPTIONS = {"return_token_type_ids": True, "return_attention_mask": False, "verbose": False}
_BERT_SPECIALS = {
    "unk_token": "[UNK]",
    "sep_token": "[SEP]",
    "pad_token": "[PAD]",
    "cls_token": "[CLS]",
    "mask_token": "[MASK]",
}


class DirectTokenizer:
    """tokenizer.json run by the `tokenizers` library."""

    def __init__(self, tokenizer: FastTokenizer, settings: Settings, pad_id: int) -> None:
        name, names = str(settings["tokenizer_class"]), settings.get("model_input_names")
        self.input_names = tuple(map(str, names)) if isinstance(names, list) else _PLAIN[name]
        self.pad_id = pad_id
        self._side: Literal["left", "right"] = (
            "left" if settings.get("truncation_side") == "left" else "right"
        )
        self._tokenizer = tokenizer
        # The file may hold the padding and the truncation of whoever wrote it.
        tokenizer.no_padding()
        tokenizer.encode_special_tokens = bool(settings.get("split_special_tokens", False))

    def __call__(
        self, primary: Sequence[str], secondary: Sequence[str] | None, *, max_length: int
    ) -> Tokens:
        self._cut_at(max_length)
        rows = list(primary) if secondary is None else list(zip(primary, secondary, strict=True))
        found = self._tokenizer.encode_batch_fast(rows)
        return Tokens(
            [row.ids for row in found],
            [row.type_ids for row in found],
            sum(bool(row.overflowing) for row in found),
        )

    def words(self, rows: Sequence[Sequence[str]], *, max_length: int) -> WordTokens:
        self._cut_at(max_length)
        # Not encode_batch_fast: it does not keep count of the words.
        found = self._tokenizer.encode_batch([list(row) for row in rows], is_pretokenized=True)
        word_ids = [row.word_ids for row in found]
        if self._side == "left":
            gone = [{w for part in row.overflowing for w in part.word_ids} for row in found]
            word_ids = [_without(*pair) for pair in zip(word_ids, gone, strict=True)]
        return WordTokens(
            [row.ids for row in found],
            [row.type_ids for row in found],
            sum(bool(row.overflowing) for row in found),
            word_ids,
        )

    def _cut_at(self, max_length: int) -> None:
        self._tokenizer.enable_truncation(
            max_length, strategy="longest_first", direction=self._side
        )


class TransformersTokenizer:
    """AutoTokenizer, for what tokenizer.json alone does not say."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self.input_names: tuple[str, ...] = tuple(tokenizer.model_input_names)
        self.pad_id = int(tokenizer.pad_token_id or 0)
        self._tokenizer = tokenizer

    def __call__(
        self, primary: Sequence[str], secondary: Sequence[str] | None, *, max_length: int
    ) -> Tokens:
        texts = [list(primary)] if secondary is None else [list(primary), list(secondary)]
        cut = self._tokenizer(*texts, truncation=True, max_length=max_length, **_OPTIONS)
        whole = self._tokenizer(*texts, **_OPTIONS)["input_ids"]
        ids: list[list[int]] = cut["input_ids"]
        return Tokens(ids, cut["token_type_ids"], _shorter(ids, whole))

    def words(self, rows: Sequence[Sequence[str]], *, max_length: int) -> WordTokens:
        """Raises ModelError where the tokenizer cannot tell which word a token is of."""
        given = [list(row) for row in rows]
        options = {"is_split_into_words": True, **_OPTIONS}
        try:
            cut = self._tokenizer(given, truncation=True, max_length=max_length, **options)
            whole = self._tokenizer(given, **options)
            word_ids = [cut.word_ids(at) for at in range(len(given))]
            all_ids = [whole.word_ids(at) for at in range(len(given))]
        except (AssertionError, ValueError) as error:
            raise ModelError(
                f"the model's tokenizer cannot take words: {str(error).splitlines()[0]}",
                hint="It needs a fast tokenizer (tokenizer.json); one of the kind of GPT-2 or"
                " RoBERTa also add_prefix_space: true in tokenizer_config.json.",
            ) from error
        if self._tokenizer.truncation_side == "left":
            pairs = zip(word_ids, all_ids, strict=True)
            word_ids = [_without(kept, _shortened(kept, full)) for kept, full in pairs]
        ids: list[list[int]] = cut["input_ids"]
        return WordTokens(ids, cut["token_type_ids"], _shorter(ids, whole["input_ids"]), word_ids)


_Words = Sequence[int | None]


def _without(words: _Words, gone: set[int | None]) -> list[int | None]:
    return [None if word in gone else word for word in words]


def _shortened(kept: _Words, full: _Words) -> set[int | None]:
    """The words of which some tokens were cut off."""
    return {word for word in kept if kept.count(word) < full.count(word)}


def _shorter(ids: Sequence[Sequence[int]], whole: Sequence[Sequence[int]]) -> int:
    return sum(len(a) < len(b) for a, b in zip(ids, whole, strict=True))


def load_tokenizer(folder: Path) -> Tokenizer:
    """The tokenizer of a model folder. Raises ModelError where there is none that can be read."""
    return _direct(folder) or TransformersTokenizer(_auto(folder))


def _direct(folder: Path) -> DirectTokenizer | None:
    path = folder / "tokenizer.json"
    settings = _settings(folder)
    if settings is None or not path.is_file():
        return None
    written = _json(path)
    known = _added_tokens(written)
    pad = _content(settings.get("pad_token"))
    specials = _special_tokens(settings)
    if pad not in known or not specials <= set(known) or not _normalizer_agrees(written, settings):
        return None

    from tokenizers import Tokenizer as FastTokenizer

    return DirectTokenizer(FastTokenizer.from_file(str(path)), settings, known[pad])


def _settings(folder: Path) -> Settings | None:
    """tokenizer_config.json over the defaults of its class; None where that is not in _PLAIN."""
    written = _json(folder / "tokenizer_config.json")
    config = _json(folder / "config.json")
    name = written.get("tokenizer_class") or config.get("tokenizer_class")
    name = str(name or _BY_MODEL_TYPE.get(str(config.get("model_type")), "")).removesuffix("Fast")
    # auto_map: the class is code of the repository. added_tokens.json: tokens of an older form.
    is_special = "auto_map" in {*written, *config} or (folder / "added_tokens.json").is_file()
    if name not in _PLAIN or is_special:
        return None
    defaults = {} if name == "PreTrainedTokenizer" else _BERT_SPECIALS
    older = _json(folder / "special_tokens_map.json")
    return {**defaults, **older, **written, "tokenizer_class": name}


def _json(path: Path) -> Settings:
    if not path.is_file():
        return {}
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ModelError(
            f"{path.name} of the model is not JSON: {error}",
            hint="Copy or download it again, or save it again with tokenizer.save_pretrained.",
        ) from error
    return found if isinstance(found, dict) else {}


def _added_tokens(written: Settings) -> dict[str, int]:
    tokens = written.get("added_tokens")
    found = [t for t in tokens if isinstance(t, dict)] if isinstance(tokens, list) else []
    return {str(token["content"]): int(token["id"]) for token in found}


def _content(token: object) -> str:
    return str(token.get("content")) if isinstance(token, dict) else str(token)


def _special_tokens(settings: Settings) -> set[str]:
    """Every token that transformers would add where tokenizer.json lacks it."""
    named = {_content(value) for key, value in settings.items() if key.endswith("_token") and value}
    for key in ("additional_special_tokens", "added_tokens_decoder"):
        more = settings.get(key)
        values = more.values() if isinstance(more, dict) else more if isinstance(more, list) else ()
        named |= {_content(value) for value in values}
    return named


def _normalizer_agrees(written: Settings, settings: Settings) -> bool:
    """Whether tokenizer.json normalizes as tokenizer_config.json asks: BERT follows the latter."""
    if settings["tokenizer_class"] == "PreTrainedTokenizer":
        return True
    normalizer = written.get("normalizer")
    if not isinstance(normalizer, dict) or normalizer.get("type") != "BertNormalizer":
        return False
    asked = {
        "lowercase": settings.get("do_lower_case", True),
        "strip_accents": settings.get("strip_accents"),
        "handle_chinese_chars": settings.get("tokenize_chinese_chars", True),
    }
    return all(normalizer.get(key) == value for key, value in asked.items())


def _auto(folder: Path) -> PreTrainedTokenizerBase:
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError, KeyError) as error:
        raise ModelError(
            f"the model's tokenizer cannot be read: {str(error).splitlines()[0]}",
            hint="The folder needs tokenizer.json, or what its tokenizer class reads.",
        ) from error
