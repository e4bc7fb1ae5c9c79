"""The rows of a split as token ids, made once for all variants."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from hubkit.errors import DataError
from hubkit.records import BaseModelInfo, Dataset, Encoded, Record
from hubkit.stage import Context, stage
from hubkit.tasks import task_for
from hubkit.tasks.tokenizing import load_tokenizer

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from hubkit.tasks.base import Tokens

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
    version=1,
    kind="heavy",
    takes=EncodeInput,
    gives=Encoded,
    tools=("tokenizers", "transformers", "numpy"),
)
def encode(given: EncodeInput, ctx: Context) -> Encoded:
    """Token ids, ragged and unpadded, exactly those that AutoTokenizer gives for the base model.

    Rows are cut at `max_length`, or at the model's positions where it has fewer; pairs longest
    first. token_type_ids are there when both the tokenizer makes them and the model has them.
    Raises DataError for a split without rows or with a missing text or label, ModelError for a
    tokenizer that cannot be read.
    """
    ctx.progress("tokenizing", 0, 1)
    columns, labels = _read(ctx.store.path(given.dataset.artifact), given.split)
    folder = ctx.store.path(given.base.artifact)
    tokenizer = load_tokenizer(folder)
    max_length = min(given.max_length, given.base.max_positions)
    tokens = task_for(given.task).encode(columns, tokenizer, max_length=max_length)
    takes_types = "token_type_ids" in tokenizer.input_names and _has_token_types(given.base, folder)
    output = ctx.scratch / "encoded"
    total = _write(output, tokens, labels, with_types=takes_types)
    ctx.progress("tokenizing", 1, 1)
    return Encoded(
        artifact=ctx.store.adopt(output),
        rows=len(labels),
        truncated=tokens.truncated,
        max_length=max_length,
        mean_tokens=total / len(labels),
        input_names=("input_ids", "attention_mask", *(["token_type_ids"] if takes_types else [])),
        pad_id=tokenizer.pad_id,
    )


def _read(folder: Path, split: str) -> tuple[Mapping[str, Sequence[str]], Sequence[int]]:
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
    texts = [name for name in ("primary", "secondary") if name in table.column_names]
    return {name: table[name].to_pylist() for name in texts}, table["label"].to_pylist()


def _has_token_types(base: BaseModelInfo, folder: Path) -> bool:
    """Whether the model has more than no segment embeddings, by its configuration alone."""
    import json

    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    return int(config.get("type_vocab_size", base.model_type in _HAS_TOKEN_TYPES)) > 0


def _write(output: Path, tokens: Tokens, labels: Sequence[int], *, with_types: bool) -> int:
    """Write encoded.npz and give the number of tokens. Equal arrays give equal bytes: numpy writes
    no dates into its archives."""
    import numpy as np

    lengths = [len(row) for row in tokens.ids]
    arrays: dict[str, NDArray[np.int64] | NDArray[np.int32]] = {
        "offsets": np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        "input_ids": _flat(tokens.ids),
        "labels": np.asarray(labels, dtype=np.int64),
    }
    if with_types:
        arrays["token_type_ids"] = _flat(tokens.token_types)
    output.mkdir()
    np.savez(output / "encoded.npz", **arrays)
    return sum(lengths)


def _flat(rows: Sequence[Sequence[int]]) -> NDArray[np.int32]:
    import numpy as np

    return np.concatenate([np.asarray(row, dtype=np.int32) for row in rows])
