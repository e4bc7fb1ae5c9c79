"""sweep(): from a recipe's sweep to its report, in a folder and, where asked, on the Hub."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hubkit.errors import UsageError
from hubkit.hub.client import connect
from hubkit.pipeline import known_stages, session
from hubkit.provenance.signing_key import signer_of
from hubkit.pushing import verify_once
from hubkit.recipe import Recipe
from hubkit.records import Bundle
from hubkit.report_folder import refuse_foreign, write_folder
from hubkit.runner import Listener, Ran, Runner
from hubkit.stages.push import Pushed, PushInput, push, writable_id
from hubkit.stages.sweep_report import PAGE, SweepReportInput, sweep_report
from hubkit.sweep_plan import configurations
from hubkit.sweep_records import SweepReport
from hubkit.sweeping import WHOLE, Choice, declared_sweep, measure_sweep


@dataclass(frozen=True)
class Swept:
    """What a sweep came to. `pushed` None: it was not published."""

    report: SweepReport
    output: Path
    pushed: Pushed | None
    endpoint: str | None
    ran: tuple[Ran, ...]


def sweep(
    target: str,
    *,
    output: Path | None = None,
    choice: Choice = WHOLE,
    demo: bool = False,
    publish: bool = False,
    repo_id: str | None = None,
    private: bool | None = None,
    endpoint: str | None = None,
    again: Sequence[str] = (),
    listener: Listener | None = None,
) -> Swept:
    """Measure every configuration of a recipe's sweep and write the report to `output`.

    Finished stages are looked up; a killed sweep goes on where it was. `output` is by default the
    folder NAME-sweep here; an older report in it is replaced, anything else refused. Raises
    HubkitError; UsageError for partial results that are to be published.
    """
    anew = known_stages(again)
    with session(target, demo=demo, endpoint=endpoint, listener=listener) as (run, loaded, origins):
        run.again = anew
        configurations(declared_sweep(loaded, choice), choice.where)  # faults of the call, at once
        folder = output if output is not None else Path(f"{loaded.recipe.name}-sweep")
        refuse_foreign(folder, PAGE, "a sweep")
        full_id = _repo_id(run, loaded.recipe, repo_id, publish, choice)
        report = measure_sweep(run, loaded, origins, choice)
        ready = run.run(
            sweep_report,
            SweepReportInput(repo_id=full_id, recipe=loaded.recipe, report=report),
        )
        write_folder(run.store.path(ready.artifact), folder)
        pushed = _published(run, loaded.recipe, report, ready, private) if publish else None
        return Swept(report, folder, pushed, run.endpoint, tuple(run.ran))


def _repo_id(
    run: Runner, recipe: Recipe, repo_id: str | None, publish: bool, choice: Choice
) -> str:
    """The repository of the report. Raises for what cannot be pushed before it is measured."""
    named = recipe.publication.repo_id
    wanted = repo_id or (f"{named}-sweep" if named else None)
    if not publish:
        return wanted or f"{recipe.name}-sweep"
    if choice.limit is not None or recipe.evaluation.samples is not None:
        raise UsageError(
            "results of a part of the rows are not published",
            hint="Leave out --limit and evaluation.samples, or leave out --publish.",
        )
    if wanted is None:
        raise UsageError(
            "no repository to publish the report to",
            hint=f"hubkit sweep {recipe.name} --publish --repo-id USER/{recipe.name}-sweep",
        )
    return writable_id(connect(run.endpoint, run.token), wanted)


def _published(
    run: Runner, recipe: Recipe, report: SweepReport, ready: Bundle, private: bool | None
) -> Pushed:
    if report.partial:
        raise UsageError(
            f"partial results are not published: {'; '.join(report.partial)}",
            hint="The report is in the output folder. Measure all rows to publish it.",
        )
    wanted = PushInput(
        bundle=ready.artifact,
        repo_id=ready.repo_id,
        private=recipe.publication.private if private is None else private,
        message=f"Publish the sweep of {recipe.name}",
        sign_with=signer_of(None),
    )
    pushed = run.run(push, wanted)
    verify_once(run, ready.artifact, pushed)
    return pushed
