"""An FP32 ONNX model whose activations are easier to quantize, and whose answers are the same."""

from __future__ import annotations

import shutil
from typing import Annotated, Literal

from pydantic import Field

from hubkit.backends import onnx_files
from hubkit.backends.activation_statistics import gather_channels
from hubkit.backends.calibration import calibration_batches, real_samples
from hubkit.backends.onnx_sameness import TOLERANCE, difference
from hubkit.backends.smooth_quant import product_inputs
from hubkit.backends.smooth_quant import smooth as smooth_graph
from hubkit.errors import ModelError
from hubkit.records import Encoded, Record, Variant
from hubkit.stage import Context, stage
from hubkit.stages.export import weights_size

_ENCODED_FILE = "encoded.npz"


class SmoothInput(Record):
    """The FP32 ONNX model, the rows of the calibration split, how many of them to take, and how
    much goes from the activations to the weights ("auto": of each tensor what is best)."""

    fp32: Variant
    encoded: Encoded
    num_samples: Annotated[int, Field(ge=1)]
    batch_size: Annotated[int, Field(ge=1)]
    alpha: Annotated[float, Field(ge=0, le=1)] | Literal["auto"]


@stage(
    "smooth",
    version=2,
    kind="heavy",
    takes=SmoothInput,
    gives=Variant,
    tools=("onnx", "onnxruntime", "numpy"),
)
def smooth(given: SmoothInput, ctx: Context) -> Variant:
    """The variant with "-S" and alpha after its name; the very same model where nothing is gained.

    Raises DataError where there are no rows, ModelError where it is no FP32 ONNX model, or one that
    would answer otherwise afterwards.
    """
    import onnx

    fp32 = given.fp32
    if (fp32.format, fp32.precision) != ("onnx", "fp32"):
        raise ModelError(f"only FP32 ONNX models are smoothed, and {fp32.name} is none")
    source = ctx.store.path(fp32.artifact)
    batches = calibration_batches(
        ctx.store.path(given.encoded.artifact) / _ENCODED_FILE,
        num_samples=given.num_samples,
        batch_size=given.batch_size,
        pad_token_id=given.encoded.pad_id,
    )
    rows = real_samples(batches)
    model = onnx.load(str(source / fp32.model_file))
    channels = gather_channels(
        source / fp32.model_file,
        batches,
        product_inputs(model),
        ctx.scratch,
        done=lambda done: ctx.progress("watching activations", done, rows),
    )
    done = smooth_graph(model, channels, None if given.alpha == "auto" else given.alpha)
    output = ctx.scratch / "smoothed"
    shutil.copytree(source, output)
    onnx_files.remove(output / fp32.model_file)
    onnx_files.save(model, output / fp32.model_file)
    furthest = difference(
        source / fp32.model_file, output / fp32.model_file, source / "config.json"
    )
    if furthest > TOLERANCE:
        raise ModelError(
            f"SmoothQuant would make {fp32.name} answer otherwise, by {furthest:.1g} of its largest"
            " output",
            hint="Set smooth_quant to null for this model.",
        )
    artifact = ctx.store.adopt(output)
    return fp32.model_copy(
        update={
            "name": f"{fp32.name}-S{given.alpha}",
            "artifact": artifact,
            "size_bytes": weights_size(artifact, fp32.model_file),
            "smoothing": given.alpha if done else None,
        }
    )
