"""Markdown as a reader's browser would see it."""

from __future__ import annotations

import re

from markdown_it import MarkdownIt
from markdown_it.token import Token


def parsed(text: str) -> list[Token]:
    """The tokens of a card's body; its front matter is left out."""
    body = re.sub(r"\A---\n.*?\n---\n", "", text, flags=re.DOTALL)
    return MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"]).parse(body)


def tables(text: str) -> list[list[list[str]]]:
    """Every table as rows of cells, each cell its source text."""
    found: list[list[list[str]]] = []
    for token, following in zip(parsed(text), [*parsed(text)[1:], None], strict=True):
        if token.type == "table_open":
            found.append([])
        elif token.type == "tr_open":
            found[-1].append([])
        elif token.type in ("td_open", "th_open") and following:
            found[-1][-1].append(following.content)
    return found


def table_lines(text: str) -> list[str]:
    """The lines that look like rows of tables, outside code blocks."""
    outside = re.sub(r"^(`{3,}).*?^\1$", "", text, flags=re.DOTALL | re.MULTILINE)
    return [line for line in outside.splitlines() if line.startswith("|")]


def headings(text: str, tag: str = "h2") -> list[str]:
    """The headings of one level, in order."""
    tokens = parsed(text)
    return [
        tokens[i + 1].content
        for i, t in enumerate(tokens)
        if t.type == "heading_open" and t.tag == tag
    ]


def html_tokens(text: str) -> list[str]:
    """Raw HTML that a renderer would obey."""
    found = []
    for token in parsed(text):
        for part in (token, *(token.children or ())):
            if part.type in ("html_block", "html_inline"):
                found.append(part.content)
    return found


def visible(text: str) -> str:
    """What a reader sees of a paragraph."""
    return "".join(
        part.content
        for token in parsed(text)
        for part in token.children or ()
        if part.type in ("text", "code_inline", "softbreak")
    )


def links(text: str) -> list[str]:
    """The targets of all links and images."""
    return [
        str(part.attrs.get("href") or part.attrs.get("src"))
        for token in parsed(text)
        for part in token.children or ()
        if part.type in ("link_open", "image")
    ]
