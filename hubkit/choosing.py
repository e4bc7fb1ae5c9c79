"""The ONNX variant of a publication, taken from a sweep."""

from __future__ import annotations

from dataclasses import dataclass, replace

from hubkit.errors import RecipeError
from hubkit.gate import refusal
from hubkit.preparing import NO_ORIGINS, Origins
from hubkit.recipe_file import LoadedRecipe, digest_of_recipe
from hubkit.records import Selection, SweepOrigin
from hubkit.runner import Runner
from hubkit.stages.select import SelectInput, select
from hubkit.sweep_records import OnnxSpec, SweepReport
from hubkit.sweeping import candidates, measure_sweep


@dataclass(frozen=True)
class Chosen:
    """The configuration that a publication takes, and the sweep that it is from."""

    spec: OnnxSpec
    selection: Selection
    report: SweepReport

    @property
    def origin(self) -> SweepOrigin:
        """What the publication's report says of the sweep."""
        return SweepOrigin(
            configurations=len(self.report.rows),
            distinct=len(self.selection.candidates),
            passed=sum(candidate.passes for candidate in self.selection.candidates),
            selected=self.spec.name,
        )


def choose_from_sweep(run: Runner, loaded: LoadedRecipe, origins: Origins = NO_ORIGINS) -> Chosen:
    """The preferred configuration of the recipe's sweep that meets its gate.

    Raises GateError with the table of verdicts where none does, RecipeError where none is INT8.
    """
    report = measure_sweep(run, loaded, origins)
    able = candidates(report)
    if not able:
        raise RecipeError(
            f"the sweep of {loaded.recipe.name} has no configuration that is INT8 and works",
            hint="Declare others under sweep; `hubkit sweep` shows what each came to.",
        )
    baseline = report.scores_of("onnx-fp32")
    assert baseline is not None
    selection = run.run(
        select,
        SelectInput(
            baseline=baseline,
            candidates=tuple(scores for _, scores in able),
            timings=report.timings,
            sizes={
                variant.name: variant.size_bytes
                for variant in (*report.baselines, *(variant for variant, _ in able))
            },
            gates=loaded.recipe.gates,
            must_pay=loaded.recipe.gates.must_pay,
        ),
    )
    if selection.selected is None:
        raise refusal(report, selection)
    spec = next(row.spec for row in report.rows if row.name == selection.selected)
    return Chosen(spec, selection, report)


def with_chosen(loaded: LoadedRecipe, chosen: Chosen) -> LoadedRecipe:
    """The recipe with the chosen configuration as its one ONNX variant."""
    others = (v for v in loaded.recipe.variants if not v.kind.startswith("onnx-"))
    recipe = loaded.recipe.model_copy(update={"variants": (chosen.spec, *others)})
    return replace(loaded, recipe=recipe, digest=digest_of_recipe(recipe))


def chosen_recipe(
    run: Runner, loaded: LoadedRecipe, origins: Origins, *, always: bool
) -> tuple[LoadedRecipe, Chosen | None]:
    """The recipe as it is, or, with `always` or where its gates say so, with the ONNX variant that
    its sweep gives."""
    if not always and loaded.recipe.gates.select_from != "sweep":
        return loaded, None
    chosen = choose_from_sweep(run, loaded, origins)
    return with_chosen(loaded, chosen), chosen
