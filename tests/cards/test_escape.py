"""Text of unknown origin stays text: whatever it is, a reader sees it and no renderer obeys it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hubkit.cards.escape import code, fenced, link, one_line, paragraphs, plain, prose, revision
from tests.cards.markdown import html_tokens, links, parsed, tables, visible

HOSTILE = [
    "a | b",
    "a \\| b \\",
    "<script>alert(1)</script>",
    "<!-- gone",
    "[click](javascript:alert(1))",
    "![x](http://example.org/pixel.png)",
    "**bold** _it_ ~~no~~ `code`",
    "line\nbreak\r\nand\u2028more\x00",
    "---\nlicense: other\n---",
    "# heading",
    "1. list",
    "- list",
    "> quote",
    "&lt;b&gt; &amp; &#124;",
    "``` fence",
    "$$x^2$$",
    "{{ lock }} {% raw %}",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_plain_shows_a_text_literally(text: str) -> None:
    seen = str(plain(text))
    assert visible(f"x {seen}").removeprefix("x ") == one_line(text)
    assert html_tokens(seen) == []
    assert links(seen) == []
    assert tables(f"| h | i |\n|---|---|\n| {seen} | z |")[0][1][1] == "z"


@pytest.mark.parametrize("text", HOSTILE)
def test_plain_is_a_paragraph_even_at_the_start_of_a_line(text: str) -> None:
    kinds = [t.type for t in parsed(f"before\n\n{plain(text)}\n")]
    assert kinds == ["paragraph_open", "inline", "paragraph_close"] * 2


@given(st.text(max_size=60))
def test_plain_never_leaves_its_cell(text: str) -> None:
    rows = tables(f"| h | i |\n|---|---|\n| x {plain(text)} y | z |")[0]
    assert [len(row) for row in rows] == [2, 2]
    assert rows[1][1] == "z"
    assert html_tokens(f"x {plain(text)}") == []


@given(st.text(max_size=60))
def test_code_and_prose_never_leave_their_cell(text: str) -> None:
    for made in (code(text), prose(text)):
        rows = tables(f"| h | i |\n|---|---|\n| {made} | z |")
        assert rows[0][1][1:] == ["z"]


@pytest.mark.parametrize("text", ["NEGATIVE", "a b", "x*y", "<b>", "it's"])
def test_code_is_a_code_span_where_it_can_be(text: str) -> None:
    assert str(code(text)) == f"`{text}`"
    assert visible(str(code(text))) == text


@pytest.mark.parametrize("text", ["a|b", "a`b", "|"])
def test_code_is_an_element_where_a_span_would_break(text: str) -> None:
    assert str(code(text)) == f"<code>{plain(text)}</code>"


def test_prose_keeps_the_authors_markdown() -> None:
    made = prose("see [the paper](https://example.org/a)\nand *this*, <b>not</b> that | there")
    assert links(str(made)) == ["https://example.org/a"]
    assert html_tokens(str(made)) == []
    assert visible(str(made)) == "see the paper and this, <b>not</b> that | there"


def test_prose_keeps_autolinks() -> None:
    assert links(str(prose("at <https://example.org/x>"))) == ["https://example.org/x"]


def test_paragraphs_keep_their_breaks_and_lose_html() -> None:
    made = str(paragraphs("one\n\ntwo <img src=x>\n"))
    assert [t.type for t in parsed(made)].count("paragraph_open") == 2
    assert html_tokens(made) == []


@pytest.mark.parametrize(
    "url",
    ["javascript:alert(1)", "//example.org", "data:text/html,x", "http://a b", None, "x.html"],
)
def test_link_refuses_what_is_not_an_address(url: str | None) -> None:
    assert links(str(link("text", url))) == []


def test_link_holds_any_text_and_any_target() -> None:
    made = str(link("a](http://evil.example) | b", "https://example.org/a)b(c|d"))
    assert links(made) == ["https://example.org/a%29b%28c%7Cd"]
    assert visible(made) == "a](http://evil.example) | b"


SHA = "714eb0fa89d2f80546fda750413ed43d93601a13"


def test_a_commit_is_short_and_links_to_itself() -> None:
    made = str(revision(SHA, "/demo/x"))
    assert (visible(made), links(made)) == (SHA[:12], [f"/demo/x/tree/{SHA}"])
    assert str(revision(SHA)) == f"`{SHA[:12]}`"
    assert str(revision(SHA + SHA[:24], "/demo/x")) == f"`{SHA[:12]}`"  # a folder's digest
    assert links(str(revision("[a](b)", "/demo/x"))) == []


def test_a_fence_is_longer_than_any_inside() -> None:
    made = str(fenced("a\n````\nb", "bibtex"))
    (token,) = parsed(made)
    assert (token.type, token.content) == ("fence", "a\n````\nb\n")
