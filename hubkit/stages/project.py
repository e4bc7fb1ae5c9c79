"""A linear layer on top of a model's pooled embeddings, fitted to texts by their principal
components."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from hubkit.backends.projection import (
    DENSE_WEIGHTS,
    EMBEDDING,
    MODULES,
    Projection,
    write_projection,
)
from hubkit.backends.torch import runtime
from hubkit.errors import DataError, ModelError
from hubkit.recipe import Project
from hubkit.records import BaseModelInfo, Projected, Record
from hubkit.stage import Context, stage
from hubkit.stages.fetch_model import parameters_of
from hubkit.stages.fetch_training import TRAINING, TrainingRows
from hubkit.stages.model_files import CONFIG
from hubkit.stages.predict import TokenRows, run_rows
from hubkit.stages.split_rows import read_rows
from hubkit.tasks import task_for

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from hubkit.backends.base import Outputs
    from hubkit.tasks.base import Encoding, Floats, Ints

    Doubles = NDArray[np.float64]

_TASK = "feature-extraction"
_BATCH = 32
# config.json's key for the numbers of a hidden state: DistilBERT's, and everybody else's.
_WIDTH_KEYS = ("hidden_size", "dim", "d_model", "n_embd")


class ProjectInput(Record):
    """The model without a head, the rows, and how to fit."""

    base: BaseModelInfo
    rows: TrainingRows
    plan: Project


class ProjectedModel(Record):
    """A model whose folder has a projection."""

    base: BaseModelInfo
    done: Projected


@stage(
    "project",
    version=1,
    kind="heavy",
    takes=ProjectInput,
    gives=ProjectedModel,
    tools=("numpy", "safetensors", "tokenizers", "torch", "transformers"),
)
def project(given: ProjectInput, ctx: Context) -> ProjectedModel:
    """The model with the files of a projection beside its own, which stay as they are.

    Each row is embedded by itself or among rows of its length, pooled, and the principal components
    of all are taken. Raises ModelError for more dimensions than an embedding has, DataError where
    the rows span fewer than are wanted.
    """
    plan, source = given.plan, ctx.store.path(given.base.artifact)
    width = width_of(source)
    if plan.dimensions > width:
        raise ModelError(
            f"base.project.dimensions: {plan.dimensions}, and an embedding of the model has {width}"
            " numbers",
            hint=f"Take {width} or fewer.",
        )
    pooled = _embedded(given, source, ctx)
    if len(pooled) <= plan.dimensions:
        raise DataError(
            f"split {plan.split} has {len(pooled)} rows to fit a projection to, which span at most"
            f" {len(pooled) - 1} dimensions, and {plan.dimensions} are wanted",
            hint="Fit it to more rows (base.project.samples, base.project.split), or take fewer"
            " dimensions.",
        )
    weight, bias, share = principal_components(pooled, plan.dimensions)
    folder = ctx.scratch / "projected"
    folder.mkdir()
    for path in sorted(source.iterdir()):
        if path.is_file() and path.name != MODULES:  # the plan says how to pool
            shutil.copyfile(path, folder / path.name)
    write_projection(Projection(plan.pooling, weight, bias), folder)
    added = folder / DENSE_WEIGHTS
    parameters, size = parameters_of(added), added.stat().st_size
    rows = given.rows
    return ProjectedModel(
        base=given.base.model_copy(
            update={
                "artifact": ctx.store.adopt(folder),
                "embedding": None,  # of its own
                "num_parameters": given.base.num_parameters + parameters,
                "weights_bytes": given.base.weights_bytes + size,
            }
        ),
        done=Projected(
            dimensions=plan.dimensions,
            width=pooled.shape[1],
            pooling=plan.pooling,
            split=rows.split,
            rows=rows.rows,
            rows_available=rows.rows_available,
            overlapping=rows.overlapping,
            unusable=rows.unusable,
            max_length=min(plan.max_length, given.base.max_positions),
            seed=plan.seed,
            explained_variance=share,
        ),
    )


def width_of(folder: Path) -> int:
    """How many numbers a hidden state of a model folder has. Raises ModelError where config.json
    does not say."""
    config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    found = next((config[key] for key in _WIDTH_KEYS if isinstance(config.get(key), int)), None)
    if found is None:
        raise ModelError(
            "config.json does not say how wide the hidden states are (hidden_size)",
            hint="Save the model again with save_pretrained.",
        )
    return int(found)


def principal_components(pooled: Doubles, dimensions: int) -> tuple[Floats, Floats, float]:
    """weight float32[dimensions, width], bias float32[dimensions] and the share of the variance
    that is kept, of float64[rows, width]: rows · weightᵀ + bias are the coordinates of the centred
    rows along the directions of the most variance, the first along that of the most.

    A direction's sign is free: its number of the largest size is positive. Source: Hotelling 1933,
    "Analysis of a complex of statistical variables into principal components". Raises DataError
    where all rows are the same.
    """
    import numpy as np

    mean = pooled.mean(axis=0)
    centred = pooled - mean
    variances, directions = np.linalg.eigh(centred.T @ centred / (len(pooled) - 1))  # ascending
    kept = directions[:, ::-1][:, :dimensions].T
    largest = np.abs(kept).argmax(axis=1)
    kept = kept * np.sign(kept[np.arange(len(kept)), largest])[:, None]
    variances = np.clip(variances[::-1], 0, None)
    if not variances.sum() > 0:
        raise DataError(
            "all rows to fit a projection to have one and the same embedding",
            hint="Fit it to other rows: base.project.split.",
        )
    share = float(variances[:dimensions].sum() / variances.sum())
    weight = np.ascontiguousarray(kept, dtype=np.float32)
    # Of the weight as it is used: the centre of the rows comes out as 0.
    bias = (-(weight.astype(np.float64) @ mean)).astype(np.float32)
    return weight, bias, share


def _embedded(given: ProjectInput, source: Path, ctx: Context) -> Doubles:
    """The pooled embedding of each row, float64[rows, width], by PyTorch in FP32."""
    import numpy as np

    ctx.progress("tokenizing", 0, 0)
    task = task_for(_TASK)
    rows = read_rows(ctx.store.path(given.rows.artifact), TRAINING)
    longest = min(given.plan.max_length, given.base.max_positions)
    made = task.encode(rows, source, max_length=longest)
    tokens = _tokens(made)
    arrays = {"offsets": tokens.offsets}

    def keep(outputs: Outputs, inputs: Ints) -> Sequence[Floats]:
        if given.plan.pooling == "mean":
            states = {name: one for name, one in outputs.items() if name != EMBEDDING}
            return task.keep(states, inputs, arrays)
        first: Floats = outputs["last_hidden_state"][:, :1]
        return [one.copy() for one in first]  # not a view that keeps the whole batch

    session = runtime.load(source, "", threads=1)
    try:
        kept = run_rows(session, tokens, _BATCH, keep, ctx.progress)
    finally:
        session.close()
    pooled = np.concatenate(kept).astype(np.float64)
    if not np.isfinite(pooled).all():
        raise ModelError("the model gives embeddings that are not finite numbers")
    return pooled


def _tokens(made: Encoding) -> TokenRows:
    import numpy as np

    def flat(rows: Sequence[Sequence[int]]) -> Ints:
        return np.concatenate([np.asarray(row, dtype=np.int64) for row in rows])

    has_types = "token_type_ids" in made.input_names
    return TokenRows(
        np.concatenate([[0], np.cumsum([len(ids) for ids in made.ids])]).astype(np.int64),
        flat(made.ids),
        flat(made.token_types) if has_types else None,
        made.pad_id,
    )
