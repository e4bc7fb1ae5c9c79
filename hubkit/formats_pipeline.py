"""report_formats(): from a recipe to the report on its formats and how they serve, in a folder."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hubkit.errors import UsageError
from hubkit.formats_assembling import ALL, Choice, formats_of
from hubkit.formats_records import FormatsReport, ServingPlan
from hubkit.i18n import language
from hubkit.pipeline import known_stages, session
from hubkit.report_folder import refuse_foreign, write_folder
from hubkit.runner import Listener, Ran
from hubkit.stages.formats_report import RECORDS, FormatsReportInput, formats_report

MOST_CLIENTS = 1024
_LEVELS = re.compile(r"(\d+):(\d+)(?::(\d+))?")


@dataclass(frozen=True)
class Reported:
    """What a report came to."""

    report: FormatsReport
    output: Path
    ran: tuple[Ran, ...]


def report_formats(
    target: str,
    *,
    output: Path | None = None,
    languages: tuple[str, ...] = (),
    choice: Choice = ALL,
    demo: bool = False,
    endpoint: str | None = None,
    again: Sequence[str] = (),
    listener: Listener | None = None,
) -> Reported:
    """Measure cost, divergence and serving of a recipe's model in every format, and write the
    report to `output`.

    Finished stages are looked up, so that a killed report goes on where it was. `languages`: the
    first is that of README.md; none: the recipe's. `output` is by default the folder NAME-formats
    here; an older report in it is replaced, anything else refused. Raises HubkitError.
    """
    anew = known_stages(again)
    for code in languages:
        language(code)  # an unknown one is refused before hours go by
    with session(target, demo=demo, endpoint=endpoint, listener=listener) as (run, loaded, origins):
        run.again = anew
        recipe = loaded.recipe
        folder = output if output is not None else Path(f"{recipe.name}-formats")
        refuse_foreign(folder, RECORDS, "a report on formats")
        report = formats_of(run, loaded, origins, choice)
        ready = run.run(
            formats_report,
            FormatsReportInput(
                repo_id=recipe.publication.repo_id or recipe.name,
                recipe=recipe,
                report=report,
                languages=languages or recipe.publication.card_languages,
            ),
        )
        write_folder(run.store.path(ready.artifact), folder)
        return Reported(report, folder, tuple(run.ran))


def serving_plan(
    concurrency: str | None = None,
    *,
    batch_size: int = 1,
    input_length: int | None = None,
    window_s: float | None = None,
) -> ServingPlan:
    """The plan of those settings; its own where None. Raises UsageError."""
    update: dict[str, object] = {"batch_size": batch_size, "input_length": input_length}
    if concurrency is not None:
        update["concurrency"] = concurrency_levels(concurrency)
    if window_s is not None:
        if not 0.05 <= window_s <= 600:
            raise UsageError(
                f"--window {window_s:g}: not a useful length", hint="Give 0.05 to 600 seconds."
            )
        update |= {"window_s": window_s, "level_s": max(5.0, 10 * window_s)}
    return ServingPlan.model_validate(update)


def concurrency_levels(text: str) -> tuple[int, ...]:
    """1:32, 1:32:4 (from, to, by) or 1,2,4,8. Raises UsageError."""
    found = _LEVELS.fullmatch(text.strip())
    if found:
        first, last, step = (int(part or 1) for part in found.groups())
        levels = tuple(range(first, last + 1, step)) if step else ()
    else:
        parts = [part.strip() for part in text.split(",")]
        levels = tuple(int(part) for part in parts) if all(map(str.isdigit, parts)) else ()
    good = levels and all(1 <= level <= MOST_CLIENTS for level in levels)
    if not good or list(levels) != sorted(set(levels)):
        raise UsageError(
            f"--concurrency {text}: not a list of rising numbers from 1 to {MOST_CLIENTS}",
            hint="Write 1:32, 1:32:4, or 1,2,4,8.",
        )
    return levels
