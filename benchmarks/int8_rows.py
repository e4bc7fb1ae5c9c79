"""The rows of benchmarks.int8 as batches, and what a maker of a model takes.

A maker takes the folder of the FP32 model, that of its ONNX export, the one to write, and the rows:
JSON with "calibration" and "test", each {"ids": [[…]], "labels": [...]}.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Batch = dict[str, NDArray[np.int64]]

Maker = Callable[[Path, Path, Path, Path], None]
_MAX_LENGTH = 128
_CALIBRATION_ROWS = 300


def demo(folder: Path) -> tuple[Path, Path]:
    """The demo's model, and its 2,000 rows that no model was trained on."""
    import pyarrow.parquet as parquet
    from transformers import AutoTokenizer

    from hubkit.demo.stage import build_demo, build_input
    from hubkit.pipeline import running
    from hubkit.recipe import BuiltModel
    from hubkit.recipe_file import load_recipe

    recipe = load_recipe("distilbert-sst2", demo=True).recipe
    assert isinstance(recipe.base, BuiltModel)
    with running() as run:
        built = run.run(build_demo, build_input(recipe.base.builder), subject="demo")
        model, data = run.store.path(built.model), run.store.path(built.dataset)
        source, rows = folder / "source", folder / "rows.json"
        if not source.is_dir():
            shutil.copytree(model, source)
        tables = {split: next(data.rglob(f"{split}*.parquet")) for split in _SPLITS}
        found = {split: parquet.read_table(path).to_pydict() for split, path in tables.items()}
    tokenizer = AutoTokenizer.from_pretrained(source, local_files_only=True)

    def encoded(splits: Sequence[str], most: int) -> dict[str, object]:
        text = [one for split in splits for one in found[split]["sentence"]][:most]
        labels = [one for split in splits for one in found[split]["label"]][:most]
        ids = tokenizer(text, truncation=True, max_length=_MAX_LENGTH)["input_ids"]
        return {"ids": ids, "labels": labels}

    whole = {
        "calibration": encoded(("train",), _CALIBRATION_ROWS),
        "test": encoded(("validation", "test"), 2000),
    }
    rows.write_text(json.dumps(whole), encoding="utf-8")
    return source, rows


_SPLITS = ("train", "validation", "test")


def padded(ids: Sequence[Sequence[int]]) -> Batch:
    """int64[rows, longest] of token ids and their mask."""
    import numpy as np

    shape = (len(ids), max(map(len, ids)))
    tokens, mask = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
    for row, one in enumerate(ids):
        tokens[row, : len(one)], mask[row, : len(one)] = one, 1
    return {"input_ids": tokens, "attention_mask": mask}


def calibration(rows: Path, batch: int) -> Iterator[Batch]:
    """Batches of the calibration rows."""
    ids = json.loads(rows.read_text(encoding="utf-8"))["calibration"]["ids"]
    for start in range(0, len(ids), batch):
        yield padded(ids[start : start + batch])
