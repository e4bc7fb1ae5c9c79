"""Beyond the whole split: the variants on slices of its rows, and their probabilities."""

from __future__ import annotations

from hubkit.analysis_records import Analyses, SliceResult
from hubkit.errors import DataError
from hubkit.recipe_analyses import Slice
from hubkit.records import Dataset
from hubkit.stage import Context, stage
from hubkit.stages.evaluate import EvaluateInput, Outputs, read_outputs, score_outputs
from hubkit.stages.reliability import reliabilities
from hubkit.stages.slices import Found, Looked, find_slices, without_group
from hubkit.stages.split_rows import read_groups, read_rows
from hubkit.tasks import task_for


class AnalyseInput(EvaluateInput):
    """What `evaluate` takes, and the slices. `group_columns` were kept by `fetch_dataset`."""

    dataset: Dataset
    slices: tuple[Slice, ...] = ()
    group_columns: tuple[str, ...] = ()


@stage(
    "analyse",
    version=1,
    kind="heavy",
    takes=AnalyseInput,
    gives=Analyses,
    tools=("evaluate", "scikit-learn", "seqeval", "numpy"),
)
def analyse(given: AnalyseInput, ctx: Context) -> Analyses:
    """The scores of each variant on each slice, scored just as `evaluate` scores all rows, and how
    far the probabilities of each can be believed.

    Metrics without a meaning on a slice are left out of it: see SliceResult. Raises DataError for a
    label that the model has not or a group column that was not kept, and what `evaluate` raises.
    """
    if not given.encoded.rows:
        raise DataError("there are no rows to score", hint="Name another split in the recipe.")
    task, outputs = task_for(given.task), read_outputs(given, ctx)
    folder = ctx.store.path(given.dataset.artifact)
    kept = read_groups(folder) if given.group_columns else {}
    if missing := [name for name in given.group_columns if name not in kept]:
        raise DataError(
            f"the rows of the dataset were kept without the column {missing[0]}",
            hint="Name it under analyses.group_columns in the recipe.",
        )
    groups = {name: kept[name] for name in given.group_columns}
    looked = Looked(outputs.arrays, read_rows(folder, "eval"), groups, given.labels)
    found = find_slices(given.slices, looked)
    results = []
    for at, one in enumerate(found):
        ctx.progress("scoring slices", at, len(found))
        results.append(_scored(given, outputs, one, ctx))
    ctx.progress("scoring slices", len(found), len(found))
    certain = {n: task.certainty(outputs.arrays, logits) for n, logits in outputs.kept.items()}
    known = {name: one for name, one in certain.items() if one is not None}
    return Analyses(
        slices=tuple(results),
        reliability=reliabilities(known, given.encoded.rows, given.confidence),
        without_group=without_group(groups),
    )


def _scored(given: AnalyseInput, outputs: Outputs, one: Found, ctx: Context) -> SliceResult:
    if not len(one.rows):
        return one.result
    part = task_for(given.task).subset(outputs.arrays, outputs.rows, one.rows, given.labels)
    if not len(part.kept):  # of these rows not one word is left
        return one.result
    metric = given.gate_metric if given.gate_metric in part.metrics else part.metrics[0]
    metrics = tuple(name for name in given.metrics if name in part.metrics)
    some = Outputs(
        arrays=part.arrays,
        rows=part.rows,
        kept={name: kept[part.kept] for name, kept in outputs.kept.items()},
        number=len(one.rows),
    )
    wanted = given.model_copy(update={"metrics": metrics, "gate_metric": metric})
    scores = score_outputs(wanted, some, ctx.scratch / "evaluate")
    return one.result.model_copy(update={"metric": metric, "scores": scores})
