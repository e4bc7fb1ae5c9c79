"""The whole-model configurations that a tuning run begins with, the most promising first.

A new technique is one more entry here: a spec that the quantize stage can make. What the machine or
the graph cannot do fails as a trial with its reason, and ends nothing.
"""

from __future__ import annotations

from collections.abc import Iterator

from hubkit.keys import digest_of_value
from hubkit.recipe import (
    Calibration,
    FrameworkArgs,
    IncDynamic,
    IncStatic,
    OnnxBlockwise,
    OnnxDynamic,
    OnnxFloat16,
    OnnxStatic,
    OpenVinoStatic,
    VariantSpec,
)
from hubkit.recipe_tune import Tune

_PRODUCTS = ("MatMul", "Gemm")
_ALL = (*_PRODUCTS, "Gather")
_PLAIN, _FUSED = FrameworkArgs(), FrameworkArgs(optimization_level=3)
_FINE = 32  # of 4 bits each: their scale adds one more
_ATTENTION = ("attention-matmul",)
# Of static ranges: what keeps outliers, what cuts the rarest of them, what loses least information.
_METHODS: tuple[dict[str, object], ...] = (
    {"method": "minmax"},
    {"method": "percentile", "percentile": 99.99},
    {"method": "entropy"},
)
# NNCF's own default of SmoothQuant for transformers, a milder one, and none.
_OPENVINO_SMOOTH = (0.95, 0.6, None)


def candidates(
    tune: Tune, *, reduce_range: bool | None, static: bool, seed: int, half: bool = False
) -> tuple[VariantSpec, ...]:
    """Specs under names of their content, each once.

    `reduce_range`: what the target asks of weights; `static`: whether there are rows to calibrate
    on, drawn with `seed`; `half`: whether the target computes in half precision.
    """
    rows = Calibration(num_samples=tune.num_calibration_samples, seed=seed) if static else None
    makers = {"pytorch": _pytorch, "openvino": _openvino, "onnxruntime": _onnx}
    found = list(makers[tune.framework](tune, reduce_range, rows))
    if half and may_be_half(tune):
        found.append(OnnxFloat16(kind="onnx-float16"))
    return tuple({spec.name: spec for spec in map(named, found)}.values())


def may_be_half(tune: Tune) -> bool:
    """Whether half precision is looked for where the target computes in it."""
    return tune.framework == "onnxruntime" and tune.approach == "auto"


def _onnx(tune: Tune, reduce_range: bool | None, rows: Calibration | None) -> Iterator[VariantSpec]:
    if tune.approach in ("auto", "dynamic"):
        yield from _dynamic(reduce_range, rows)
    if rows and tune.approach in ("auto", "static"):
        yield from _static(reduce_range, rows)
    if tune.approach == "auto":
        yield OnnxBlockwise(kind="onnx-blockwise", operators_to_quantize=_ALL)
    if tune.approach == "auto" and tune.objective == "smallest":
        yield OnnxBlockwise(
            kind="onnx-blockwise", operators_to_quantize=_ALL, bits=4, block_size=_FINE
        )


def _dynamic(reduce_range: bool | None, rows: Calibration | None) -> Iterator[OnnxDynamic]:
    for operators, graph, smooth in (
        (_ALL, _FUSED, True),
        (_ALL, _FUSED, False),
        (_ALL, _PLAIN, True),
        (_ALL, _PLAIN, False),
        (_PRODUCTS, _FUSED, False),
    ):
        if smooth and rows is None:  # it learns from rows
            continue
        spec = OnnxDynamic(
            kind="onnx-dynamic",
            operators_to_quantize=operators,
            reduce_range=reduce_range,
            framework_args=graph,
        )
        learnt = {"smooth_quant": "auto", "calibration": rows}
        yield spec.model_copy(update=learnt) if smooth else spec


def _static(reduce_range: bool | None, rows: Calibration) -> Iterator[OnnxStatic]:
    for method, smooth in (*((method, None) for method in _METHODS), (_METHODS[0], "auto")):
        yield OnnxStatic(
            kind="onnx-static",
            operators_to_quantize=_ALL,
            node_exclusion=_ATTENTION,
            reduce_range=reduce_range,
            smooth_quant="auto" if smooth else None,
            calibration=rows.model_copy(update=method),
        )


def _pytorch(
    tune: Tune, reduce_range: bool | None, rows: Calibration | None
) -> Iterator[VariantSpec]:
    """By Neural Compressor, which knows no percentile, and for static INT8 chooses how wide values
    may be. Its own default for static INT8 is one of them: entropy."""
    if tune.approach in ("auto", "dynamic"):
        yield IncDynamic(kind="inc-dynamic", reduce_range=reduce_range)
    if rows and tune.approach in ("auto", "static"):
        for method in _METHODS:
            if method["method"] != "percentile":
                yield IncStatic(kind="inc-static", calibration=rows.model_copy(update=method))


def _openvino(
    tune: Tune, reduce_range: bool | None, rows: Calibration | None
) -> Iterator[VariantSpec]:
    if rows is None or tune.approach == "dynamic":
        return
    for alpha in _OPENVINO_SMOOTH:
        spec = OpenVinoStatic(
            kind="openvino-static", smooth_quant_alpha=alpha, reduce_range=reduce_range
        )
        # Its own number of rows, one at a time: see OpenVinoStatic.
        plan = spec.calibration.model_copy(update={"seed": rows.seed})
        yield spec.model_copy(update={"calibration": plan})


def named(spec: VariantSpec) -> VariantSpec:
    """The spec under a name of its content: the same in every search that has it."""
    content = spec.model_dump(mode="json", exclude={"name"})
    kind = spec.kind.removeprefix("onnx-").replace("inc-", "pytorch-")
    return spec.model_copy(update={"name": f"{kind}-{digest_of_value(content)[:8]}"})
