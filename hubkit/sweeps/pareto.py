"""The Pareto front of points that cost something and are worth something."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf, isnan


def pareto(points: Sequence[tuple[float, float]]) -> tuple[int, ...]:
    """Indices of the points (cost, value) that no other point beats, by rising cost.

    One point beats another that costs no less and is worth no more, unless both are equal: equal
    points are on the front together. A point that is not a number is not on it.
    """
    numbers = [i for i, point in enumerate(points) if not any(map(isnan, point))]
    best, best_cost = -inf, inf
    front: list[int] = []
    for index in sorted(numbers, key=lambda i: (points[i][0], -points[i][1], i)):
        cost, value = points[index]
        # Not better than what costs less, unless it is that very point again.
        if value > best or (value == best and cost == best_cost) or not front:
            front.append(index)
            best, best_cost = value, cost
    return tuple(front)
