"""The rows whose logits are recorded, so that `verify` can compare what the Hub gives back."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from hubkit.errors import DataError, ModelError
from hubkit.records import (
    Dataset,
    Encoded,
    Format,
    Record,
    Sample,
    SampleTable,
    Variant,
)
from hubkit.stage import Context, stage

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from hubkit.backends.base import Arrays

    Column = NDArray[np.int64]


class SampleInput(Record):
    """The rows to choose from, and the variant that is published in each format."""

    dataset: Dataset
    encoded: Encoded
    published: dict[Format, Variant]
    count: Annotated[int, Field(ge=1)] = 16
    seed: int = 13
    cpu: tuple[str, ...] = ()  # as in PredictInput


@stage(
    "sample",
    version=1,
    kind="heavy",
    takes=SampleInput,
    gives=SampleTable,
    tools=("onnxruntime", "torch", "transformers", "optimum-intel", "neural-compressor"),
)
def sample(given: SampleInput, ctx: Context) -> SampleTable:
    """`count` rows of the evaluation split with the logits of every published variant.

    Each row is run alone (batch 1) and unpadded, so that what is compared depends on no other row.
    Raises DataError where the split is empty, ModelError for an input that is not known.
    """
    rows = _Rows(ctx.store.path(given.encoded.artifact) / "encoded.npz")
    chosen = choose(
        rows.lengths, rows.labels, given.count, seed=given.seed, max_length=given.encoded.max_length
    )
    texts = _texts(ctx.store.path(given.dataset.artifact) / "eval.parquet", chosen)
    logits: dict[int, dict[str, tuple[float, ...]]] = {row: {} for row in chosen}
    total = len(chosen) * len(given.published)
    for at, (name, variant) in enumerate(sorted(given.published.items())):
        ctx.progress("recording samples", at * len(chosen), total)
        for row, values in _run(variant, ctx.store.path(variant.artifact), rows, chosen).items():
            logits[row][name] = values
    ctx.progress("recording samples", total, total)
    samples = (
        Sample(row=row, primary=primary, secondary=secondary, logits=logits[row])
        for row, (primary, secondary) in texts.items()
    )
    return SampleTable(samples=tuple(samples))


def choose(
    lengths: Column, labels: Column, count: int, *, seed: int, max_length: int
) -> tuple[int, ...]:
    """Ascending row numbers: the labels in turn, and within a label evenly from short to long.

    Rows as long as `max_length` may have been cut, and a reader who tokenizes the text without
    that limit would get other ids: they are taken only when the others are too few. `seed` decides
    between rows of one length.
    """
    import numpy as np

    if not len(lengths):
        raise DataError("the evaluation split has no rows to take samples from")
    order = np.lexsort((np.random.default_rng(seed).permutation(len(lengths)), lengths))
    whole = [int(row) for row in order if lengths[row] < max_length]
    if len(whole) <= count:
        cut = [int(row) for row in order if lengths[row] >= max_length]
        return tuple(sorted(whole + cut[: count - len(whole)]))
    groups: dict[int, list[int]] = {}
    for row in whole:
        groups.setdefault(int(labels[row]), []).append(row)
    wanted = _shares({label: len(rows) for label, rows in groups.items()}, count)
    return tuple(sorted(row for label in groups for row in _spread(groups[label], wanted[label])))


def _shares(available: dict[int, int], count: int) -> dict[int, int]:
    """How many of each label: one a label in turn until there are `count`; needs that many rows."""
    shares = dict.fromkeys(sorted(available), 0)
    while count:
        for label in shares:
            if count and shares[label] < available[label]:
                shares[label] += 1
                count -= 1
    return shares


def _spread(rows: list[int], count: int) -> list[int]:
    """`count` of the rows at even steps, the first and the last among them."""
    if count < 2:
        return rows[len(rows) // 2 :][:count]
    return [rows[at * (len(rows) - 1) // (count - 1)] for at in range(count)]


class _Rows:
    """The token ids of the evaluation split."""

    def __init__(self, path: Path) -> None:
        import numpy as np

        with np.load(path, allow_pickle=False) as file:
            self._offsets: Column = file["offsets"]
            self._ids: NDArray[np.int32] = file["input_ids"]
            self._types: NDArray[np.int32] | None = file.get("token_type_ids")
            self.labels: Column = file["labels"]

    @property
    def lengths(self) -> Column:
        import numpy as np

        return np.diff(self._offsets)

    def arrays(self, row: int, names: tuple[str, ...]) -> Arrays:
        """Inputs int64[1, length] of one row."""
        import numpy as np

        here = slice(self._offsets[row], self._offsets[row + 1])
        ids = self._ids[here].astype(np.int64)[None]
        types = np.zeros_like(ids) if self._types is None else self._types[here][None]
        known = {
            "input_ids": ids,
            "attention_mask": np.ones_like(ids),
            "token_type_ids": types.astype(np.int64),
        }
        if unknown := sorted(set(names) - set(known)):
            raise ModelError(f"the model takes an unknown input: {', '.join(unknown)}")
        return {name: known[name] for name in names}


def _texts(path: Path, rows: tuple[int, ...]) -> dict[int, tuple[str, str | None]]:
    from pyarrow import parquet

    names = set(parquet.read_schema(path).names) & {"primary", "secondary"}
    columns = parquet.read_table(path, columns=sorted(names)).take(list(rows)).to_pydict()
    seconds = columns.get("secondary", [None] * len(rows))
    return dict(zip(rows, zip(columns["primary"], seconds, strict=True), strict=True))


def _run(
    variant: Variant, folder: Path, rows: _Rows, chosen: tuple[int, ...]
) -> dict[int, tuple[float, ...]]:
    """Logits of the chosen rows, each run alone."""
    from hubkit.backends import runtime_for
    from hubkit.machine import default_threads

    session = runtime_for(variant).load(folder, variant.model_file, threads=default_threads())
    try:
        return {
            row: tuple(session.run(rows.arrays(row, session.input_names))[0].tolist())
            for row in chosen
        }
    finally:
        session.close()
