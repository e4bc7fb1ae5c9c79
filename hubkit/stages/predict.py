"""The logits of one variant for every row of the evaluation split."""

from __future__ import annotations

from collections.abc import Iterator
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

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from hubkit.backends.base import Arrays, Logits, Session

    Rows = NDArray[np.int64]

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
    version=1,
    kind="heavy",
    takes=PredictInput,
    gives=Predictions,
    tools=("onnxruntime", "torch", "transformers", "optimum-intel", "neural-compressor", "numpy"),
)
def predict(given: PredictInput, ctx: Context) -> Predictions:
    """logits.npy: float32[rows, labels] in the order of the rows, whatever ran when.

    Rows are sorted by length, batched, padded to the batch, and run in single-threaded calls, as
    many at once as there are cores. The batches depend on the rows and `batch_size` alone, not on
    cores or timing, so equal input gives equal bytes. That matters for dynamic INT8, whose
    activation scale is taken over the whole batch: with another `batch_size` its logits differ a
    little. Raises ModelError when a logit is not finite.
    """
    rows = _read(ctx.store.path(given.encoded.artifact) / "encoded.npz", given.encoded.pad_id)
    folder = ctx.store.path(given.variant.artifact)
    session = runtime_for(given.variant).load(folder, given.variant.model_file, threads=1)
    try:
        logits = run_rows(session, rows, given.batch_size, ctx.progress)
    finally:
        session.close()
    _check(logits, given.variant.name)
    output = ctx.scratch / "predictions"
    _write(output, logits)
    artifact = ctx.store.adopt(output)
    return Predictions(variant=given.variant.name, artifact=artifact, rows=len(logits))


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
    ids: NDArray[np.int32]
    types: NDArray[np.int32] | None
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


def run_rows(session: Session, rows: TokenRows, batch_size: int, progress: Progress) -> Logits:
    """Logits float32[rows, labels] in the order of the rows; `session` takes one thread a call."""
    import numpy as np

    batches = list(batches_by_length(rows.lengths, batch_size))

    def call(batch: Rows) -> Logits:
        arrays = rows.arrays(batch)
        # What else the model takes, its session will miss.
        return session.run({n: arrays[n] for n in session.input_names if n in arrays})

    done, total = 0, len(rows.offsets) - 1
    found: list[Logits] = []
    pool = ThreadPoolExecutor(default_threads())
    try:
        for batch, logits in zip(batches, pool.map(call, batches), strict=True):
            found.append(logits)
            done += len(batch)
            progress("predicting", done, total)
    finally:
        pool.shutdown(cancel_futures=True)
    together = np.concatenate(found).astype(np.float32)
    logits = np.empty_like(together)
    logits[np.concatenate(batches)] = together
    return logits


def _read(path: Path, pad_id: int) -> TokenRows:
    import numpy as np

    with np.load(path, allow_pickle=False) as file:
        return TokenRows(file["offsets"], file["input_ids"], file.get("token_type_ids"), pad_id)


def _check(logits: Logits, variant: str) -> None:
    import numpy as np

    if bad := int((~np.isfinite(logits)).any(axis=1).sum()):
        raise ModelError(
            f"{variant}: {bad} of {len(logits)} rows have a logit that is not a finite number",
            hint="The variant is broken: quantize fewer kinds of node, or exclude some.",
        )


def _write(output: Path, logits: Logits) -> None:
    import numpy as np

    output.mkdir()
    np.save(output / "logits.npy", logits, allow_pickle=False)
