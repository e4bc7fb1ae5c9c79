"""The reference column of a dataset as label ids of the model, through the recipe's mapping."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from hubkit.errors import DataError
from hubkit.nearest import did_you_mean
from hubkit.stages.dataset_columns import Rows

# What datasets write where the answers of a test split are kept back (GLUE and others).
_UNLABELLED = -1


@dataclass(frozen=True)
class _Values:
    """Values of a reference column one after another, and the row that each is of."""

    values: Sequence[object]
    rows: Sequence[int]
    unit: str  # what has one of them: rows, words
    where: str
    class_names: tuple[str, ...] | None


class LabelMap:
    """Values of a reference column -> label ids of a model.

    `mapping`: the recipe's, from a value as text, or from the name that the dataset gives it, to a
    label of the model.
    """

    def __init__(self, mapping: Mapping[str, str], model_labels: Sequence[str]) -> None:
        ids = {name: i for i, name in enumerate(model_labels)}
        for value, name in mapping.items():
            if name not in ids:
                raise DataError(
                    f'labels maps {value} to "{name}", which is no label of the model'
                    f"{did_you_mean(name, model_labels)}",
                    hint=f"The model's labels: {', '.join(model_labels)}.",
                )
        self._mapping = mapping
        self._ids = {value: ids[name] for value, name in mapping.items()}

    def ids(self, rows: Rows) -> list[int | None]:
        """The label id of each row; None for a value that the mapping does not have."""
        return self._of(rows.values or (), rows.class_names)

    def strict_ids(self, rows: Rows, dataset: str) -> list[int]:
        """The label id of each row. Raises DataError that names the first value, row and count of
        what the mapping does not have."""
        where = f"split {rows.split} of dataset {dataset}"
        values = rows.values or ()
        return self._strict(_Values(values, range(len(values)), "rows", where, rows.class_names))

    def strict_word_ids(self, rows: Rows, dataset: str) -> list[list[int]]:
        """The label ids of each row's words. Raises DataError as above, and where a row has not as
        many labels as words."""
        where = f"split {rows.split} of dataset {dataset}"
        lists = list(_label_lists(rows, where))
        numbers = [row for row, labels in enumerate(lists) for _ in labels]
        flat = [label for labels in lists for label in labels]
        ids = iter(self._strict(_Values(flat, numbers, "words", where, rows.class_names)))
        return [[next(ids) for _ in labels] for labels in lists]

    def _strict(self, given: _Values) -> list[int]:
        ids = self._of(given.values, given.class_names)
        bad = [at for at, found in enumerate(ids) if found is None]
        if bad:
            raise self._error(given, bad)
        return [found for found in ids if found is not None]

    def _of(
        self, values: Sequence[object], class_names: tuple[str, ...] | None
    ) -> list[int | None]:
        known = {value: self._id(value, class_names) for value in set(values)}
        return [known[value] for value in values]

    def _id(self, value: object, class_names: tuple[str, ...] | None) -> int | None:
        return next((self._ids[t] for t in _spellings(value, class_names) if t in self._ids), None)

    def _error(self, given: _Values, bad: list[int]) -> DataError:
        values, unit = given.values, given.unit
        hidden = [at for at in bad if values[at] in (_UNLABELLED, None)]
        if hidden:
            what = "-1" if values[hidden[0]] == _UNLABELLED else "null"
            return DataError(
                f"{given.where} has {len(hidden):,} {unit} without a label ({what}, first in row"
                f" {given.rows[hidden[0]]}): some datasets keep the answers of their test split"
                " back",
                hint="Set dataset.eval_split in the recipe to a split with labels, such as"
                " validation.",
            )
        value = values[bad[0]]
        same = sum(1 for at in bad if values[at] == value)
        others = len({str(values[at]) for at in bad}) - 1
        more = f" ({others} other such values)" if others else ""
        names = _spellings(value, given.class_names)
        return DataError(
            f"{given.where}: labels in the recipe says nothing of the value {' or '.join(names)},"
            f" first in row {given.rows[bad[0]]}, {same:,} {unit} in all{more}",
            hint=f"Add it to labels, which knows {', '.join(self._mapping)}.",
        )


def answers_of(rows: Rows, dataset: str) -> list[list[str]]:
    """The accepted answers of each row, none where it is unanswerable. Raises DataError where they
    are missing."""
    found = []
    for number, value in enumerate(rows.values or ()):
        if not isinstance(value, list) or None in value:
            raise DataError(
                f"split {rows.split} of dataset {dataset} has a row without answers (null), row"
                f" {number}",
                hint="A question without an answer has an empty list of them. Set"
                " dataset.eval_split in the recipe to a split with answers.",
            )
        found.append([str(answer) for answer in value])
    return found


def _label_lists(rows: Rows, where: str) -> Iterator[list[object]]:
    words = next(iter(rows.columns.values()))
    for number, (row, labels) in enumerate(zip(words, rows.values or (), strict=True)):
        if not isinstance(labels, list):
            raise DataError(
                f"{where} has a row without labels (null), row {number}",
                hint="Set dataset.eval_split in the recipe to a split with labels, such as"
                " validation.",
            )
        if len(labels) != len(row or ()):
            raise DataError(
                f"{where} has {len(row or ())} words and {len(labels)} labels in row {number}",
                hint="Each word needs one label: set dataset.data_keys and dataset.ref_keys in the"
                " recipe to columns that belong together.",
            )
        yield labels


def _spellings(value: object, class_names: tuple[str, ...] | None) -> tuple[str, ...]:
    """What a recipe may call a value: its class name, then the value as text."""
    if isinstance(value, bool):
        return (str(value), str(value).lower(), str(int(value)))
    if isinstance(value, int) and class_names and 0 <= value < len(class_names):
        return (class_names[value], str(value))
    if isinstance(value, float) and value.is_integer():
        return (str(int(value)), str(value))
    return (str(value),)
