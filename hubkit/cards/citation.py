"""CITATION.cff: how to cite a published model, for programs (Citation File Format 1.2.0)."""

from __future__ import annotations

import datetime
import re

from hubkit.cards.context import CardContext
from hubkit.cards.escape import one_line
from hubkit.hub_terms import SPDX

CITATION_FILE = "CITATION.cff"
_MESSAGE = "If you use this model, please cite it as said here."
_ISO_DATE = re.compile(r"^\d{4}-\d{2}-\d{2}$")


def citation_cff(context: CardContext) -> str | None:
    """The text of CITATION.cff; None where the author named no authors, which it cannot do without.

    Authors are entities, since the recipe gives names as people write them. The format knows
    software and datasets, and a model is software. What the recipe does not say is left out.
    """
    import yaml

    details, publication = context.recipe.card.details, context.recipe.publication
    authors = list(dict.fromkeys(filter(None, map(one_line, details.authors))))
    if not authors:
        return None
    found: dict[str, object] = {
        "cff-version": "1.2.0",
        "message": _MESSAGE,
        "title": one_line(context.title),
        "type": "software",
        "authors": [{"name": author} for author in authors],
    }
    optional = {
        "version": one_line(details.version or ""),
        "date-released": _date(details.date),
        "license": SPDX.get(publication.license),
        "license-url": _address(publication.license_link),
        "url": _page(context),
    }
    found |= {key: value for key, value in optional.items() if value}
    return yaml.safe_dump(found, sort_keys=False, allow_unicode=True, width=100)


def _date(text: str | None) -> str | None:
    """The date where it is one, and not words; as text, since YAML would make its own of it."""
    if text is None or not _ISO_DATE.match(text):
        return None
    try:
        return datetime.date.fromisoformat(text).isoformat()
    except ValueError:
        return None


def _address(link: str | None) -> str | None:
    return link if link and re.match(r"^https?://\S+$", link) else None


def _page(context: CardContext) -> str | None:
    """The repository on the public Hub; elsewhere its address is nobody else's."""
    from huggingface_hub.constants import HUGGINGFACE_CO_URL_HOME

    home = HUGGINGFACE_CO_URL_HOME.rstrip("/")
    return None if context.own_hub else f"{home}/{context.repo_id}"
