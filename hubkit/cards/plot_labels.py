"""Places for the names of points, so that none covers another, a point or an interval."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Box:
    """A rectangle: left, bottom, right, top, in any unit."""

    left: float
    bottom: float
    right: float
    top: float

    def meets(self, other: Box) -> bool:
        return (
            self.left < other.right
            and other.left < self.right
            and self.bottom < other.top
            and other.bottom < self.top
        )

    def inside(self, other: Box) -> bool:
        return (
            other.left <= self.left
            and self.right <= other.right
            and other.bottom <= self.bottom
            and self.top <= other.top
        )


@dataclass(frozen=True)
class Label:
    """A name to place: where its point is, and the size of the text."""

    x: float
    y: float
    width: float
    height: float


def place(
    labels: Sequence[Label], taken: Sequence[Box], frame: Box, gap: float
) -> tuple[Box | None, ...]:
    """A box for each label, first come first served; None where there is no free place near.

    Nearer places are tried first, and beside the point before above and below it.
    """
    occupied = list(taken)
    found: list[Box | None] = []
    for label in labels:
        free = (
            box
            for box in _candidates(label, gap)
            if box.inside(frame) and not any(box.meets(other) for other in occupied)
        )
        box = next(free, None)
        found.append(box)
        if box is not None:
            occupied.append(box)
    return tuple(found)


def _candidates(label: Label, gap: float) -> Iterator[Box]:
    width, height = label.width, label.height
    for rise in (0.0, 1.0, -1.0, 2.0, -2.0, 3.0, -3.0, 4.5, -4.5):
        bottom = label.y - height / 2 + rise * height
        lefts = [label.x + gap, label.x - gap - width]
        if rise:
            lefts.append(label.x - width / 2)
        for left in lefts:
            yield Box(left, bottom, left + width, bottom + height)
