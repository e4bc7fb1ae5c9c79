"""What a plot of the report shows, before it is drawn on a page or in a file."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

# Around what is shown, as a share of it.
_MARGIN = 0.04
HUES, SHAPES = 8, 4


def shape_of(hue: int) -> int:
    """Which of the shapes a series has: another one where its colour is used a second time."""
    return (hue + hue // HUES) % SHAPES


@dataclass(frozen=True)
class Axis:
    """A scale from `low` to `high` with its ticks as text."""

    title: str
    low: float
    high: float
    ticks: tuple[tuple[float, str], ...]
    log: bool = False

    def share(self, value: float) -> float:
        """Where a value stands, 0 at the lower end and 1 at the upper."""
        if self.log:
            low, high = math.log(self.low), math.log(self.high)
            return (math.log(max(value, self.low)) - low) / (high - low)
        return (value - self.low) / (self.high - self.low)


@dataclass(frozen=True)
class Mark:
    """A point; `hollow`: it is not certain. `said`: what it is, for who points at it."""

    x: float
    y: float
    said: str
    hollow: bool = False


@dataclass(frozen=True)
class Series:
    """Marks of one engine; `limit`: a dashed line that belongs to it."""

    name: str
    hue: int
    marks: tuple[Mark, ...]
    joined: bool = True
    limit: tuple[tuple[float, float], ...] = ()


@dataclass(frozen=True)
class Guide:
    """A line that is no measurement, with its name."""

    name: str
    points: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Chart:
    """Lines or points over two axes."""

    name: str
    x: Axis
    y: Axis
    series: tuple[Series, ...]
    guides: tuple[Guide, ...] = ()


@dataclass(frozen=True)
class Bar:
    """One line of a bar chart with its interval."""

    name: str
    hue: int
    value: float
    low: float
    high: float
    said: str


@dataclass(frozen=True)
class Bars:
    """Bars from the left over a logarithmic axis; `floor`: below it a value means nothing."""

    name: str
    x: Axis
    bars: tuple[Bar, ...]
    floor: float | None
    floor_name: str


Text = Callable[[float], str]


def linear(title: str, values: Iterable[float], text: Text) -> Axis:
    """An axis from nothing to the largest value, with five ticks or so."""
    high = max(values, default=1.0) or 1.0
    high *= 1 + _MARGIN
    step = _nice(high / 5)
    ticks = [i * step for i in range(int(high / step) + 1)]
    return Axis(title, 0.0, high, tuple((tick, text(tick)) for tick in ticks))


def logarithmic(title: str, values: Iterable[float], text: Text, *, by: int = 10) -> Axis:
    """A logarithmic axis with ticks at the powers of `by`; over few of ten at 2 and 5 too."""
    found = [value for value in values if value > 0] or [1.0]
    low, high = min(found), max(found)
    if low == high:
        low, high = low / 2, high * 2
    room = (high / low) ** _MARGIN
    low, high = low / room, high * room
    first, last = math.floor(math.log(low, by)), math.ceil(math.log(high, by))
    decades = last - first
    steps = (1, 2, 5) if by == 10 and math.log10(high / low) < 2.2 else (1,)
    every = max(1, round(decades / 8))
    ticks = [step * float(by) ** power for power in range(first, last + 1, every) for step in steps]
    shown = tuple((tick, text(tick)) for tick in ticks if low <= tick <= high)
    return Axis(title, low, high, shown, log=True)


def _nice(step: float) -> float:
    """The next of 1, 2, 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(step))
    return next(power * times for times in (1, 2, 5, 10) if power * times >= step * 0.999)
