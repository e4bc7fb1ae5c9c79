"""The kind onnx-float16: half precision, for processors that compute with it.

`hubkit.backends.onnx_plan.refusal` says where it would be slower by the processor's instructions;
there it is not made. Elsewhere the benchmark decides: releases of onnxruntime without products in
float16 for Arm (pull request 29709, July 2026), or that keep them off, convert to FP32 and back.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from hubkit.backends import onnx_files
from hubkit.backends.base import Quantized
from hubkit.backends.node_patterns import match_nodes, read_graph
from hubkit.backends.quiet import quiet
from hubkit.errors import ModelError
from hubkit.recipe import OnnxFloat16

if TYPE_CHECKING:
    from hubkit.backends.base import Arrays

MODEL_FILE = "model.onnx"
_PRODUCTS = {"MatMul", "Gemm"}


def instead_of(dtype: Literal["float16", "bfloat16"]) -> str:
    """What to do where a variant of that type is refused."""
    if dtype == "bfloat16":
        return (
            "Take dtype: float16 on an Arm processor, or an INT8 variant. Arm processors with bf16"
            " multiply an FP32 model in bfloat16 by themselves, with the session option"
            " mlas.enable_gemm_fastmath_arm64_bfloat16 of onnxruntime set to 1."
        )
    return "Run the recipe on an Arm processor, or take an INT8 variant."


class HalfPrecision:
    """Weights and activations in float16; inputs and outputs stay as they are."""

    def quantize(
        self, model: Path, output: Path, spec: OnnxFloat16, calibration: Sequence[Arrays] = ()
    ) -> Quantized:
        """Write a loadable folder. Raises RecipeError where a pattern means nothing in this model,
        ModelError for bfloat16, which onnxruntime's CPU kernels do not compute with."""
        import onnx
        from onnxruntime.transformers.float16 import convert_float_to_float16

        if spec.dtype == "bfloat16":
            raise ModelError(
                "onnxruntime's CPU kernels take no bfloat16 tensors", hint=instead_of(spec.dtype)
            )
        graph = read_graph(model / MODEL_FILE)
        matched = {pattern: match_nodes(graph, pattern) for pattern in spec.node_exclusion}
        kept = sorted({name for names in matched.values() for name in names})
        output.mkdir(parents=True, exist_ok=True)
        for file in sorted(model.iterdir()):
            if file.is_file() and file.suffix in {".json", ".txt", ".model", ".jinja"}:
                shutil.copyfile(file, output / file.name)
        with quiet():
            half = convert_float_to_float16(
                onnx.load(str(model / MODEL_FILE)), keep_io_types=True, node_block_list=kept
            )
        onnx_files.save(half, output / MODEL_FILE)
        count = sum(n.op in _PRODUCTS and n.name not in kept for n in graph.nodes)
        return Quantized(
            model_file=MODEL_FILE,
            nodes_quantized=count,
            nodes_excluded={pattern: len(names) for pattern, names in matched.items()},
            operators=tuple(sorted(_PRODUCTS)),
        )


float16 = HalfPrecision()
