"""One thing that is wrong with a card's metadata."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Problem:
    """`key`: where, as `model-index[0].name`; "" for the file. An error: the Hub, or a reader of
    the card, refuses it; a warning: it is taken, but does not do what it is there for."""

    key: str
    what: str
    severity: Literal["error", "warning"]
    cure: str

    def __str__(self) -> str:
        """In a line: `license: apache is no licence of the Hub. Use apache-2.0.`"""
        where = f"{self.key}: " if self.key else ""
        return f"{where}{self.what}. {self.cure}"


def error(key: str, what: str, cure: str) -> Problem:
    """A problem that keeps a card from being published."""
    return Problem(key, what, "error", cure)


def warning(key: str, what: str, cure: str) -> Problem:
    """A problem that does not."""
    return Problem(key, what, "warning", cure)
