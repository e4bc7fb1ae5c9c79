"""How the report on formats writes its numbers in a language."""

from __future__ import annotations

from hubkit.cards.numbers import Numbers

_TINY = 1e-5
_GIGA, _MEGA = 1e9, 1e6


class Digits(Numbers):
    """The numbers of a card, and those that only this report has."""

    def tick(self, value: float) -> str:
        """A round number of an axis with no more digits than it has: 0.002, 50, 1e-07."""
        if 0 < abs(value) < _TINY:
            return self._in.ltr(f"{value:.0e}")
        return self.decimal(value, 6)

    def between(self, low: float, high: float) -> str:
        """A range of small numbers: 0.00060–0.00065."""
        return self._in.ltr(f"{self.significant(low)}–{self.significant(high)}")

    def giga(self, value: float | None) -> str:
        """10^9 of something, without the unit: 2.72."""
        return self.significant(None if value is None else value / _GIGA)

    def mega(self, value: float | None) -> str:
        """10^6 of something, without the unit: 65.2."""
        return self.significant(None if value is None else value / _MEGA)

    def cores(self, value: float | None) -> str:
        """CPU cores in use: 1.97."""
        return self.not_measured if value is None else self._in.decimal(value, 2)

    def share_percent(self, value: float | None) -> str:
        """A share in whole per cent, or with a digit below ten: 41%, 3.2%."""
        if value is None:
            return self.not_measured
        return self._in.ltr(self._in.percent(value, 0 if value >= 0.0995 else 1))

    def plain_ms(self, value: float | None) -> str:
        """Milliseconds to three significant digits; what is below 0.01 is not cut to nothing."""
        if value is not None and value < 0.1:
            return self.significant(value)
        return self.milliseconds(value)
