"""Which rows of the evaluation split are in which slice."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hubkit.analysis_records import SliceResult
from hubkit.errors import DataError
from hubkit.recipe_analyses import LengthRange, Slice, labels_meant
from hubkit.tasks.base import Rows

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from hubkit.tasks.base import Arrays, Ints

    Flags = NDArray[np.bool_]

Groups = Mapping[str, Sequence[str | None]]  # column -> the value of each row


@dataclass(frozen=True)
class Found:
    """A slice that is not scored yet, and the numbers of its rows, int64, ascending."""

    result: SliceResult
    rows: Ints


@dataclass(frozen=True)
class Looked:
    """What slices are found in. `arrays`: of encoded.npz; `rows`: with the texts; `labels`: of the
    model."""

    arrays: Arrays
    rows: Rows
    groups: Groups
    labels: tuple[str, ...]


def find_slices(wanted: Sequence[Slice], looked: Looked) -> list[Found]:
    """The wanted slices in their order, then one for each value of each group column, sorted.

    A row without a value is in no slice of its column. Raises DataError for a label that the model
    has not, or for labels where there are none.
    """
    found = [_wanted(one, looked) for one in wanted]
    return [*found, *_groups(looked.groups)]


def without_group(groups: Groups) -> dict[str, int]:
    """Column -> rows that have no value in it, of the columns that have such rows."""
    counts = {column: sum(value is None for value in values) for column, values in groups.items()}
    return {column: count for column, count in counts.items() if count}


def _wanted(one: Slice, looked: Looked) -> Found:
    if one.length is not None:
        low, high = one.length.at_least, one.length.at_most
        flags = _by_length(one.length, looked.arrays)
        result = SliceResult(
            name=one.name,
            kind="length",
            definition=_range(low, high),
            rows=int(flags.sum()),
            at_least=low,
            at_most=high,
        )
    elif one.label is not None:
        flags = _by_label(one.label, looked)
        result = SliceResult(
            name=one.name, kind="label", definition=one.label, rows=int(flags.sum())
        )
    else:
        pattern = one.pattern or ""
        flags = _by_pattern(pattern, looked.rows)
        result = SliceResult(
            name=one.name, kind="pattern", definition=pattern, rows=int(flags.sum())
        )
    return Found(result, _numbers(flags))


def _range(low: int | None, high: int | None) -> str:
    if low is None:
        return f"≤ {high}"
    return f"≥ {low}" if high is None else f"{low}–{high}"


def _by_length(length: LengthRange, arrays: Arrays) -> Flags:
    """By the tokens that the model is given for a row: special ones count, what was cut off does
    not, and of a row that is read in windows all of them count."""
    import numpy as np

    tokens = np.diff(arrays["offsets"])
    if "rows" in arrays:
        tokens = np.bincount(arrays["rows"], weights=tokens).astype(np.int64)
    low = 0 if length.at_least is None else length.at_least
    high = tokens.max() if length.at_most is None else length.at_most
    return np.asarray((tokens >= low) & (tokens <= high))


def _by_label(label: str, looked: Looked) -> Flags:
    """By the reference: the label of the row, or any of its words'."""
    import numpy as np

    if "labels" not in looked.arrays:
        raise DataError(
            f"rows cannot be chosen by the label {label}: there are no labels",
            hint="Choose rows by length or pattern in analyses.slices.",
        )
    offsets = looked.arrays.get("word_offsets")
    meant = labels_meant(label, looked.labels) if offsets is not None else (label,)
    ids = [number for number, name in enumerate(looked.labels) if name in meant]
    if not ids:
        raise DataError(
            f"rows cannot be chosen by the label {label}, which is none of the model's",
            hint=f"Its labels: {', '.join(looked.labels)}.",
        )
    has = np.isin(looked.arrays["labels"], ids)
    if offsets is None:
        return has
    before = np.concatenate([[0], np.cumsum(has)])
    return np.asarray(before[offsets[1:]] > before[offsets[:-1]])


def _by_pattern(pattern: str, rows: Rows) -> Flags:
    """By any of a row's texts; words are joined by spaces."""
    import numpy as np

    search = re.compile(pattern).search
    columns = list(rows.columns.values())
    flags = np.zeros(len(rows), dtype=bool)
    for values in columns:
        texts = (one if isinstance(one, str) else " ".join(one) for one in values)
        flags |= np.fromiter((search(text) is not None for text in texts), bool, len(values))
    return flags


def _groups(groups: Groups) -> Iterator[Found]:
    import numpy as np

    for column, values in groups.items():
        for value in sorted({value for value in values if value is not None}, key=_order):
            flags = np.fromiter((one == value for one in values), bool, len(values))
            result = SliceResult(
                name=f"{column}={value}",
                kind="column",
                definition=value,
                rows=int(flags.sum()),
                column=column,
            )
            yield Found(result, _numbers(flags))


def _order(value: str) -> tuple[int, str]:
    """Whole numbers by their value, before texts."""
    return (int(value), "") if re.fullmatch(r"[0-9]{1,18}", value) else (10**18, value)


def _numbers(flags: Flags) -> Ints:
    import numpy as np

    return np.flatnonzero(flags).astype(np.int64)
