"""The model with all its layers beside a pruned one: quantized, scored and timed with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from hubkit.analysing import predict_all
from hubkit.building import build_full
from hubkit.preparing import Material
from hubkit.quantizing import make_graphs
from hubkit.recipe import Recipe
from hubkit.records import Failed, Variant
from hubkit.runner import Runner
from hubkit.stages.evaluate import evaluate
from hubkit.stages.export import ExportInput, export, pytorch_baseline
from hubkit.sweep_records import FullModel, OnnxSpec, SweepRow
from hubkit.sweep_rows import grouped, quantized_rows, without

FULL = "full-"


@dataclass(frozen=True)
class Full:
    """What a sweep tells of the full model, and its variants: those to be timed."""

    record: FullModel
    variants: tuple[Variant, ...]


def full_model(
    run: Runner,
    recipe: Recipe,
    material: Material,
    specs: Sequence[OnnxSpec],
    pruned: Sequence[Variant],
) -> Full | None:
    """The configurations of the sweep on the base with all its layers, everything scored against
    its FP32 model, the variants `pruned` too; None where the recipe prunes nothing.

    The tokens are those of the pruned model: both have the same tokenizer.
    """
    if recipe.base.prune is None or material.shop is None:
        return None
    built = build_full(run, material.shop)
    theirs = replace(material, base=built.base)
    original = pytorch_baseline(built.base)
    plain = run.run(
        export, ExportInput(base=built.base, task=recipe.task), subject="full", lane="onnx"
    )
    graphs = make_graphs(run, built.base, recipe.task, plain, specs)
    rows, distinct = grouped(run, graphs, quantized_rows(run, recipe, theirs, graphs, specs))
    rows = tuple(_renamed(row) for row in rows)
    variants = tuple(_as_full(variant) for variant in (original, *distinct))
    predicted = predict_all(run, recipe, theirs, (*variants, *pruned))
    names = [one.variant for one in predicted.given.predictions]
    first = variants[0].name
    against = predicted.given.model_copy(
        update={"baselines": {name: first for name in names if name != first}}
    )
    scores = run.run(evaluate, against, subject="full and pruned", lane="onnx").scores
    rows = without(rows, predicted.failed)
    scored = tuple(v for v in variants if v.name in names)
    record = FullModel(
        base=built.base,
        built=built.done,
        baselines=tuple(v for v in scored if v.precision == "fp32"),
        rows=rows,
        scores=scores,
    )
    return Full(record, scored)


def _as_full(variant: Variant) -> Variant:
    return variant.model_copy(update={"name": FULL + variant.name})


def _renamed(row: SweepRow) -> SweepRow:
    failed: Failed | None = row.failed
    if failed is not None:
        failed = failed.model_copy(update={"subject": FULL + row.name})
    return row.model_copy(
        update={
            "name": FULL + row.name,
            "variant": _as_full(row.variant) if row.variant else None,
            "same_as": FULL + row.same_as if row.same_as else None,
            "failed": failed,
        }
    )
