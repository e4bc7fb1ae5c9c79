"""rehearse(): a publication on an embedded Hub that is gone when it is done."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from hubkit.assembling import assemble
from hubkit.choosing import chosen_recipe
from hubkit.ci.publish import push_bundle
from hubkit.ci.records import BUNDLE, OUTCOME_FILE, Outcome
from hubkit.errors import HubkitError, UsageError, VerifyError
from hubkit.gate import refuse_incomplete
from hubkit.measuring import Measured, measure
from hubkit.pipeline import running, session
from hubkit.recorded import LOCK_FILE, RESULTS_FILE
from hubkit.runner import Listener
from hubkit.stages.report import record_json


def rehearse(
    target: str,
    into: Path,
    *,
    repo_id: str | None = None,
    demo: bool = False,
    push: bool = True,
    listener: Listener | None = None,
) -> Outcome:
    """Measure a recipe, write its bundle to into/bundle, push that to an embedded Hub of its own,
    and verify it there. Nothing is written to the Hub that the recipe reads from.

    into/outcome.json says what came of it, whatever that is; where the gate is not met, into/ holds
    results.json and lock.json all the same. Raises what `publish` would.
    """
    _new(into)
    name = target
    try:
        with session(target, demo=demo, listener=listener) as (run, loaded, origins):
            name = loaded.recipe.name
            refuse_incomplete(loaded)
            loaded, chosen = chosen_recipe(run, loaded, origins, always=False)
            measured = measure(run, loaded, origins, chosen.origin if chosen else None)
            _write_records(measured, into)
            full_id = _full_id(repo_id or loaded.recipe.publication.repo_id, name)
            ready = assemble(run, loaded, measured, full_id, chosen.report if chosen else None)
            shutil.copytree(run.store.path(ready.artifact), into / BUNDLE)
        if push:
            _push(into / BUNDLE, full_id, listener)
    except HubkitError as error:
        _write(into, name, exit_code=error.exit_code, message=error.message, hint=error.hint)
        raise
    return _write(into, name, exit_code=0, pushed=push)


def _new(into: Path) -> None:
    if into.exists() and (not into.is_dir() or any(into.iterdir())):
        raise UsageError(f"{into} is not empty", hint="Name a new folder with --output.")
    into.mkdir(parents=True, exist_ok=True)


def _full_id(repo_id: str | None, name: str) -> str:
    """The repository that the card names; one that stands for it where nobody has named one."""
    wanted = repo_id or f"{name}-int8"
    return wanted if "/" in wanted else f"USER/{wanted}"


def _write_records(measured: Measured, into: Path) -> None:
    (into / RESULTS_FILE).write_text(record_json(measured.report), encoding="utf-8")
    (into / LOCK_FILE).write_text(record_json(measured.material.lock), encoding="utf-8")


def _push(bundle: Path, repo_id: str, listener: Listener | None) -> None:
    with _own_hub(repo_id) as (endpoint, token):
        with running(endpoint=endpoint, token=token, listener=listener) as run:
            pushed = push_bundle(run, bundle, repo_id)
        if pushed.verified is not None and not pushed.verified.complete:
            missing = [c for c in pushed.verified.formats if not c.checked]
            raise VerifyError(
                "not all of it could be verified: "
                + "; ".join(f"{check.format}: {check.reason}" for check in missing),
                hint="Install what is missing: the release would not be tagged either.",
            )


@contextmanager
def _own_hub(repo_id: str) -> Iterator[tuple[str, str]]:
    """An embedded Hub with nothing on it, and the token of the owner of a repository."""
    from hubkit.hub.server.embedded import EmbeddedHub

    token = f"hf_{secrets.token_hex(20)}"
    with (
        TemporaryDirectory(prefix="hubkit-rehearsal-") as root,
        EmbeddedHub(Path(root), {repo_id.partition("/")[0]: {"token": token}}) as hub,
    ):
        yield hub.endpoint, token


def _write(
    into: Path,
    recipe: str,
    *,
    exit_code: int,
    message: str = "",
    hint: str = "",
    pushed: bool = False,
) -> Outcome:
    outcome = Outcome(recipe=recipe, exit_code=exit_code, message=message, hint=hint, pushed=pushed)
    (into / OUTCOME_FILE).write_text(record_json(outcome), encoding="utf-8")
    return outcome
