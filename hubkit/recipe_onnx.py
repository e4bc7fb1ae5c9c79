"""The ONNX variants of a recipe: what `hubkit.recipe` has of them under `variants`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer

from hubkit.recipe_card import Part

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,95}$")]
Count = Annotated[int, Field(ge=1)]
SmoothQuant = Annotated[float, Field(ge=0, le=1)] | Literal["auto"] | None

NAME = "Name of the variant in tables and files; unique in the recipe."
EXCLUDE = "Nodes that stay float: patterns or role names (attention-matmul, softmax, ...)."
OPERATORS = "ONNX operator types that become INT8."
PER_CHANNEL = "One scale for each output channel of a weight, not one for the whole tensor."
WEIGHT_TYPE = "Integers of weights."
FRAMEWORK_ARGS = "Export and graph optimization before quantizing."
REDUCE_RANGE = "7-bit weights. null: off where the CPU has VNNI, on elsewhere."
SMOOTH_QUANT = (
    "How much of the activations' outliers goes into the weights, 0 to 1; auto: what the"
    " calibration rows show to be best, tensor by tensor; null: nothing."
)


class Calibration(Part):
    """How static quantization learns activation ranges, on rows of `calibration_split`, never of
    the evaluation split."""

    method: Literal["minmax", "entropy", "percentile"] = Field(
        "minmax", description="How a range is taken from the observed activations."
    )
    num_samples: Count = Field(
        100, description="Rows to calibrate on; the card says how many it really were."
    )
    percentile: Annotated[float, Field(gt=50, le=100)] = Field(
        99.999, description="For percentile: per cent of the activations that a range keeps."
    )
    num_bins: Annotated[int, Field(ge=16)] | None = Field(
        None, description="Bins of the histogram; null: 2048."
    )
    num_quantized_bins: Annotated[int, Field(ge=16)] = Field(
        128, description="For entropy: bins that the quantized histogram has."
    )
    batch_size: Count = Field(8, description="Rows a batch while calibrating.")
    seed: int = Field(13, description="Seed of the choice of rows.")


class FrameworkArgs(Part):
    """How the FP32 ONNX graph is made that quantization starts from."""

    opset: Annotated[int, Field(ge=11)] | None = Field(
        None, description="ONNX opset to export with; null: the exporter's own."
    )
    optimization_level: Literal[0, 1, 2, 3, 99] = Field(
        0,
        description="Graph optimization before quantizing: 0 none, 1 basic, 2 fused Transformer"
        " operators, 3 these in the operators that are fastest beside integers, 99 all.",
    )


class Blocks(Part):
    """How weights are cut into blocks with a scale each (onnxruntime's MatMulNBits)."""

    bits: Literal[4, 8] = Field(8, description="Bits of a weight.")
    block_size: Literal[16, 32, 64, 128, 256] = Field(
        128, description="Weights that share a scale."
    )
    accuracy_level: Literal[0, 1, 4] = Field(
        4, description="What is computed with: 4 integers, 1 float, 0 what onnxruntime chooses."
    )


class BlockwiseNodes(Blocks):
    """Products of a dynamic variant that are blockwise: those where rounding costs most."""

    nodes: Annotated[tuple[str, ...], Field(min_length=1)] = Field(
        description="Which: patterns or role names, as in node_exclusion."
    )


class _OnnxSpec(Part):
    """What has a later key left out of its digest while it is not given."""

    @model_serializer(mode="wrap")
    def _without_what_is_off(self, serialize: SerializerFunctionWrapHandler) -> dict[str, object]:
        """A variant without a later technique has the digest that it had before there was one."""
        value: dict[str, object] = serialize(self)
        off = [key for key in ("smooth_quant", "blockwise") if value.get(key, 0) is None]
        if isinstance(self, OnnxDynamic) and self.smooth_quant is None:
            off.append("calibration")
        for key in off:
            value.pop(key, None)
        return value


class OnnxDynamic(_OnnxSpec):
    """ONNX Runtime dynamic INT8: weights ahead of time, activations at run time."""

    kind: Literal["onnx-dynamic"] = Field(description="onnx-dynamic: ONNX Runtime, dynamic INT8.")
    name: Name = Field("onnx-int8-dynamic", description=NAME)
    operators_to_quantize: tuple[str, ...] = Field(
        ("MatMul", "Gemm", "Gather"), description=OPERATORS
    )
    node_exclusion: tuple[str, ...] = Field((), description=EXCLUDE)
    per_channel: bool = Field(True, description=PER_CHANNEL)
    reduce_range: bool | None = Field(None, description=REDUCE_RANGE)
    weight_type: Literal["int8", "uint8"] = Field("int8", description=WEIGHT_TYPE)
    framework_args: FrameworkArgs = Field(FrameworkArgs(), description=FRAMEWORK_ARGS)
    smooth_quant: SmoothQuant = Field(None, description=SMOOTH_QUANT)
    calibration: Calibration = Field(Calibration(), description="For smooth_quant: what it sees.")
    blockwise: BlockwiseNodes | None = Field(
        None, description="Products with weights in blocks, the rest being dynamic; null: none."
    )


class OnnxStatic(_OnnxSpec):
    """ONNX Runtime static INT8 (QDQ, activations U8, weights S8), calibrated."""

    kind: Literal["onnx-static"] = Field(description="onnx-static: ONNX Runtime, static INT8.")
    name: Name = Field("onnx-int8-static", description=NAME)
    operators_to_quantize: tuple[str, ...] = Field(("MatMul", "Gemm"), description=OPERATORS)
    # attention-matmul: products of two activations; softmax: the Adds of the attention mask.
    node_exclusion: tuple[str, ...] = Field(("attention-matmul",), description=EXCLUDE)
    per_channel: bool = Field(True, description=PER_CHANNEL)
    reduce_range: bool | None = Field(None, description=REDUCE_RANGE)
    activation_type: Literal["uint8", "int8"] = Field(
        "uint8", description="Integers of activations; int8 is slow on x86."
    )
    weight_type: Literal["int8", "uint8"] = Field("int8", description=WEIGHT_TYPE)
    guards: bool = Field(
        True, description="Keep masked attention scores float: quantized they ruin a model."
    )
    framework_args: FrameworkArgs = Field(FrameworkArgs(), description=FRAMEWORK_ARGS)
    smooth_quant: SmoothQuant = Field(None, description=SMOOTH_QUANT)
    calibration: Calibration = Field(Calibration(), description="How ranges are learnt.")


class OnnxBlockwise(Blocks):
    """ONNX Runtime blockwise: weights of 8 or 4 bits, a scale for each block of them."""

    kind: Literal["onnx-blockwise"] = Field(
        description="onnx-blockwise: ONNX Runtime, weights of 8 or 4 bits in blocks."
    )
    name: Name = Field("onnx-int8-blockwise", description=NAME)
    operators_to_quantize: tuple[str, ...] = Field(
        ("MatMul", "Gemm", "Gather"), description=OPERATORS
    )
    node_exclusion: tuple[str, ...] = Field((), description=EXCLUDE)
    framework_args: FrameworkArgs = Field(FrameworkArgs(), description=FRAMEWORK_ARGS)


class OnnxFloat16(Part):
    """ONNX Runtime in half precision, where the processor computes with it."""

    kind: Literal["onnx-float16"] = Field(description="onnx-float16: half precision.")
    name: Name = Field("onnx-float16", description=NAME)
    dtype: Literal["float16", "bfloat16"] = Field("float16", description="Which half precision.")
    node_exclusion: tuple[str, ...] = Field((), description=EXCLUDE)
    framework_args: FrameworkArgs = Field(FrameworkArgs(), description=FRAMEWORK_ARGS)
