"""From a recipe to a report of measured variants, as plain functions; nothing is pushed here.

Each takes a `Runner`, which looks finished stages up instead of running them again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hubkit.analysing import begin_analyses, finish_analyses, predict_all
from hubkit.errors import ModelError, RecipeError
from hubkit.machine import machine_info
from hubkit.preparing import NO_ORIGINS, Material, Origins, prepare
from hubkit.quantizing import (
    CalibrationRows,
    OnnxSpec,
    begin_openvino,
    learn,
    make_graphs,
    quantize_input,
    settled,
    source_of,
)
from hubkit.recipe import (
    Benchmark,
    IncDynamic,
    IncStatic,
    OpenVinoStatic,
    Recipe,
    TaskName,
    VariantSpec,
)
from hubkit.recipe_file import LoadedRecipe
from hubkit.records import (
    BaseModelInfo,
    Failed,
    Format,
    Report,
    Sample,
    SampleTable,
    Scores,
    Selection,
    SweepOrigin,
    Timings,
    TuneOrigin,
    Variant,
)
from hubkit.runner import Runner
from hubkit.stages.benchmark import BenchmarkInput, benchmark
from hubkit.stages.evaluate import evaluate
from hubkit.stages.export import ExportInput, export, pytorch_baseline
from hubkit.stages.quantize import QuantizeInput, quantize
from hubkit.stages.report import ReportInput, report
from hubkit.stages.sample import SampleInput, sample
from hubkit.stages.select import SelectInput, select


@dataclass(frozen=True)
class Measured:
    """All that is known before anything leaves the machine."""

    material: Material
    report: Report
    selection: Selection


def measure(
    run: Runner,
    loaded: LoadedRecipe,
    origins: Origins = NO_ORIGINS,
    sweep: SweepOrigin | None = None,
    tuned: TuneOrigin | None = None,
) -> Measured:
    """Everything up to the report; nothing is pushed. `sweep`: that the recipe's ONNX variant was
    taken from, to be told in the report."""
    recipe = loaded.recipe
    material = prepare(run, loaded, origins)
    variants, failures = optimize(
        run,
        material.base,
        recipe.task,
        recipe.variants,
        CalibrationRows(material.calibration, recipe.dataset.calibration_split),
    )
    refuse_missing_formats(recipe, variants, failures)
    predicted = predict_all(run, recipe, material, variants)
    scoring = run.start(evaluate, [(predicted.given, "", "onnx")])
    looking = begin_analyses(run, recipe, predicted, material)
    scores = run.expect(run.finish(evaluate, scoring)[0]).scores
    variants = tuple(v for v in variants if v.name in {one.variant for one in scores})
    samples = take_samples(run, recipe, material, variants)
    analyses = finish_analyses(run, looking)
    run.close()  # the workers' memory and threads would disturb what is timed
    timings = time(run, material.base, variants, recipe.benchmark)
    selection = choose(run, recipe, variants, scores, timings)
    converted = choose_openvino(run, recipe, variants, scores, timings, selection.selected)
    draft = ReportInput(
        recipe=recipe,
        base=material.base,
        dataset=material.dataset,
        encoded=material.evaluation,
        variants=variants,
        scores=scores,
        timings=timings,
        selection=selection,
        openvino_selection=converted,
        failures=(*failures, *predicted.failed),
        made_up_samples=not recipe.dataset.redistributable,
        sweep=sweep,
        tuned=tuned,
        analyses=analyses,
    )
    published = run.run(report, draft).published()
    whole = draft.model_copy(
        update={"samples": merged([samples[v.name] for v in published.values()])}
    )
    return Measured(material, run.run(report, whole), selection)


def optimize(
    run: Runner,
    base: BaseModelInfo,
    task: TaskName,
    specs: Sequence[VariantSpec],
    rows: CalibrationRows,
) -> tuple[tuple[Variant, ...], tuple[Failed, ...]]:
    """The FP32 baselines and the variants in INT8 or FP16, and what could not be made."""
    original = pytorch_baseline(base)
    exporting = run.start(export, [(ExportInput(base=base, task=task), "", "onnx")])
    torch = [spec for spec in specs if isinstance(spec, IncStatic | IncDynamic)]
    # It need not wait for the export.
    begun = run.start(quantize, [_torch_call(base, original, spec, rows) for spec in torch])
    onnx_fp32 = run.expect(run.finish(export, exporting)[0])
    openvino = [spec for spec in specs if isinstance(spec, OpenVinoStatic)]
    converted = begin_openvino(run, base, task, onnx_fp32, openvino, rows)
    begun += converted.calls
    onnx = [spec for spec in specs if isinstance(spec, OnnxSpec)]
    graphs = make_graphs(run, base, task, onnx_fp32, onnx, rows)
    learnt = learn(run, graphs, onnx, rows)
    failed = list(converted.failed)
    for spec in onnx:
        source = source_of(graphs, spec)
        if isinstance(source, Failed):
            failed.append(source)
            continue
        call = quantize_input(base, source, spec, learnt, rows.split)
        begun += run.start(quantize, [(call, spec.name, "onnx")])
    made, more = run.try_finish(quantize, begun)
    refuse_float(made)
    order = [spec.name for spec in specs]
    made.sort(key=lambda variant: order.index(variant.name))
    return (original, onnx_fp32, *converted.fp32, *made), (*failed, *more)


def refuse_float(made: Sequence[Variant]) -> None:
    """Raise RecipeError for a variant of which no node is quantized: it would be FP32 under
    another name."""
    for variant in made:
        if variant.nodes_quantized == 0:
            raise _all_float(variant)


def _all_float(variant: Variant) -> RecipeError:
    excluded = ", ".join(variant.nodes_excluded)
    if variant.precision == "fp16":  # its operators are not chosen
        return RecipeError(
            f"{variant.name}: no product is left to compute in half precision: node_exclusion"
            f" {excluded}",
            hint="Name fewer node_exclusion patterns.",
        )
    return RecipeError(
        f"{variant.name}: no node is left to quantize: operators_to_quantize"
        f" {', '.join(variant.operators_to_quantize)}"
        + (f", node_exclusion {excluded}" if excluded else ""),
        hint="Name other operators_to_quantize, or fewer node_exclusion patterns.",
    )


def _torch_call(
    base: BaseModelInfo, original: Variant, spec: VariantSpec, rows: CalibrationRows
) -> tuple[QuantizeInput, str, str]:
    encoded = rows.encoded if isinstance(spec, IncStatic) else None
    given = QuantizeInput(
        base=base, fp32=original, spec=settled(spec), calibration=encoded, split=rows.split
    )
    return given, spec.name, "pytorch"


def score(
    run: Runner, recipe: Recipe, material: Material, variants: Sequence[Variant]
) -> tuple[tuple[Scores, ...], tuple[Failed, ...]]:
    """The metrics of every variant, and of all but FP32 against FP32 of their own format; and those
    variants that could not be run. Raises HubkitError where FP32 itself cannot."""
    predicted = predict_all(run, recipe, material, variants)
    return run.run(evaluate, predicted.given, lane="onnx").scores, predicted.failed


def refuse_missing_formats(
    recipe: Recipe, variants: Sequence[Variant], failures: Sequence[Failed]
) -> None:
    """Raise ModelError where a format that is to be published was not made: before hours go into
    measuring the rest."""
    made = {v.format for v in variants if v.precision != "fp32"}
    missing = [wanted for wanted in recipe.publication.formats if wanted not in made]
    if missing:
        reasons = "; ".join(f"{one.subject}: {one.reason}" for one in failures)
        raise ModelError(
            f"no variant could be made in the format {' or '.join(missing)} ({reasons})",
            hint=next((one.hint for one in failures if one.hint), "")
            or "Mend what failed, or name other formats under publication.formats.",
        )


def take_samples(
    run: Runner, recipe: Recipe, material: Material, variants: Sequence[Variant]
) -> dict[str, SampleTable]:
    """Variant -> the rows that `verify` repeats, with its logits; made up where those of the
    dataset may not be shown. Taken of all of them, while their libraries are loaded: which is
    published is known only after the benchmark."""
    smaller = [v for v in variants if v.precision != "fp32"]
    calls = [
        (
            SampleInput(
                dataset=material.dataset,
                encoded=material.evaluation,
                made_up_for=None if recipe.dataset.redistributable else material.base,
                published={variant.format: variant},
                cpu=machine_info().flags,
            ),
            variant.name,
            variant.format,
        )
        for variant in smaller
    ]
    tables = [run.expect(result) for result in run.map(sample, calls)]
    return {variant.name: table for variant, table in zip(smaller, tables, strict=True)}


def merged(tables: Sequence[SampleTable]) -> tuple[Sample, ...]:
    """The rows of several tables with the logits of all of them; the tables hold the same rows."""
    return tuple(
        rows[0].model_copy(update={"logits": {k: v for row in rows for k, v in row.logits.items()}})
        for rows in zip(*(table.samples for table in tables), strict=True)
    )


def time(run: Runner, base: BaseModelInfo, variants: Sequence[Variant], plan: Benchmark) -> Timings:
    """Latency and throughput of every variant on this machine."""
    return run.run(
        benchmark,
        BenchmarkInput(
            variants=tuple(variants),
            plan=plan,
            machine=machine_info(),
            max_positions=base.max_positions,
        ),
    )


def choose(
    run: Runner,
    recipe: Recipe,
    variants: Sequence[Variant],
    scores: Sequence[Scores],
    timings: Timings | None,
) -> Selection:
    """Which ONNX variant becomes `model.onnx`, if any: INT8 and FP16 compete."""
    return _choose(run, recipe, "onnx", variants, scores, timings)


def choose_openvino(
    run: Runner,
    recipe: Recipe,
    variants: Sequence[Variant],
    scores: Sequence[Scores],
    timings: Timings | None,
    onnx: str | None,
) -> Selection | None:
    """Which OpenVINO INT8 variant is published, if any; None where there is none to choose from.
    `onnx`: the ONNX variant that passes, which it must not be worse than where both would be."""
    if not any((v.format, v.precision) == ("openvino", "int8") for v in variants):
        return None
    both = "onnx" in recipe.publication.formats
    rival = next((one for one in scores if both and one.variant == onnx), None)
    return _choose(run, recipe, "openvino", variants, scores, timings, rival)


def _choose(
    run: Runner,
    recipe: Recipe,
    kind: Format,
    variants: Sequence[Variant],
    scores: Sequence[Scores],
    timings: Timings | None,
    rival: Scores | None = None,
) -> Selection:
    able = {v.name: v for v in variants if v.format == kind}
    return run.run(
        select,
        SelectInput(
            baseline=next(s for s in scores if _precision(able, s) == "fp32"),
            candidates=tuple(s for s in scores if _precision(able, s) not in (None, "fp32")),
            timings=timings,
            sizes={v.name: v.size_bytes for v in able.values()},
            gates=recipe.gates,
            must_pay=recipe.gates.must_pay,
            rival=rival,
        ),
    )


def _precision(variants: dict[str, Variant], scores: Scores) -> str | None:
    return variants[scores.variant].precision if scores.variant in variants else None
