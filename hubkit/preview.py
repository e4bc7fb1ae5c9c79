"""preview(): what `publish` would run and what it would change on the Hub, without doing either."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from hubkit.assembling import assemble
from hubkit.choosing import chosen_recipe
from hubkit.errors import HubError
from hubkit.formats_published import with_formats
from hubkit.formats_records import FormatsReport
from hubkit.gate import refuse_incomplete
from hubkit.measuring import measure
from hubkit.pipeline import session, whole_repo_id
from hubkit.pushing import ONTO_MAIN, Onto, push_input
from hubkit.runner import WouldRun
from hubkit.stages.push import plan_push
from hubkit.stages.push_plan import Plan
from hubkit.tuned import origin_of, tuned_recipe

# What follows what; the pure stages in between take no time worth a line.
_ORDER = (
    "build-demo",
    "fetch-model",
    "prune",
    "fetch-training",
    "finetune",
    "fetch-dataset",
    "encode",
    "export",
    "optimize",
    "calibrate",
    "quantize",
    "digest",
    "predict",
    "evaluate",
    "analyse",
    "sample",
    "benchmark",
    "push",
    "verify",
)
# Stages that only some runs have, and after which of those above they come.
_BESIDE = {"part": "encode", "convert": "export", "smooth": "optimize", "propose": "quantize"}


@dataclass(frozen=True)
class Preview:
    """Stages that are kept, those that would run, and the change on the Hub.

    `plan` None: it cannot be known before the stages have run.
    """

    kept: tuple[str, ...]
    would_run: tuple[str, ...]
    plan: Plan | None


def preview(
    target: str,
    *,
    demo: bool = False,
    repo_id: str | None = None,
    endpoint: str | None = None,
    onto: Onto = ONTO_MAIN,
    select_from_sweep: bool = False,
    tune: bool = False,
    formats: FormatsReport | None = None,
    templates: Path | None = None,
) -> Preview:
    """Look everything up, compute nothing, and write nothing to the Hub.

    Raises what `publish` would raise before its first stage: HubError, RecipeError.
    """
    kept: list[str] = []
    onto.check()
    try:
        with session(target, demo=demo, endpoint=endpoint, dry=True) as (run, loaded, origins):
            try:
                refuse_incomplete(loaded)
                full_id = whole_repo_id(run, loaded, repo_id)
                loaded, chosen = chosen_recipe(run, loaded, origins, always=select_from_sweep)
                loaded, found = tuned_recipe(run, loaded, origins) if tune else (loaded, None)
                origin = chosen.origin if chosen else None
                tuned = origin_of(found) if found else None
                measured = measure(run, loaded, origins, origin, tuned)
                measured = with_formats(measured, formats)
                report = chosen.report if chosen else None
                ready = assemble(
                    run, loaded, measured, full_id, report, found, formats, templates=templates
                )
                with run.store.scratch() as scratch:
                    wanted = push_input(loaded.recipe, ready, onto)
                    plan = plan_push(wanted, run.context(scratch))
            finally:
                kept += [ran.label for ran in run.ran if ran.stage in (*_ORDER, *_BESIDE)]
    except HubError:
        if not demo:
            raise
        # The demo's Hub is filled by the run itself.
        return Preview(tuple(kept), ("seed the embedded Hub", *_ORDER[1:]), None)
    except WouldRun as first:
        after = _ORDER[_ORDER.index(_BESIDE.get(first.stage, first.stage)) + 1 :]
        return Preview(tuple(kept), (*first.labels, *after), None)
    return Preview(tuple(kept), () if plan.nothing_to_do else ("push", "verify"), plan)
