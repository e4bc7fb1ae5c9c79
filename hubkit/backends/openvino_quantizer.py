"""Static INT8 by NNCF on OpenVINO IR."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hubkit.backends.base import Quantized
from hubkit.backends.calibration import real_samples
from hubkit.backends.node_patterns import matching_names, nothing_matches
from hubkit.backends.onnx_head import is_head
from hubkit.backends.onnx_quantizers import needs_reduced_range
from hubkit.backends.openvino import (
    MODEL_FILE,
    OpenVinoSession,
    copy_beside,
    count_quantized,
    read_model,
    write_model,
)
from hubkit.backends.openvino_agreement import agreement
from hubkit.backends.quiet import quiet
from hubkit.deps import require
from hubkit.errors import DataError, ModelError, RecipeError
from hubkit.recipe import OpenVinoStatic

if TYPE_CHECKING:
    from openvino import CompiledModel, Model

    from hubkit.backends.base import Arrays

_NO_SMOOTHING = -1.0  # NNCF's word for it
_ROUNDING = 1e-9
_NOT_NODES = {"Constant", "Parameter", "Result"}


class OpenVinoStaticQuantizer:
    """Products and embeddings to INT8, with ranges learned from batches."""

    def quantize(
        self, model: Path, output: Path, spec: OpenVinoStatic, calibration: Sequence[Arrays]
    ) -> Quantized:
        """Write a folder for OVModel; `model` is that of `hubkit.backends.openvino.exporter`.

        Raises DataError without calibration batches, RecipeError where the spec does not fit the
        model, ModelError where NNCF cannot quantize it.
        """
        if not calibration:
            raise DataError(
                "static quantization learns ranges from rows, and was given none",
                hint="Name a dataset.calibration_split with rows in the recipe.",
            )
        if spec.calibration.method != "minmax":
            raise RecipeError(
                f"calibration.method {spec.calibration.method}: NNCF has none such",
                hint="It has minmax.",
            )
        # It would report to its makers what it is used for.
        os.environ.setdefault("NNCF_CI", "1")
        graph = read_model(model / MODEL_FILE)
        nodes = [n for n in graph.get_ordered_ops() if n.get_type_name() not in _NOT_NODES]
        names = [node.get_friendly_name() for node in nodes]
        excluded = _excluded(names, spec.node_exclusion)
        reduce_range = needs_reduced_range() if spec.reduce_range is None else spec.reduce_range
        kept = sorted(
            {name for matched in excluded.values() for name in matched}
            | set(filter(is_head, names))  # a projection stays as it is
        )
        done, smoothing = _quantized(
            model / MODEL_FILE, spec, calibration, kept, reduce_range=reduce_range
        )
        output.mkdir(parents=True)
        write_model(done, output)
        copy_beside(model, output)
        return Quantized(
            model_file=MODEL_FILE,
            nodes_quantized=count_quantized(done),
            nodes_excluded={pattern: len(matched) for pattern, matched in excluded.items()},
            operators=("Gather", "MatMul"),
            per_channel=True,  # NNCF's choice for the weights of a CPU
            reduce_range=reduce_range,
            real_samples=real_samples(calibration),
            smoothing=smoothing,
        )


def _excluded(names: Sequence[str], patterns: Sequence[str]) -> dict[str, list[str]]:
    """Pattern -> names of the nodes that it keeps in FP32."""
    found = {pattern: sorted(matching_names(pattern, names)) for pattern in patterns}
    for pattern, matched in found.items():
        if not matched:
            raise nothing_matches(pattern, names, "A pattern is a node's name in OpenVINO's graph.")
    return found


def _quantized(
    fp32: Path,
    spec: OpenVinoStatic,
    calibration: Sequence[Arrays],
    kept: Sequence[str],
    *,
    reduce_range: bool,
) -> tuple[Model, float | None]:
    """The model, and how much of SmoothQuant is in it."""
    smoothing = spec.smooth_quant_alpha
    with quiet():
        nncf = require("nncf", extra="openvino")
        options = _Options(spec, kept, len(calibration), reduce_range)
        graph = read_model(fp32)
        taken = [next(iter(port.get_names())) for port in graph.inputs]
        rows = nncf.Dataset(list(calibration), lambda batch: {name: batch[name] for name in taken})
        try:
            made: Model = nncf.quantize(graph, rows, **options.given(smoothing))
            if spec.max_drop is None:
                return made, smoothing
            judge = _Judge(read_model(fp32), calibration)
            if judge.drop(made) > spec.max_drop + _ROUNDING:
                smoothing = None
                made = _with_layers_given_back(
                    read_model(fp32), rows, judge, spec.max_drop, options
                )
        except (RuntimeError, ValueError, nncf.ValidationError) as error:
            raise ModelError(f"NNCF cannot quantize this model: {error}") from error
    drop = judge.drop(made)
    if drop > spec.max_drop + _ROUNDING:
        raise ModelError(
            f"{spec.name}: NNCF's accuracy control leaves {drop:.2%} of the answers on the"
            f" calibration rows unlike FP32, and max_drop allows {spec.max_drop:.2%}",
            hint="Allow more under max_drop, or leave it out.",
        )
    return made, smoothing


@dataclass(frozen=True)
class _Options:
    """What NNCF is asked for."""

    spec: OpenVinoStatic
    kept: Sequence[str]
    batches: int
    reduce_range: bool

    def given(self, alpha: float | None) -> dict[str, object]:
        """The arguments of nncf.quantize, with that much of SmoothQuant (None: without it)."""
        import nncf
        from nncf.quantization import advanced_parameters as advanced

        fix = advanced.OverflowFix.ENABLE if self.reduce_range else advanced.OverflowFix.DISABLE
        smooth = advanced.AdvancedSmoothQuantParameters(
            matmul=_NO_SMOOTHING if alpha is None else alpha
        )
        scope = nncf.IgnoredScope(names=list(self.kept), validate=False) if self.kept else None
        return {
            "preset": nncf.QuantizationPreset(self.spec.preset),
            "model_type": nncf.ModelType.TRANSFORMER,
            "subset_size": self.batches,
            "fast_bias_correction": self.spec.fast_bias_correction,
            "ignored_scope": scope,
            "advanced_parameters": advanced.AdvancedQuantizationParameters(
                overflow_fix=fix, smooth_quant_alphas=smooth
            ),
        }


class _Judge:
    """How much of the answers on some rows a model gives unlike FP32."""

    def __init__(self, fp32: Model, rows: Sequence[Arrays]) -> None:
        session = OpenVinoSession(_compiled(fp32))
        self._rows = [(batch, session.run(batch)) for batch in rows]

    def share(self, compiled: CompiledModel) -> float:
        """The share that is like FP32."""
        session = OpenVinoSession(compiled)
        weights = [len(batch["input_ids"]) for batch, _ in self._rows]
        shares = [agreement(batch, session.run(batch), wanted) for batch, wanted in self._rows]
        total = sum(share * weight for share, weight in zip(shares, weights, strict=True))
        return total / sum(weights)

    def drop(self, graph: Model) -> float:
        """The share that is not."""
        return 1 - self.share(_compiled(graph))


def _compiled(graph: Model) -> CompiledModel:
    import openvino

    # As NNCF compiles what it judges.
    return openvino.Core().compile_model(graph, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})


def _with_layers_given_back(
    fp32: Model, rows: object, judge: _Judge, max_drop: float, options: _Options
) -> Model:
    """Quantized with layers given back to float until enough of the answers are FP32's.

    Without SmoothQuant: NNCF 3.4 gives a layer its weights back and leaves the activations before
    it smoothed, so that a model with all layers in float is worse than INT8 (seen on a tiny BERT).
    """
    import nncf

    given = options.given(None)
    given["advanced_quantization_parameters"] = given.pop("advanced_parameters")
    made: Model = nncf.quantize_with_accuracy_control(
        fp32,
        calibration_dataset=rows,
        validation_dataset=rows,
        validation_fn=lambda compiled, _rows: (judge.share(compiled), None),
        max_drop=max_drop,
        drop_type=nncf.DropType.ABSOLUTE,
        **given,
    )
    return made


static = OpenVinoStaticQuantizer()
