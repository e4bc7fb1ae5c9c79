"""A repository's front page: its card in the reader's language, and what there is beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hubkit.hub.server.cards import tags_of
from hubkit.hub.server.downloads import all_downloads, daily_downloads
from hubkit.hub.server.info import card_at
from hubkit.hub.server.page_parts import common, file_rows, rendered
from hubkit.hub.server.reader_languages import UNNAMED, chosen, has_switch, translations
from hubkit.hub.server.results import results_of
from hubkit.hub.server.templates import page

if TYPE_CHECKING:
    from starlette.responses import Response

    from hubkit.hub.server.call import Call

_MOST_ROWS = 60


def repo_page(call: Call) -> Response:
    """GET /{id}[?lang=]: the card and the files of main"""
    with call.repository.git() as git:
        commit = call.commit(git, "main")
        values = common(call, git, "main", commit)
        primary = card_at(git, commit)
        root = git.entry(commit, "")
        assert root is not None
        rows = file_rows(git, root, recursive=True)
        cards = translations([row.path for row in rows], primary.body if primary else "")
        header = call.headers.get("accept-language", "")
        here = chosen(cards, call.text("lang"), header)
        card = card_at(git, commit, here.path) or primary
    data = primary.data if primary is not None else {}
    body = card.body if card is not None else ""
    url = call.repository.id.url_path
    # In the card's own switch and in the page's: the front page in that language.
    addresses = {one.path: f"{url}?lang={one.language or UNNAMED}" for one in cards}
    found = page(
        "repo",
        title=call.repository.id.id,
        tab="card",
        tags=[tag for tag in tags_of(data) if tag != "region:us"],
        card=rendered(call, body, here.path, "main", addresses if len(cards) > 1 else None),
        has_card=card is not None,
        errors=primary.errors if primary is not None else (),
        here=here,
        languages=() if has_switch(body) or len(cards) < 2 else cards,
        addresses=addresses,
        results=results_of(data),
        rows=rows[:_MOST_ROWS],
        more=len(rows) - _MOST_ROWS,
        size=sum(row.size for row in rows),
        days=daily_downloads(call.repository.path),
        downloads=all_downloads(call.repository.path),
        **values,
    )
    found.headers["Vary"] = "Accept-Language, Authorization"
    if here.language:
        found.headers["Content-Language"] = here.language
    return found
