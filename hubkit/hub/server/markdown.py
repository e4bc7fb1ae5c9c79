"""Markdown of cards as safe HTML: no scripts, no styles, relative links kept inside the repo."""

from __future__ import annotations

import posixpath
from functools import cache
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote, urlsplit

import nh3
from markdown_it import MarkdownIt
from mdit_py_plugins.anchors import anchors_plugin
from mdit_py_plugins.footnote import footnote_plugin
from mdit_py_plugins.tasklists import tasklists_plugin

if TYPE_CHECKING:
    from collections.abc import Callable

_HEADINGS = {f"h{n}" for n in range(1, 7)}
_ATTRIBUTES: dict[str, set[str]] = {
    **{tag: set(names) for tag, names in nh3.ALLOWED_ATTRIBUTES.items()},
    **{tag: {"id", "align"} for tag in (*_HEADINGS, "p", "div", "section", "li")},
    "a": {"href", "title", "id"},
    "img": {"src", "alt", "title", "width", "height", "align"},
    "input": {"type", "checked", "disabled"},
    "code": {"class"},
    "td": {"align", "colspan", "rowspan", "style"},
    "th": {"align", "colspan", "rowspan", "scope", "style"},
    "details": {"open"},
}
_TAGS = nh3.ALLOWED_TAGS | {"input", "section", "details", "summary"}


@cache
def _parser() -> MarkdownIt:
    made = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
    made.use(anchors_plugin, max_level=4).use(footnote_plugin).use(tasklists_plugin)
    return made


def repo_link(value: str, folder: str, url_of: Callable[[str], str]) -> str | None:
    """Where a link goes: a relative one to the repository's file, one that leaves it nowhere."""
    try:
        parts = urlsplit(value)
    except ValueError:
        return None
    if parts.scheme or parts.netloc or not parts.path:
        return value
    if parts.path.startswith("/"):
        return None if parts.path.startswith(("//", "/\\")) else value
    path = posixpath.normpath(posixpath.join(folder, unquote(parts.path)))
    if path.startswith("..") or "\\" in path or "\0" in path:
        return None
    fragment = f"#{parts.fragment}" if parts.fragment else ""
    return url_of(quote("" if path == "." else path)) + fragment


def render(text: str, *, folder: str, page_url: str, file_url: str) -> str:
    """Sanitised HTML of a card that lies in `folder` of a repository.

    Relative links become `page_url` + path and relative images `file_url` + path.
    """

    def attribute(tag: str, name: str, value: str) -> str | None:
        if name == "href":
            return repo_link(value, folder, lambda path: page_url + path)
        if name == "src":
            return repo_link(value, folder, lambda path: file_url + path)
        if tag == "input" and name == "type":
            return "checkbox"
        return value

    return nh3.clean(
        _parser().render(text),
        tags=_TAGS,
        attributes=_ATTRIBUTES,
        attribute_filter=attribute,
        filter_style_properties={"text-align"},
        set_tag_attribute_values={"input": {"disabled": ""}, "img": {"loading": "lazy"}},
        url_schemes={"http", "https", "mailto"},
    )
