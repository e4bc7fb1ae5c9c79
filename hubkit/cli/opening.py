"""What commands work on: a recipe, or a model folder with its dataset."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from hubkit.output import output

if TYPE_CHECKING:
    from hubkit.folder import LabelledData
    from hubkit.preparing import Origins
    from hubkit.recipe_file import LoadedRecipe
    from hubkit.runner import Runner


@contextmanager
def opened(
    target: str, *, demo: bool, endpoint: str | None, data: LabelledData | None = None
) -> Iterator[tuple[Runner, LoadedRecipe, Origins]]:
    """A session on a recipe, or on a model folder with its dataset."""
    from hubkit.errors import UsageError
    from hubkit.folder import folder_recipe, is_model_folder
    from hubkit.pipeline import running, session
    from hubkit.preparing import NO_ORIGINS

    with output().steps() as steps:
        if not is_model_folder(target):
            with session(target, demo=demo, endpoint=endpoint, listener=steps) as found:
                yield found
            return
        if data is None:
            raise UsageError(
                f"{target} is a model folder, and this needs labelled rows too",
                hint="Add --dataset PATH_OR_ID, with --text-column and --label-column.",
            )
        with running(endpoint=endpoint, listener=steps) as run, run.store.scratch() as scratch:
            yield run, folder_recipe(Path(target), data, scratch), NO_ORIGINS


def labelled(
    dataset: str | None, text: list[str] | None, label: str, splits: str | None
) -> LabelledData | None:
    """The dataset that the options of a command name; None: none."""
    if dataset is None:
        return None
    from hubkit.folder import LabelledData

    columns = text or ["text"]
    evaluation, _, calibration = (splits or "").partition(",")
    return LabelledData(
        path=dataset,
        text_column=columns[0],
        second_text_column=columns[1] if len(columns) > 1 else None,
        label_column=label,
        eval_split=evaluation or None,
        calibration_split=calibration or None,
    )
