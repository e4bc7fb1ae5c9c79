"""Pages of discussions and pull requests."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from dulwich.graph import find_merge_base
from dulwich.objects import ObjectID

from hubkit.hub.server import discussions
from hubkit.hub.server.changes import Change, changes, first_parent
from hubkit.hub.server.page_parts import common, made, rendered
from hubkit.hub.server.problems import Problem
from hubkit.hub.server.templates import page

if TYPE_CHECKING:
    from starlette.responses import Response

    from hubkit.hub.server.call import Call
    from hubkit.hub.server.discussions import Discussion, Event
    from hubkit.hub.server.git import GitRepo
    from hubkit.hub.server.page_parts import Made

_A_PAGE = 50
_MOST_EVENTS = 500
_OPEN = ("open", "draft")


@dataclass(frozen=True)
class Shown:
    """Something that happened in a discussion: `html` of a comment, `text` of all else."""

    author: str
    date: str
    kind: str
    html: str = ""
    text: str = ""
    edited: bool = False


def list_page(call: Call) -> Response:
    """GET /{id}/discussions[?status=closed&p=]"""
    closed = call.text("status") == "closed"
    number = call.number("p", 0, most=10_000)
    everything = discussions.load_all(call.repository)
    found = [item for item in everything if (item.status not in _OPEN) == closed]
    with call.repository.git() as git:
        values = common(call, git, "main", call.commit(git, "main"))
    return page(
        "discussions",
        title=f"Discussions of {call.repository.id.id}",
        tab="discussions",
        found=found[number * _A_PAGE : (number + 1) * _A_PAGE],
        closed=closed,
        counts=(sum(item.status in _OPEN for item in everything), len(everything)),
        number=number,
        more=len(found) > (number + 1) * _A_PAGE,
        **values,
    )


def discussion_page(call: Call) -> Response:
    """GET /{id}/discussions/{num}: what was said, and of a pull request what it changes"""
    text = call.rest[1]
    if not text.isascii() or not text.isdigit() or len(text) > 9:
        raise Problem(404, f"Discussion {text} not found")
    found = discussions.load(call.repository, int(text))
    with call.repository.git() as git:
        values = common(call, git, "main", call.commit(git, "main"))
        changed, commits = _of_pull_request(git, found)
    return page(
        "discussion",
        title=f"{found.title} · {call.repository.id.id}",
        tab="discussions",
        found=found,
        events=[_shown(call, event) for event in found.events[:_MOST_EVENTS]],
        changes=changed,
        commits=commits,
        **values,
    )


def _of_pull_request(git: GitRepo, found: Discussion) -> tuple[list[Change], list[Made]]:
    """What a pull request changes, and its commits, newest first."""
    if not found.is_pull_request:
        return [], []
    if found.merge_commit is not None:
        merged = git.commit(found.merge_commit)
        return changes(git, first_parent(merged), found.merge_commit), [made(merged)]
    head, main = git.ref(found.ref), git.resolve("main")
    if head is None or main is None:
        return [], []
    ids = [ObjectID(main.encode()), ObjectID(head.encode())]
    bases = find_merge_base(git.dulwich, ids)
    base = bases[0].decode() if bases else None
    commits: list[Made] = []
    for item in git.history(head):
        if item.id.decode() == base or len(commits) == _A_PAGE:
            break
        commits.append(made(item))
    return changes(git, base, head), commits


def _shown(call: Call, event: Event) -> Shown:
    data, common_values = event.data, (event.author, event.created_at, event.type)
    if event.type == "comment":
        latest = data.get("latest")
        raw = latest.get("raw") if isinstance(latest, dict) else ""
        if data.get("hidden"):
            return Shown(*common_values, text="This comment has been hidden.")
        html = rendered(call, raw, "", "main") if isinstance(raw, str) else ""
        return Shown(*common_values, html=html, edited=bool(data.get("edited")))
    words = {
        "status-change": f"changed the status to {data.get('status')}",
        "title-change": f"changed the title from “{data.get('from')}” to “{data.get('to')}”",
        "commit": f"pushed {data.get('subject') or data.get('oid') or 'a commit'}",
    }
    return Shown(*common_values, text=words.get(event.type, event.type))
