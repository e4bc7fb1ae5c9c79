"""Markdown of cards as safe HTML: no scripts, no styles, relative links kept inside the repo."""

from __future__ import annotations

import posixpath
import re
from html import escape
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote, urlsplit

import nh3

from hubkit.hub.server.gfm import TABLE_BOX, html_of

if TYPE_CHECKING:
    from collections.abc import Callable

_HEADINGS = {f"h{n}" for n in range(1, 7)}
_TAGS = nh3.ALLOWED_TAGS | {"input", "section", "details", "summary", "tfoot"}
_ATTRIBUTES: dict[str, set[str]] = {
    **{tag: set(names) for tag, names in nh3.ALLOWED_ATTRIBUTES.items()},
    **{tag: {"id", "align"} for tag in (*_HEADINGS, "p", "div", "section", "li")},
    "*": {"dir", "lang"},
    "a": {"href", "title", "id"},
    "img": {"src", "alt", "title", "width", "height", "align"},
    "input": {"type", "checked", "disabled"},
    "td": {"align", "colspan", "rowspan", "style"},
    "th": {"align", "colspan", "rowspan", "scope", "style"},
    "details": {"open"},
}
_ALERTS = {f"markdown-alert-{kind}" for kind in ("note", "tip", "important", "warning", "caution")}
# The renderer's own classes: any other would let a card dress up as a part of the page.
_CLASSES = {
    "div": {TABLE_BOX, "markdown-alert", *_ALERTS},
    "p": {"markdown-alert-title"},
    "ul": {"contains-task-list"},
    "li": {"task-list-item"},
    "sup": {"footnote-ref"},
    "section": {"footnotes"},
}
_DIRECTIONS = frozenset({"ltr", "rtl", "auto"})
_LANGUAGE = re.compile(r"[A-Za-z]{2,8}(?:-[A-Za-z0-9]{1,8}){0,4}")
# Pixels or percent: an image of any other size could cover the page or hide.
_LENGTH = re.compile(r"\d{1,4}%?")
_MOST_CHARACTERS = 512 * 1024


def repo_path(value: str, folder: str) -> tuple[str, str] | None:
    """A relative link from a file in `folder` as (path in the repository, "#fragment" or "").

    None where it is not relative, has no path or leaves the repository.
    """
    try:
        parts = urlsplit(value)
    except ValueError:
        return None
    if parts.scheme or parts.netloc or not parts.path or parts.path.startswith("/"):
        return None
    path = posixpath.normpath(posixpath.join(folder, unquote(parts.path)))
    if path == ".." or path.startswith(("../", "/")) or "\\" in path or "\0" in path:
        return None
    return "" if path == "." else path, f"#{parts.fragment}" if parts.fragment else ""


def repo_link(value: str, folder: str, url_of: Callable[[str], str]) -> str | None:
    """Where a link goes: a relative one to `url_of` its path, one that leaves the repo nowhere."""
    try:
        parts = urlsplit(value)
    except ValueError:
        return None
    if parts.scheme or parts.netloc or not parts.path:
        return value
    if parts.path.startswith("/"):
        return None if parts.path.startswith(("//", "/\\")) else value
    found = repo_path(value, folder)
    return url_of(found[0]) + found[1] if found else None


def _plain_attribute(tag: str, name: str, value: str) -> str | None:
    """What becomes of an attribute that holds no address."""
    if name == "dir":
        return value.lower() if value.lower() in _DIRECTIONS else None
    if name == "lang":
        return value if _LANGUAGE.fullmatch(value) else None
    if tag == "input" and name == "type":
        return "checkbox"
    if tag == "img" and name in ("width", "height"):
        return value if _LENGTH.fullmatch(value) else None
    return value


def render_linked(
    text: str, *, page_of: Callable[[str], str | None], file_of: Callable[[str], str | None]
) -> str:
    """Sanitised HTML of a card, its links and images changed by functions: None takes one away.

    A text of over half a million characters is shown as it is: it takes seconds to render."""
    if len(text) > _MOST_CHARACTERS:
        return f"<pre>{escape(text)}</pre>"

    def attribute(tag: str, name: str, value: str) -> str | None:
        if name == "href":
            return page_of(value)
        if name == "src":
            return file_of(value)
        return _plain_attribute(tag, name, value)

    return nh3.clean(
        html_of(text),
        tags=_TAGS,
        attributes=_ATTRIBUTES,
        attribute_filter=attribute,
        allowed_classes=_CLASSES,
        filter_style_properties={"text-align"},
        set_tag_attribute_values={"input": {"disabled": ""}, "img": {"loading": "lazy"}},
        url_schemes={"http", "https", "mailto"},
    )


def render(text: str, *, folder: str, page_url: str, file_url: str) -> str:
    """Sanitised HTML of a card that lies in `folder` of a repository.

    Relative links become `page_url` + path and relative images `file_url` + path.
    """
    return render_linked(
        text,
        page_of=lambda value: repo_link(value, folder, lambda path: page_url + quote(path)),
        file_of=lambda value: repo_link(value, folder, lambda path: file_url + quote(path)),
    )
