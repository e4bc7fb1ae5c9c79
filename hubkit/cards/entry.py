"""A model as a reader meets it: the variant with its scores, timing and file."""

from __future__ import annotations

from dataclasses import dataclass

from hubkit.cards.layout import file_of, label_of
from hubkit.recipe import Recipe
from hubkit.records import Metric, Report, Scores, Timing, TimingPoint, Variant


@dataclass(frozen=True)
class Entry:
    """A model as a reader of the card meets it."""

    label: str  # "ONNX INT8"
    variant: Variant
    scores: Scores | None
    timing: Timing | None
    file: str | None  # in the repository; None: not in there

    def metric(self, name: str) -> Metric | None:
        """The metric of that name, None where it was not measured."""
        metrics = self.scores.metrics if self.scores else ()
        return next((metric for metric in metrics if metric.name == name), None)

    def point(self, batch_size: int, input_length: int) -> TimingPoint | None:
        """The timing of that batch size and length, None where it was not measured."""
        points = self.timing.points if self.timing else ()
        wanted = (batch_size, input_length)
        return next((p for p in points if (p.batch_size, p.input_length) == wanted), None)

    def smaller_than(self, other: Entry | None) -> float | None:
        """How many times smaller the weights file is than another's."""
        return other.variant.size_bytes / self.variant.size_bytes if other else None

    def faster_than(self, other: Entry | None, batch_size: int, input_length: int) -> float | None:
        """The other's median latency divided by this one's."""
        mine = self.point(batch_size, input_length)
        theirs = other.point(batch_size, input_length) if other else None
        return theirs.p50_ms / mine.p50_ms if mine and theirs else None


def entry_of(variant: Variant, recipe: Recipe, report: Report) -> Entry:
    """A variant with its scores, timing and place in the repository."""
    return Entry(
        label=label_of(variant),
        variant=variant,
        scores=report.scores_of(variant.name),
        timing=report.timing_of(variant.name),
        file=file_of(variant, recipe, report),
    )
