"""The Jinja environment of the HTML page: the card's words and names, escaped for HTML."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from markupsafe import Markup, escape

from hubkit.cards.escape import one_line
from hubkit.i18n import SOURCE, Language, language
from hubkit.paths import templates_dir

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from jinja2 import Environment
    from jinja2.runtime import Context


def render_page(name: str, context: Mapping[str, object]) -> str:
    """The template `name` filled in as HTML."""
    return _environment(templates_dir()).get_template(name).render(context)


def _language(context: Context) -> Language:
    found = context.get("language") or language(SOURCE)
    assert isinstance(found, Language)
    return found


def _filled(message: str, values: Mapping[str, object]) -> Markup:
    return Markup(escape(message)).format(**values)


def _gettext(context: Context, message: str, /, **values: object) -> Markup:
    return _filled(_language(context).gettext(message), values)


def _pgettext(context: Context, about: str, message: str, /, **values: object) -> Markup:
    return _filled(_language(context).pgettext(about, message), values)


def _ngettext(context: Context, one: str, many: str, n: int, /, **values: object) -> Markup:
    spoken = _language(context)
    return _filled(spoken.ngettext(one, many, n), {"n": spoken.decimal(n), **values})


def _code(value: str) -> Markup:
    return Markup("<code>{}</code>").format(one_line(value))


def _link(text: str, url: str | None) -> Markup:
    if url is None or not url.startswith(("https://", "http://")):
        return escape(text)
    return Markup('<a href="{}">{}</a>').format(url, text)


def _isolated(context: Context, value: str) -> Markup:
    return Markup(_language(context).isolated(escape(value)))


def _ltr(context: Context, value: str) -> Markup:
    return Markup(_language(context).ltr(escape(value)))


@lru_cache(maxsize=2)
def _environment(folder: Path) -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined, pass_context

    made = Environment(
        loader=FileSystemLoader(str(folder)),
        undefined=StrictUndefined,
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    made.filters.update(
        code=_code, isolated=pass_context(_isolated), ltr=pass_context(_ltr), plain=escape
    )
    made.globals.update(
        link=_link,
        _=pass_context(_gettext),
        gettext=pass_context(_gettext),
        pgettext=pass_context(_pgettext),
        ngettext=pass_context(_ngettext),
    )
    return made
