"""The rows of a split as token ids, made once for all variants."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from hubkit.records import BaseModelInfo, Dataset, Encoded, Record
from hubkit.stage import Context, stage
from hubkit.stages.split_rows import read_rows
from hubkit.tasks import task_for

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from hubkit.tasks.base import Encoding

_HAS_TOKEN_TYPES = ("bert", "albert", "electra", "mobilebert", "xlnet")


class EncodeInput(Record):
    """Which rows, and whose tokenizer. `max_length` counts the special tokens."""

    dataset: Dataset
    base: BaseModelInfo
    split: Literal["eval", "calibration"]
    max_length: Annotated[int, Field(ge=2)]
    task: str


@stage(
    "encode",
    version=2,
    kind="heavy",
    takes=EncodeInput,
    gives=Encoded,
    tools=("tokenizers", "transformers", "numpy"),
)
def encode(given: EncodeInput, ctx: Context) -> Encoded:
    """Token ids, ragged and unpadded, exactly those that AutoTokenizer gives for the base model,
    and the arrays that the task adds to them.

    Rows are cut at `max_length`, or at the model's positions where it has fewer. token_type_ids are
    there when both the tokenizer makes them and the model has them. Raises DataError for a split
    without rows or with a missing text or label, ModelError for a tokenizer that cannot be read.
    """
    ctx.progress("tokenizing", 0, 1)
    rows = read_rows(ctx.store.path(given.dataset.artifact), given.split)
    folder = ctx.store.path(given.base.artifact)
    max_length = min(given.max_length, given.base.max_positions)
    made = task_for(given.task).encode(rows, folder, max_length=max_length)
    takes_types = "token_type_ids" in made.input_names and _has_token_types(given.base, folder)
    output = ctx.scratch / "encoded"
    total = _write(output, made, with_types=takes_types)
    ctx.progress("tokenizing", 1, 1)
    return Encoded(
        artifact=ctx.store.adopt(output),
        rows=len(rows),
        truncated=made.truncated,
        max_length=max_length,
        mean_tokens=total / len(made.ids),
        input_names=("input_ids", "attention_mask", *(["token_type_ids"] if takes_types else [])),
        pad_id=made.pad_id,
        task=given.task,
        inputs=len(made.ids) if len(made.ids) != len(rows) else None,
        lost_units=made.lost,
    )


def _has_token_types(base: BaseModelInfo, folder: Path) -> bool:
    """Whether the model has more than no segment embeddings, by its configuration alone."""
    import json

    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    return int(config.get("type_vocab_size", base.model_type in _HAS_TOKEN_TYPES)) > 0


def _write(output: Path, made: Encoding, *, with_types: bool) -> int:
    """Write encoded.npz and give the number of tokens. Equal arrays give equal bytes: numpy writes
    no dates into its archives."""
    import numpy as np

    lengths = [len(ids) for ids in made.ids]
    arrays: dict[str, NDArray[np.int64] | NDArray[np.int32]] = {
        "offsets": np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        "input_ids": _flat(made.ids),
        **{name: array.astype(np.int64) for name, array in made.arrays.items()},
    }
    if with_types:
        arrays["token_type_ids"] = _flat(made.token_types)
    output.mkdir()
    np.savez(output / "encoded.npz", **arrays)
    return sum(lengths)


def _flat(rows: Sequence[Sequence[int]]) -> NDArray[np.int32]:
    import numpy as np

    return np.concatenate([np.asarray(row, dtype=np.int32) for row in rows])
