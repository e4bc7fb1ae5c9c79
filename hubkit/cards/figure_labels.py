"""What a figure calls things whose names it did not choose."""

from __future__ import annotations

import unicodedata

from hubkit.cards.escape import one_line

# All that DejaVu Sans, which comes with matplotlib, is sure to have, and that needs no shaping.
_DRAWABLE = (
    *((0x20, 0x7E), (0xA1, 0xAC), (0xAE, 0x17F), (0x391, 0x3A1), (0x3A3, 0x3CE)),
    *((0x400, 0x45F), (0x2012, 0x2014), (0x2018, 0x201E), (0x2026, 0x2026)),
    *((0x2260, 0x2260), (0x2264, 0x2265)),
)
_LONGEST = 60


def drawable_names(names: tuple[str, ...]) -> tuple[str, ...]:
    """What a figure writes for each name: the name on one line, with its number from 1 where it is
    long or not the only one; the number alone where the figure's font lacks a letter of it."""
    tidy = [unicodedata.normalize("NFC", one_line(name)) for name in names]
    return tuple(
        _label(name, number, alone=tidy.count(name) == 1) for number, name in enumerate(tidy, 1)
    )


def drawable(text: str) -> bool:
    """Whether the figures' font has every letter of a text, and sets it without shaping."""
    return all(_is_drawable(letter) for letter in text)


def _label(name: str, number: int, *, alone: bool) -> str:
    if not name or not drawable(name):
        return f"#{number}"
    short = name if len(name) <= _LONGEST else f"{name[: _LONGEST - 1]}…"
    return short if alone and short == name else f"#{number} {short}"


def _is_drawable(letter: str) -> bool:
    return any(low <= ord(letter) <= high for low, high in _DRAWABLE)
