"""The card in each of its languages: whole, the same numbers, and readable from its own side."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from functools import lru_cache

import pytest
from babel import Locale

from hubkit.i18n import languages, plain
from hubkit.recipe_card import CardData
from hubkit.recipe_notes import Translation
from hubkit.recipe_tasks import TASK_KEYS
from hubkit.records import Report
from hubkit.stages.card import render_card
from hubkit.tasks import TASKS
from tests.cards.examples import NOTES, REPO_ID, make_lock, make_recipe
from tests.cards.figure_examples import make_analyses
from tests.cards.markdown import headings, html_tokens, table_lines, tables
from tests.cards.test_tasks import recipe_of, report_of

OTHERS = tuple(code for code in languages() if code != "en")
_CODE = re.compile(r"^(`{3,}).*?^\1$|`[^`\n]*`|<code>.*?</code>", re.DOTALL | re.MULTILINE)
_LINK = re.compile(r"\]\([^)]*\)")


def full_report(task: str) -> Report:
    """A report with everything that a card can show: slices, reliability and energy too."""
    report = report_of(task)
    assert report.timings
    timings = tuple(
        timing.model_copy(
            update={
                "points": tuple(
                    p.model_copy(update={"energy_j": p.seconds * 40}) for p in timing.points
                )
            }
        )
        for timing in report.timings.timings
    )
    analyses = make_analyses() if TASK_KEYS[task].labels else None
    return report.model_copy(
        update={
            "timings": report.timings.model_copy(update={"timings": timings}),
            "analyses": analyses,
        }
    )


@lru_cache(maxsize=64)
def card_in(code: str, task: str = "text-classification") -> str:
    return render_card(
        recipe_of(task),
        NOTES,
        make_lock(),
        full_report(task),
        REPO_ID,
        shipped=(),
        language=code,
        languages=languages(),
    )


@pytest.mark.parametrize("task", TASKS.names())
@pytest.mark.parametrize("code", languages())
def test_the_golden_card(code: str, task: str, golden: Callable[[str, str], None]) -> None:
    golden(f"cards/{task}.{code}.md", card_in(code, task))


@pytest.mark.parametrize("task", TASKS.names())
@pytest.mark.parametrize("code", OTHERS)
def test_a_card_has_the_sections_and_tables_of_the_english_one(code: str, task: str) -> None:
    ours, english = card_in(code, task), card_in("en", task)
    for level in ("h2", "h3"):
        assert len(headings(ours, level)) == len(headings(english, level))
    shapes = [[len(row) for row in table] for table in tables(ours)]
    assert shapes == [[len(row) for row in table] for table in tables(english)]
    assert len(table_lines(ours)) == len(table_lines(english))


def blocks(text: str) -> list[str]:
    """What is code: identifiers and programs, which no language changes."""
    return [match[0] for match in _CODE.finditer(text)]


@pytest.mark.parametrize("code", OTHERS)
def test_code_and_identifiers_are_never_translated(code: str) -> None:
    assert Counter(blocks(plain(card_in(code)))) == Counter(blocks(plain(card_in("en"))))


def numbers_in(text: str, code: str) -> Counter[str]:
    """The numbers of a card as Python writes them, code, addresses and the date left out."""
    symbols = Locale.parse(code).number_symbols["latn"]
    body = re.sub(r"\A---\n.*?\n---\n", "", plain(text), flags=re.DOTALL)
    body = _LINK.sub("]", _CODE.sub(" ", body))
    body = "\n".join(line for line in body.splitlines() if "2026" not in line)
    group, point = re.escape(symbols["group"]), re.escape(symbols["decimal"])
    body = re.sub(rf"(?<=\d){group}(?=\d{{3}}(?!\d))", "", body)
    body = re.sub(rf"(?<=\d){point}(?=\d)", ".", body)
    return Counter(re.findall(r"[−+]?\d+(?:\.\d+)*", body))


@pytest.mark.parametrize("task", TASKS.names())
@pytest.mark.parametrize("code", OTHERS)
def test_the_numbers_are_the_same_in_every_language(code: str, task: str) -> None:
    ours, english = numbers_in(card_in(code, task), code), numbers_in(card_in("en", task), "en")
    assert len(english) > 50
    assert ours == english


def test_the_first_language_is_readme_and_alone_has_front_matter() -> None:
    lock, report = make_lock(), report_of("text-classification")

    def card(code: str) -> str:
        return render_card(
            make_recipe(), "", lock, report, REPO_ID, language=code, languages=("zh", "en")
        )

    assert card("zh").startswith("---\n")
    assert not card("en").startswith("---\n")
    assert card("en").splitlines()[0] == "[中文](README.md) · **English**"
    assert "**中文** · [English](README.en.md)" in card("zh")


@pytest.mark.parametrize("code", OTHERS)
def test_a_card_alone_has_no_switcher(code: str) -> None:
    text = render_card(
        make_recipe(), "", make_lock(), report_of("text-classification"), REPO_ID, language=code
    )
    assert "README." not in text


def test_arabic_reads_from_the_right_and_its_code_from_the_left() -> None:
    text = card_in("ar")
    # The switcher stays in the order of the page around it.
    assert text.splitlines()[2:4] == ['<div dir="rtl">', ""]
    assert text.endswith("\n\n</div>\n")
    opened = [html.strip() for html in html_tokens(text)]
    assert opened.count("</div>") == len([t for t in opened if t.startswith("<div dir=")])
    fences = re.findall(r'(<div dir="ltr">\n\n)?```\w+\n', text)
    assert all(fences[1:]), "each code block, but that in the author's notes"
    assert len(fences) > 5
    assert "dir=" not in card_in("en")


def test_text_that_is_not_translated_is_shown_in_english_and_said_to_be() -> None:
    lock, report = make_lock(), report_of("text-classification")

    def german(translation: Translation | None) -> str:
        return render_card(
            make_recipe(), NOTES, lock, report, REPO_ID, language="de", translation=translation
        )

    note = "nicht übersetzt"
    assert note in german(None)
    assert NOTES.strip() in german(None)
    some = Translation(
        text="Dieses Modell beschriftet Sätze.\n",
        card=CardData.model_validate({"intended_use": {"primary_users": "Alle."}}),
    )
    assert note in german(some)
    assert "| Alle. |" in german(some)
    assert "Dieses Modell beschriftet Sätze." in german(some)
    assert NOTES.strip() not in german(some)
    whole = Translation(text="Ja.\n", card=make_recipe().card)
    assert note not in german(whole)
