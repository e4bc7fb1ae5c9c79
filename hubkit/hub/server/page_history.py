"""Pages of what has happened: commits, what each changed, branches and tags."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from hubkit.hub.server.changes import changes, count_changes, first_parent
from hubkit.hub.server.page_parts import common, made
from hubkit.hub.server.problems import revision_not_found
from hubkit.hub.server.templates import page

if TYPE_CHECKING:
    from starlette.responses import Response

    from hubkit.hub.server.call import Call
    from hubkit.hub.server.git import GitRepo

_A_PAGE = 50
_MOST_CHANGES = 300
_MOST_REFS = 500
_REFS = (
    ("Branches", "refs/heads/"),
    ("Tags", "refs/tags/"),
    ("Conversions", "refs/convert/"),
    ("Mirrored commits", "refs/origin/"),
)


def commits_page(call: Call) -> Response:
    """GET /{id}/commits/{rev}[?p=]: commits, newest first, fifty a page"""
    revision = call.revision_and_path()[0] if len(call.rest) > 1 else "main"
    number = call.number("p", 0, most=10_000)
    with call.repository.git() as git:
        head = call.commit(git, revision)
        start = number * _A_PAGE
        found = list(islice(git.history(head), start, start + _A_PAGE + 1))
        history = [(made(item), count_changes(git, item)) for item in found[:_A_PAGE]]
        values = common(call, git, revision, head)
    return page(
        "commits",
        title=f"History of {call.repository.id.id}",
        tab="history",
        history=history,
        number=number,
        more=len(found) > _A_PAGE,
        **values,
    )


def commit_page(call: Call) -> Response:
    """GET /{id}/commit/{sha}: what a commit changed"""
    revision = call.revision_and_path()[0]
    with call.repository.git() as git:
        commit = git.commit(call.commit(git, revision))
        oid = commit.id.decode()
        found = changes(git, first_parent(commit), oid, most=_MOST_CHANGES + 1)
        values = common(call, git, oid, oid)
        parents = [parent.decode() for parent in commit.parents]
        names = _names_of(git, oid)
    return page(
        "commit",
        title=f"{values['last'].title} · {call.repository.id.id}",  # type: ignore[attr-defined]
        tab="history",
        changes=found[:_MOST_CHANGES],
        more=len(found) > _MOST_CHANGES,
        parents=parents,
        names=names,
        **values,
    )


def _names_of(git: GitRepo, commit: str) -> list[str]:
    """Branches and tags that are at a commit."""
    return [
        name.removeprefix(prefix)
        for prefix in ("refs/heads/", "refs/tags/")
        for name, at in git.refs(prefix).items()
        if at == commit
    ]


def branches_page(call: Call) -> Response:
    """GET /{id}/branches: branches and tags, and of a mirror where its commits come from"""
    with call.repository.git() as git:
        groups = []
        for title, prefix in _REFS:
            refs = list(git.refs(prefix).items())[:_MOST_REFS]
            rows = [(name.removeprefix(prefix), name, made(git.commit(at))) for name, at in refs]
            if rows:
                groups.append((title, rows))
        head = git.resolve("main")
        if head is None:
            raise revision_not_found("main")
        values = common(call, git, "main", head)
    title = f"Branches and tags of {call.repository.id.id}"
    return page("branches", title=title, tab="branches", groups=groups, **values)
