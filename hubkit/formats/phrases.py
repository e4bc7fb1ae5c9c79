"""Sentences that records hold in English, found again so that a page can say them in its language.

The template lists them as messages, `{name}` where a value stands.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

_SLOT = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True)
class Phrase:
    """A message and its values."""

    message: str
    values: dict[str, str]


def phrase(text: str, messages: Iterable[str]) -> Phrase | None:
    """The first message that gives the text with some values in its places; None: it is no fixed
    sentence."""
    for message in messages:
        found = _pattern(message).fullmatch(text)
        if found:
            return Phrase(message, found.groupdict())
    return None


def noted(message: str) -> str:
    """The message as it is: a mark for those who collect messages."""
    return message


@lru_cache(maxsize=256)
def _pattern(message: str) -> re.Pattern[str]:
    pieces = _SLOT.split(message)  # text, name, text, name, … text
    named = (f"(?P<{piece}>.+)" if at % 2 else re.escape(piece) for at, piece in enumerate(pieces))
    return re.compile("".join(named), re.DOTALL)
