"""The rows of a split as `fetch-dataset` wrote them."""

from __future__ import annotations

from pathlib import Path

from hubkit.errors import DataError
from hubkit.tasks.base import Rows

# Columns that hold the reference of a row; the others are what the model is given.
REFERENCES = ("label", "answers")


def read_rows(folder: Path, split: str) -> Rows:
    """The rows of `split` ("eval" or "calibration") in the folder of a dataset.

    Raises DataError for a split that is not there, without rows, or with a missing value.
    """
    from pyarrow import parquet

    path = folder / f"{split}.parquet"
    if not path.is_file():
        raise DataError(f"the dataset has no {split} rows", hint="Name their split in the recipe.")
    table = parquet.read_table(path)
    if not table.num_rows:
        raise DataError(f"the {split} split is empty", hint="Name another split in the recipe.")
    for name in table.column_names:
        if missing := table[name].null_count:
            raise DataError(
                f"{missing} of the {table.num_rows} rows of the {split} split have no {name}",
                hint="Remove these rows from the dataset, or fill them in.",
            )
    found = {name: table[name].to_pylist() for name in table.column_names}
    references = next((found.pop(name) for name in REFERENCES if name in found), None)
    return Rows(columns=found, references=references)
