"""What to take: computed from the records by rules that are written out, never by taste.

Two engines tie where the windows of their levels overlap, or where less than 5 % lies between
them, after the machine's own speed around each level is allowed for: a single run on a machine that
is not alone tells no smaller difference apart. An unstable level wins nothing while there are
stable ones. Without two engines that were measured nothing wins.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from hubkit.formats.view import Served, View
from hubkit.formats_records import Level, Window

TIE = 0.05
# As `Invariance.holds`: what is within ten times FP32's own noise is the same to all purposes.
NOISE_TIMES = 10

Value = Callable[[Level | Window], float]
Speed = Callable[[Level], float]  # the machine's own around a level, a share of its best


@dataclass(frozen=True)
class Winner:
    """The best of one thing, and what cannot be told apart from it. `compared`: engines that were
    measured, itself included; with one alone it has won nothing. `ahead`: how many times better
    than the next that is no tie; None: there is none. `passed_over`: those with a better figure, of
    an unstable level."""

    engine: str
    level: Level
    ties: tuple[str, ...]
    compared: int
    ahead: float | None
    passed_over: tuple[str, ...] = ()

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

    def speed(level: Level) -> float:
        return view.slowed(level) or 1.0

    return Verdict(
        throughput=fastest(served, speed),
        latency=quickest(served, speed),
        same=fastest(faithful, speed) if view.noise_floor is not None else None,
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


def fastest(served: Sequence[Served], speed: Speed) -> Winner | None:
    """The highest throughput at any number of clients."""
    found = [(one.curve.engine, level) for one in served if (level := one.best)]
    return _winner(found, lambda it: it.throughput_per_s, speed, higher=True)


def quickest(served: Sequence[Served], speed: Speed) -> Winner | None:
    """The lowest mean latency of one client alone."""
    found = [(one.curve.engine, level) for one in served if (level := one.at_one)]
    return _winner(found, lambda it: it.mean_ms, speed, higher=False)


def _winner(
    found: list[tuple[str, Level]], value: Value, speed: Speed, *, higher: bool
) -> Winner | None:
    counted = [one for one in found if one[1].stable] or found
    if not counted:
        return None
    sign = -1 if higher else 1
    ordered = sorted(counted, key=lambda one: (sign * value(one[1]), one[0]))
    name, best = ordered[0]
    tied = [one for one, level in ordered[1:] if _ties(best, level, value, speed)]
    others = [level for one, level in ordered[1:] if one not in tied]
    next_best = value(others[0]) if others else None
    return Winner(
        engine=name,
        level=best,
        ties=tuple(tied),
        compared=len(found),
        ahead=None if not next_best else _ratio(value(best), next_best),
        passed_over=tuple(
            one
            for one, level in found
            if best.stable and not level.stable and sign * value(level) < sign * value(best)
        ),
    )


def _ties(best: Level, other: Level, value: Value, speed: Speed) -> bool:
    luck = max(1.0, speed(best) / speed(other))
    if _ratio(value(best), value(other)) < (1 + TIE) * luck:
        return True
    ours, theirs = ([value(w) for w in _counted(level)] for level in (best, other))
    return bool(ours and theirs and max(min(ours), min(theirs)) <= min(max(ours), max(theirs)))


def _counted(level: Level) -> tuple[Window, ...]:
    """The windows that a level is made of: of a stable one the last three."""
    return level.windows[-3:] if level.stable else level.windows


def _ratio(one: float, other: float) -> float:
    low, high = sorted((one, other))
    return high / low if low > 0 else float("inf")
