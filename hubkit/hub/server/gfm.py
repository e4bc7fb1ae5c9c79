"""GitHub-flavoured Markdown as the Hub renders it, before anything is made safe."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from markdown_it import MarkdownIt
from mdit_py_plugins.footnote import footnote_plugin
from mdit_py_plugins.gfm_autolink import gfm_autolink_plugin

from hubkit.hub.server.slugs import Slugs

if TYPE_CHECKING:
    from markdown_it.rules_core import StateCore
    from markdown_it.token import Token

TABLE_BOX = "table-box"
"""Class of the box around a table, in which a wide one scrolls."""

_OPTIONS = {"html": True, "tasklists": True, "alerts": True, "strikethrough_single_tilde": True}
_SHOWN = ("text", "code_inline")


def _text(tokens: list[Token] | None) -> str:
    """What is read of a heading: links and emphasis are their text, images are nothing."""
    return "".join(token.content for token in tokens or () if token.type in _SHOWN)


def _heading_ids(state: StateCore) -> None:
    slugs = Slugs()
    for token, inside in zip(state.tokens, state.tokens[1:], strict=False):
        if token.type == "heading_open":
            token.attrSet("id", slugs.of(_text(inside.children)))


def _table_open(*_: object) -> str:
    return f'<div class="{TABLE_BOX}"><table>\n'


def _table_close(*_: object) -> str:
    return "</table></div>\n"


@cache
def _parser() -> MarkdownIt:
    made = MarkdownIt("commonmark", _OPTIONS).enable(["table", "strikethrough"])
    made.use(footnote_plugin, inline=False).use(gfm_autolink_plugin)
    made.core.ruler.push("heading_ids", _heading_ids)
    made.add_render_rule("table_open", lambda self, *more: _table_open(*more))
    made.add_render_rule("table_close", lambda self, *more: _table_close(*more))
    return made


def html_of(markdown: str) -> str:
    """HTML of a document, whatever HTML is in it included: sanitise before use."""
    html: str = _parser().render(markdown)
    return html
