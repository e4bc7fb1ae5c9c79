"""Backends: what exports, quantizes and runs models. Each is imported when it is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from hubkit.records import Variant
from hubkit.registry import Registry

if TYPE_CHECKING:
    from hubkit.backends.base import Exporter, Quantizer, Runtime
    from hubkit.recipe import VariantSpec

EXPORTERS = Registry(
    "exporter",
    {
        "onnx": "hubkit.backends.optimum:exporter",
        "openvino": "hubkit.backends.openvino:exporter",
    },
    group="hubkit.exporters",
)
QUANTIZERS = Registry(
    "kind of quantization",
    {
        "onnx-dynamic": "hubkit.backends.onnx_quantizers:dynamic",
        "onnx-static": "hubkit.backends.onnx_quantizers:static",
        "onnx-blockwise": "hubkit.backends.onnx_blockwise_quantizer:blockwise",
        "onnx-float16": "hubkit.backends.onnx_float16:float16",
        "inc-dynamic": "hubkit.backends.neural_compressor:dynamic",
        "inc-static": "hubkit.backends.neural_compressor:static",
        "openvino-static": "hubkit.backends.openvino_quantizer:static",
    },
    group="hubkit.quantizers",
)
RUNTIMES = Registry(
    "runtime",
    {
        "onnx": "hubkit.backends.onnxruntime:runtime",
        "pytorch-fp32": "hubkit.backends.torch:runtime",
        "pytorch-int8": "hubkit.backends.neural_compressor:runtime",
        "openvino-fp32": "hubkit.backends.openvino:fp32",
        "openvino-int8": "hubkit.backends.openvino:int8",
    },
    group="hubkit.runtimes",
)


def exporter_for(format: str) -> Exporter:
    """The exporter to a format. Raises UsageError for an unknown one."""
    return cast("Exporter", EXPORTERS.get(format))


def quantizer_for(spec: VariantSpec) -> Quantizer[VariantSpec]:
    """The quantizer of a variant's kind. Raises UsageError for an unknown one."""
    return cast("Quantizer[VariantSpec]", QUANTIZERS.get(spec.kind))


def runtime_for(variant: Variant) -> Runtime:
    """The runtime that loads a variant's folder."""
    name = "onnx" if variant.format == "onnx" else f"{variant.format}-{variant.precision}"
    return cast("Runtime", RUNTIMES.get(name))
