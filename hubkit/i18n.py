"""Languages of the cards: gettext catalogues, and how numbers and dates are written there.

The message ids are English; each other language is one card.po below templates/locale/LANGUAGE/.
"""

from __future__ import annotations

import datetime
import gettext
import hashlib
import io
import os
import struct
import tempfile
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from hubkit.errors import UsageError
from hubkit.nearest import did_you_mean
from hubkit.paths import cache_dir, templates_dir

if TYPE_CHECKING:
    from babel import Locale

SOURCE = "en"  # the language of the message ids
DOMAIN = "card"
# Around what is written from left to right in a text that is not: without them a range such as
# 0.84–0.88 is shown with its ends exchanged (Unicode Standard Annex #9, isolates).
_ISOLATED, _FIRST_STRONG, _POP = "\u2066", "\u2068", "\u2069"


def catalogue(code: str) -> Path:
    """Where the catalogue of a language is."""
    return templates_dir() / "locale" / code / "LC_MESSAGES" / f"{DOMAIN}.po"


def languages() -> tuple[str, ...]:
    """Codes of the languages that a card can be in, English first, then by code."""
    found = (templates_dir() / "locale").glob(f"*/LC_MESSAGES/{DOMAIN}.po")
    return (SOURCE, *sorted(path.parent.parent.name for path in found))


@lru_cache
def language(code: str) -> Language:
    """The language of that code. Raises UsageError where there is no catalogue for it."""
    known = languages()
    if code not in known:
        raise UsageError(
            f"no card can be in the language {code!r}{did_you_mean(code, known)}",
            hint=f"There are {', '.join(known)}; docs/translations.md says how to add one.",
        )
    return Language(code)


class Language:
    """One language: its messages, its name for itself, its direction, its numbers and dates."""

    def __init__(self, code: str) -> None:
        from babel import Locale

        # The same numbers stand in several tables and languages; formatting one costs 0.1 ms.
        self.decimal = lru_cache(maxsize=4096)(self._decimal)
        self.code = code
        self._locale: Locale = Locale.parse(code)
        self._messages = _catalogue_of(code)
        # The language alone: a Chinese reader looks for 中文, whatever the script or the country.
        name = self._locale.get_language_name(code) or code
        self.name = name[0].upper() + name[1:]
        # Between two sentences; what is written without spaces has its full stops wide enough.
        self.space = "" if self._locale.language in ("zh", "ja") else " "
        self.rtl = self._locale.text_direction == "rtl"

    def gettext(self, message: str) -> str:
        """The message in this language; as it is, where the catalogue lacks it."""
        return self._messages.gettext(message)

    def pgettext(self, context: str, message: str) -> str:
        """The message as it is called in a context."""
        return self._messages.pgettext(context, message)

    def ngettext(self, one: str, many: str, n: int) -> str:
        """The form of the message that goes with `n`."""
        return self._messages.ngettext(one, many, n)

    def _decimal(self, value: float, places: int = 0, *, signed: bool = False) -> str:
        """A number with so many decimals; the minus is the mathematical one."""
        from babel.numbers import format_decimal

        rounded = round(value, places) + 0.0  # no minus before a zero
        pattern = "#,##0" + ("." + "0" * places if places else "")
        if signed and rounded > 0:
            pattern = f"+{pattern}"
        return self._minus(format_decimal(rounded, format=pattern, locale=self._locale))

    def percent(self, share: float, places: int = 0) -> str:
        """A share as a percentage: 95%, 0.5 %."""
        from babel.numbers import format_percent

        pattern = self._locale.percent_formats[None].pattern
        pattern = pattern.replace("0", "0." + "0" * places) if places else pattern
        rounded = round(share, places + 2) + 0.0
        return self._minus(format_percent(rounded, format=pattern, locale=self._locale))

    def date(self, value: datetime.date) -> str:
        """A date with the name of the month."""
        from babel.dates import format_date

        return format_date(value, format="long", locale=self._locale)

    def ltr(self, text: str) -> str:
        """Text that is read from left to right, such as a range of numbers, kept in that order."""
        return f"{_ISOLATED}{text}{_POP}" if self.rtl else text

    def isolated(self, text: str) -> str:
        """Text of another direction perhaps, such as English prose, that its surroundings must not
        mix with."""
        return f"{_FIRST_STRONG}{text}{_POP}" if self.rtl else text

    def _minus(self, text: str) -> str:
        return text.replace("-", "\N{MINUS SIGN}")


def plain(text: str) -> str:
    """The text without the marks of direction that `Language` puts in."""
    return text.translate(dict.fromkeys(map(ord, (_ISOLATED, _FIRST_STRONG, _POP, "\u200e"))))


def _catalogue_of(code: str) -> gettext.NullTranslations:
    if code == SOURCE:
        return gettext.NullTranslations()
    source = catalogue(code).read_bytes()
    kept = cache_dir() / "catalogues" / f"{hashlib.sha256(source).hexdigest()}.mo"
    try:
        return gettext.GNUTranslations(io.BytesIO(kept.read_bytes()))
    except (OSError, ValueError, IndexError, struct.error):  # not there yet, or not whole
        compiled = compile_catalogue(source, code)
        _keep(kept, compiled)
        return gettext.GNUTranslations(io.BytesIO(compiled))


def compile_catalogue(source: bytes, code: str) -> bytes:
    """A .po as a .mo, without what is marked fuzzy."""
    from babel.messages.mofile import write_mo
    from babel.messages.pofile import read_po

    target = io.BytesIO()
    write_mo(target, read_po(io.BytesIO(source), locale=code, domain=DOMAIN))
    return target.getvalue()


def _keep(path: Path, content: bytes) -> None:
    """Compiling takes longer than rendering. A cache that cannot be written costs that time."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent)
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        Path(name).replace(path)
    except OSError:
        return
