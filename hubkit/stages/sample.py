"""The rows whose logits are recorded, so that `verify` can compare what the Hub gives back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from hubkit.errors import DataError, ModelError
from hubkit.records import (
    BaseModelInfo,
    Dataset,
    Encoded,
    Format,
    Record,
    Sample,
    SampleTable,
    Variant,
)
from hubkit.stage import Context, stage
from hubkit.stages.split_rows import read_rows
from hubkit.tasks import task_for
from hubkit.tasks.made_up import made_up_rows

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from hubkit.backends.base import Arrays
    from hubkit.tasks.base import Encoding, Rows, Task

    Column = NDArray[np.int64]


class SampleInput(Record):
    """The rows to choose from, and the variant that is published in each format. `made_up_for`: the
    model whose tokenizer takes rows that hubkit made up, where none of the dataset may be shown."""

    dataset: Dataset
    encoded: Encoded
    made_up_for: BaseModelInfo | None = None
    published: dict[Format, Variant]
    count: Annotated[int, Field(ge=1)] = 16
    seed: int = 13
    cpu: tuple[str, ...] = ()  # as in PredictInput


@stage(
    "sample",
    version=2,
    kind="heavy",
    takes=SampleInput,
    gives=SampleTable,
    tools=(
        *("onnxruntime", "torch", "transformers", "optimum-intel", "neural-compressor"),
        "openvino",
    ),
)
def sample(given: SampleInput, ctx: Context) -> SampleTable:
    """`count` rows of the evaluation split with what the task records of every published variant's
    outputs: the logits.

    Each row is run alone (batch 1) and unpadded, so that what is compared depends on no other row;
    of a row that was cut into several inputs, the first. With `made_up_for` they are rows of
    `hubkit.tasks.made_up` instead, numbered as there. Raises DataError where the split is empty,
    ModelError for an input that is not known.
    """
    task = task_for(given.encoded.task)
    rows = read_rows(ctx.store.path(given.dataset.artifact), "eval")
    longest = given.encoded.max_length
    if given.made_up_for is not None:
        rows = made_up_rows(_columns(rows, task), task.reference)
        folder = ctx.store.path(given.made_up_for.artifact)
        inputs = _Inputs(_arrays(task.encode(rows, folder, max_length=longest)))
    else:
        inputs = _read(ctx.store.path(given.encoded.artifact) / "encoded.npz")
    groups = inputs.labels if task.reference == "label" else None
    chosen = choose(inputs.lengths, groups, given.count, seed=given.seed, max_length=longest)
    if given.made_up_for is not None and task.reference == "answers":
        # Of a question that was cut a reader's tokenizer would give other ids.
        chosen = tuple(row for row in chosen if inputs.lengths[row] < longest) or chosen
    logits: dict[int, dict[str, tuple[float, ...]]] = {row: {} for row in chosen}
    total = len(chosen) * len(given.published)
    for at, (name, variant) in enumerate(sorted(given.published.items())):
        ctx.progress("recording samples", at * len(chosen), total)
        for row, values in _run(variant, ctx.store.path(variant.artifact), inputs, chosen, task):
            logits[row][name] = values
    ctx.progress("recording samples", total, total)
    return SampleTable(samples=tuple(_sample(row, rows, task, logits[row]) for row in chosen))


def _columns(rows: Rows, task: Task) -> list[str]:
    """What the model is given, the first text first."""
    keys = (*task.required_keys, *task.optional_keys)
    return [key for key in keys if key in rows.columns]


def _sample(row: int, rows: Rows, task: Task, logits: dict[str, tuple[float, ...]]) -> Sample:
    first, *more = (rows.columns[key][row] for key in _columns(rows, task))
    return Sample(
        row=row,
        primary=first if isinstance(first, str) else " ".join(first),
        secondary=str(more[0]) if more else None,
        words=None if isinstance(first, str) else tuple(first),
        logits=logits,
    )


def choose(
    lengths: Column, labels: Column | None, count: int, *, seed: int, max_length: int
) -> tuple[int, ...]:
    """Ascending row numbers: the labels in turn, and within a label evenly from short to long; all
    rows together where they have no label.

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
        groups.setdefault(0 if labels is None else int(labels[row]), []).append(row)
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


def _read(path: Path) -> _Inputs:
    import numpy as np

    with np.load(path, allow_pickle=False) as file:
        return _Inputs(dict(file))


def _arrays(made: Encoding) -> dict[str, Column]:
    """What `encode` would write, as far as it is asked for here."""
    import numpy as np

    arrays = {
        "offsets": np.cumsum([0, *map(len, made.ids)], dtype=np.int64),
        "input_ids": np.concatenate([np.asarray(ids, dtype=np.int64) for ids in made.ids]),
        **made.arrays,
    }
    if "token_type_ids" in made.input_names:
        types = [np.asarray(row, dtype=np.int64) for row in made.token_types]
        arrays["token_type_ids"] = np.concatenate(types)
    return arrays


class _Inputs:
    """Token ids as encoded.npz has them: of each row the first input."""

    def __init__(self, arrays: Mapping[str, Column]) -> None:
        import numpy as np

        offsets = arrays["offsets"]
        self._ids = arrays["input_ids"]
        self._types = arrays.get("token_type_ids")
        self.labels = arrays.get("labels")
        rows = arrays.get("rows", np.arange(len(offsets) - 1))
        _, first = np.unique(rows, return_index=True)
        self._starts, self._ends = offsets[first], offsets[first + 1]

    @property
    def lengths(self) -> Column:
        lengths: Column = self._ends - self._starts
        return lengths

    def arrays(self, row: int, names: tuple[str, ...]) -> Arrays:
        """Inputs int64[1, length] of one row."""
        import numpy as np

        here = slice(self._starts[row], self._ends[row])
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


def _run(
    variant: Variant, folder: Path, inputs: _Inputs, chosen: tuple[int, ...], task: Task
) -> Iterator[tuple[int, tuple[float, ...]]]:
    """Each chosen row, and what is recorded of it, run alone."""
    from hubkit.backends import runtime_for
    from hubkit.machine import default_threads

    session = runtime_for(variant).load(folder, variant.model_file, threads=default_threads())
    try:
        for row in chosen:
            outputs = session.run(inputs.arrays(row, session.input_names))
            yield row, tuple(task.recorded(outputs).tolist())
    finally:
        session.close()
