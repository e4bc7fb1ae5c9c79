"""How far an engine's answers are from the reference's, and from its own in a batch or padded."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hubkit.formats_records import Divergence, Invariance
from hubkit.records import Dataset, Encoded, Metric, Record
from hubkit.stage import Context, stage
from hubkit.stages.distances import Kept, distance
from hubkit.stages.split_rows import read_rows
from hubkit.stages.vectors import VECTORS_FILE, Vectors
from hubkit.tasks import task_for
from hubkit.tasks.base import Rows

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from hubkit.tasks.base import Scorer, Task

    Stored = dict[str, NDArray[np.generic]]

# Axis of what a task keeps along which a softmax is a distribution.
_CLASSES = {"text-classification": 1, "token-classification": 1, "question-answering": 0}
_CONFIDENCE = 0.95


class DivergeInput(Record):
    """An engine's vectors and the reference's, of the same rows. `dataset`: needed by the tasks
    whose references are texts. `metric`: that the recipe's gate is on."""

    ours: Vectors
    reference: Vectors
    encoded: Encoded
    dataset: Dataset | None = None
    labels: tuple[str, ...] = ()
    metric: str


class Diverged(Record):
    """`invariance`: None where it was not run in batches and padded, or no two sentences have one
    length. Its `holds` is for those to say who know the noise."""

    divergence: Divergence
    invariance: Invariance | None = None


@stage(
    "diverge",
    version=1,
    kind="heavy",
    takes=DivergeInput,
    gives=Diverged,
    tools=("numpy", "evaluate", "scikit-learn", "seqeval"),
)
def diverge(given: DivergeInput, ctx: Context) -> Diverged:
    """The distances over all rows that were run, and the metric on them where there are references.

    Raises ModelError where the two give vectors of other shapes.
    """
    ctx.progress("comparing", 0, 1)
    ours, reference = (_read(ctx, one) for one in (given.ours, given.reference))
    alone, theirs = Kept.read(ours, "alone"), Kept.read(reference, "alone")
    classes = _classes(given, theirs)
    flips, metric = _answers(given, ctx, ours, reference)
    found = distance(alone, theirs, classes=classes, flips=flips)
    assert found is not None  # at least one row was run
    batched, padded = (
        distance(Kept.read(ours, way), alone, classes=classes) for way in ("batched", "padded")
    )
    invariance = None
    if batched is not None and padded is not None:
        invariance = Invariance(
            engine=given.ours.engine,
            batched=batched,
            padded=padded,
            batch_size=given.ours.batch_size,
            padded_length=given.ours.padded_length,
        )
    ctx.progress("comparing", 1, 1)
    divergence = Divergence(engine=given.ours.engine, distance=found, metric=metric)
    return Diverged(divergence=divergence, invariance=invariance)


def _read(ctx: Context, one: Vectors) -> Stored:
    import numpy as np

    with np.load(ctx.store.path(one.artifact) / VECTORS_FILE, allow_pickle=False) as file:
        return dict(file)


def _classes(given: DivergeInput, kept: Kept) -> int | None:
    axis = _CLASSES.get(given.encoded.task)
    width = next(iter(kept.lines.values())).shape[-1]
    # The softmax of one number is 1, whatever it is: a regression has no distribution.
    return None if axis == 1 and width < 2 else axis


def _answers(
    given: DivergeInput, ctx: Context, ours: Stored, reference: Stored
) -> tuple[int | None, Metric | None]:
    """Answers that differ from the reference's, and the metric on these rows."""
    import numpy as np

    task = task_for(given.encoded.task)
    with np.load(ctx.store.path(given.encoded.artifact) / "encoded.npz", allow_pickle=False) as f:
        arrays: dict[str, NDArray[np.int64]] = dict(f)
    if task.reference in ("label", "word-labels") and "labels" not in arrays:
        return None, None
    texts = task.reference in ("answers", "none")
    if texts and given.dataset is None:
        return None, None
    rows = Rows(columns={}, references=None)
    if texts and given.dataset is not None:
        rows = read_rows(ctx.store.path(given.dataset.artifact), "eval")
    chosen = np.asarray(ours["rows"], dtype=np.int64)
    subset = task.subset(arrays, rows, chosen, given.labels)
    name = given.metric if given.metric in subset.metrics else subset.metrics[0]
    scratch = ctx.scratch / "evaluate"
    scorer = task.scorer(subset.arrays, subset.rows, given.labels, scratch)
    return _scored(scorer, ours, reference, name, task)


def _scored(
    scorer: Scorer[object], ours: Stored, reference: Stored, name: str, task: Task
) -> tuple[int, Metric]:
    import numpy as np

    answers, theirs = (
        scorer.answers(np.asarray(one["alone_values"], dtype=np.float32))
        for one in (ours, reference)
    )
    changes = scorer.changes(answers, theirs, name, _CONFIDENCE, theirs)
    (metric,) = scorer.metrics(answers, (name,), _CONFIDENCE, theirs)
    return changes.flips, metric
