"""What a model's activations are like on the calibration rows: once for all static variants."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from hubkit.backends.activation_histogram import save_histograms
from hubkit.backends.activation_statistics import gather_statistics
from hubkit.backends.calibration import calibration_batches, real_samples
from hubkit.records import Artifact, Encoded, Record, Variant
from hubkit.stage import Context, stage

STATISTICS_FILE = "statistics.npz"
_ENCODED_FILE = "encoded.npz"


class CalibrateInput(Record):
    """The FP32 ONNX model, the rows of the split named `split`, and how many of them to take.

    `operators`: types of the nodes of which any variant may quantize some, in a fixed order.
    """

    fp32: Variant
    encoded: Encoded
    num_samples: Annotated[int, Field(ge=1)]
    batch_size: Annotated[int, Field(ge=1)]
    operators: tuple[str, ...]
    split: str = ""


class ActivationStatistics(Record):
    """`artifact` holds statistics.npz, which `hubkit.backends.activation_histogram` reads: extremes
    and a histogram of each of `tensors` tensors, over `real_samples` rows."""

    artifact: Artifact
    real_samples: int
    batch_size: int
    tensors: int
    operators: tuple[str, ...]
    split: str = ""


@stage(
    "calibrate",
    version=1,
    kind="heavy",
    takes=CalibrateInput,
    gives=ActivationStatistics,
    tools=("onnx", "onnxruntime", "numpy"),
)
def calibrate(given: CalibrateInput, ctx: Context) -> ActivationStatistics:
    """Statistics from which the ranges of every calibration method can be had.

    Raises DataError where there are no rows, ModelError where a tensor is NaN throughout.
    """
    batches = calibration_batches(
        ctx.store.path(given.encoded.artifact) / _ENCODED_FILE,
        num_samples=given.num_samples,
        batch_size=given.batch_size,
        pad_token_id=given.encoded.pad_id,
    )
    rows = real_samples(batches)
    ctx.progress("calibrating", 0, rows)
    found = gather_statistics(
        ctx.store.path(given.fp32.artifact) / given.fp32.model_file,
        batches,
        given.operators,
        ctx.scratch,
        done=lambda done: ctx.progress("calibrating", done, rows),
    )
    output = ctx.scratch / "statistics"
    output.mkdir()
    save_histograms(output / STATISTICS_FILE, found)
    return ActivationStatistics(
        artifact=ctx.store.adopt(output),
        real_samples=rows,
        batch_size=given.batch_size,
        tensors=len(found),
        operators=given.operators,
        split=given.split,
    )
