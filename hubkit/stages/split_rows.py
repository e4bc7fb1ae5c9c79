"""The rows of a split as `fetch-dataset` wrote them."""

from __future__ import annotations

from pathlib import Path

from hubkit.errors import DataError
from hubkit.tasks.base import Rows

# Columns that hold the reference of a row; the others are what the model is given.
REFERENCES = ("label", "answers")
# Before the name of a column whose values are groups of rows: no model is given it, and its name
# may be any.
GROUP = "group:"


def read_rows(folder: Path, split: str) -> Rows:
    """The rows of `split` ("eval" or "calibration") in the folder of a dataset, without groups.

    Raises DataError for a split that is not there, without rows, or with a missing value.
    """
    from pyarrow import parquet

    path = folder / f"{split}.parquet"
    if not path.is_file():
        raise DataError(f"the dataset has no {split} rows", hint="Name their split in the recipe.")
    table = parquet.read_table(path)
    if not table.num_rows:
        raise DataError(f"the {split} split is empty", hint="Name another split in the recipe.")
    names = [name for name in table.column_names if not name.startswith(GROUP)]
    for name in names:
        if missing := table[name].null_count:
            raise DataError(
                f"{missing} of the {table.num_rows} rows of the {split} split have no {name}",
                hint="Remove these rows from the dataset, or fill them in.",
            )
    found = {name: table[name].to_pylist() for name in names}
    references = next((found.pop(name) for name in REFERENCES if name in found), None)
    return Rows(columns=found, references=references)


def read_groups(folder: Path) -> dict[str, list[str | None]]:
    """Group column -> the value of each row of the evaluation split, None where it has none."""
    from pyarrow import parquet

    table = parquet.read_table(folder / "eval.parquet")
    names = [name for name in table.column_names if name.startswith(GROUP)]
    return {name.removeprefix(GROUP): table[name].to_pylist() for name in names}
