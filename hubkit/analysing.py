"""What the variants answer on the evaluation rows, and what is looked at beyond the whole split."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hubkit.errors import HubkitError
from hubkit.machine import machine_info
from hubkit.preparing import Material
from hubkit.recipe import Recipe
from hubkit.records import Analyses, Failed, Format, Variant
from hubkit.runner import Pending, Runner
from hubkit.stages.analyse import AnalyseInput, analyse
from hubkit.stages.evaluate import EvaluateInput
from hubkit.stages.predict import PredictInput, predict


@dataclass(frozen=True)
class Predicted:
    """All that scoring takes, and the variants that could not be run."""

    given: EvaluateInput
    failed: tuple[Failed, ...]


def predict_all(
    run: Runner, recipe: Recipe, material: Material, variants: Sequence[Variant]
) -> Predicted:
    """What every variant answers; all but FP32 is to be compared with FP32 of its format. Raises
    HubkitError where FP32 itself cannot be run."""
    calls = [
        (
            PredictInput(
                variant=variant,
                encoded=material.evaluation,
                batch_size=recipe.evaluation.batch_size,
                cpu=machine_info().flags,
            ),
            variant.name,
            variant.format,
        )
        for variant in variants
    ]
    predictions, failed = run.try_map(predict, calls)
    fp32: dict[Format, str] = {}
    for variant in variants:
        if variant.precision == "fp32":
            fp32.setdefault(variant.format, variant.name)
    for one in failed:
        if one.subject in fp32.values():
            raise HubkitError(f"{one.subject}: {one.reason}", hint=one.hint)
    names = {one.variant for one in predictions}
    given = EvaluateInput(
        predictions=tuple(predictions),
        encoded=material.evaluation,
        dataset=material.dataset,
        task=recipe.task,
        labels=material.base.labels,
        metrics=recipe.evaluation.metrics,
        gate_metric=recipe.gates.metric,
        confidence=recipe.evaluation.confidence,
        baselines={
            v.name: fp32["pytorch"] if v.precision == "fp32" else fp32[v.format]
            for v in variants
            if v.name in names and v.name != fp32["pytorch"]
        },
    )
    return Predicted(given, tuple(failed))


def begin_analyses(
    run: Runner, recipe: Recipe, predicted: Predicted, material: Material
) -> list[Pending[AnalyseInput, Analyses]]:
    """Slices and reliability, begun after the scores of all rows; `finish_analyses` waits."""
    given = AnalyseInput(
        **predicted.given.model_dump(exclude={"dataset"}),
        dataset=material.dataset,
        slices=recipe.analyses.slices,
        group_columns=recipe.analyses.group_columns,
    )
    return run.start(analyse, [(given, "", "onnx")])  # whose process has the metrics loaded already


def finish_analyses(run: Runner, pending: Sequence[Pending[AnalyseInput, Analyses]]) -> Analyses:
    """The record of what was begun."""
    return run.expect(run.finish(analyse, pending)[0])
