"""Languages: every catalogue whole, and numbers and dates as people write them there."""

from __future__ import annotations

import datetime
import io
import re
import subprocess
import sys
from pathlib import Path

import pytest
from babel.messages.catalog import Catalog, Message
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po

from hubkit.errors import UsageError
from hubkit.i18n import SOURCE, catalogue, compile_catalogue, language, languages, plain
from hubkit.paths import templates_dir

TRANSLATED = tuple(code for code in languages() if code != SOURCE)
# As issue and README promise; another language is another .po file.
PROMISED = {"en", "zh", "ru", "fr", "de", "es", "ja", "ar"}
_PLACEHOLDER = re.compile(r"\{(\w*)\}")


def catalog(code: str) -> Catalog:
    return read_po(io.BytesIO(catalogue(code).read_bytes()), locale=code, domain="card")


def wanted() -> set[tuple[str | None, str | tuple[str, ...]]]:
    """(context, message) of everything that the templates say."""
    where = [("card/**.j2", "jinja2"), ("report/formats**.j2", "jinja2")]
    found = extract_from_dir(templates_dir(), method_map=where)
    return {(context, message) for _, _, message, _, context in found}


def said(code: str) -> dict[tuple[str | None, str | tuple[str, ...]], Message]:
    return {
        (m.context, m.id if isinstance(m.id, str) else tuple(m.id)): m
        for m in catalog(code)
        if m.id
    }


def forms(message: Message) -> list[str]:
    return [message.string] if isinstance(message.string, str) else list(message.string)


def test_the_promised_languages_are_there() -> None:
    assert set(languages()) >= PROMISED
    assert languages()[0] == SOURCE


@pytest.mark.parametrize("code", TRANSLATED)
def test_a_catalogue_has_every_message_and_no_other(code: str) -> None:
    assert set(said(code)) == wanted(), "run `make messages`, then translate what is empty"


@pytest.mark.parametrize("code", TRANSLATED)
def test_no_message_is_empty_or_fuzzy(code: str) -> None:
    number = catalog(code).num_plurals
    for key, message in said(code).items():
        assert not message.fuzzy, key
        wanted_forms = number if isinstance(key[1], tuple) else 1
        assert len(forms(message)) == wanted_forms, key
        assert all(form.strip() for form in forms(message)), key


@pytest.mark.parametrize("code", TRANSLATED)
def test_placeholders_are_those_of_the_message(code: str) -> None:
    for key, message in said(code).items():
        ids = (key[1],) if isinstance(key[1], str) else key[1]
        names = {name for one in ids for name in _PLACEHOLDER.findall(one)}
        for form in forms(message):
            assert set(_PLACEHOLDER.findall(form)) == names, f"{code}: {form}"
            # What is left of braces would be a placeholder that is written wrong.
            assert not re.search(r"[{}]", _PLACEHOLDER.sub("", form)), f"{code}: {form}"


@pytest.mark.parametrize("code", TRANSLATED)
def test_no_message_can_break_a_table_or_hold_html(code: str) -> None:
    for message in said(code).values():
        for form in forms(message):
            assert not re.search(r"[|\n\r<>]", form), f"{code}: {form}"


@pytest.mark.parametrize("code", TRANSLATED)
def test_no_message_names_a_number_of_its_own(code: str) -> None:
    """Numbers come from records; those in a message are those of the English one."""
    for key, message in said(code).items():
        ids = (key[1],) if isinstance(key[1], str) else key[1]
        known = {digits for one in ids for digits in re.findall(r"\d+", _PLACEHOLDER.sub("", one))}
        for form in forms(message):
            found = set(re.findall(r"\d+", _PLACEHOLDER.sub("", form)))
            assert found == known, f"{code}: {form}"


def test_an_unknown_language_is_refused_with_a_guess() -> None:
    with pytest.raises(UsageError, match="did you mean") as caught:
        language("fra")
    assert "zh" in caught.value.hint


@pytest.mark.parametrize(
    ("code", "number", "share", "day"),
    [
        ("en", "−1,234.5", "0.5%", "November 22, 2026"),
        ("zh", "−1,234.5", "0.5%", "2026年11月22日"),
        ("ru", "−1\N{NO-BREAK SPACE}234,5", "0,5\N{NO-BREAK SPACE}%", "22 ноября 2026"),
        ("fr", "−1\u202f234,5", "0,5\N{NO-BREAK SPACE}%", "22 novembre 2026"),
        ("de", "−1.234,5", "0,5\N{NO-BREAK SPACE}%", "22. November 2026"),
        ("es", "−1.234,5", "0,5\N{NO-BREAK SPACE}%", "22 de noviembre de 2026"),
        ("ja", "−1,234.5", "0.5%", "2026年11月22日"),
        ("ar", "−1,234.5", "0.5%", "22 نوفمبر 2026"),
    ],
)
def test_numbers_and_dates_are_the_languages_own(
    code: str, number: str, share: str, day: str
) -> None:
    spoken = language(code)
    assert plain(spoken.decimal(-1234.5, 1)) == number
    assert plain(spoken.percent(0.005, 1)) == share
    assert spoken.date(datetime.date(2026, 11, 22)).startswith(day)


def test_a_minus_before_nothing_is_left_out() -> None:
    assert language("en").decimal(-0.00001, 4) == "0.0000"
    assert language("en").percent(-0.00001, 2) == "0.00%"


def test_russian_and_arabic_have_their_plurals() -> None:
    def shown(code: str, n: int) -> str:
        return language(code).ngettext("{n} example", "{n} examples", n)

    assert len({shown("ru", n) for n in (1, 2, 5)}) == 3
    assert shown("ru", 1) == shown("ru", 21) != shown("ru", 11)
    assert len({shown("ar", n) for n in (0, 1, 2, 3, 11, 100)}) >= 4
    assert shown("ja", 1) == shown("ja", 5)


def test_only_right_to_left_text_is_isolated() -> None:
    assert language("en").ltr("0.84–0.88") == "0.84–0.88"
    assert language("ar").rtl
    assert plain(language("ar").ltr("0.84–0.88")) == "0.84–0.88" != language("ar").ltr("0.84–0.88")


def test_a_catalogue_cut_short_in_the_cache_is_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = "import hubkit.i18n as i; print(i.language('fr').gettext('Model details'))"

    def heading() -> str:
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    monkeypatch.setenv("HUBKIT_HOME", str(tmp_path))
    first = heading()
    kept = next((tmp_path / "catalogues").iterdir())
    assert kept.read_bytes() == compile_catalogue(catalogue("fr").read_bytes(), "fr")
    kept.write_bytes(kept.read_bytes()[:100])
    assert heading() == first
    monkeypatch.setenv("HUBKIT_HOME", "/proc/nowhere")  # no cache can be written there
    assert heading() == first
