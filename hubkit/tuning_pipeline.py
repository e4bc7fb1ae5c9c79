"""tune(): from a recipe to the tuned model and the report of its trials, in a folder."""

from __future__ import annotations

import math
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from hubkit.errors import RecipeError, StoreError, UsageError
from hubkit.keys import files_of
from hubkit.pipeline import known_stages, session
from hubkit.recipe import Recipe
from hubkit.recipe_inc import IncConfig
from hubkit.recipe_tune import ExitPolicy, Objective, TargetName, Tune
from hubkit.report_folder import refuse_unwritable
from hubkit.runner import Listener, Ran
from hubkit.stages.report import record_json
from hubkit.sweeps.tune_report import tune_markdown
from hubkit.tune_records import TuneReport
from hubkit.tuning import tune_model

REPORT, RESULTS, MODEL = "README.md", "results.json", "model"
_UNFINISHED = f"{RESULTS}.unfinished"  # whole ones are moved to their name: a kill leaves none half


@dataclass(frozen=True)
class Wanted:
    """What a call asks for beyond the recipe; None: as the recipe, or the configuration, has it."""

    config: IncConfig | None = None
    objective: Objective | None = None
    target: TargetName | None = None
    timeout: float | None = None
    max_trials: int | None = None

    def over(self, recipe: Recipe) -> Tune:
        """The settings: the recipe's, under the configuration's, under the call's."""
        tune = self.config.over(recipe.tune or Tune()) if self.config else recipe.tune or Tune()
        policy = {"timeout": self.timeout, "max_trials": self.max_trials}
        given = {key: value for key, value in policy.items() if value is not None}
        if not math.isfinite(self.timeout or 0):
            raise UsageError("--timeout takes a number of seconds", hint="Leave it out for no end.")
        exit_policy = ExitPolicy.model_validate({**tune.exit_policy.model_dump(), **given})
        own = {"objective": self.objective, "target": self.target}
        update = {key: value for key, value in own.items() if value is not None}
        return tune.model_copy(update={**update, "exit_policy": exit_policy})


AS_IT_IS = Wanted()


@dataclass(frozen=True)
class Tuned:
    """What a tuning run came to."""

    report: TuneReport
    output: Path
    ran: tuple[Ran, ...]


def tune(
    target: str,
    *,
    output: Path | None = None,
    wanted: Wanted = AS_IT_IS,
    demo: bool = False,
    endpoint: str | None = None,
    again: Sequence[str] = (),
    listener: Listener | None = None,
) -> Tuned:
    """Search for the best INT8 of a recipe and write it, with its report, to `output`.

    Nothing is raised where no trial meets the criterion: the report's outcome says so, and what
    comes nearest is written. A search that was killed goes on where it was. `output` is by default
    the folder NAME-tune here; an older tuning run in it is replaced, anything else refused.
    """
    anew = known_stages(again)
    with session(target, demo=demo, endpoint=endpoint, listener=listener) as (run, loaded, origins):
        run.again = anew
        folder = output if output is not None else Path(f"{loaded.recipe.name}-tune")
        refuse_foreign(folder)
        report = tune_model(run, loaded, wanted.over(loaded.recipe), origins)
        taken = report.taken
        variant = taken.variant if taken else None
        model = run.store.path(variant.artifact) if variant else None
        write_folder(report, model, folder)
        return Tuned(report, folder, tuple(run.ran))


def refuse_foreign(folder: Path) -> None:
    """Raise UsageError where files would be lost that no tuning run wrote, or none can be written:
    before the search, not after it."""
    refuse_unwritable(folder)
    if folder.exists() and not is_of_tuning(folder):
        raise UsageError(
            f"{folder} holds files that are not of a tuning run",
            hint="Name another folder: --output.",
        )


def is_of_tuning(folder: Path) -> bool:
    """Whether all that is in a folder is of a tuning run."""
    files = set(files_of(folder)) - {_UNFINISHED}
    if not files:
        return True
    try:
        TuneReport.model_validate_json((folder / RESULTS).read_bytes())
    except (OSError, ValidationError):
        return False
    return all(path in (REPORT, RESULTS) or path.startswith(f"{MODEL}/") for path in files)


def write_folder(report: TuneReport, model: Path | None, folder: Path) -> None:
    """Records, report and model in place of older ones. The records come first and whole: they are
    what says whose folder this is. Raises StoreError where the disk does not take them."""
    try:
        _write(report, model, folder)
    except OSError as error:
        raise StoreError(
            f"cannot write to {folder}: {error.strerror or error}",
            hint="Free some space, or name another folder with --output, and run the same command"
            " again: what was found is kept.",
        ) from error


def _write(report: TuneReport, model: Path | None, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / _UNFINISHED).write_text(record_json(report), encoding="utf-8")
    (folder / _UNFINISHED).replace(folder / RESULTS)
    (folder / REPORT).write_text(tune_markdown(report), encoding="utf-8")
    shutil.rmtree(folder / MODEL, ignore_errors=True)
    if model is not None:
        (folder / MODEL).mkdir()
        for name in files_of(model):
            target = folder / MODEL / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(model / name, target)


def recipe_named(config: IncConfig, shipped: tuple[str, ...]) -> str:
    """The recipe that model.name names, for a call that names none. Raises RecipeError."""
    if config.model in shipped or (config.model and Path(config.model).exists()):
        return config.model or ""
    raise RecipeError(
        f"the configuration tunes a model that it calls {config.model or 'nothing'}, and no recipe"
        " is of that name",
        hint="Name the recipe too: hubkit tune RECIPE --from FILE.",
    )
