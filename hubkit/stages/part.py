"""Some of the evaluation rows as a dataset of their own: to search on, or to confirm on."""

from __future__ import annotations

import random
from typing import Literal

from hubkit.errors import DataError
from hubkit.records import Dataset, Record
from hubkit.stage import Context, stage
from hubkit.stages.split_rows import GROUP

# Half of the rows, but no more than a search has use for: times go with them.
MOST_SEARCHED = 2000
SENSED = 256


class PartInput(Record):
    """Whose rows are dealt by `seed`, and which of them are wanted. Those to `sense` on are among
    those to `search` on; those to `confirm` on are the rest."""

    dataset: Dataset
    which: Literal["sense", "search", "confirm"]
    seed: int


@stage("part", version=1, kind="heavy", takes=PartInput, gives=Dataset, tools=("pyarrow",))
def part(given: PartInput, ctx: Context) -> Dataset:
    """A dataset whose evaluation split is that part, in the order of the whole; it has neither
    calibration rows nor counts of labels. Raises DataError where there are too few rows."""
    from pyarrow import parquet

    table = parquet.read_table(ctx.store.path(given.dataset.artifact) / "eval.parquet")
    rows = dealt(table.num_rows, given.which, given.seed)
    kept = [name for name in table.column_names if not name.startswith(GROUP)]
    output = ctx.scratch / "part"
    output.mkdir()
    parquet.write_table(table.select(kept).take(rows), output / "eval.parquet")
    return Dataset(
        artifact=ctx.store.adopt(output),
        eval_rows=len(rows),
        eval_rows_available=given.dataset.eval_rows_available,
        calibration_rows=0,
        label_counts={},
        partial=True,
    )


def dealt(rows: int, which: Literal["sense", "search", "confirm"], seed: int) -> list[int]:
    """The numbers of the rows of a part, ascending. Raises DataError for fewer than two rows."""
    if rows < 2:
        raise DataError(
            f"{rows} evaluation row: a search needs rows to search on, and others to confirm on",
            hint="Name a split with more rows under dataset.eval_split.",
        )
    order = list(range(rows))
    random.Random(seed).shuffle(order)
    searched = min(rows // 2, MOST_SEARCHED)
    parts = {
        "sense": order[: min(searched, SENSED)],
        "search": order[:searched],
        "confirm": order[searched:],
    }
    return sorted(parts[which])
