"""The reference column of a dataset as label ids of the model, through the recipe's mapping."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hubkit.errors import DataError
from hubkit.nearest import did_you_mean
from hubkit.stages.dataset_rows import Rows

# What datasets write where the answers of a test split are kept back (GLUE and others).
_UNLABELLED = -1


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
        known = {value: self._id(value, rows.class_names) for value in set(rows.values)}
        return [known[value] for value in rows.values]

    def strict_ids(self, rows: Rows, dataset: str) -> list[int]:
        """The label id of each row. Raises DataError that names the first value, row and count of
        what the mapping does not have."""
        ids = self.ids(rows)
        bad = [row for row, found in enumerate(ids) if found is None]
        if bad:
            raise self._error(rows, bad, dataset)
        return [found for found in ids if found is not None]

    def _id(self, value: object, class_names: tuple[str, ...] | None) -> int | None:
        return next((self._ids[t] for t in _spellings(value, class_names) if t in self._ids), None)

    def _error(self, rows: Rows, bad: list[int], dataset: str) -> DataError:
        where = f"split {rows.split} of dataset {dataset}"
        hidden = [row for row in bad if rows.values[row] in (_UNLABELLED, None)]
        if hidden:
            what = "-1" if rows.values[hidden[0]] == _UNLABELLED else "null"
            return DataError(
                f"{where} has {len(hidden):,} rows without a label ({what}, first in row"
                f" {hidden[0]}): some datasets keep the answers of their test split back",
                hint="Set dataset.eval_split in the recipe to a split with labels, such as"
                " validation.",
            )
        value = rows.values[bad[0]]
        same = sum(1 for row in bad if rows.values[row] == value)
        others = len({str(rows.values[row]) for row in bad}) - 1
        more = f" ({others} other such values)" if others else ""
        names = _spellings(value, rows.class_names)
        return DataError(
            f"{where}: labels in the recipe says nothing of the value {' or '.join(names)}, first"
            f" in row {bad[0]}, {same:,} rows in all{more}",
            hint=f"Add it to labels, which knows {', '.join(self._mapping)}.",
        )


def _spellings(value: object, class_names: tuple[str, ...] | None) -> tuple[str, ...]:
    """What a recipe may call a value: its class name, then the value as text."""
    if isinstance(value, bool):
        return (str(value), str(value).lower(), str(int(value)))
    if isinstance(value, int) and class_names and 0 <= value < len(class_names):
        return (class_names[value], str(value))
    if isinstance(value, float) and value.is_integer():
        return (str(int(value)), str(value))
    return (str(value),)
