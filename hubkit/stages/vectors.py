"""What an engine gives for some real sentences: alone, in a batch of one length, and padded."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from hubkit.backends.engines import load_engine
from hubkit.errors import DataError, ModelError
from hubkit.formats_records import Engine
from hubkit.records import Artifact, Encoded, Record, Variant
from hubkit.stage import Context, stage
from hubkit.stages.predict import TokenRows
from hubkit.tasks import task_for

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from hubkit.backends.base import Arrays, Session
    from hubkit.tasks.base import Floats

    Ints = NDArray[np.int64]
    Keep = Callable[[dict[str, Floats], Ints], Sequence[Floats]]

VECTORS_FILE = "vectors.npz"
WAYS = ("alone", "batched", "padded")
# Long inputs are fewer, so that an engine is done in seconds; never fewer than this many rows.
_MOST_TOKENS, _LEAST_ROWS = 12_000, 32
_PADDED_INPUTS, _BATCHED_INPUTS = 64, 128
_PADDING = 16  # tokens beyond the longest sentence


class VectorsInput(Record):
    """The engine with its variant, and the rows: `most_rows` of them, spread evenly over the split.

    `where`: fingerprint of the machine, since kernels do not round alike. `invariance`: whether the
    rows are run in a batch and padded too.
    """

    engine: Engine
    variant: Variant
    encoded: Encoded
    threads: Annotated[int, Field(ge=1)]
    where: str
    most_rows: Annotated[int, Field(ge=1)] = 256
    batch_size: Annotated[int, Field(ge=2)] = 8
    max_positions: int = 512
    invariance: bool = True


class Vectors(Record):
    """`artifact` holds vectors.npz. Of each way ("alone", "batched", "padded") that was run:
    WAY int64[inputs], numbers of the inputs, ascending; WAY_counts int64[inputs], lines of each;
    WAY_values float32[sum, width], what the task keeps of them, input after input. rows int64, the
    rows of the split that the inputs of "alone" are of, all of them.
    """

    engine: str
    artifact: Artifact
    threads: int
    batch_size: int
    padded_length: int


@stage(
    "vectors",
    version=1,
    kind="heavy",
    takes=VectorsInput,
    gives=Vectors,
    tools=(
        *("onnxruntime", "torch", "transformers", "optimum-intel", "neural-compressor", "numpy"),
        "openvino",
    ),
)
def vectors(given: VectorsInput, ctx: Context) -> Vectors:
    """What the task keeps of each input: run alone and unpadded; and of some inputs in batches of
    one length, nothing padded, and alone but padded.

    Raises ModelError where the engine cannot be loaded, or gives what is not finite.
    """
    import numpy as np

    with np.load(ctx.store.path(given.encoded.artifact) / "encoded.npz", allow_pickle=False) as f:
        arrays: dict[str, Ints] = dict(f)
    tokens = TokenRows(
        arrays["offsets"], arrays["input_ids"], arrays.get("token_type_ids"), given.encoded.pad_id
    )
    task = task_for(given.encoded.task)
    chosen = chosen_rows(arrays, given.most_rows)
    inputs = inputs_of(arrays, chosen)
    ctx.progress(f"loading {given.engine.name}", 0, len(inputs))
    folder = ctx.store.path(given.variant.artifact)
    session = load_engine(given.engine, folder, given.variant.model_file, threads=given.threads)

    def keep(outputs: dict[str, Floats], batch: Ints) -> Sequence[Floats]:
        return task.keep(outputs, batch, arrays)

    length = min(int(tokens.lengths[inputs].max()) + _PADDING, given.max_positions)
    calls = {"alone": [(inputs[at : at + 1], 0) for at in range(len(inputs))]}
    if given.invariance:
        calls["batched"] = [(b, 0) for b in equal_lengths(tokens, inputs, given.batch_size)]
        short = inputs[tokens.lengths[inputs] < length]
        calls["padded"] = [(one[None], length) for one in spread(short, _PADDED_INPUTS)]
    found: dict[str, Ints | Floats] = {"rows": chosen}
    try:
        for way, batches in calls.items():
            if batches:
                found |= _run(session, tokens, way, batches, keep, ctx)
    finally:
        session.close()
    if not np.isfinite(found["alone_values"]).all():
        raise ModelError(f"{given.engine.name} gives numbers that are not finite")
    output = ctx.scratch / "vectors"
    output.mkdir()
    np.savez(output / VECTORS_FILE, **found)
    return Vectors(
        engine=given.engine.name,
        artifact=ctx.store.adopt(output),
        threads=given.threads,
        batch_size=given.batch_size,
        padded_length=length,
    )


def _run(
    session: Session,
    tokens: TokenRows,
    way: str,
    batches: Sequence[tuple[Ints, int]],
    keep: Keep,
    ctx: Context,
) -> dict[str, Ints | Floats]:
    """The arrays of one way; a length of 0 is that of the batch."""
    import numpy as np

    kept: dict[int, Floats] = {}
    for done, (batch, length) in enumerate(batches):
        if done % 16 == 0:
            ctx.progress(f"running {way}", done, len(batches))
        arrays = padded(tokens.arrays(batch), length, tokens.pad_id)
        outputs = session.run({n: arrays[n] for n in session.input_names if n in arrays})
        kept.update(zip(batch.tolist(), keep(dict(outputs), batch), strict=True))
    numbers = sorted(kept)
    return {
        way: np.asarray(numbers, dtype=np.int64),
        f"{way}_counts": np.asarray([len(kept[n]) for n in numbers], dtype=np.int64),
        f"{way}_values": np.concatenate([kept[n] for n in numbers]).astype(np.float32),
    }


def padded(arrays: Arrays, length: int, pad_id: int) -> Arrays:
    """The arrays with padding on the right up to `length` tokens, which the mask hides."""
    import numpy as np

    missing = length - arrays["input_ids"].shape[1]
    if missing <= 0:
        return arrays
    fill = {"input_ids": pad_id}
    return {
        name: np.pad(one, ((0, 0), (0, missing)), constant_values=fill.get(name, 0))
        for name, one in arrays.items()
    }


def chosen_rows(arrays: Arrays, most: int) -> Ints:
    """Numbers of rows, spread evenly over the split. Raises DataError where there are none."""
    import numpy as np

    lengths = np.diff(arrays["offsets"])
    if not len(lengths):
        raise DataError("there are no rows to run", hint="Name another split in the recipe.")
    per_row = np.bincount(arrays["rows"], lengths) if "rows" in arrays else lengths
    fits = int(_MOST_TOKENS / max(1.0, float(per_row.mean())))
    everything = np.arange(len(per_row), dtype=np.int64)
    return spread(everything[per_row > 0], min(most, max(fits, _LEAST_ROWS)))


def inputs_of(arrays: Arrays, rows: Ints) -> Ints:
    """Numbers of the inputs that are of these rows, ascending."""
    import numpy as np

    if "rows" not in arrays:
        return rows
    found: Ints = np.flatnonzero(np.isin(arrays["rows"], rows)).astype(np.int64)
    return found


def spread(numbers: Ints, most: int) -> Ints:
    """At most `most` of them, evenly."""
    import numpy as np

    if len(numbers) <= most:
        return numbers
    found: Ints = numbers[np.linspace(0, len(numbers) - 1, most).round().astype(np.int64)]
    return found


def equal_lengths(tokens: TokenRows, inputs: Ints, batch_size: int) -> Iterator[Ints]:
    """Batches of inputs of one length, so that nothing is padded: of 2 to `batch_size` inputs."""
    import numpy as np

    lengths = tokens.lengths[inputs]
    left = _BATCHED_INPUTS
    sizes, counts = np.unique(lengths, return_counts=True)
    for size in sizes[np.argsort(-counts, kind="stable")].tolist():
        same = inputs[lengths == size]
        for start in range(0, len(same), batch_size):
            batch = same[start : start + batch_size]
            if len(batch) > 1 and left > 0:
                left -= len(batch)
                yield batch
