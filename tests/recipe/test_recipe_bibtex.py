"""BibTeX that programs can read, and the line of what they cannot."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hubkit.recipe_bibtex import BibProblem, entries, problems
from hubkit.recipe_file import load_recipe
from tests.cards.examples import make_recipe

TWO = """% what to cite
@misc{one-2026:a,
  title = {A {Title} with "quotes" # and, signs},
  author = "Author, A. and {B. Author}",
  month = nov # "~1",
  year = 2026,
}

@string{press = {A Press}}
@book(two,
  title = {Two}, publisher = press
)
"""


def test_what_is_read() -> None:
    assert entries(TWO) == ("one-2026:a", "two")
    assert problems(TWO) == ()


@pytest.mark.parametrize(
    ("text", "line", "what"),
    [
        ("", 1, "expected BibTeX entries"),
        ("see the paper", 1, "expected BibTeX entries"),
        ("@comment{x}", 1, "expected BibTeX entries"),
        ("@misc", 1, "expected BibTeX entries"),
        ("@misc{a, title = {A}", 1, "the braces of this entry do not match"),
        ("@misc{a, title = {A}}} }", 1, "the braces of this entry do not match"),
        ("@misc{a, title = {A}}\n\n}", 3, "the braces of this entry do not match"),
        ("@misc{a,\n title = {A}\n@misc{b, title = {B}}", 1, "the braces of this entry"),
        ("@misc{a author = {A}}", 1, "expected @type{key, with a comma after the key"),
        ("@misc{, title = {A}}", 1, "expected @type{key, with a comma after the key"),
        ("@misc{a b, title = {A}}", 1, "expected @type{key, with a comma after the key"),
        ("@misc{a}", 1, "@misc{a: it has no field"),
        ("@misc{a,\n  title = {A} year = 2026\n}", 2, "title: expected {text} in braces"),
        ('@misc{a, title = "A {b"}', 1, "title: expected {text} in braces that match"),
        ("@misc{a, title = {A} {B}}", 1, "title: expected {text} in braces that match"),
        ("@misc{a, title = }", 1, "title: expected {text}, a number"),
        ("@misc{a, title = two words}", 1, "title: expected {text}, a number"),
        ("@misc{a,\n\n  journal = jmlr\n}", 3, "journal: there is no @string jmlr"),
        ("@misc{a, = {A}}", 1, "the field has no name"),
        ("@misc{a, title = {A}}\n@misc{a, title = {B}}", 2, "the key a is given twice"),
        ("@misc{a, title = {A}, title = {B}}", 1, "it has the field title twice"),
        ("@misc{a, title = {A}},\n@misc{b, title = {B}}", 1, "outside of any entry"),
    ],
)
def test_what_is_not(text: str, line: int, what: str, capfd: pytest.CaptureFixture[str]) -> None:
    (found,) = problems(text)
    assert found.line == line
    assert what in found.what
    assert capfd.readouterr().err == ""


def test_every_problem_is_named() -> None:
    text = "@misc{a, title = x}\n@misc{b, title = y}\n"
    assert problems(text) == (
        BibProblem(1, "@misc{a: title: there is no @string x; put text in braces"),
        BibProblem(2, "@misc{b: title: there is no @string y; put text in braces"),
    )


@pytest.mark.parametrize("demo", [False, True])
@pytest.mark.parametrize("name", ["distilbert-sst2", "distilbert-conll03"])
def test_the_shipped_recipes(name: str, demo: bool) -> None:
    text = load_recipe(name, demo=demo).recipe.card.bibtex
    assert text is not None
    assert problems(text) == ()
    keys = entries(text)
    assert len(keys) == text.count("\n@") + 1 >= 2


def test_the_example() -> None:
    text = make_recipe().card.bibtex or ""
    assert (entries(text), problems(text)) == (("tiny-sentiment-int8",), ())


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.text(alphabet='@miscab{}(),="#% \n2~', max_size=60))
def test_any_text_is_read_to_its_end(text: str) -> None:
    found = problems(text)
    assert found or entries(text)
    assert all(1 <= problem.line <= text.count("\n") + 1 for problem in found)
