"""The variant of a publication, found by a tuning run."""

from __future__ import annotations

from dataclasses import replace

from hubkit.errors import GateError, RecipeError
from hubkit.preparing import NO_ORIGINS, Origins
from hubkit.recipe import Recipe
from hubkit.recipe_check import format_of
from hubkit.recipe_file import LoadedRecipe, digest_of_recipe
from hubkit.recipe_tune import Tune
from hubkit.records import TuneOrigin
from hubkit.runner import Runner
from hubkit.sweeps.tune_report import summary
from hubkit.tune_records import TuneReport
from hubkit.tuning import tune_model


def tuned_recipe(
    run: Runner, loaded: LoadedRecipe, origins: Origins = NO_ORIGINS
) -> tuple[LoadedRecipe, TuneReport]:
    """The recipe with what the search takes in place of its variants of that format, and the
    search. Raises GateError where no trial meets the criterion, RecipeError where what is searched
    for would not be published."""
    tune, formats = loaded.recipe.tune or Tune(), loaded.recipe.publication.formats
    kind = "onnx" if tune.framework == "onnxruntime" else tune.framework
    if kind not in formats:
        raise RecipeError(
            f"tune.framework is {tune.framework}, and publication.formats has no {kind}"
            f" ({', '.join(formats)})",
            hint="Add it under publication.formats, or tune another framework.",
        )
    refuse_looser(loaded.recipe, tune)
    report = tune_model(run, loaded, tune, origins)
    taken = report.taken
    if taken is None or report.outcome != "met":
        raise refusal(
            report, "Nothing was pushed. `hubkit tune` of the same recipe writes the best out."
        )
    others = (v for v in loaded.recipe.variants if format_of(v) != kind)
    recipe = loaded.recipe.model_copy(update={"variants": (taken.spec, *others)})
    return replace(loaded, recipe=recipe, digest=digest_of_recipe(recipe)), report


def refuse_looser(recipe: Recipe, tune: Tune) -> None:
    """Raise RecipeError where what meets the criterion might be refused at the gate after all: the
    gate judges what is published again. An absolute criterion is not known to be looser before
    FP32 is scored."""
    allowed, gate = tune.accuracy_criterion.relative, recipe.gates.max_relative_loss
    if allowed is not None and allowed > gate:
        raise RecipeError(
            f"tune.accuracy_criterion.relative ({allowed:g}) allows more than"
            f" gates.max_relative_loss ({gate:g}): what the search takes would be refused at the"
            " gate",
            hint="Allow as much at the gate, or leave the criterion out: then it is the gate's.",
        )


def origin_of(report: TuneReport) -> TuneOrigin:
    """What the publication's report says of the search."""
    last = report.confirmations[-1]
    verdict = last.verdict
    return TuneOrigin(
        trials=len(report.trials),
        search_rows=report.search_rows,
        confirm_rows=verdict.rows,
        taken=last.trial,
        metric=report.metric,
        loss=verdict.loss,
        loss_interval=verdict.interval,
        confidence=verdict.confidence,
        allowed=verdict.allowed,
        decided=verdict.state != "undecided",
        rows_needed=verdict.rows_needed,
    )


def refusal(report: TuneReport, kept: str) -> GateError:
    """What is said where no trial meets the criterion, with exit code 3. `kept`: what was kept."""
    return GateError(
        "\n".join((*summary(report), kept)).rstrip(),
        hint="Allow more under tune.accuracy_criterion, give more rows to score on, or search"
        " longer.",
    )
