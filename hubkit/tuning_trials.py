"""The steps of a tuning run, carried out: models made, scored, timed, and taken apart by groups."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from hubkit.errors import HubkitError, ModelError
from hubkit.machine import Target, machine_info, target_named
from hubkit.preparing import Material
from hubkit.quantizing import (
    CalibrationRows,
    GraphKey,
    Graphs,
    OnnxSpec,
    learn,
    make_graphs,
    quantize_input,
    source_of,
)
from hubkit.recipe import (
    OnnxStatic,
    Recipe,
    VariantSpec,
    calibration_of,
)
from hubkit.recipe_tune import Tune
from hubkit.records import Dataset, Encoded, Failed, Scores, Variant
from hubkit.runner import Runner
from hubkit.stages.calibrate import ActivationStatistics
from hubkit.stages.convert import ConvertInput, convert
from hubkit.stages.digest import DigestInput, digest
from hubkit.stages.encode import EncodeInput, encode
from hubkit.stages.evaluate import EvaluateInput, evaluate
from hubkit.stages.export import ExportInput, export, pytorch_baseline
from hubkit.stages.part import PartInput, part
from hubkit.stages.predict import PredictInput, predict
from hubkit.stages.quantize import QuantizeInput, quantize
from hubkit.tune_judge import judge
from hubkit.tune_ranking import History
from hubkit.tune_records import Trial
from hubkit.tune_steps import Proposal

# Two processes, so that both cores quantize.
_LANES = ("onnx", "onnx-2")
Learnt = dict[tuple[GraphKey, int, int], ActivationStatistics]
_BEFORE = ("sense", "search")  # the parts that are known before there is anything to confirm


@dataclass(frozen=True)
class Part:
    """Rows that models are compared on, as text and as token ids."""

    dataset: Dataset
    encoded: Encoded


@dataclass(frozen=True)
class Bench:
    """What every trial of one search shares: FP32, the graphs, the ranges, the rows."""

    run: Runner
    recipe: Recipe
    tune: Tune
    material: Material
    baseline: Variant
    graphs: Graphs
    learnt: Learnt
    sense: Part
    search: Part
    # Of the models so far, by name: what they are compared by.
    digests: dict[str, str] = field(default_factory=dict)
    unwatched: str = ""  # why there are no ranges for static trials

    @property
    def split(self) -> str:
        return self.recipe.dataset.calibration_split


def make_bench(
    run: Runner, recipe: Recipe, tune: Tune, material: Material, specs: Sequence[VariantSpec]
) -> Bench:
    """FP32, the graphs of the specs, one pass over the calibration rows, and the dealt rows."""
    onnx = [spec for spec in specs if isinstance(spec, OnnxSpec)]
    # First: where there are too few rows, nothing need be made.
    sense, search = (make_part(run, recipe, tune, material, which) for which in _BEFORE)
    baseline = _baseline(run, recipe, tune, material)
    graphs, unwatched = Graphs({}, {}), ""
    learnt: Learnt = {}
    if onnx:
        rows = CalibrationRows(material.calibration, recipe.dataset.calibration_split)
        graphs = make_graphs(run, material.base, recipe.task, baseline, onnx, rows)
        able = [s for s in onnx if isinstance(source_of(graphs, s, _served(tune)), Variant)]
        learnt, unwatched = _learn(run, graphs, able, rows)
    return Bench(
        *(run, recipe, tune, material, baseline, graphs, learnt),
        sense=sense,
        search=search,
        unwatched=unwatched,
    )


def _learn(
    run: Runner, graphs: Graphs, specs: Sequence[OnnxSpec], rows: CalibrationRows
) -> tuple[Learnt, str]:
    """What static trials learn from, or why they cannot, which ends no other trial."""
    try:
        return learn(run, graphs, specs, rows), ""
    except ModelError as error:
        return {}, error.message


def _baseline(run: Runner, recipe: Recipe, tune: Tune, material: Material) -> Variant:
    """FP32 of what the trials run on."""
    if tune.framework == "pytorch":
        return pytorch_baseline(material.base)
    given = ExportInput(base=material.base, task=recipe.task)
    exported = run.run(export, given, lane="onnx")
    if tune.framework == "onnxruntime":
        return exported
    return run.run(convert, ConvertInput(fp32=exported, task=recipe.task), lane="openvino")


def make_part(run: Runner, recipe: Recipe, tune: Tune, material: Material, which: str) -> Part:
    """Some of the evaluation rows: see stages/part.py."""
    given = PartInput.model_validate(
        {"dataset": material.dataset, "which": which, "seed": tune.random_seed}
    )
    dataset = run.run(part, given, subject=which)
    wanted = EncodeInput(
        dataset=dataset,
        base=material.base,
        split="eval",
        max_length=recipe.evaluation.max_length,
        task=recipe.task,
    )
    return Part(dataset, run.run(encode, wanted, subject=which))


def attempt(bench: Bench, history: History, proposals: Sequence[Proposal]) -> tuple[Trial, ...]:
    """The proposals as trials: made, compared with all before, and scored where they are new."""
    made = make(bench, [one.spec for one in proposals])
    same = _same(bench, history, made)
    new = [one for one in made if isinstance(one, Variant) and one.name not in same]
    scores = score(bench, bench.search, new, bench.recipe.evaluation.confidence)
    baseline = scores[bench.baseline.name]
    assert isinstance(baseline, Scores)
    trials = []
    for number, (proposal, result) in enumerate(zip(proposals, made, strict=True)):
        common = Trial(
            number=len(history.trials) + number + 1,
            phase=proposal.phase,
            spec=proposal.spec,
            base=proposal.base,
            gave_back=proposal.gave_back,
        )
        found = result if isinstance(result, Failed) else scores.get(result.name)
        update: dict[str, object]
        if isinstance(result, Variant) and result.name in same:
            update = {"variant": result, "same_as": same[result.name]}
        elif isinstance(found, Scores):
            verdict = judge(
                found, baseline, bench.recipe.gates.metric, bench.tune.accuracy_criterion
            )
            update = {"variant": result, "scores": found, "verdict": verdict}
        else:
            update = {"failed": found}
        trials.append(common.model_copy(update=update))
    return tuple(trials)


def make(bench: Bench, specs: Sequence[VariantSpec]) -> list[Variant | Failed]:
    """The model of each spec, or why there is none; one of which nothing is smaller is none."""
    calls: list[tuple[QuantizeInput, str, str]] = []
    at: list[int] = []
    found: dict[int, Variant | Failed] = {}
    for number, spec in enumerate(specs):
        given = _call(bench, spec)
        if isinstance(given, Failed):
            found[number] = given
            continue
        calls.append((given, spec.name, _lane(bench, spec, len(calls))))
        at.append(number)
    made = bench.run.settle(quantize, calls)
    found.update(zip(at, made, strict=True))
    return [_refuse_float(found[number]) for number in range(len(specs))]


def _served(tune: Tune) -> Target | None:
    return target_named(tune.target) if tune.target else None


def _call(bench: Bench, spec: VariantSpec) -> QuantizeInput | Failed:
    base = bench.material.base
    if isinstance(spec, OnnxSpec):
        source = source_of(bench.graphs, spec, _served(bench.tune))
        if isinstance(source, Failed):
            return source
        if isinstance(spec, OnnxStatic) and bench.unwatched:
            return Failed(stage="calibrate", subject=spec.name, reason=bench.unwatched)
        return quantize_input(base, source, spec, bench.learnt, bench.split)
    rows = bench.material.calibration if calibration_of(spec) else None
    return QuantizeInput(
        base=base, fp32=bench.baseline, spec=spec, calibration=rows, split=bench.split
    )


def _lane(bench: Bench, spec: VariantSpec, number: int) -> str:
    onnx = isinstance(spec, OnnxSpec)
    return _LANES[number % len(_LANES)] if onnx else bench.tune.framework


def _refuse_float(result: Variant | Failed) -> Variant | Failed:
    if isinstance(result, Variant) and result.nodes_quantized == 0:
        return Failed(
            stage="quantize",
            subject=result.name,
            reason=f"no node of it is {result.precision.upper()}",
        )
    return result


def _same(bench: Bench, history: History, made: Sequence[Variant | Failed]) -> dict[str, str]:
    """Name of a new model -> the earlier trial that it is the same as."""
    before = [t.variant for t in history.trials if t.variant and not t.same_as]
    variants = [*before, *(one for one in made if isinstance(one, Variant))]
    unknown = [v for v in variants if v.name not in bench.digests]
    onnx = [v for v in unknown if v.format == "onnx"]
    found = bench.run.map(digest, [(DigestInput(variant=v), v.name, "onnx") for v in onnx])
    bench.digests.update({v.name: v.artifact.digest for v in unknown})
    for variant, one in zip(onnx, found, strict=True):
        bench.digests[variant.name] = bench.run.expect(one).digest
    first: dict[str, str] = {}
    same = {}
    for variant in variants:
        known = first.setdefault(bench.digests[variant.name], variant.name)
        if known != variant.name:
            same[variant.name] = known
    return same


def score(
    bench: Bench, rows: Part, variants: Sequence[Variant], confidence: float
) -> dict[str, Scores | Failed]:
    """Variant -> its scores against FP32 on those rows, or why it could not be run; with FP32's
    own. Raises HubkitError where FP32 itself cannot be run."""
    run, recipe = bench.run, bench.recipe
    every = [bench.baseline, *variants]
    flags = machine_info().flags
    calls = [
        (
            PredictInput(
                variant=variant,
                encoded=rows.encoded,
                batch_size=recipe.evaluation.batch_size,
                cpu=flags,
            ),
            variant.name,
            variant.format,
        )
        for variant in every
    ]
    results = run.settle(predict, calls)
    failed = {one.subject: one for one in results if isinstance(one, Failed)}
    if why := failed.get(bench.baseline.name):
        raise HubkitError(f"{why.subject}: {why.reason}", hint=why.hint)
    given = EvaluateInput(
        predictions=tuple(one for one in results if not isinstance(one, Failed)),
        encoded=rows.encoded,
        dataset=rows.dataset,
        task=recipe.task,
        labels=bench.material.base.labels,
        metrics=(recipe.gates.metric,),
        gate_metric=recipe.gates.metric,
        confidence=confidence,
        baselines={v.name: bench.baseline.name for v in variants if v.name not in failed},
    )
    table = run.run(evaluate, given, lane="onnx")
    return {**failed, **{one.variant: one for one in table.scores}}
