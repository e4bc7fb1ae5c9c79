"""Jinja templates of the pages, and the headers every page has."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

if TYPE_CHECKING:
    from jinja2 import Environment
    from starlette.responses import Response

    from hubkit.hub.server.problems import Problem

_COMMIT = re.compile(r"[0-9a-f]{40}")
_POLICY = (
    "default-src 'none'; img-src 'self' https: data:; style-src 'unsafe-inline'; "
    "form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
)


def size_text(size_bytes: int) -> str:
    """A size for people, in powers of 1000 as the Hub shows it."""
    size = float(size_bytes)
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} TB"


@cache
def _templates() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    made = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "pages"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters["size"] = size_text
    made.filters["quoted"] = lambda text: quote(text, errors="surrogateescape")
    made.filters["day"] = lambda text: text[:10]
    made.filters["count"] = lambda number: f"{number:,}"
    made.filters["short"] = lambda name: name[:7] if _COMMIT.fullmatch(name) else name
    return made


def page_text(name: str, /, **values: object) -> str:
    """A template with its values, as HTML; what is no text, as in odd names of files, is a mark."""
    made = _templates().get_template(f"{name}.html.j2").render(values)
    return made.encode("utf-8", "replace").decode("utf-8")


def page(name: str, /, **values: object) -> Response:
    """A template with its values, as an answer with the headers of a page."""
    from starlette.responses import HTMLResponse

    headers = {
        "Cache-Control": "private, no-cache",  # a page may be of what is private
        "Content-Security-Policy": _POLICY,
        "Referrer-Policy": "no-referrer",
        "Vary": "Authorization",
    }
    return HTMLResponse(page_text(name, **values), headers=headers)


def problem(refused: Problem) -> Response:
    """A refusal as a page, with a way to sign in where that may help."""
    found = page(
        "problem",
        title=str(refused.status),
        user=None,
        message=refused.message,
        missing=refused.code == "RepoNotFound",
    )
    found.status_code = refused.status
    found.headers.update(refused.extra)
    return found
