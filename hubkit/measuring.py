"""From a recipe to measured variants and a bundle, as plain functions: everything before the push.

Each takes a `Runner`, which looks finished stages up instead of running them again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hubkit.backends.onnx_quantizers import needs_reduced_range
from hubkit.errors import GateError, HubkitError
from hubkit.machine import machine_info
from hubkit.recipe import (
    Benchmark,
    Calibration,
    IncDynamic,
    IncStatic,
    LocalModel,
    OnnxDynamic,
    OnnxStatic,
    Recipe,
    TaskName,
    VariantSpec,
)
from hubkit.recipe_file import LoadedRecipe, check_labels, check_lengths
from hubkit.records import (
    BaseModelInfo,
    Bundle,
    Dataset,
    Encoded,
    Failed,
    Format,
    Lock,
    Report,
    Scores,
    Selection,
    Timings,
    Variant,
)
from hubkit.runner import Runner
from hubkit.stages.benchmark import BenchmarkInput, benchmark
from hubkit.stages.bundle import BundleInput, bundle
from hubkit.stages.card import CardInput, card
from hubkit.stages.encode import EncodeInput, encode
from hubkit.stages.evaluate import EvaluateInput, evaluate
from hubkit.stages.export import ExportInput, export, pytorch_baseline
from hubkit.stages.fetch_dataset import FetchDatasetInput, fetch_dataset
from hubkit.stages.fetch_model import FetchModelInput, fetch_model
from hubkit.stages.predict import PredictInput, predict
from hubkit.stages.quantize import QuantizeInput, quantize
from hubkit.stages.report import ReportInput, report
from hubkit.stages.resolve import ResolveInput, local_path, resolve
from hubkit.stages.sample import SampleInput, sample
from hubkit.stages.select import SelectInput, select

# Packages whose work is in a publication; lock.json names their versions.
TOOLS = (
    "datasets",
    "evaluate",
    "hubkit",
    "huggingface_hub",
    "jinja2",
    "neural-compressor",
    "numpy",
    "onnx",
    "onnxruntime",
    "optimum",
    "optimum-intel",
    "optimum-onnx",
    "scikit-learn",
    "tokenizers",
    "torch",
    "transformers",
)


@dataclass(frozen=True)
class Origins:
    """From what a built model and its dataset were made, in a sentence each."""

    base: str | None = None
    dataset: str | None = None


NO_ORIGINS = Origins()


@dataclass(frozen=True)
class Material:
    """What a recipe works on: the pinned sources, the model, the rows and their token ids."""

    lock: Lock
    base: BaseModelInfo
    dataset: Dataset
    evaluation: Encoded
    calibration: Encoded | None


@dataclass(frozen=True)
class Measured:
    """All that is known before anything leaves the machine."""

    material: Material
    report: Report
    selection: Selection


def measure(run: Runner, loaded: LoadedRecipe, origins: Origins = NO_ORIGINS) -> Measured:
    """Everything up to the report; nothing is pushed."""
    recipe = loaded.recipe
    material = prepare(run, loaded, origins)
    variants, failures = optimize(
        run,
        material.base,
        recipe.task,
        recipe.variants,
        CalibrationRows(material.calibration, recipe.dataset.calibration_split),
    )
    scores, unscored = score(run, recipe, material, variants)
    variants = tuple(v for v in variants if v.name in {one.variant for one in scores})
    run.close()  # the workers' memory and threads would disturb what is timed
    timings = time(run, material.base, variants, recipe.benchmark)
    selection = choose(run, recipe, variants, scores, timings)
    draft = ReportInput(
        recipe=recipe,
        base=material.base,
        dataset=material.dataset,
        encoded=material.evaluation,
        variants=variants,
        scores=scores,
        timings=timings,
        selection=selection,
        failures=(*failures, *unscored),
    )
    published = run.run(report, draft).published()
    samples = run.run(
        sample,
        SampleInput(dataset=material.dataset, encoded=material.evaluation, published=published),
    )
    whole = draft.model_copy(update={"samples": samples.samples})
    return Measured(material, run.run(report, whole), selection)


def prepare(run: Runner, loaded: LoadedRecipe, origins: Origins = NO_ORIGINS) -> Material:
    """Pin the sources, fetch the model and the rows, and tokenize them once for all variants."""
    recipe, folder = loaded.recipe, str(loaded.folder)
    lock = run.run(
        resolve,
        ResolveInput(
            base=recipe.base,
            dataset=recipe.dataset,
            recipe_digest=loaded.digest,
            folder=folder,
            tools=TOOLS,
            demo=loaded.demo,
            base_origin=origins.base,
            dataset_origin=origins.dataset,
        ),
    )
    local_model = recipe.base.path if isinstance(recipe.base, LocalModel) else None
    base = run.run(
        fetch_model,
        FetchModelInput(
            source=lock.base,
            task=recipe.task,
            path=str(local_path(folder, local_model)) if local_model is not None else None,
        ),
        subject=lock.base.id,
    )
    check_labels(loaded, base.labels)
    check_lengths(loaded, base.max_positions)
    plans = calibrations(recipe.variants)
    local_data = recipe.dataset.path if recipe.dataset.source == "local" else None
    dataset = run.run(
        fetch_dataset,
        FetchDatasetInput(
            source=lock.dataset,
            spec=recipe.dataset,
            labels=recipe.labels,
            model_labels=base.labels,
            samples=recipe.evaluation.samples,
            calibration_rows=max((plan.num_samples for plan in plans), default=0),
            calibration_seed=plans[0].seed if plans else 13,
            path=str(local_path(folder, local_data)) if local_data is not None else None,
        ),
        subject=lock.dataset.id,
    )
    encoded = {
        split: run.run(
            encode,
            EncodeInput(
                dataset=dataset,
                base=base,
                split=split,
                max_length=recipe.evaluation.max_length,
                task=recipe.task,
            ),
            subject=split,
        )
        for split in (("eval", "calibration") if plans else ("eval",))
    }
    return Material(lock, base, dataset, encoded["eval"], encoded.get("calibration"))


def calibrations(specs: Sequence[VariantSpec]) -> list[Calibration]:
    """The calibration plans of the variants that have one."""
    return [spec.calibration for spec in specs if isinstance(spec, OnnxStatic | IncStatic)]


@dataclass(frozen=True)
class CalibrationRows:
    """The rows that static quantization learns from, and their split; None: there are none."""

    encoded: Encoded | None = None
    split: str = ""


def optimize(
    run: Runner,
    base: BaseModelInfo,
    task: TaskName,
    specs: Sequence[VariantSpec],
    rows: CalibrationRows,
) -> tuple[tuple[Variant, ...], tuple[Failed, ...]]:
    """Both FP32 baselines and the INT8 variants, and what could not be made."""
    original = pytorch_baseline(base)
    specs = [_settled(spec) for spec in specs]
    onnx_fp32 = run.run(export, ExportInput(base=base, task=task), lane="onnx")
    calls = [
        (
            QuantizeInput(
                base=base,
                fp32=original if _lane(spec) == "pytorch" else onnx_fp32,
                spec=spec,
                calibration=rows.encoded if isinstance(spec, OnnxStatic | IncStatic) else None,
                split=rows.split,
            ),
            spec.name,
            _lane(spec),
        )
        for spec in specs
    ]
    made, failed = run.try_map(quantize, calls)
    return (original, onnx_fp32, *made), tuple(failed)


def score(
    run: Runner, recipe: Recipe, material: Material, variants: Sequence[Variant]
) -> tuple[tuple[Scores, ...], tuple[Failed, ...]]:
    """The metrics of every variant, and of the INT8 ones against FP32 of their own format; and the
    INT8 variants that could not be run. Raises HubkitError where FP32 itself cannot."""
    calls = [
        (
            PredictInput(
                variant=variant,
                encoded=material.evaluation,
                batch_size=recipe.evaluation.batch_size,
            ),
            variant.name,
            variant.format,
        )
        for variant in variants
    ]
    predictions, failed = run.try_map(predict, calls)
    fp32 = {v.format: v.name for v in variants if v.precision == "fp32"}
    for one in failed:
        if one.subject in fp32.values():
            raise HubkitError(f"{one.subject}: {one.reason}", hint=one.hint)
    names = {one.variant for one in predictions}
    table = run.run(
        evaluate,
        EvaluateInput(
            predictions=tuple(predictions),
            encoded=material.evaluation,
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
        ),
        lane="onnx",
    )
    return table.scores, tuple(failed)


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
    """Which ONNX INT8 variant becomes `model.onnx`, if any."""
    onnx = {v.name: v for v in variants if v.format == "onnx"}
    return run.run(
        select,
        SelectInput(
            baseline=next(s for s in scores if _precision(onnx, s) == "fp32"),
            candidates=tuple(s for s in scores if _precision(onnx, s) == "int8"),
            timings=timings,
            sizes={v.name: v.size_bytes for v in onnx.values()},
            gates=recipe.gates,
        ),
    )


def _precision(variants: dict[str, Variant], scores: Scores) -> str | None:
    return variants[scores.variant].precision if scores.variant in variants else None


def _settled(spec: VariantSpec) -> VariantSpec:
    # What depends on this machine is decided before the key is made, not by whoever runs the call.
    if isinstance(spec, OnnxDynamic | OnnxStatic) and spec.reduce_range is None:
        return spec.model_copy(update={"reduce_range": needs_reduced_range()})
    return spec


def _lane(spec: VariantSpec) -> Format:
    return "pytorch" if isinstance(spec, IncStatic | IncDynamic) else "onnx"


def assemble(run: Runner, loaded: LoadedRecipe, measured: Measured, repo_id: str) -> Bundle:
    """The folder that becomes the repository: card, weights, records and sums.

    Raises GateError where the recipe wants an ONNX model and no variant passes the gate.
    """
    recipe, found = loaded.recipe, measured.report
    if "onnx" in recipe.publication.formats and measured.selection.selected is None:
        raise GateError(
            "no ONNX variant meets the gate, so nothing is published\n" + why(measured.selection),
            hint="Allow more under gates.max_relative_loss, add gentler variants, or publish"
            " PyTorch alone with publication.formats: [pytorch].",
        )
    text = run.run(
        card,
        CardInput(
            recipe=recipe,
            notes=loaded.notes,
            lock=measured.material.lock,
            report=found,
            repo_id=repo_id,
        ),
    )
    return run.run(
        bundle,
        BundleInput(
            repo_id=repo_id,
            recipe=recipe,
            lock=measured.material.lock,
            report=found,
            card=text,
            base=found.base,
            published=found.published(),
            fp32_onnx=next(
                v for v in found.variants if v.format == "onnx" and v.precision == "fp32"
            ),
        ),
    )


def why(selection: Selection) -> str:
    """A line for each ONNX variant: whether it passes the gate, and the reason."""
    return "\n".join(
        f"  {c.variant}: {'passes' if c.passes else 'refused'}: {c.reason}"
        for c in selection.candidates
    )
