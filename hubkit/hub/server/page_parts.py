"""What the pages of a repository share: its head, its file rows, its rendered cards."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote

from hubkit.hub.server.info import commit_author, commit_date, commit_message

if TYPE_CHECKING:
    from dulwich.objects import Commit

    from hubkit.hub.server.call import Call
    from hubkit.hub.server.git import Entry, GitRepo

# A page of a repository with a longer history does without the last commit of its oldest files.
_LONGEST_WALK = 500


@dataclass(frozen=True)
class Made:
    """A commit, as a page shows it."""

    id: str
    title: str
    message: str
    author: str
    date: str


@dataclass(frozen=True)
class Row:
    """A line of a file list; `last`: the commit that changed it last, where that is shown."""

    path: str
    name: str
    is_folder: bool
    size: int
    lfs: bool
    last: Made | None = None


def made(commit: Commit) -> Made:
    """A commit for a page."""
    title, message = commit_message(commit)
    oid = commit.id.decode()
    return Made(oid, title or oid[:7], message, commit_author(commit), commit_date(commit))


def url_quoted(text: str) -> str:
    """A revision or a path's part for an address, whatever bytes it came from."""
    return quote(text, safe="", errors="surrogateescape")


def common(call: Call, git: GitRepo, revision: str, commit: str) -> dict[str, object]:
    """What every page of a repository needs."""
    return {
        "user": call.user,
        "id": call.repository.id,
        "url": call.repository.id.url_path,
        "settings": call.repository.settings,
        "revision": revision,
        "quoted_revision": url_quoted(revision),
        "commit": commit,
        "last": made(git.commit(commit)),
    }


def file_rows(git: GitRepo, folder: Entry, *, recursive: bool = False) -> list[Row]:
    """The entries of a folder, folders first; with `recursive` all files below it."""
    rows = []
    for entry in git.listing(folder, recursive=recursive):
        if recursive and entry.is_folder:
            continue
        info = None if entry.is_folder else git.info(entry)
        rows.append(
            Row(
                path=entry.path,
                name=entry.path if recursive else entry.path.rpartition("/")[2],
                is_folder=entry.is_folder,
                size=info.size_bytes if info else 0,
                lfs=info is not None and info.lfs is not None,
            )
        )
    return sorted(rows, key=lambda row: (not row.is_folder, row.path.lower()))


def last_changes(git: GitRepo, commit: str, folder: Entry) -> dict[str, Commit]:
    """Path in a folder -> the newest commit that changed what is there, following first parents."""
    here, inside = git.commit(commit), _inside(git, folder)
    wanted, found = dict(inside), {}
    for _ in range(_LONGEST_WALK):
        before = git.entry(here.parents[0].decode(), folder.path) if here.parents else None
        if before is None or before.oid != folder.oid:
            old = _inside(git, before) if before is not None and before.is_folder else {}
            for path in [path for path, oid in wanted.items() if old.get(path) != oid]:
                found[path] = here
                del wanted[path]
        if not wanted or before is None:
            break
        folder, here = before, git.commit(here.parents[0].decode())
    return found


def _inside(git: GitRepo, folder: Entry) -> dict[str, str]:
    return {entry.path: entry.oid for entry in git.listing(folder, recursive=False)}


def rendered(
    call: Call, text: str, path: str, revision: str, instead: Mapping[str, str] | None = None
) -> str:
    """Markdown that lies at a path, as safe HTML; `instead`: paths -> the pages that are linked to
    in place of theirs."""
    from hubkit.hub.server.markdown import render_linked, repo_link

    url, folder = call.repository.id.url_path, path.rpartition("/")[0]
    quoted = url_quoted(revision)

    def page_of(path: str) -> str:
        return (instead or {}).get(path) or f"{url}/blob/{quoted}/{quote(path)}"

    return render_linked(
        text,
        page_of=lambda value: repo_link(value, folder, page_of),
        file_of=lambda value: repo_link(
            value, folder, lambda path: f"{url}/resolve/{quoted}/{quote(path)}"
        ),
    )
