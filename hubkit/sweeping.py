"""From a recipe's `sweep` to a report of every configuration, as plain functions.

Export, calibration, FP32 scores and FP32 times are made once for all configurations, and
configurations that end in the same graph are measured once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from hubkit.backends.node_patterns import match_nodes, read_graph
from hubkit.errors import RecipeError, UsageError
from hubkit.full_model import full_model
from hubkit.measuring import score, time
from hubkit.preparing import NO_ORIGINS, Material, Origins, prepare
from hubkit.quantizing import (
    Graphs,
    make_graphs,
)
from hubkit.recipe import Recipe, Sweep
from hubkit.recipe_file import LoadedRecipe
from hubkit.records import Scores, Timings, Variant
from hubkit.runner import Runner
from hubkit.stages.export import ExportInput, export, pytorch_baseline
from hubkit.sweep_plan import configurations, every_configuration, time_plan
from hubkit.sweep_records import NoisePoint, OnnxSpec, SweepReport
from hubkit.sweep_rows import grouped, quantized_rows, without

# ONNX FP32 in a second process: what differs between the two is the machine's.
TWIN = "onnx-fp32-again"


@dataclass(frozen=True)
class Choice:
    """What of a sweep is run. `where`: a filter over the configurations; `limit`: evaluation rows,
    which makes the results partial; `guards` False: none in any configuration."""

    where: str | None = None
    limit: int | None = None
    guards: bool = True


WHOLE = Choice()


def measure_sweep(
    run: Runner, loaded: LoadedRecipe, origins: Origins = NO_ORIGINS, choice: Choice = WHOLE
) -> SweepReport:
    """Every configuration quantized, scored and timed beside the FP32 baselines.

    A configuration that cannot be made is a row with its reason. Raises RecipeError where the
    recipe declares no sweep or an exclusion pattern that matches no node, UsageError for a filter
    that leaves nothing.
    """
    declared = declared_sweep(loaded, choice)
    specs = configurations(declared, choice.where)
    recipe = _recipe_of(loaded.recipe, specs, choice)
    material = prepare(run, replace(loaded, recipe=recipe), origins)
    refuse_long_inputs(declared, material.base.max_positions)
    original = pytorch_baseline(material.base)
    plain = run.run(export, ExportInput(base=material.base, task=recipe.task), lane="onnx")
    graphs = make_graphs(run, material.base, recipe.task, plain, specs)
    refuse_idle_patterns(run, graphs, specs)
    rows = quantized_rows(run, recipe, material, graphs, specs)
    rows, distinct = grouped(run, graphs, rows)
    scores, unscored = score(run, recipe, material, (original, *distinct))
    rows = without(rows, unscored)
    scored = {one.variant for one in scores}
    baselines = (original, *(v for v in graphs.made.values() if v.name in scored))
    measured = tuple(v for v in (original, *distinct) if v.name in scored)
    full = full_model(run, recipe, material, specs, measured)
    run.close()  # the workers' memory and threads would disturb what is timed
    twin = plain.model_copy(update={"name": TWIN})
    timed = (*measured, *(full.variants if full else ()), twin)
    timings = time(run, material.base, timed, time_plan(declared))
    return SweepReport(
        recipe=loaded.recipe.name,
        task=recipe.task,
        lock=material.lock,
        dataset_spec=recipe.dataset,
        evaluation=recipe.evaluation,
        sweep=declared,
        metric=recipe.gates.metric,
        where=choice.where,
        combinations=len(every_configuration(declared)),
        base=material.base,
        dataset=material.dataset,
        encoded=material.evaluation,
        baselines=baselines,
        rows=rows,
        scores=scores,
        timings=timings,
        noise=noise_floor(timings, plain.name),
        partial=_partial(material, choice),
        full=full.record if full else None,
    )


def declared_sweep(loaded: LoadedRecipe, choice: Choice) -> Sweep:
    """The recipe's sweep. Raises RecipeError where it declares none."""
    declared = loaded.recipe.sweep
    if declared is None:
        raise RecipeError(
            f"{loaded.recipe.name} declares no sweep",
            hint="Add a `sweep:` section to the recipe; docs/recipe.md shows one.",
        )
    if choice.guards:
        return declared
    return declared.model_copy(update={"guards": (False,)})


def _recipe_of(recipe: Recipe, specs: Sequence[OnnxSpec], choice: Choice) -> Recipe:
    """The recipe with the configurations as its variants, and the rows that are asked for."""
    if choice.limit is not None and choice.limit < 1:
        raise UsageError(f"--limit {choice.limit}: at least one row is needed")
    rows = {} if choice.limit is None else {"samples": choice.limit}
    evaluation = recipe.evaluation.model_copy(update=rows)
    return recipe.model_copy(update={"variants": tuple(specs), "evaluation": evaluation})


def _partial(material: Material, choice: Choice) -> tuple[str, ...]:
    if not material.dataset.partial:
        return ()
    found = material.dataset
    by = "--limit" if choice.limit is not None else "evaluation.samples"
    return (f"{found.eval_rows:,} of {found.eval_rows_available:,} rows were scored ({by})",)


def refuse_long_inputs(declared: Sweep, max_positions: int) -> None:
    """Raise RecipeError for a length that the model does not take: before it is measured."""
    longest = max(declared.input_lengths)
    if longest > max_positions:
        raise RecipeError(
            f"sweep.input_lengths: {longest} is longer than the {max_positions} positions that the"
            " model has",
            hint=f"Keep sweep.input_lengths at or below {max_positions}.",
        )


def refuse_idle_patterns(run: Runner, graphs: Graphs, specs: Sequence[OnnxSpec]) -> None:
    """Raise RecipeError for an exclusion pattern that matches no node of any graph that it is
    declared for: it would exclude nothing, and nobody would know."""
    read = {
        key: read_graph(run.store.path(v.artifact) / v.model_file) for key, v in graphs.made.items()
    }
    for pattern in dict.fromkeys(p for spec in specs for p in spec.node_exclusion):
        error: RecipeError | None = None
        for graph in read.values():
            try:
                match_nodes(graph, pattern)
            except RecipeError as found:
                error = error or found
            else:
                break
        else:
            if error is not None:
                raise error


def noise_floor(timings: Timings, name: str) -> tuple[NoisePoint, ...]:
    """How far two processes of the same FP32 model differ at each point."""
    by_name = {timing.variant: timing for timing in timings.timings}
    points = zip(by_name[name].points, by_name[TWIN].points, strict=True)
    return tuple(
        NoisePoint(
            batch_size=one.batch_size,
            input_length=one.input_length,
            ratio=other.mean_ms / one.mean_ms,
            relative=max(
                abs(b / a - 1)
                for a, b in zip(one.round_means_ms, other.round_means_ms, strict=True)
            ),
        )
        for one, other in points
    )


def candidates(report: SweepReport) -> tuple[tuple[Variant, Scores], ...]:
    """The configurations that can be published: measured themselves, and not all float."""
    found = []
    for row in report.rows:
        scores = report.scores_of(row.name)
        if row.variant and row.same_as is None and row.variant.nodes_quantized and scores:
            found.append((row.variant, scores))
    return tuple(found)
