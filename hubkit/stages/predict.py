"""What a task keeps of one variant's outputs for every row of the evaluation split."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from hubkit.backends import runtime_for
from hubkit.errors import ModelError
from hubkit.machine import default_threads
from hubkit.records import Encoded, Predictions, Record, Variant
from hubkit.stage import Context, Progress, stage
from hubkit.tasks import task_for

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from hubkit.backends.base import Arrays, Outputs, Session
    from hubkit.tasks.base import Floats

    Rows = NDArray[np.int64]
    Keep = Callable[[Outputs, Rows], Sequence[Floats]]

# A batch is also cut here. On the demo model the time per token falls until about 128 tokens a call
# and rises after about 512, where padding grows and activations leave a core's own cache.
BATCH_TOKENS = 384


class PredictInput(Record):
    """The model, the rows, and the largest number of rows in one call."""

    variant: Variant
    encoded: Encoded
    batch_size: Annotated[int, Field(ge=1)]
    cpu: tuple[str, ...] = ()  # flags of the CPU that runs it: INT8 kernels do not all round alike


@stage(
    "predict",
    version=2,
    kind="heavy",
    takes=PredictInput,
    gives=Predictions,
    tools=(
        *("onnxruntime", "torch", "transformers", "optimum-intel", "neural-compressor", "numpy"),
        "openvino",
    ),
)
def predict(given: PredictInput, ctx: Context) -> Predictions:
    """logits.npy: what the task keeps of each input (for text classification its logits), in the
    order of the inputs, whatever ran when; float32[sum, width].

    Inputs are sorted by length, batched, padded to the batch, and run in single-threaded calls, as
    many at once as there are cores. The batches depend on the rows and `batch_size` alone, not on
    cores or timing, so equal input gives equal bytes. That matters for dynamic INT8, whose
    activation scale is taken over the whole batch: with another `batch_size` its logits differ a
    little. Raises ModelError when a logit is not finite, or the model gives none.
    """
    path = ctx.store.path(given.encoded.artifact) / "encoded.npz"
    arrays = _read(path)
    rows = TokenRows(
        arrays["offsets"],
        arrays["input_ids"],
        arrays.get("token_type_ids"),
        given.encoded.pad_id,
    )
    task = task_for(given.encoded.task)

    def keep(outputs: Outputs, inputs: Rows) -> Sequence[Floats]:
        if missing := [name for name in task.outputs if name not in outputs]:
            raise ModelError(
                f"{given.variant.name} gives {', '.join(outputs)}, and no {', '.join(missing)}",
                hint=f"It is no model for {task.name}.",
            )
        return task.keep(outputs, inputs, arrays)

    folder = ctx.store.path(given.variant.artifact)
    session = runtime_for(given.variant).load(folder, given.variant.model_file, threads=1)
    try:
        kept = run_rows(session, rows, given.batch_size, keep, ctx.progress)
    finally:
        session.close()
    _check(kept, given.variant.name)
    output = ctx.scratch / "predictions"
    _write(output, kept)
    artifact = ctx.store.adopt(output)
    return Predictions(variant=given.variant.name, artifact=artifact, rows=given.encoded.rows)


def batches_by_length(lengths: Rows, batch_size: int) -> Iterator[Rows]:
    """Row numbers, longest rows first: at most `batch_size` in a batch, and at most BATCH_TOKENS
    tokens with the padding (but always one row). Rows of one length keep their order."""
    import numpy as np

    order = np.argsort(-lengths, kind="stable")
    start = 0
    while start < len(order):
        longest = max(1, int(lengths[order[start]]))
        size = max(1, min(batch_size, BATCH_TOKENS // longest))
        yield order[start : start + size]
        start += size


@dataclass(frozen=True)
class TokenRows:
    """Ragged token ids: row i is ids[offsets[i]:offsets[i + 1]], and so are its token types."""

    offsets: Rows
    ids: NDArray[np.int32] | Rows
    types: NDArray[np.int32] | Rows | None
    pad_id: int

    @property
    def lengths(self) -> Rows:
        import numpy as np

        return np.diff(self.offsets)

    def arrays(self, batch: Rows) -> Arrays:
        """Inputs int64[batch, longest], padded on the right."""
        import numpy as np

        lengths = self.offsets[batch + 1] - self.offsets[batch]
        columns = np.arange(int(lengths.max()))
        mask = columns < lengths[:, None]
        where = (self.offsets[batch][:, None] + columns)[mask]
        ids = np.full(mask.shape, self.pad_id, dtype=np.int64)
        ids[mask] = self.ids[where]
        types = np.zeros_like(ids)
        if self.types is not None:
            types[mask] = self.types[where]
        return {
            "input_ids": ids,
            "attention_mask": mask.astype(np.int64),
            "token_type_ids": types,
        }


def run_rows(
    session: Session, rows: TokenRows, batch_size: int, keep: Keep, progress: Progress
) -> list[Floats]:
    """What is kept of each input, in their order; `session` takes one thread a call."""
    batches = list(batches_by_length(rows.lengths, batch_size))

    def call(batch: Rows) -> Sequence[Floats]:
        arrays = rows.arrays(batch)
        # What else the model takes, its session will miss.
        outputs = session.run({n: arrays[n] for n in session.input_names if n in arrays})
        return keep(outputs, batch)

    done, total = 0, len(rows.offsets) - 1
    found: dict[int, Floats] = {}
    pool = ThreadPoolExecutor(default_threads())
    try:
        for batch, kept in zip(batches, pool.map(call, batches), strict=True):
            found.update(zip(batch.tolist(), kept, strict=True))
            done += len(batch)
            progress("predicting", done, total)
    finally:
        pool.shutdown(cancel_futures=True)
    return [found[number] for number in range(total)]


def _read(path: Path) -> dict[str, Rows]:
    import numpy as np

    with np.load(path, allow_pickle=False) as file:
        return dict(file)


def _check(kept: Sequence[Floats], variant: str) -> None:
    import numpy as np

    if bad := sum(not np.isfinite(one).all() for one in kept):
        raise ModelError(
            f"{variant}: {bad} of {len(kept)} rows have a logit that is not a finite number",
            hint="The variant is broken: quantize fewer kinds of node, or exclude some.",
        )


def _write(output: Path, kept: Sequence[Floats]) -> None:
    import numpy as np

    output.mkdir()
    np.save(output / "logits.npy", np.concatenate(kept).astype(np.float32), allow_pickle=False)
