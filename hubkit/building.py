"""What a recipe's base is made into before it is quantized: pruned, then fine-tuned or given a
projection."""

from __future__ import annotations

import json
from dataclasses import dataclass

from hubkit.errors import ModelError
from hubkit.recipe import Finetune, Project
from hubkit.recipe_build import kept_layers
from hubkit.recipe_file import LoadedRecipe
from hubkit.recipe_yaml import Fault
from hubkit.records import BaseBuild, BaseModelInfo, Finetuned, Lock, Projected
from hubkit.runner import Runner
from hubkit.stages.fetch_training import FetchTrainingInput, TrainingRows, fetch_training
from hubkit.stages.finetune import FinetuneInput, finetune
from hubkit.stages.model_files import CONFIG
from hubkit.stages.project import ProjectInput, project, width_of
from hubkit.stages.prune import PruneInput, fault_of, layers_of, prune

# Training has all threads: two trainings beside each other would only take turns.
_LANE = "pytorch"


@dataclass(frozen=True)
class BuiltBase:
    """A base as it is quantized, and what was done to it; None: nothing."""

    base: BaseModelInfo
    done: BaseBuild | None


@dataclass(frozen=True)
class Workshop:
    """What building takes: the recipe, its pinned sources, where its dataset lies if not on the
    Hub, and the base as it was fetched."""

    loaded: LoadedRecipe
    lock: Lock
    data_path: str | None
    fetched: BaseModelInfo


def build_base(run: Runner, shop: Workshop) -> BuiltBase:
    """The base as the recipe wants it: layers taken out, then trained, then given a projection.
    Raises ModelError for what the base does not allow."""
    plan = shop.loaded.recipe.base
    _check(run, shop)
    base, done = shop.fetched, BaseBuild()
    if plan.prune is not None:
        pruned = run.run(prune, PruneInput(base=base, plan=plan.prune), lane=_LANE)
        base, done = pruned.base, done.model_copy(update={"pruned": pruned.done})
    if plan.finetune is not None:
        base, trained = _finetuned(run, shop, base, plan.finetune, "pruned" if done.pruned else "")
        done = done.model_copy(update={"finetuned": trained})
    if plan.project is not None:
        base, fitted = _projected(run, shop, base, plan.project, "pruned" if done.pruned else "")
        done = done.model_copy(update={"projected": fitted})
    return BuiltBase(base, done if done != BaseBuild() else None)


def build_full(run: Runner, shop: Workshop) -> BuiltBase:
    """The base with all its layers, that a pruned one is compared with: as it is where it answers
    the recipe's task already, else fine-tuned, or given a projection, by the same settings."""
    if (projection := shop.loaded.recipe.base.project) is not None:
        base, fitted = _projected(run, shop, shop.fetched, projection, "full")
        return BuiltBase(base, BaseBuild(projected=fitted))
    plan = shop.loaded.recipe.base.finetune
    if plan is None or shop.fetched.labels == labels_of(shop):
        return BuiltBase(shop.fetched, None)
    base, trained = _finetuned(run, shop, shop.fetched, plan, "full")
    return BuiltBase(base, BaseBuild(finetuned=trained))


def _check(run: Runner, shop: Workshop) -> None:
    """Raise RecipeError with file and line for what the model does not have, ModelError for an
    architecture whose layers are not known."""
    plan, document = shop.loaded.recipe.base, shop.loaded.document
    if plan.prune is not None:
        path = run.store.path(shop.fetched.artifact) / CONFIG
        config = json.loads(path.read_text(encoding="utf-8"))
        _, count = layers_of(config, shop.fetched.model_type)
        what = fault_of(kept_layers(plan.prune.layers, count), count)
        if what:
            document.refuse((Fault(("base", "prune", "layers"), what),))
    longest = shop.fetched.max_positions
    if plan.finetune is not None and plan.finetune.max_length > longest:
        what = f"{plan.finetune.max_length} tokens, and the model takes at most {longest}"
        document.refuse((Fault(("base", "finetune", "max_length"), what),))
    if plan.project is not None:
        _check_projection(run, shop, plan.project)


def _check_projection(run: Runner, shop: Workshop, plan: Project) -> None:
    if shop.fetched.embedding is not None and shop.fetched.embedding.activation is not None:
        what = "the base has a linear layer of its own after pooling: leave project out"
        shop.loaded.document.refuse((Fault(("base", "project"), what),))
    width = width_of(run.store.path(shop.fetched.artifact))
    if plan.dimensions > width:
        what = f"{plan.dimensions} numbers, and an embedding of the model has {width}"
        fault = Fault(("base", "project", "dimensions"), what)
        shop.loaded.document.refuse((fault,))


def labels_of(shop: Workshop) -> tuple[str, ...]:
    """The labels of the model that comes out: the base's where they are those of the recipe, and
    else the recipe's, in the order that it names them."""
    named = tuple(dict.fromkeys(shop.loaded.recipe.labels.values()))
    theirs = shop.fetched.labels
    return theirs if set(theirs) == set(named) else named


def _finetuned(
    run: Runner, shop: Workshop, base: BaseModelInfo, plan: Finetune, subject: str
) -> tuple[BaseModelInfo, Finetuned]:
    recipe, labels = shop.loaded.recipe, labels_of(shop)
    if len(labels) < 2:
        raise ModelError(
            "a classifier of one label answers nothing",
            hint="Map the values of the reference column to two labels or more under labels.",
        )
    rows = _rows(run, shop, plan, labels)
    given = FinetuneInput(base=base, rows=rows, plan=plan, task=recipe.task, labels=labels)
    made = run.run(finetune, given, subject=subject, lane=_LANE)
    return made.base, made.done


def _projected(
    run: Runner, shop: Workshop, base: BaseModelInfo, plan: Project, subject: str
) -> tuple[BaseModelInfo, Projected]:
    given = ProjectInput(base=base, rows=_rows(run, shop, plan, ()), plan=plan)
    made = run.run(project, given, subject=subject, lane=_LANE)
    return made.base, made.done


def _rows(
    run: Runner, shop: Workshop, plan: Finetune | Project, labels: tuple[str, ...]
) -> TrainingRows:
    """The rows of the plan's split, none of which is evaluated on."""
    recipe = shop.loaded.recipe
    return run.run(
        fetch_training,
        FetchTrainingInput(
            source=shop.lock.dataset,
            spec=recipe.dataset,
            split=plan.split,
            task=recipe.task,
            labels=recipe.labels,
            model_labels=labels,
            samples=plan.samples,
            seed=plan.seed,
            path=shop.data_path,
        ),
        subject=shop.lock.dataset.id,
    )
