"""publish(): from a recipe to a verified repository on the Hub."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from hubkit.demo.stage import build_demo, build_input
from hubkit.errors import RecipeError, UsageError
from hubkit.executors.local import LocalExecutor
from hubkit.hub.client import connect
from hubkit.hub.manifest import parse_sums
from hubkit.keys import digest_of_value, files_of
from hubkit.local_hub import demo_hub
from hubkit.measuring import NO_ORIGINS, Measured, Origins, assemble, measure
from hubkit.paths import cache_dir
from hubkit.recipe import BuiltModel, Recipe
from hubkit.recipe_file import LoadedRecipe, load_recipe, open_points
from hubkit.records import Artifact, Bundle
from hubkit.runner import Listener, Ran, Runner
from hubkit.stages.push import Pushed, PushInput, Tagged, TagInput, commit_message, push, tag
from hubkit.stages.report import SummaryRow, summary_rows
from hubkit.stages.seed import seed_hub
from hubkit.stages.verify import Verified, VerifyInput, verify
from hubkit.store import Store


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
    tag_name: str | None = None,
    private: bool | None = None,
    listener: Listener | None = None,
) -> Published:
    """Measure a recipe's variants, publish them with their card in one commit, and verify it.

    Finished stages are looked up, so that a second call with nothing changed runs no heavy stage
    and makes no commit. Raises HubkitError; GateError where no variant is good enough.
    """
    with session(target, demo=demo, endpoint=endpoint, listener=listener) as (run, loaded, origins):
        full_id = whole_repo_id(run, loaded, repo_id)  # without a token nothing need be computed
        measured = measure(run, loaded, origins)
        ready = assemble(run, loaded, measured, full_id)
        pushed = run.run(push, push_input(loaded.recipe, ready, private=private))
        verified = verify_once(run, ready.artifact, pushed)
        return Published(
            endpoint=run.endpoint or connect(None, None).endpoint,
            pushed=pushed,
            verified=verified,
            tagged=tag_commit(run, pushed, tag_name),
            rows=summary_rows(measured.report, loaded.recipe),
            measured=measured,
            ran=tuple(run.ran),
        )


def seed(run: Runner, recipe: Recipe, base: BuiltModel) -> Origins:
    """Build what the recipe has built, and put it on the Hub as repositories."""
    built = run.run(build_demo, build_input(base.builder), subject=base.builder)
    if not run.dry:
        seed_hub(run.endpoint, run.token, built, base.id, recipe.dataset.path, run.store)
    return Origins(built.model_origin, built.dataset_origin)


def refuse_placeholders(loaded: LoadedRecipe) -> None:
    """Raise RecipeError where `recipe new` left something for the author to fill in."""
    open_ = open_points(loaded)
    if open_:
        raise RecipeError("\n".join(open_), hint="Fill these in, then run the same command again.")


def whole_repo_id(run: Runner, loaded: LoadedRecipe, repo_id: str | None) -> str:
    """USER/NAME of the repository to publish to. Raises HubError where no token says who we are."""
    wanted = repo_id or loaded.recipe.publication.repo_id
    if wanted is None:
        raise UsageError(
            "no repository to publish to",
            hint=f"hubkit publish {loaded.recipe.name} --repo-id USER/{loaded.recipe.name}-int8,"
            " or set publication.repo_id in the recipe.",
        )
    account = connect(run.endpoint, run.token).account()
    return wanted if "/" in wanted else f"{account.name}/{wanted}"


def push_input(recipe: Recipe, ready: Bundle, *, private: bool | None = None) -> PushInput:
    """What to push, with the recipe's visibility unless told otherwise."""
    return PushInput(
        bundle=ready.artifact,
        repo_id=ready.repo_id,
        private=recipe.publication.private if private is None else private,
        message=commit_message(recipe.name, recipe.publication.formats),
    )


def verify_once(run: Runner, bundle: Artifact, pushed: Pushed) -> Verified | None:
    """Verify a commit, unless it was verified before; a kill between push and verify is made good.

    The receipt is kept by endpoint, commit and content, so a new commit is always verified.
    """
    wanted = VerifyInput(repo_id=pushed.repo_id, revision=pushed.commit, bundle=bundle)
    receipt = digest_of_value(
        {"verified": wanted.model_dump(mode="json"), "endpoint": run.endpoint}
    )
    if run.store.get_record(receipt, Verified) is not None:
        return None
    verified = run.run(verify, wanted)
    run.store.put_record(receipt, verified)
    return verified


def push_folder(
    run: Runner, folder: Path, repo_id: str, *, private: bool = False, tag_name: str | None = None
) -> tuple[Pushed, Verified | None, Tagged | None]:
    """Push a bundle folder as it is, verify the commit, then tag it.

    Raises UsageError for a folder whose SHA256SUMS does not fit its files: what was edited after it
    was measured is not what was measured.
    """
    sums = folder / "SHA256SUMS"
    if not sums.is_file():
        raise UsageError(
            f"{folder} is no bundle: it holds no SHA256SUMS",
            hint="hubkit card RECIPE --output FOLDER writes one.",
        )
    found = {name: sha for name, sha in files_of(folder).items() if name != sums.name}
    listed = parse_sums(sums.read_text(encoding="utf-8"))
    if found != listed:
        odd = sorted(n for n in found.keys() | listed.keys() if found.get(n) != listed.get(n))
        raise UsageError(
            f"{folder}: {', '.join(odd)} differ from SHA256SUMS",
            hint="Write the bundle anew: hubkit card RECIPE --output FOLDER.",
        )
    with run.store.scratch() as scratch:
        shutil.copytree(folder, scratch / "bundle")
        artifact = run.store.adopt(scratch / "bundle")
    wanted = PushInput(
        bundle=artifact, repo_id=repo_id, private=private, message=f"Publish {folder.name}"
    )
    pushed = run.run(push, wanted)
    verified = verify_once(run, artifact, pushed)
    return pushed, verified, tag_commit(run, pushed, tag_name)


def tag_commit(run: Runner, pushed: Pushed, name: str | None) -> Tagged | None:
    """The tag at a commit that was verified; None where none is wanted."""
    if name is None:
        return None
    return run.run(tag, TagInput(repo_id=pushed.repo_id, tag=name, commit=pushed.commit))
