"""What each task asks of a recipe; hubkit.tasks, which a recipe must not import, says the same."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class TaskKeys:
    """`required` and `optional`: names under data_keys. `references`: how many ref_keys. `labels`:
    whether the recipe maps values of the reference to labels of the model. `metrics`: the first of
    `default_metrics` is the gate's; `lower_is_better` can be reported, but no gate can hold them.
    """

    required: tuple[str, ...]
    optional: tuple[str, ...]
    references: int
    labels: bool
    metrics: tuple[str, ...]
    default_metrics: tuple[str, ...]
    lower_is_better: tuple[str, ...] = ()


TASK_KEYS = {
    "text-classification": TaskKeys(
        required=("primary",),
        optional=("secondary",),
        references=1,
        labels=True,
        metrics=("accuracy", "f1", "precision", "recall"),
        default_metrics=("accuracy", "f1"),
    ),
    "token-classification": TaskKeys(
        required=("primary",),
        optional=(),
        references=1,
        labels=True,
        metrics=("f1", "precision", "recall", "accuracy"),
        default_metrics=("f1", "precision", "recall", "accuracy"),
    ),
    "question-answering": TaskKeys(
        required=("question", "context"),
        optional=(),
        references=1,
        labels=False,
        metrics=("f1", "exact_match"),
        default_metrics=("f1", "exact_match"),
    ),
    "feature-extraction": TaskKeys(
        required=("primary",),
        optional=("secondary",),
        references=0,
        labels=False,
        metrics=("cosine", "relative_l2"),
        default_metrics=("cosine", "relative_l2"),
        lower_is_better=("relative_l2",),
    ),
}
