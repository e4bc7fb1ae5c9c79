"""Every number a reader sees is formatted here. None is what was not measured, and reads so.

`Numbers` writes them as a card's language does; the functions below it are English, for terminals
and reports.
"""

from __future__ import annotations

from functools import cached_property

from hubkit.i18n import SOURCE, Language, language
from hubkit.records import Interval, Metric

NOT_MEASURED = "not measured"
_MEGABYTE = 1_000_000  # as disks and the Hub count; not 2**20
_TINY = 1e-5  # below it a number is written with its power of ten


class Numbers:
    """The number formats of one language."""

    def __init__(self, code: str = SOURCE, not_measured: str = NOT_MEASURED) -> None:
        self._code = code
        self.not_measured = not_measured

    @cached_property
    def _in(self) -> Language:
        return language(self._code)  # what never prints a number need not load its formats

    def count(self, value: int | None) -> str:
        """A whole number with thousands separated: 1,000."""
        return self.not_measured if value is None else self._in.decimal(value)

    def score(self, value: float | None) -> str:
        """A metric from 0 to 1 with four digits: up to 10,000 rows, a single one can be seen."""
        return self.not_measured if value is None else self._in.decimal(value, 4)

    def interval(self, value: Interval | None) -> str:
        """An interval of scores: 0.841–0.883."""
        if value is None:
            return self.not_measured
        return self._in.ltr(f"{self._in.decimal(value.low, 3)}–{self._in.decimal(value.high, 3)}")

    def difference(self, value: Interval | None) -> str:
        """An interval of differences, with signs: −0.0061 … +0.0103."""
        if value is None:
            return self.not_measured
        low, high = (self._in.decimal(end, 4, signed=True) for end in (value.low, value.high))
        return self._in.ltr(f"{low} … {high}")

    def signed(self, value: float | None) -> str:
        """A difference of scores with its sign; the minus is the mathematical one."""
        if value is None:
            return self.not_measured
        return self._in.ltr(self._in.decimal(value, 4, signed=True))

    def measured(self, metric: Metric | None) -> str:
        """A metric with its interval: 0.8630 (0.841–0.883)."""
        if metric is None:
            return self.not_measured
        return self._in.ltr(f"{self.score(metric.value)} ({self.interval(metric.interval)})")

    def megabytes(self, size_bytes: float | None) -> str:
        """Megabytes of 10^6 bytes, without the unit: 23.1."""
        if size_bytes is None:
            return self.not_measured
        size = size_bytes / _MEGABYTE
        return self._in.decimal(size, 1 if size >= 1 else 3)

    def milliseconds(self, value: float | None) -> str:
        """Milliseconds to three significant digits, without the unit: 4.82, 31.4, 207."""
        if value is None:
            return self.not_measured
        return self._in.decimal(value, 2 if value < 10 else 1 if value < 100 else 0)

    def per_second(self, value: float | None) -> str:
        """A rate to a whole number, or to one digit below ten."""
        if value is None:
            return self.not_measured
        return self._in.decimal(value, 1 if value < 10 else 0)

    def seconds(self, value: float) -> str:
        """Seconds of a plan, without the unit: 2, 0.5."""
        return self.decimal(value, 3)

    def decimal(self, value: float, places: int = 1) -> str:
        """A number with at most so many decimals: 25.3, 2."""
        digits = f"{value:.{places}f}".rstrip("0").partition(".")[2]
        return self._in.decimal(value, len(digits))

    def ratio(self, value: float | None) -> str:
        """How many times: 2.04×."""
        return (
            self.not_measured if value is None else self._in.ltr(f"{self._in.decimal(value, 2)}×")
        )

    def percent(self, fraction: float) -> str:
        """A fraction as a percentage: 1%, 0.5%."""
        digits = f"{fraction * 100:.4g}".partition(".")[2]
        return self._in.percent(fraction, len(digits))

    def share(self, value: float) -> str:
        """A share in whole hundredths: 0.93."""
        return self._in.decimal(value, 2)

    def share_range(self, low: float, high: float) -> str:
        """From a share to another: 0.90–1.00."""
        return self._in.ltr(f"{self.share(low)}–{self.share(high)}")

    def joules(self, value: float | None) -> str:
        """Joules to three significant digits, without the unit."""
        return self.milliseconds(value)

    def loss_share(self, fraction: float) -> str:
        """A relative loss as a percentage with two digits, and its sign where it is a gain."""
        return self._in.ltr(self._in.percent(fraction, 2))

    def probability(self, value: float | None) -> str:
        """A p-value: 0.82, 0.004, or below 0.001."""
        if value is None:
            return self.not_measured
        if value < 0.001:
            return self._in.ltr(f"< {self._in.decimal(0.001, 3)}")
        return self._in.decimal(value, 3 if value < 0.01 else 2)

    def logit(self, value: float | None) -> str:
        """A difference of logits: 0.412, or 3.1e-06 where it is tiny."""
        if value is None:
            return self.not_measured
        if value and value < 0.001:
            return self._in.ltr(f"{value:.1e}".replace(".", self._in.decimal(0.0, 1)[1]))
        return self._in.decimal(value, 3 if value else 0)

    def significant(self, value: float | None) -> str:
        """Three significant digits: 0.00062, 0.319, 12.4, 1,230; 6.2e-07 where it is tiny."""
        if value is None:
            return self.not_measured
        size = abs(value)
        if size == 0:
            return self._in.decimal(0)
        if size < _TINY:
            return self._in.ltr(f"{value:.1e}".replace(".", self._in.decimal(0.0, 1)[1]))
        if size >= 100:
            return self._in.decimal(value)
        before = len(str(int(size))) if size >= 1 else -_leading_zeros(size)
        return self._in.decimal(value, 3 - before)

    def cosine(self, value: float | None) -> str:
        """A cosine with six digits: 0.999998."""
        return self.not_measured if value is None else self._in.decimal(value, 6)

    def together(self, text: str) -> str:
        """Numbers that are read from left to right, kept in that order."""
        return self._in.ltr(text)

    def point(self, point: tuple[int, int]) -> str:
        """A point of the benchmark's grid, batch size × input length: 8 × 128."""
        return self._in.ltr(f"{self.count(point[0])} × {self.count(point[1])}")


def _leading_zeros(size: float) -> int:
    """Zeros after the point before the first other digit: 2 of 0.0012."""
    zeros = 0
    while size < 0.1:
        size *= 10
        zeros += 1
    return zeros


_ENGLISH = Numbers()
count = _ENGLISH.count
score = _ENGLISH.score
interval = _ENGLISH.interval
difference = _ENGLISH.difference
signed = _ENGLISH.signed
megabytes = _ENGLISH.megabytes
milliseconds = _ENGLISH.milliseconds
per_second = _ENGLISH.per_second
ratio = _ENGLISH.ratio
percent = _ENGLISH.percent
probability = _ENGLISH.probability
