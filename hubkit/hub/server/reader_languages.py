"""Which of a card's languages a reader gets: the one asked for, else what the browser prefers."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

PRIMARY = "README.md"
UNNAMED = "card"
"""Asks for README.md, whatever language it is in."""

_TRANSLATION = re.compile(r"README\.([A-Za-z]{2,3}(?:[-_][A-Za-z0-9]{1,8}){0,3})\.md")
# A line of links to the card in other languages, its own name not a link: **English** · [中文](…)
_SWITCH = re.compile(r"^.*\]\((?:\./)?README\.[A-Za-z_-]{2,20}\.md\).*$", re.MULTILINE)
_LINK = re.compile(r"\]\((?:\./)?README\.")
_BOLD = re.compile(r"\*\*([^*\]\[]{1,40})\*\*")
_RANGE = re.compile(
    r"\s*([A-Za-z]{1,8}(?:-[A-Za-z0-9]{1,8})*|\*)\s*(?:;\s*q=([01](?:\.\d{0,3})?))?\s*"
)
_LONGEST_HEADER = 1000
_FROM_THE_RIGHT = frozenset({"ar", "fa", "he", "ps", "ur", "yi"})
_NAMES = {
    "ar": "العربية",
    "de": "Deutsch",
    "en": "English",
    "es": "Español",
    "fr": "Français",
    "it": "Italiano",
    "ja": "日本語",
    "ko": "한국어",
    "nl": "Nederlands",
    "pl": "Polski",
    "pt": "Português",
    "ru": "Русский",
    "tr": "Türkçe",
    "uk": "Українська",
    "vi": "Tiếng Việt",
    "zh": "中文",
}


@dataclass(frozen=True)
class Translation:
    """A card in one language; `language` is a tag such as zh or pt-BR, "" where nobody says it."""

    language: str
    path: str

    @property
    def name(self) -> str:
        """What the language calls itself, as far as that is known here."""
        return _NAMES.get(self.language.lower(), self.language) or "README"

    @property
    def direction(self) -> str:
        """rtl or ltr."""
        return "rtl" if self.language.lower().partition("-")[0] in _FROM_THE_RIGHT else "ltr"


def language_of(path: str) -> str:
    """The language of a translated card by its name; "" for every other file."""
    found = _TRANSLATION.fullmatch(path.rpartition("/")[2])
    return found[1].replace("_", "-") if found else ""


def translations(paths: Iterable[str], primary: str) -> tuple[Translation, ...]:
    """The card in all its languages, README.md (whose text is `primary`) first; nothing but it
    where there is no other."""
    others = [Translation(language_of(path), path) for path in paths if language_of(path)]
    others = [one for one in others if "/" not in one.path]
    return Translation(_own_language(primary, others), PRIMARY), *others


def _own_language(primary: str, others: Sequence[Translation]) -> str:
    if not others:
        return ""
    line = _SWITCH.search(primary[:20_000])
    bold = _BOLD.search(line[0]) if line else None
    if bold is not None:
        named = bold[1].strip().lower()
        for code, name in _NAMES.items():
            if name.lower() == named:
                return code
    return "" if any(one.language.lower() == "en" for one in others) else "en"


def has_switch(body: str) -> bool:
    """Whether a card links to itself in other languages."""
    return _LINK.search(body) is not None


def chosen(cards: Sequence[Translation], asked: str, header: str) -> Translation:
    """The card for a reader: in the language asked for, else in that which Accept-Language likes
    best (RFC 9110, 12.5.4; RFC 4647, 3.4: by prefix), else the first."""
    if asked == UNNAMED:
        return cards[0]
    if asked and (found := _fitting(cards, asked)) is not None:
        return found
    for wanted in _preferences(header):
        if wanted == "*":
            break
        if (found := _fitting(cards, wanted)) is not None:
            return found
    return cards[0]


def _fitting(cards: Sequence[Translation], wanted: str) -> Translation | None:
    tag = wanted.replace("_", "-").lower()
    exact = [card for card in cards if card.language.lower() == tag]
    # zh for zh-TW, and pt-BR for pt: a reader of the one reads the other.
    near = [card for card in cards if card.language and _base(card.language) == _base(tag)]
    return next(iter(exact or near), None)


def _base(tag: str) -> str:
    return tag.partition("-")[0].lower()


def _preferences(header: str) -> list[str]:
    weighed = []
    for number, part in enumerate(header[:_LONGEST_HEADER].split(",")):
        found = _RANGE.fullmatch(part)
        if found is None:
            continue
        quality = float(found[2]) if found[2] else 1.0
        if quality > 0:
            weighed.append((-quality, number, found[1]))
    return [tag for _, _, tag in sorted(weighed)]
