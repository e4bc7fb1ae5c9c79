"""What a trial of a tuning run is, in words."""

from __future__ import annotations

from hubkit.recipe import (
    IncDynamic,
    IncStatic,
    OnnxBlockwise,
    OnnxDynamic,
    OnnxFloat16,
    OnnxStatic,
    OpenVinoStatic,
    VariantSpec,
)


def settings(spec: VariantSpec) -> str:
    """What makes a spec itself, in few words: operators, graph, smoothing, ranges."""
    parts = []
    if isinstance(spec, OnnxDynamic | OnnxStatic):
        parts.append(" ".join(spec.operators_to_quantize))
        parts += ["per-channel"] if spec.per_channel else []
        parts += ["7-bit weights"] if spec.reduce_range else []
        level = spec.framework_args.optimization_level
        parts += [f"graph level {level}"] if level else []
        parts += [f"SmoothQuant {spec.smooth_quant}"] if spec.smooth_quant is not None else []
    if isinstance(spec, OnnxDynamic) and spec.blockwise:
        parts.append("groups in 8-bit blocks")
    if isinstance(spec, OnnxFloat16):
        parts.append(spec.dtype)
    if isinstance(spec, OnnxBlockwise):
        parts.append(f"{spec.bits} bits in blocks of {spec.block_size}")
    if isinstance(spec, OpenVinoStatic):
        alpha = spec.smooth_quant_alpha
        parts.append("no SmoothQuant" if alpha is None else f"SmoothQuant {alpha:g}")
    if isinstance(spec, IncDynamic) and spec.reduce_range is not None:
        parts.append(f"{7 if spec.reduce_range else 8}-bit activations")
    if isinstance(spec, OnnxStatic | IncStatic):
        plan = spec.calibration
        parts.append(
            f"percentile {plan.percentile:g}" if plan.method == "percentile" else plan.method
        )
    return ", ".join(parts) or "as it is"
