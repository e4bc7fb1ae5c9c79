"""Tasks of the Hub, each imported when it is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from hubkit.registry import Registry

if TYPE_CHECKING:
    from hubkit.tasks.base import Task

TASKS = Registry(
    "task",
    {
        "text-classification": "hubkit.tasks.text_classification:task",
        "token-classification": "hubkit.tasks.token_classification:task",
        "question-answering": "hubkit.tasks.question_answering:task",
        "feature-extraction": "hubkit.tasks.feature_extraction:task",
    },
    group="hubkit.tasks",
)


def task_for(name: str) -> Task:
    """The task of that name. Raises UsageError for an unknown one."""
    return cast("Task", TASKS.get(name))
