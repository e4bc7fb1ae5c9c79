"""Long contexts cut into overlapping windows, each beside its whole question."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hubkit.errors import DataError, ModelError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from transformers import PreTrainedTokenizerBase

    Ints = NDArray[np.int64]

STRIDE = 128  # tokens that neighbouring windows share, where there is room for so many
# The context has at least this part of a window: a longer question is cut.
_CONTEXT_SHARE = 4
_LEAST_SPACE = 8  # tokens of a window beside the special ones
_ROWS_AT_ONCE = 256  # the library holds some 100 bytes for each of their tokens


@dataclass(frozen=True)
class Window:
    """One input. `spans`: int64[tokens, 2], where a token starts and ends in the context, in
    characters; -1 and -1 for what is not of the context."""

    row: int
    ids: Sequence[int]
    token_types: Sequence[int]
    spans: Ints


@dataclass(frozen=True)
class Windows:
    """The windows of all rows, row by row; each row has at least one."""

    windows: tuple[Window, ...]
    input_names: tuple[str, ...]
    pad_id: int
    questions_cut: int


def windows(
    model: Path, questions: Sequence[str], contexts: Sequence[str], *, max_length: int
) -> Windows:
    """Question first, then a part of the context; no more than `max_length` tokens together.

    They are what AutoTokenizer gives with truncation="only_second" and overflowing tokens, with a
    stride of STRIDE tokens, or half the room that a long question leaves, whichever is less. A
    question that would leave less than a quarter of the window is cut and counted. Raises DataError
    where `max_length` is too small for any question, ModelError for a tokenizer that cannot be read
    or does not know where its tokens come from.
    """
    tokenizer = _tokenizer(model)
    space = max_length - tokenizer.num_special_tokens_to_add(pair=True)
    if space < _LEAST_SPACE:
        raise DataError(
            f"max_length {max_length} leaves {max(space, 0)} tokens for question and context",
            hint="Set evaluation.max_length in the recipe to 384, or what the model has.",
        )
    asked, lengths = _fitting(tokenizer, questions, space - space // _CONTEXT_SHARE)
    groups: dict[int, list[int]] = {}
    for row, length in enumerate(lengths):
        groups.setdefault(min(STRIDE, (space - length) // 2), []).append(row)
    found = [
        window
        for stride, rows in sorted(groups.items())
        for window in _windows(tokenizer, asked, contexts, rows, max_length, stride)
    ]
    return Windows(
        windows=tuple(sorted(found, key=lambda window: window.row)),  # windows of a row stay so
        input_names=tuple(tokenizer.model_input_names),
        pad_id=int(tokenizer.pad_token_id or 0),
        questions_cut=sum(a != b for a, b in zip(asked, questions, strict=True)),
    )


def _windows(
    tokenizer: PreTrainedTokenizerBase,
    questions: Sequence[str],
    contexts: Sequence[str],
    rows: Sequence[int],
    max_length: int,
    stride: int,
) -> Iterator[Window]:
    for start in range(0, len(rows), _ROWS_AT_ONCE):
        some = rows[start : start + _ROWS_AT_ONCE]
        found = tokenizer(
            [questions[row] for row in some],
            [contexts[row] for row in some],
            truncation="only_second",
            max_length=max_length,
            stride=stride,
            return_overflowing_tokens=True,
            return_offsets_mapping=True,
            verbose=False,
        )
        samples = found["overflow_to_sample_mapping"]
        for sample, one in zip(samples, found.encodings, strict=True):
            spans = _spans(one.offsets, one.sequence_ids)
            yield Window(some[sample], one.ids, one.type_ids, spans)


def _spans(offsets: Sequence[tuple[int, int]], sequences: Sequence[int | None]) -> Ints:
    import numpy as np

    inside = np.asarray([sequence == 1 for sequence in sequences], dtype=bool)
    spans = np.asarray(offsets, dtype=np.int64).reshape(-1, 2)
    return np.where(inside[:, None], spans, -1)


def _fitting(
    tokenizer: PreTrainedTokenizerBase, questions: Sequence[str], limit: int
) -> tuple[list[str], list[int]]:
    """The questions of at most `limit` tokens, cut where they are longer, and their lengths."""
    asked, lengths = list(questions), _lengths(tokenizer, questions)
    for row, length in enumerate(lengths):
        if length > limit:
            asked[row], lengths[row] = _cut(tokenizer, questions[row], limit)
    return asked, lengths


def _cut(tokenizer: PreTrainedTokenizerBase, question: str, limit: int) -> tuple[str, int]:
    options = {"add_special_tokens": False, "return_offsets_mapping": True, "verbose": False}
    offsets = tokenizer(question, **options)["offset_mapping"]
    for _, end in offsets[limit - 1 :: -1]:
        # What is cut within a word may have more tokens than it had there.
        (length,) = _lengths(tokenizer, [question[:end]])
        if length <= limit:
            return question[:end], length
    return "", 0


def _lengths(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]) -> list[int]:
    lengths: list[int] = []
    for start in range(0, len(texts), _ROWS_AT_ONCE):
        some = list(texts[start : start + _ROWS_AT_ONCE])
        found = tokenizer(some, add_special_tokens=False, verbose=False)
        lengths += [len(ids) for ids in found["input_ids"]]
    return lengths


def _tokenizer(model: Path) -> PreTrainedTokenizerBase:
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(model, local_files_only=True)
    except (OSError, ValueError, KeyError) as error:
        raise ModelError(
            f"the model's tokenizer cannot be read: {str(error).splitlines()[0]}",
            hint="The folder needs tokenizer.json, or what its tokenizer class reads.",
        ) from error
    if not tokenizer.is_fast:
        raise ModelError(
            "the model's tokenizer does not say where in the text its tokens are",
            hint="Question answering needs a tokenizer.json beside the model.",
        )
    return tokenizer
