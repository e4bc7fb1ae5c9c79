"""What Neural Compressor's own tuning loop proposes for PyTorch INT8."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from hubkit.backends.calibration import calibration_batches
from hubkit.backends.inc_tuning import Ended, own_loop
from hubkit.recipe import Calibration, IncDynamic, IncStatic
from hubkit.recipe_tune import Tune
from hubkit.records import Dataset, Encoded, Record, Variant
from hubkit.stage import Context, no_progress, stage
from hubkit.stages.predict import TokenRows, run_rows
from hubkit.stages.split_rows import read_rows
from hubkit.tasks import task_for
from hubkit.tasks.base import Rows

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from hubkit.backends.base import Outputs
    from hubkit.backends.torch import TorchSession
    from hubkit.tasks.base import Floats, Ints

_CONFIDENCE = 0.95


class ProposeInput(Record):
    """The FP32 PyTorch model, the criterion with nothing left open, and the rows that its loop is
    to be judged on. `calibration` None: there are no rows for static INT8."""

    fp32: Variant
    tune: Tune
    metric: str
    task: str
    labels: tuple[str, ...]
    batch_size: int
    encoded: Encoded
    dataset: Dataset
    calibration: Encoded | None = None
    seed: int = 13


class Proposed(Record):
    """`specs`: of models that met the criterion in its loop, at most one an approach; `tried`:
    what its loop measured, FP32 first."""

    specs: tuple[Annotated[IncDynamic | IncStatic, Field(discriminator="kind")], ...]
    tried: tuple[float, ...]


@stage(
    "propose",
    version=1,
    kind="heavy",
    takes=ProposeInput,
    gives=Proposed,
    tools=("torch", "transformers", "optimum-intel", "neural-compressor", "numpy"),
)
def propose(given: ProposeInput, ctx: Context) -> Proposed:
    """The specs that the loop ends with; none where it fails, which is no error: other trials
    stand."""
    started = time.monotonic()
    tried: list[float] = []
    score = _scorer(given, ctx, tried)
    specs: list[IncDynamic | IncStatic] = []
    for approach in _approaches(given):
        plan = Calibration(num_samples=given.tune.num_calibration_samples, seed=given.seed)
        batches = []
        if approach == "static" and given.calibration is not None:
            batches = calibration_batches(
                ctx.store.path(given.calibration.artifact) / "encoded.npz",
                num_samples=plan.num_samples,
                batch_size=plan.batch_size,
                pad_token_id=given.calibration.pad_id,
            )
        ended = own_loop(
            ctx.store.path(given.fp32.artifact),
            ctx.scratch,
            approach,
            given.tune.accuracy_criterion,
            score,
            calibration=batches,
            max_trials=given.tune.exit_policy.max_trials,
            seconds=_seconds_left(given, started),
            seed=given.tune.random_seed,
        )
        if ended is not None:
            specs.append(_spec(approach, ended, plan))
    return Proposed(specs=tuple(specs), tried=tuple(tried))


def _seconds_left(given: ProposeInput, started: float) -> float | None:
    """Of the timeout of the whole search; None where it has none: 0 ends a search by what is
    found, which this loop does anyway."""
    timeout = given.tune.exit_policy.timeout
    return max(0.0, timeout - (time.monotonic() - started)) if timeout else None


def _spec(
    approach: Literal["dynamic", "static"], ended: Ended, plan: Calibration
) -> IncDynamic | IncStatic:
    left = ended.float_modules
    if approach == "dynamic":
        return IncDynamic(kind="inc-dynamic", node_exclusion=left)
    found = plan.model_copy(update={"method": ended.method} if ended.method else {})
    return IncStatic(kind="inc-static", node_exclusion=left, calibration=found)


def _approaches(given: ProposeInput) -> list[Literal["dynamic", "static"]]:
    wanted = given.tune.approach
    found: list[Literal["dynamic", "static"]] = []
    if wanted in ("auto", "dynamic"):
        found.append("dynamic")
    if wanted in ("auto", "static") and given.calibration is not None:
        found.append("static")
    return found


def _scorer(
    given: ProposeInput, ctx: Context, tried: list[float]
) -> Callable[[TorchSession], float]:
    """The metric of a model on the rows; the first that it is asked for is FP32, which tasks
    without labels compare with."""
    import numpy as np
    import torch

    torch.set_num_threads(1)
    path = ctx.store.path(given.encoded.artifact) / "encoded.npz"
    with np.load(path, allow_pickle=False) as file:
        arrays = dict(file)
    task = task_for(given.task)
    texts = Rows(columns={}, references=None)
    if task.reference in ("answers", "none"):
        texts = read_rows(ctx.store.path(given.dataset.artifact), "eval")
    scorer = task.scorer(arrays, texts, given.labels, ctx.scratch / "scores")
    rows = TokenRows(
        *(arrays["offsets"], arrays["input_ids"], arrays.get("token_type_ids")),
        given.encoded.pad_id,
    )
    reference: list[object] = []

    def keep(outputs: Outputs, inputs: Ints) -> Sequence[Floats]:
        return task.keep(outputs, inputs, arrays)

    def score(session: TorchSession) -> float:
        kept = np.concatenate(run_rows(session, rows, given.batch_size, keep, no_progress))
        answers = scorer.answers(kept.astype(np.float32))
        reference.append(answers)
        found = scorer.metrics(answers, (given.metric,), _CONFIDENCE, reference[0])
        tried.append(float(found[0].value))
        ctx.progress("Neural Compressor's own loop", len(tried), 0)
        return tried[-1]

    return score
