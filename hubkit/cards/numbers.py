"""Every number a reader sees is formatted here. None is what was not measured, and reads so."""

from __future__ import annotations

from hubkit.records import Interval, Metric

NOT_MEASURED = "not measured"
_MEGABYTE = 1_000_000  # as disks and the Hub count; not 2**20


def count(value: int | None) -> str:
    """A whole number with thousands separated: 1,000."""
    return NOT_MEASURED if value is None else f"{value:,}"


def score(value: float | None) -> str:
    """A metric from 0 to 1 with four digits: up to 10,000 rows, a single one can be seen."""
    return NOT_MEASURED if value is None else f"{value:.4f}"


def interval(value: Interval | None) -> str:
    """An interval of scores: 0.841–0.883."""
    return NOT_MEASURED if value is None else f"{value.low:.3f}–{value.high:.3f}"


def difference(value: Interval) -> str:
    """An interval of differences, with signs: −0.0061 to +0.0103."""
    return f"{signed(value.low)} to {signed(value.high)}"


def signed(value: float) -> str:
    """A difference of scores with its sign; the minus is the mathematical one."""
    rounded = round(value, 4)
    sign = "−" if rounded < 0 else "+" if rounded > 0 else ""
    return f"{sign}{abs(rounded):.4f}"


def measured(metric: Metric | None) -> str:
    """A metric with its interval: 0.8630 (0.841–0.883)."""
    if metric is None:
        return NOT_MEASURED
    return f"{score(metric.value)} ({interval(metric.interval)})"


def megabytes(size_bytes: float | None) -> str:
    """Megabytes of 10^6 bytes, without the unit: 23.1."""
    if size_bytes is None:
        return NOT_MEASURED
    size = size_bytes / _MEGABYTE
    return f"{size:.1f}" if size >= 1 else f"{size:.3f}"


def milliseconds(value: float | None) -> str:
    """Milliseconds to three significant digits, without the unit: 4.82, 31.4, 207."""
    if value is None:
        return NOT_MEASURED
    return f"{value:.2f}" if value < 10 else f"{value:.1f}" if value < 100 else f"{value:,.0f}"


def per_second(value: float | None) -> str:
    """A rate to a whole number, or to one digit below ten."""
    if value is None:
        return NOT_MEASURED
    return f"{value:.1f}" if value < 10 else f"{value:,.0f}"


def ratio(value: float | None) -> str:
    """How many times: 2.04×."""
    return NOT_MEASURED if value is None else f"{value:.2f}×"


def percent(fraction: float) -> str:
    """A fraction as a percentage: 1 %, 0.5 %."""
    return f"{fraction * 100:.4g} %"


def loss_share(fraction: float) -> str:
    """A relative loss as a percentage with two digits and its sign where it is a gain: −0.59 %."""
    rounded = round(fraction * 100, 2)
    return f"{'−' if rounded < 0 else ''}{abs(rounded):.2f} %"


def probability(value: float | None) -> str:
    """A p-value: 0.82, 0.004, or below 0.001."""
    if value is None:
        return NOT_MEASURED
    return "< 0.001" if value < 0.001 else f"{value:.3f}" if value < 0.01 else f"{value:.2f}"


def logit(value: float | None) -> str:
    """A difference of logits: 0.412, or 3.1e-06 where it is tiny."""
    if value is None:
        return NOT_MEASURED
    return "0" if value == 0 else f"{value:.1e}" if value < 0.001 else f"{value:.3f}"
