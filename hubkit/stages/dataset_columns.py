"""The columns that a recipe names, of one split of a dataset, as plain values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from hubkit.errors import DataError
from hubkit.nearest import did_you_mean
from hubkit.recipe import DatasetSpec
from hubkit.tasks.base import Reference

if TYPE_CHECKING:
    from datasets import Dataset

Words = tuple[str, ...]

_ROLES: tuple[Literal["primary", "secondary", "question", "context"], ...]
_ROLES = ("primary", "secondary", "question", "context")  # in the order of the columns written
_TEXT = ("string", "large_string")
_SINGLE, _BYTES = ("Value", "ClassLabel"), ("binary", "large_binary")
MAX_GROUPS = 20  # slices that a column can make
_LISTS = ("list", "List", "LargeList", "Sequence")
# Reference -> what its column has to hold, in words.
_HOLDS = {
    "label": "one label a row",
    "word-labels": "a list of labels a row, one for each word",
    "answers": "a list of texts a row, or SQuAD's answers with such a list as text",
}


@dataclass(frozen=True)
class Rows:
    """The named columns of a split.

    `columns`: role -> text, or the words of it; None where it is missing. `values`: the reference
    column as it is stored: a value a row, a list of values a row, or the accepted answers; None
    where the task has none. `class_names`: of the integers in it, where the dataset has them.
    `groups`: group column -> its values as text, None where a row has none.
    """

    split: str
    columns: Mapping[str, Sequence[str | Words | None]]
    values: Sequence[object] | None
    class_names: tuple[str, ...] | None
    groups: Mapping[str, Sequence[str | None]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))

    def texts(self) -> list[tuple[str | Words | None, ...]]:
        """What the model is given of each row."""
        return list(zip(*self.columns.values(), strict=True))


def read_columns(dataset: Dataset, split: str, spec: DatasetSpec, reference: Reference) -> Rows:
    """The columns of a split that has rows. Raises DataError where one is not there or holds
    something else."""
    keys = {role: spec.data_keys[role] for role in _ROLES if role in spec.data_keys}
    for role, column in keys.items():
        _need_column(dataset, column, f"dataset.data_keys.{role}", spec)
    read = _words if reference == "word-labels" else _texts
    columns: dict[str, list[str | Words | None]] = {
        role: read(dataset, column, spec) for role, column in keys.items()
    }
    if reference == "none":
        return Rows(split, columns, None, None)
    column = spec.ref_keys[0]
    _need_column(dataset, column, "dataset.ref_keys", spec)
    if not _suits(dataset.features[column], reference):
        raise DataError(
            f"column {column} of dataset {spec.path} holds {_kind(dataset.features[column])}, not"
            f" {_HOLDS[reference]}",
            hint=f"Set dataset.ref_keys in the recipe to a column with {_HOLDS[reference]}.",
        )
    values = _column(dataset, column)
    if reference == "answers":
        values = [_answers(value) for value in values]
    return Rows(split, columns, values, _class_names(dataset.features[column]))


def read_groups(
    dataset: Dataset, split: str, spec: DatasetSpec, columns: Sequence[str]
) -> dict[str, list[str | None]]:
    """The values of group columns as text. Raises DataError where one is not there, holds no single
    values, or more different ones than a card can show."""
    found = {}
    for column in columns:
        _need_column(dataset, column, "analyses.group_columns", spec)
        feature = dataset.features[column]
        if type(feature).__name__ not in _SINGLE or getattr(feature, "dtype", "") in _BYTES:
            raise DataError(
                f"column {column} of dataset {spec.path} holds {_kind(feature)}, not one value a"
                " row",
                hint="Set analyses.group_columns in the recipe to columns with texts or numbers.",
            )
        names = _class_names(feature)
        values = [_group(value, names) for value in _column(dataset, column)]
        different = len(set(values) - {None})
        if different > MAX_GROUPS:
            raise DataError(
                f"column {column} of split {split} of dataset {spec.path} has {different:,}"
                f" different values, and a column of analyses.group_columns at most {MAX_GROUPS}",
                hint="Name a column with fewer, or look at rows by length, label or pattern"
                " (analyses.slices).",
            )
        found[column] = values
    return found


def _group(value: object, names: tuple[str, ...] | None) -> str | None:
    if value is None or value != value:  # NaN, which is what a number that is missing becomes
        return None
    if isinstance(value, bool):
        return str(value).lower()
    if names is not None and isinstance(value, int):
        return names[value] if 0 <= value < len(names) else None  # -1: the dataset does not say
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def _need_column(dataset: Dataset, column: str, key: str, spec: DatasetSpec) -> None:
    if column not in dataset.column_names:
        near = did_you_mean(column, dataset.column_names)
        raise DataError(
            f"dataset {spec.path} has no column {column} ({key}){near}",
            hint=f"Its columns: {', '.join(dataset.column_names)}.",
        )


def _texts(dataset: Dataset, column: str, spec: DatasetSpec) -> list[str | Words | None]:
    feature = dataset.features[column]
    if getattr(feature, "dtype", None) not in _TEXT:
        raise DataError(
            f"column {column} of dataset {spec.path} holds {_kind(feature)}, not text",
            hint="Set dataset.data_keys in the recipe to columns with text.",
        )
    return [None if text is None else str(text) for text in _column(dataset, column)]


def _words(dataset: Dataset, column: str, spec: DatasetSpec) -> list[str | Words | None]:
    feature = dataset.features[column]
    if getattr(_inner(feature), "dtype", None) not in _TEXT:
        raise DataError(
            f"column {column} of dataset {spec.path} holds {_kind(feature)}, not lists of words",
            hint="Set dataset.data_keys.primary in the recipe to a column with the words of each"
            " row, such as tokens.",
        )
    found: list[str | Words | None] = []
    for row in _column(dataset, column):
        words = tuple(row) if isinstance(row, list) else (None,)
        found.append(None if None in words else tuple(map(str, words)))
    return found


def _suits(feature: object, reference: Reference) -> bool:
    if reference == "label":
        return not _is_list(feature) and not isinstance(feature, dict)
    if reference == "word-labels":
        inner = _inner(feature)
        return inner is not None and not _is_list(inner) and not isinstance(inner, dict)
    if isinstance(feature, dict):  # SQuAD: {text: [...], answer_start: [...]}
        return getattr(_inner(feature.get("text")), "dtype", None) in _TEXT
    inner = _inner(feature)
    if isinstance(inner, dict):  # the same, answer by answer
        inner = inner.get("text")
    return getattr(inner, "dtype", None) in (*_TEXT, "null")


def _answers(value: object) -> Sequence[object] | None:
    """The texts of a row's answers; None where there is nothing, which is not "no answer"."""
    if isinstance(value, dict):
        value = value.get("text")
    if not isinstance(value, list):
        return None
    return [one.get("text") if isinstance(one, dict) else one for one in value]


def _is_list(feature: object) -> bool:
    return type(feature).__name__ in _LISTS


def _inner(feature: object) -> object:
    """What a list holds; None of anything else."""
    if isinstance(feature, list):
        return feature[0]
    return getattr(feature, "feature", None) if _is_list(feature) else None


def _kind(feature: object) -> str:
    if _is_list(feature):
        return f"lists of {_kind(_inner(feature))}"
    return str(getattr(feature, "dtype", None) or type(feature).__name__)


def _column(dataset: Dataset, column: str) -> list[object]:
    found: list[object] = dataset.select_columns([column])[:][column]
    return found


def _class_names(feature: object) -> tuple[str, ...] | None:
    names = getattr(_inner(feature) or feature, "names", None)
    return tuple(names) if names else None
