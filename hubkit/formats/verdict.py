"""What to take: computed from the records by rules that are written out, never by taste.

Two engines tie where the windows of their levels overlap, or where less than 5 % lies between
them: a single run on a machine that is not alone tells no smaller difference apart. An unstable
level wins nothing while there are stable ones. Without two engines that were measured nothing wins.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from hubkit.formats.view import Served, View
from hubkit.formats_records import Level, Window

TIE = 0.05
# As `Invariance.holds`: what is within ten times FP32's own noise is the same to all purposes.
NOISE_TIMES = 10


@dataclass(frozen=True)
class Winner:
    """The best of one thing, and what cannot be told apart from it. `compared`: engines that were
    measured, itself included; with one alone it has won nothing. `ahead`: how many times better
    than the next that is no tie; None: there is none. `stable`: of its level."""

    engine: str
    level: Level
    ties: tuple[str, ...]
    compared: int
    ahead: float | None

    @property
    def alone(self) -> bool:
        return self.compared < 2


@dataclass(frozen=True)
class Verdict:
    """`same`: the fastest engine whose outputs are FP32's within noise, where that is known.
    `changing`: engines whose outputs depend on the batch or on padding."""

    throughput: Winner | None
    latency: Winner | None
    same: Winner | None
    changing: tuple[str, ...]
    where: str | None  # in-process or kserve-v2, of all of these


def verdict(view: View) -> Verdict:
    """What the report's first lines say."""
    served, where = comparable(view)
    faithful = [one for one in served if within_noise(view, one.curve.engine)]
    return Verdict(
        throughput=fastest(served),
        latency=quickest(served),
        same=fastest(faithful) if view.noise_floor is not None else None,
        changing=tuple(one.engine for one in view.report.invariances if one.holds is False),
        where=where,
    )


def comparable(view: View) -> tuple[tuple[Served, ...], str | None]:
    """Curves that were measured the same way: in this process, else over HTTP."""
    for where in ("in-process", "kserve-v2"):
        found = tuple(one for one in view.served if one.curve.where == where and one.closed)
        if found:
            return found, where
    return (), None


def within_noise(view: View, engine: str) -> bool:
    """Whether an engine's outputs are FP32's but for rounding; the reference's own are."""
    if engine == view.report.reference:
        return True
    found, floor = view.divergence(engine), view.noise_floor
    return bool(found and floor is not None and found.distance.mean_abs <= NOISE_TIMES * floor)


def fastest(served: Sequence[Served]) -> Winner | None:
    """The highest throughput at any number of clients."""
    found = [(one.curve.engine, level) for one in served if (level := one.best)]
    return _winner(found, lambda it: it.throughput_per_s, higher=True)


def quickest(served: Sequence[Served]) -> Winner | None:
    """The lowest mean latency of one client alone."""
    found = [(one.curve.engine, level) for one in served if (level := one.at_one)]
    return _winner(found, lambda it: it.mean_ms, higher=False)


def _winner(
    found: list[tuple[str, Level]], value: Callable[[Level | Window], float], *, higher: bool
) -> Winner | None:
    counted = [one for one in found if one[1].stable] or found
    if not counted:
        return None
    sign = -1 if higher else 1
    ordered = sorted(counted, key=lambda one: (sign * value(one[1]), one[0]))
    name, best = ordered[0]
    others = [one for one in ordered[1:] if not _ties(best, one[1], value)]
    next_best = value(others[0][1]) if others else None
    return Winner(
        engine=name,
        level=best,
        ties=tuple(one for one, level in ordered[1:] if _ties(best, level, value)),
        compared=len(found),
        ahead=None if not next_best else _ratio(value(best), next_best),
    )


def _ties(one: Level, other: Level, value: Callable[[Level | Window], float]) -> bool:
    if _ratio(value(one), value(other)) < 1 + TIE:
        return True
    ours, theirs = ([value(w) for w in _counted(level)] for level in (one, other))
    return bool(ours and theirs and max(min(ours), min(theirs)) <= min(max(ours), max(theirs)))


def _counted(level: Level) -> tuple[Window, ...]:
    """The windows that a level is made of: of a stable one the last three."""
    return level.windows[-3:] if level.stable else level.windows


def _ratio(one: float, other: float) -> float:
    low, high = sorted((one, other))
    return high / low if low > 0 else float("inf")
