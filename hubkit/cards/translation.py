"""The author's words in the card's language, and in English where there are none."""

from __future__ import annotations

import re
from dataclasses import dataclass

from hubkit.i18n import SOURCE
from hubkit.recipe_card import CardData, Part
from hubkit.recipe_notes import Translation

# No prose: a number or a date, which is written as the language does, and what programs read.
_NO_PROSE = re.compile(r"v?\d[\w.+-]*")
_SAME = ("bibtex",)


@dataclass(frozen=True)
class Said:
    """What the author says on a card. `untranslated`: some of it is in English, and the card is
    not."""

    card: CardData
    notes: str
    untranslated: bool


def said(card: CardData, notes: str, translation: Translation | None, language: str) -> Said:
    """The author's words for a card in that language. English is what recipe and notes.md hold."""
    if language == SOURCE:
        return Said(card, notes, False)
    if translation is None:
        return Said(card, notes, bool(notes.strip()) or any(_texts(card)))
    text = translation.text if translation.text.strip() else notes
    left = bool(_open(card, translation.card)) or (text is notes and bool(notes.strip()))
    return Said(_laid_over(card, translation.card), text, left)


def _laid_over(card: CardData, over: CardData) -> CardData:
    """The translation's texts in place of the recipe's, which stay where it says nothing."""
    return card.model_copy(update=_changes(card, over))


def _merged(value: object, over: object) -> object:
    if isinstance(value, Part) and isinstance(over, Part):
        return value.model_copy(update=_changes(value, over))
    return over if over else value


def _changes(value: Part, over: Part) -> dict[str, object]:
    return {name: _merged(getattr(value, name), getattr(over, name)) for name in _names(over)}


def _names(part: Part) -> set[str]:
    return part.model_fields_set & set(type(part).model_fields)


def _texts(part: Part) -> list[str]:
    """Keys below the part that hold prose."""
    found = []
    for name in type(part).model_fields:
        value = getattr(part, name)
        if isinstance(value, Part):
            found += [f"{name}.{below}" for below in _texts(value)]
        elif value and name not in _SAME and not _is_number(value):
            found.append(name)
    return found


def _is_number(value: object) -> bool:
    return isinstance(value, str) and _NO_PROSE.fullmatch(value.strip()) is not None


def _open(card: CardData, over: CardData) -> list[str]:
    """Keys that hold prose in the recipe, and none in the translation."""
    return sorted(set(_texts(card)) - set(_texts(over)))
