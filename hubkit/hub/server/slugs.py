"""The ids of a card's headings, as GitHub and the Hub make them (github-slugger's way)."""

from __future__ import annotations

import unicodedata

# General categories that go: other numbers, punctuation but connectors, symbols, what is invisible
# (controls, formats such as the marks of direction), separators. Letters, marks and digits of every
# script stay.
_DROPPED = frozenset(
    [
        *("No", "Pd", "Pe", "Pf", "Pi", "Po", "Ps", "Sc", "Sk", "Sm", "So"),
        *("Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp", "Zs"),
    ]
)
# Symbols that Unicode counts as letters all the same: those in circles, squares and brackets.
_LETTERS = ((0x24B6, 0x24E9), (0x1F130, 0x1F149), (0x1F150, 0x1F169), (0x1F170, 0x1F189))


def _stays(character: str) -> bool:
    if character in "- ":
        return True
    if unicodedata.category(character) not in _DROPPED:
        return True
    return any(first <= ord(character) <= last for first, last in _LETTERS)


def slug(title: str) -> str:
    """A title as an id: lower case, a hyphen for each space, no punctuation."""
    return "".join(filter(_stays, title.lower())).replace(" ", "-")


class Slugs:
    """Ids that are unique within one document: the second of a name gets `-1`."""

    def __init__(self) -> None:
        self._seen: dict[str, int] = {}

    def of(self, title: str) -> str:
        """The id of the next heading."""
        wanted = found = slug(title)
        while found in self._seen:
            self._seen[wanted] += 1
            found = f"{wanted}-{self._seen[wanted]}"
        self._seen[found] = 0
        return found
