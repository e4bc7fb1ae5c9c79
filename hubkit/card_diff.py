"""diff_cards(): cards against those that are on the Hub, as unified diffs."""

from __future__ import annotations

import difflib
from contextlib import suppress

from hubkit.hub.client import Hub
from hubkit.hub.faults import NotThere
from hubkit.hub.manifest import SUMS, parse_sums
from hubkit.recorded import is_card
from hubkit.records import CardSet, Record


class CardDiff(Record):
    """How a card would change on the Hub: the lines of a unified diff, none where it is equal."""

    path: str
    lines: tuple[str, ...]


def diff_cards(hub: Hub, cards: CardSet, repo_id: str) -> tuple[CardDiff, ...]:
    """Each card against the main branch of a repository, and the cards that hubkit put there and
    that are no more. A repository or a file that is not there yet: all lines are new.

    Raises HubError.
    """
    state = hub.state(repo_id)
    head = state.head if state else None
    wanted = {card.path: card.text for card in cards.cards}
    there = _remote_cards(hub, repo_id, head, frozenset(wanted)) if head else {}
    return tuple(
        CardDiff(path=path, lines=unified(there.get(path), wanted.get(path), path))
        for path in (*wanted, *(path for path in there if path not in wanted))
    )


def unified(old: str | None, new: str | None, path: str) -> tuple[str, ...]:
    """The lines of a unified diff (of GNU diff -u) from one text to another; None: no such file."""
    if old == new:
        return ()
    before = f"a/{path}" if old is not None else "/dev/null"
    after = f"b/{path}" if new is not None else "/dev/null"
    lines = difflib.unified_diff(_lines(old), _lines(new), before, after, lineterm="")
    return tuple(part for line in lines for part in line.rstrip("\n").split("\n"))


def _lines(text: str | None) -> list[str]:
    if not text:
        return []
    *lines, last = text.split("\n")
    return [*lines, f"{last}\n\\ No newline at end of file"] if last else lines


def _remote_cards(hub: Hub, repo_id: str, head: str, wanted: frozenset[str]) -> dict[str, str]:
    """The cards of a revision, but for another's in a language that we have none in."""
    ours = wanted | _written_by_hubkit(hub, repo_id, head)
    there = (path for path in hub.remote_files(repo_id, head) if is_card(path) and path in ours)
    return {
        path: hub.read(repo_id, head, path).decode("utf-8", errors="replace")
        for path in sorted(there)
    }


def _written_by_hubkit(hub: Hub, repo_id: str, head: str) -> frozenset[str]:
    with suppress(NotThere, ValueError):  # ValueError: not of our format
        return frozenset(parse_sums(hub.read(repo_id, head, SUMS).decode()))
    return frozenset()
