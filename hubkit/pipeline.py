"""publish(): from a recipe to a verified repository on the Hub."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from hubkit.assembling import assemble
from hubkit.choosing import chosen_recipe
from hubkit.demo.builders import find_builder
from hubkit.demo.stage import build_demo, build_input
from hubkit.errors import RecipeError, UsageError
from hubkit.executors.local import LocalExecutor
from hubkit.formats_published import with_formats
from hubkit.formats_records import FormatsReport
from hubkit.gate import refuse_incomplete
from hubkit.hub.client import connect
from hubkit.local_hub import demo_hub
from hubkit.measuring import Measured, measure
from hubkit.nearest import did_you_mean
from hubkit.paths import cache_dir
from hubkit.preparing import NO_ORIGINS, Origins
from hubkit.pushing import (
    ONTO_MAIN,
    Onto,
    push_input,
    refuse_taken_tag,
    tag_commit,
    verify_once,
)
from hubkit.recipe import BuiltModel, Recipe
from hubkit.recipe_file import LoadedRecipe, load_recipe, open_points
from hubkit.runner import Listener, Ran, Runner
from hubkit.stage import STAGES
from hubkit.stages.push import (
    Pushed,
    Tagged,
    push,
    writable_id,
)
from hubkit.stages.report import SummaryRow, summary_rows
from hubkit.stages.seed import seed_hub
from hubkit.stages.verify import Verified
from hubkit.store import Store
from hubkit.tuned import origin_of, tuned_recipe

# Stages whose results are kept for this machine alone.
_TIMED = ("benchmark", "peaks", "batch-curve", "serve-load", "search-serving")


class Silent:
    """A listener for those who want none."""

    def update(self, name: str, what: str = "", done: int = 0, total: int = 0) -> None:
        """Hear nothing."""

    def done(self, name: str, seconds: float | None) -> None:
        """Hear nothing."""

    def failed(self, name: str) -> None:
        """Hear nothing."""


@dataclass(frozen=True)
class Published:
    """What a publication came to. `verified` None: this very commit was verified before."""

    endpoint: str
    pushed: Pushed
    verified: Verified | None
    tagged: Tagged | None
    rows: tuple[SummaryRow, ...]
    measured: Measured
    ran: tuple[Ran, ...]


@contextmanager
def running(
    *,
    endpoint: str | None = None,
    token: str | None = None,
    listener: Listener | None = None,
    dry: bool = False,
) -> Iterator[Runner]:
    """A Runner on the user's store, whose processes end with the block."""
    store = Store(cache_dir() / "store")
    store.sweep()
    executor = LocalExecutor(endpoint=endpoint, token=token)
    run = Runner(store, executor, listener or Silent(), endpoint, token, dry)
    try:
        yield run
    finally:
        run.close()
        store.sweep()  # what the processes were at when they were ended


@contextmanager
def session(
    target: str,
    *,
    demo: bool = False,
    endpoint: str | None = None,
    listener: Listener | None = None,
    dry: bool = False,
) -> Iterator[tuple[Runner, LoadedRecipe, Origins]]:
    """A recipe and a Runner for it; for the demo, on the embedded Hub with its sources there."""
    loaded = load_recipe(target, demo=demo)
    refuse_placeholders(loaded)
    base = loaded.recipe.base
    if not isinstance(base, BuiltModel):
        with running(endpoint=endpoint, listener=listener, dry=dry) as run:
            yield run, loaded, NO_ORIGINS
        return
    if endpoint is None:
        hub = demo_hub()
        endpoint, token = hub.endpoint, hub.token
    else:
        token = None
    with running(endpoint=endpoint, token=token, listener=listener, dry=dry) as run:
        yield run, loaded, seed(run, loaded.recipe, base)


def publish(
    target: str,
    *,
    demo: bool = False,
    repo_id: str | None = None,
    endpoint: str | None = None,
    onto: Onto = ONTO_MAIN,
    again: Sequence[str] = (),
    select_from_sweep: bool = False,
    tune: bool = False,
    formats: FormatsReport | None = None,
    templates: Path | None = None,
    listener: Listener | None = None,
) -> Published:
    """Measure a recipe's variants, publish them with their card in one commit, and verify it.

    With `select_from_sweep`, or where the recipe's gates say so, the ONNX variant is the preferred
    configuration of the recipe's sweep that meets the gate; with `tune` the variant that `hubkit
    tune` finds takes the place of those of its format. `formats`: what `hubkit report formats`
    found, for the card. `templates`: a folder of card templates that go before the recipe's and
    hubkit's. `onto`: branch, pull request, visibility and tag.

    Finished stages are looked up, so that a second call with nothing changed runs no heavy stage
    and makes no commit; stages named in `again` run again all the same. Raises HubkitError;
    GateError where no variant is good enough, or the card lacks what the recipe demands.
    """
    anew = known_stages(again)
    onto.check()
    with session(target, demo=demo, endpoint=endpoint, listener=listener) as (run, loaded, origins):
        run.again = anew
        refuse_incomplete(loaded)
        full_id = whole_repo_id(run, loaded, repo_id)  # without a token nothing need be computed
        loaded, chosen = chosen_recipe(run, loaded, origins, always=select_from_sweep)
        loaded, found = tuned_recipe(run, loaded, origins) if tune else (loaded, None)
        origin = chosen.origin if chosen else None
        measured = measure(run, loaded, origins, origin, origin_of(found) if found else None)
        measured = with_formats(measured, formats)
        report = chosen.report if chosen else None
        ready = assemble(
            run, loaded, measured, full_id, report, found, formats, templates=templates
        )
        wanted = push_input(loaded.recipe, ready, onto)
        refuse_taken_tag(run, wanted, onto)
        pushed = run.run(push, wanted)
        verified = verify_once(run, ready.artifact, pushed)
        return Published(
            endpoint=run.endpoint or connect(None, None).endpoint,
            pushed=pushed,
            verified=verified,
            tagged=tag_commit(run, pushed, verified, onto),
            rows=summary_rows(measured.report, loaded.recipe),
            measured=measured,
            ran=tuple(run.ran),
        )


def seed(run: Runner, recipe: Recipe, base: BuiltModel) -> Origins:
    """Build what the recipe has built, and put it on the Hub as repositories; a dataset that may
    not be passed on stays in the store."""
    refuse_to_pass_on(recipe, base)
    built = run.run(build_demo, build_input(base.builder), subject=base.builder)
    if not run.dry:
        seed_hub(run.endpoint, run.token, built, base.id, recipe.dataset.path, run.store)
    rows = None if built.dataset_public else built.dataset
    return Origins(built.model_origin, built.dataset_origin, rows)


def refuse_to_pass_on(recipe: Recipe, base: BuiltModel) -> None:
    """Raise RecipeError where the recipe would publish rows of a dataset that its builder keeps to
    this machine."""
    if recipe.dataset.redistributable and not find_builder(base.builder).dataset_public:
        raise RecipeError(
            f"the sentences of the builder {base.builder} may not be passed on",
            hint="Set dataset.redistributable: false, so that none is shown in what is published.",
        )


def known_stages(names: Sequence[str]) -> frozenset[str]:
    """The names as a set. Raises UsageError for one that is no stage whose results are kept."""
    kept = (*STAGES.names(), *_TIMED)
    for name in names:
        if name not in kept:
            raise UsageError(
                f"--again {name}: no such stage{did_you_mean(name, kept)}",
                hint=f"Stages whose results are kept: {', '.join(kept)}.",
            )
    return frozenset(names)


def refuse_placeholders(loaded: LoadedRecipe) -> None:
    """Raise RecipeError where `recipe new` left something for the author to fill in."""
    open_ = open_points(loaded)
    if open_:
        raise RecipeError("\n".join(open_), hint="Fill these in, then run the same command again.")


def whole_repo_id(run: Runner, loaded: LoadedRecipe, repo_id: str | None) -> str:
    """USER/NAME of the repository to publish to.

    Raises UsageError where none is named, HubError where no token says who we are, or it may only
    read.
    """
    wanted = repo_id or loaded.recipe.publication.repo_id
    if wanted is None:
        raise UsageError(
            "no repository to publish to",
            hint=f"hubkit publish {loaded.recipe.name} --repo-id USER/{loaded.recipe.name}-int8,"
            " or set publication.repo_id in the recipe.",
        )
    return writable_id(connect(run.endpoint, run.token), wanted)
