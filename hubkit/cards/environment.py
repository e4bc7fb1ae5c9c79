"""The Jinja environment of the cards: unknown names are errors, and data is escaped."""

from __future__ import annotations

import datetime
import re
import traceback
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from markupsafe import Markup

from hubkit.cards import escape
from hubkit.cards.numbers import Numbers
from hubkit.errors import HubkitError
from hubkit.i18n import SOURCE, Language, language
from hubkit.paths import cache_dir, templates_dir

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jinja2 import BytecodeCache, Environment
    from jinja2.runtime import Context

# A template of a folder of one's own extends hubkit's under this prefix: "hubkit/card/base.md.j2".
OWN = "hubkit"
_NUMBERS = (
    "count",
    "score",
    "interval",
    "difference",
    "signed",
    "measured",
    "megabytes",
    "milliseconds",
    "per_second",
    "seconds",
    "decimal",
    "ratio",
    "percent",
    "loss_share",
    "probability",
    "logit",
    "significant",
    "cosine",
)
_ISO_DATE = re.compile(r"^\d{4}-\d{2}-\d{2}$")


class TemplateError(HubkitError):
    """A template cannot be read or names what does not exist; the message has file and line."""


def _ready(value: object) -> Markup:
    # Called for every expression: `Markup` passes, an Undefined raises in str(), the rest is data.
    return value if isinstance(value, Markup) else escape.plain(str(value))


def _filled(message: str, values: Mapping[str, object]) -> Markup:
    """A message of the catalogue, which is Markdown, with its names filled in, which are data."""
    return Markup(message.format(**{name: _ready(value) for name, value in values.items()}))


def _language(context: Context) -> Language:
    found = context.get("language") or language(SOURCE)  # a report is in English alone
    assert isinstance(found, Language)
    return found


def _numbers(context: Context) -> Numbers:
    found = context.get("numbers") or Numbers()
    assert isinstance(found, Numbers)
    return found


def _gettext(context: Context, message: str, /, **values: object) -> Markup:
    return _filled(_language(context).gettext(message), values)


def _pgettext(context: Context, about: str, message: str, /, **values: object) -> Markup:
    return _filled(_language(context).pgettext(about, message), values)


def _ngettext(context: Context, one: str, many: str, n: int, /, **values: object) -> Markup:
    message = _language(context).ngettext(one, many, n)
    return _filled(message, {"n": _numbers(context).count(n), **values})


def _number(name: str) -> Callable[..., Markup]:
    """A filter that writes a number as the card's language does."""

    def show(context: Context, value: object) -> Markup:
        return escape.plain(getattr(_numbers(context), name)(value))

    return show


def _prose(context: Context, value: str) -> Markup:
    return Markup(_language(context).isolated(escape.prose(value)))


def _paragraphs(context: Context, value: str) -> Markup:
    return directed(_language(context), escape.paragraphs(value))


def directed(language: Language, markdown: Markup) -> Markup:
    """Whole paragraphs of the author, which may be of another direction than the card."""
    if not language.rtl or not markdown:
        return markdown
    return Markup(f'<div dir="auto">\n\n{markdown}\n\n</div>')


def _fenced(context: Context, value: str, code: str) -> Markup:
    block = escape.fenced(value, code)
    if not _language(context).rtl:
        return block
    return Markup(f'<div dir="ltr">\n\n{block}\n\n</div>')


def _isolated(context: Context, value: str) -> Markup:
    return Markup(_language(context).isolated(_ready(value)))


def _ltr(context: Context, value: str) -> Markup:
    return Markup(_language(context).ltr(_ready(value)))


def _date(context: Context, value: str) -> Markup:
    """A date as 2026-11-20 in the card's way; any other text is the author's."""
    if _ISO_DATE.match(value.strip()):
        try:
            return escape.plain(_language(context).date(datetime.date.fromisoformat(value.strip())))
        except ValueError:
            pass
    return _prose(context, value)


@lru_cache(maxsize=8)
def environment(folders: tuple[Path, ...], shipped: Path) -> Environment:
    """An environment that looks for templates in `folders`, first come first served, then in
    hubkit's own folder, whose templates under the prefix `hubkit/` are never hidden.

    Templates of others run in Jinja's sandbox: they see what a card shows, and no more.
    """
    from jinja2 import ChoiceLoader, FileSystemLoader, PrefixLoader, StrictUndefined, pass_context
    from jinja2.sandbox import SandboxedEnvironment

    own = FileSystemLoader(str(shipped))
    made = SandboxedEnvironment(
        loader=ChoiceLoader(
            [*(FileSystemLoader(str(folder)) for folder in folders), own, PrefixLoader({OWN: own})]
        ),
        undefined=StrictUndefined,
        autoescape=True,  # so that macros and super() give Markup; the escaping itself is `_ready`
        finalize=_ready,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        bytecode_cache=_bytecode(),
    )
    made.filters.update(
        {
            "plain": escape.plain,
            "code": escape.code,
            "revision": escape.revision,
            "slug": escape.slug,
            "prose": pass_context(_prose),
            "paragraphs": pass_context(_paragraphs),
            "isolated": pass_context(_isolated),
            "ltr": pass_context(_ltr),
            "date": pass_context(_date),
            **{name: pass_context(_number(name)) for name in _NUMBERS},
        }
    )
    made.globals.update(
        link=escape.link,
        fenced=pass_context(_fenced),
        _=pass_context(_gettext),
        gettext=pass_context(_gettext),
        pgettext=pass_context(_pgettext),
        ngettext=pass_context(_ngettext),
    )
    return made


def _bytecode() -> BytecodeCache | None:
    """Compiled templates are kept: compiling them takes longer than rendering a card."""
    from jinja2 import FileSystemBytecodeCache

    folder = cache_dir() / "templates"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return None
    return FileSystemBytecodeCache(str(folder))


def render(name: str, context: Mapping[str, object], folders: tuple[Path, ...] = ()) -> str:
    """The template `name` filled in. `folders` are searched before hubkit's own templates.

    Raises TemplateError with the template, the line and the names that exist.
    """
    from jinja2 import TemplateError as JinjaError
    from jinja2 import TemplateNotFound, TemplateSyntaxError

    shipped = templates_dir()
    searched = (*folders, shipped)
    try:
        return environment(folders, shipped).get_template(name).render(context)
    except TemplateNotFound as error:
        raise TemplateError(
            f"there is no template {error.name}",
            hint=f"Looked in: {', '.join(str(folder) for folder in searched)}.",
        ) from error
    except TemplateSyntaxError as error:
        raise TemplateError(
            f"{error.name}, line {error.lineno}: {error.message}",
            hint="Mend the template at that line.",
        ) from error
    except (JinjaError, TypeError, ValueError, KeyError, AttributeError) as error:
        if not _from_template(error, searched):
            raise
        where = _place(error, searched)
        what = error.message if isinstance(error, JinjaError) else repr(error)
        raise TemplateError(
            f"{where}: {what}",
            hint=f"Names that exist: {', '.join(sorted(context))}.",
        ) from error


def _from_template(error: Exception, folders: tuple[Path, ...]) -> bool:
    return bool(_place(error, folders))


def _place(error: Exception, folders: tuple[Path, ...]) -> str:
    # Jinja rewrites tracebacks: frames of a template carry its file name and line.
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        for folder in folders:
            if Path(frame.filename).is_relative_to(folder):
                return f"{Path(frame.filename).relative_to(folder).as_posix()}, line {frame.lineno}"
    return ""
