"""Pages of folders and files."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING
from urllib.parse import quote

from starlette.responses import RedirectResponse

from hubkit.hub.server.attributes import is_text
from hubkit.hub.server.info import card_at
from hubkit.hub.server.names import checked_path
from hubkit.hub.server.page_parts import (
    common,
    file_rows,
    last_changes,
    made,
    rendered,
    url_quoted,
)
from hubkit.hub.server.problems import entry_not_found
from hubkit.hub.server.reader_languages import Translation, language_of
from hubkit.hub.server.templates import page

if TYPE_CHECKING:
    from starlette.responses import Response

    from hubkit.hub.server.call import Call
    from hubkit.hub.server.git import GitRepo

_SHOWN_BYTES = 512 * 1024
_IMAGES = (".png", ".jpg", ".jpeg", ".gif", ".webp", ".svg")
_MOST_NAMES = 60


def _moved_to(call: Call, what: str, revision: str, path: str) -> Response:
    end = f"/{quote(path)}" if path else ""
    url = f"{call.repository.id.url_path}/{what}/{url_quoted(revision)}{end}"
    return RedirectResponse(url, 302)


def _names(git: GitRepo) -> dict[str, list[str]]:
    """Branches and tags to choose from, newest names last as git sorts them."""
    return {
        what: [name.removeprefix(prefix) for name in git.refs(prefix)][:_MOST_NAMES]
        for what, prefix in (("Branches", "refs/heads/"), ("Tags", "refs/tags/"))
    }


def tree_page(call: Call) -> Response:
    """GET /{id}/tree/{rev}[/{folder}]"""
    revision, path = call.revision_and_path()
    path = checked_path(path) if path else ""
    with call.repository.git() as git:
        commit = call.commit(git, revision)
        folder = git.entry(commit, path)
        if folder is None:
            raise entry_not_found(f"{path} does not exist on {revision}", commit)
        if not folder.is_folder:
            return _moved_to(call, "blob", revision, path)
        last = last_changes(git, commit, folder)
        rows = [
            replace(row, last=made(last[row.path]) if row.path in last else None)
            for row in file_rows(git, folder)
        ]
        values = common(call, git, revision, commit)
        names = _names(git)
    title = f"{call.repository.id.id} at {revision}"
    size = sum(row.size for row in rows)
    return page(
        "tree", title=title, tab="files", path=path, rows=rows, size=size, names=names, **values
    )


def blob_page(call: Call) -> Response:
    """GET /{id}/blob/{rev}/{path}: a file, shown if it is text, an image or markdown"""
    revision, path = call.revision_and_path()
    if not path:
        return _moved_to(call, "tree", revision, "")
    path = checked_path(path)
    with call.repository.git() as git:
        commit = call.commit(git, revision)
        entry = git.entry(commit, path)
        if entry is None:
            raise entry_not_found(f"{path} does not exist on {revision}", commit)
        if entry.is_folder:
            return _moved_to(call, "tree", revision, path)
        info = git.info(entry)
        values = common(call, git, revision, commit)
        folder = git.entry(commit, path.rpartition("/")[0])
        last = last_changes(git, commit, folder).get(path) if folder is not None else None
        data = b"" if info.lfs or info.size_bytes > _SHOWN_BYTES else git.blob(entry.oid)
        card = card_at(git, commit, path) if path.endswith(".md") else None
        names = _names(git)
    text = data.decode("utf-8", "replace") if data and is_text(data) else ""
    return page(
        "blob",
        title=f"{path} · {call.repository.id.id}",
        tab="files",
        path=path,
        size=info.size_bytes,
        lfs=info.lfs,
        changed=made(last) if last is not None else None,
        names=names,
        text="" if card else text,
        card=rendered(call, card.body, path, revision) if card else "",
        front=card.front if card else "",
        here=Translation(language_of(path), path),
        image=path.lower().endswith(_IMAGES),
        **values,
    )
