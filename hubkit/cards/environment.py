"""The Jinja environment of the cards: unknown names are errors, and data is escaped."""

from __future__ import annotations

import traceback
from pathlib import Path
from typing import TYPE_CHECKING

from markupsafe import Markup

from hubkit.cards import escape, numbers
from hubkit.cards.layout import metric_title, metric_words
from hubkit.errors import HubkitError
from hubkit.paths import templates_dir

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jinja2 import Environment

_FILTERS = {
    "plain": escape.plain,
    "code": escape.code,
    "revision": escape.revision,
    "prose": escape.prose,
    "paragraphs": escape.paragraphs,
    "metric_title": metric_title,
    "metric_words": metric_words,
    "count": numbers.count,
    "score": numbers.score,
    "interval": numbers.interval,
    "difference": numbers.difference,
    "signed": numbers.signed,
    "measured": numbers.measured,
    "megabytes": numbers.megabytes,
    "milliseconds": numbers.milliseconds,
    "per_second": numbers.per_second,
    "ratio": numbers.ratio,
    "percent": numbers.percent,
    "loss_share": numbers.loss_share,
    "probability": numbers.probability,
    "logit": numbers.logit,
}


class TemplateError(HubkitError):
    """A template cannot be read or names what does not exist; the message has file and line."""


def _ready(value: object) -> Markup:
    # Called for every expression: `Markup` passes, an Undefined raises in str(), the rest is data.
    return value if isinstance(value, Markup) else escape.plain(str(value))


def environment(folders: tuple[Path, ...]) -> Environment:
    """An environment that looks for templates in `folders`, first come first served."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    made = Environment(
        loader=FileSystemLoader([str(folder) for folder in folders]),
        undefined=StrictUndefined,
        autoescape=True,  # so that macros and super() give Markup; the escaping itself is `_ready`
        finalize=_ready,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    made.filters.update(_FILTERS)
    made.globals.update(link=escape.link, fenced=escape.fenced)
    return made


def render(name: str, context: Mapping[str, object], folders: tuple[Path, ...] = ()) -> str:
    """The template `name` filled in. `folders` are searched before hubkit's own templates.

    Raises TemplateError with the template, the line and the names that exist.
    """
    from jinja2 import TemplateError as JinjaError
    from jinja2 import TemplateNotFound, TemplateSyntaxError

    searched = (*folders, templates_dir())
    try:
        return environment(searched).get_template(name).render(context)
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
    except JinjaError as error:
        where = _place(error, searched)
        raise TemplateError(
            f"{where}: {error.message}",
            hint=f"Names that exist: {', '.join(sorted(context))}.",
        ) from error


def _place(error: Exception, folders: tuple[Path, ...]) -> str:
    # Jinja rewrites tracebacks: frames of a template carry its file name and line.
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        for folder in folders:
            if Path(frame.filename).is_relative_to(folder):
                return f"{Path(frame.filename).relative_to(folder).as_posix()}, line {frame.lineno}"
    return "the card's template"
