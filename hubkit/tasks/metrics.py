"""Metrics through the `evaluate` package, from shipped modules: none is fetched from a Hub."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol, cast

SCRIPTS = Path(__file__).resolve().parent / "metric_scripts"
# The same files load by path: evaluate.load(str(SCRIPTS / "f1.py")).
CLASSIFICATION = {
    name: f"hubkit.tasks.metric_scripts.{name}:{name.capitalize()}"
    for name in ("accuracy", "f1", "precision", "recall")
}


class EvaluateMetric(Protocol):
    """What hubkit uses of `evaluate.Metric`."""

    def compute(
        self, *, predictions: Sequence[object], references: Sequence[object], **options: str | int
    ) -> dict[str, float]:
        """Name of the metric -> its value."""


class Metrics:
    """The metrics of a task, each made once. `where`: `Task.metrics`; `scratch`: where `evaluate`
    may put its files."""

    def __init__(self, where: Mapping[str, str], scratch: Path) -> None:
        self._where = where
        self._scratch = scratch
        self._made: dict[str, EvaluateMetric] = {}

    def values(
        self,
        name: str,
        references: Sequence[object],
        predictions: Sequence[object],
        **options: str | int,
    ) -> dict[str, float]:
        """All that the metric's module gives; the first call takes seconds (see `_make`)."""
        where = self._where[name]
        if where not in self._made:
            self._made[where] = self._make(where)
        found = self._made[where].compute(predictions=predictions, references=references, **options)
        return {key: float(value) for key, value in found.items()}

    def _make(self, where: str) -> EvaluateMetric:
        # `import evaluate` always imports its evaluators, those transformers.pipelines, that torch:
        # four of its five seconds, where nothing has before. So one call scores all variants.
        module, _, kind = where.partition(":")
        made = getattr(importlib.import_module(module), kind)
        # In memory: no cache file, no lock. A folder is made all the same, else in the user's home.
        return cast("EvaluateMetric", made(keep_in_memory=True, cache_dir=str(self._scratch)))
