"""Metrics through the `evaluate` package, from shipped modules: none is fetched from a Hub."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from hubkit.tasks.base import Task

SCRIPTS = Path(__file__).resolve().parent / "metric_scripts"
# The same files load by path: evaluate.load(str(SCRIPTS / "f1.py")).
CLASSIFICATION = {
    name: f"hubkit.tasks.metric_scripts.{name}:{name.capitalize()}"
    for name in ("accuracy", "f1", "precision", "recall")
}


class EvaluateMetric(Protocol):
    """What hubkit uses of `evaluate.Metric`."""

    def compute(
        self, *, predictions: list[int], references: list[int], **options: str | int
    ) -> dict[str, float]:
        """Name of the metric -> its value."""


class Metrics:
    """The metrics of a task, each made once. `scratch`: where `evaluate` may put its files."""

    def __init__(self, task: Task, labels: int, scratch: Path) -> None:
        self._task = task
        self._labels = labels
        self._scratch = scratch
        self._made: dict[str, EvaluateMetric] = {}

    def value(
        self, name: str, references: NDArray[np.int64], predictions: NDArray[np.int64]
    ) -> float:
        """The metric's value on label ids; the first call takes seconds (see `_make`)."""
        if name not in self._made:
            self._made[name] = self._make(name)
        options = self._task.metric_options(name, self._labels)
        found = self._made[name].compute(
            predictions=predictions.tolist(), references=references.tolist(), **options
        )
        return float(found[name])

    def _make(self, name: str) -> EvaluateMetric:
        # `import evaluate` always imports its evaluators, those transformers.pipelines, that torch:
        # four of its five seconds, where nothing has before. So one call scores all variants.
        module, _, kind = self._task.metrics[name].partition(":")
        made = getattr(importlib.import_module(module), kind)
        # In memory: no cache file, no lock. A folder is made all the same, else in the user's home.
        return cast("EvaluateMetric", made(keep_in_memory=True, cache_dir=str(self._scratch)))
