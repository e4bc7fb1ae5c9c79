"""What one sentence costs, by part of the model."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from hubkit.backends.onnx_cost import count_graph
from hubkit.encoder_formula import encoder_of
from hubkit.errors import ModelError
from hubkit.formats_records import Cost
from hubkit.records import Record, Variant
from hubkit.stage import Context, stage


class CostInput(Record):
    """The exported FP32 graph and the tokens of a sentence. The sizes for the closed formula are
    those in the variant's own config.json."""

    variant: Variant
    input_length: Annotated[int, Field(ge=2)]


@stage(
    "cost",
    version=3,
    kind="heavy",
    takes=CostInput,
    gives=Cost,
    tools=("onnx-tool", "onnx", "onnxruntime"),
)
def cost(given: CostInput, ctx: Context) -> Cost:
    """FLOPs, bytes and parameters of embeddings, backbone and head for one sentence.

    Raises ModelError for what is no FP32 graph in ONNX, or has operators that cannot be counted.
    """
    variant = given.variant
    if variant.format != "onnx" or variant.precision != "fp32":
        raise ModelError(f"{variant.name} is no FP32 graph in ONNX: that is what is counted")
    ctx.progress("counting", 0, 1)
    folder = ctx.store.path(variant.artifact)
    parts, counter = count_graph(folder / variant.model_file, given.input_length)
    encoder = encoder_of(folder)
    ctx.progress("counting", 1, 1)
    return Cost(
        input_length=given.input_length,
        parts=parts,
        counter=counter,
        formula_macs=encoder.macs(given.input_length) if encoder else None,
    )
