"""Pages for people: the list of repositories, a repository's card, its files and its history."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote

from starlette.responses import RedirectResponse, Response

from hubkit.hub.server import discussions
from hubkit.hub.server.attributes import is_text
from hubkit.hub.server.call import Call, Route, answer, sees
from hubkit.hub.server.cards import tags_of
from hubkit.hub.server.git import MAIN, GitRepo
from hubkit.hub.server.info import (
    card_at,
    commit_author,
    commit_date,
    commit_message,
    repo_json,
    used_bytes,
)
from hubkit.hub.server.names import REPO_TYPES, checked_path
from hubkit.hub.server.problems import Problem, entry_not_found
from hubkit.hub.server.results import results_of
from hubkit.hub.server.templates import page

if TYPE_CHECKING:
    from hubkit.hub.server.git import Entry

_TRANSLATION = re.compile(r"README\.([A-Za-z]{2,3}(?:[-_][A-Za-z0-9]+)*)\.md")
_LANGUAGES = {
    "ar": "العربية",
    "de": "Deutsch",
    "en": "English",
    "es": "Español",
    "fr": "Français",
    "it": "Italiano",
    "ja": "日本語",
    "ko": "한국어",
    "pt": "Português",
    "ru": "Русский",
    "zh": "中文",
}
_SHOWN_BYTES = 512 * 1024
_IMAGES = (".png", ".jpg", ".jpeg", ".gif", ".webp", ".svg")


@dataclass(frozen=True)
class Row:
    """A line of a file list."""

    path: str
    name: str
    is_folder: bool
    size: int
    lfs: bool


def healthz(call: Call) -> Response:
    """GET /healthz: tells one run of the server from another"""
    return answer({"instance": call.hub.instance})


def login(call: Call) -> Response:
    """GET /login: has the browser ask for a token and send it from then on"""
    if call.user is None:
        raise Problem(
            401,
            "Sign in with any user name, and a token as the password.",
            extra={"WWW-Authenticate": 'Basic realm="hubkit", charset="UTF-8"'},
        )
    return RedirectResponse("/", 303)


def index(call: Call) -> Response:
    """GET /: every repository this user sees"""
    groups: dict[str, list[dict[str, object]]] = {}
    for kind in REPO_TYPES:
        for repository in call.hub.store.all(kind):
            if not sees(call.user, repository):
                continue
            with repository.git() as git:
                head = git.ref(MAIN.decode())
                if head is None:
                    continue
                item = repo_json(repository, git, head, full=False)
                item["size"] = used_bytes(git, head)
                item["url"] = repository.id.url_path
            groups.setdefault(kind, []).append(item)
    for items in groups.values():
        items.sort(key=lambda item: str(item["lastModified"]), reverse=True)
    return page("index", title="hubkit Hub", user=call.user, groups=groups)


def _common(call: Call, git: GitRepo, revision: str, commit: str) -> dict[str, object]:
    made = git.commit(commit)
    return {
        "user": call.user,
        "id": call.repository.id,
        "url": call.repository.id.url_path,
        "settings": call.repository.settings,
        "revision": revision,
        "quoted_revision": quote(revision, safe=""),
        "commit": commit,
        "date": commit_date(made),
        "author": commit_author(made),
        "subject": commit_message(made)[0],
    }


def _rows(git: GitRepo, folder: Entry, *, recursive: bool = False) -> list[Row]:
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


def _rendered(call: Call, text: str, path: str, revision: str) -> str:
    from hubkit.hub.server.markdown import render

    url, revision = call.repository.id.url_path, quote(revision, safe="")
    return render(
        text,
        folder=path.rpartition("/")[0],
        page_url=f"{url}/blob/{revision}/",
        file_url=f"{url}/resolve/{revision}/",
    )


def _language_of(path: str) -> str:
    """The language of a translated card by its name; "" for every other file."""
    found = _TRANSLATION.fullmatch(path.rpartition("/")[2])
    return found[1].replace("_", "-") if found else ""


def _translations(paths: list[str], body: str) -> list[tuple[str, str]]:
    """(language, path) of the translated cards, unless the card itself links to them."""
    found = [path for path in paths if _TRANSLATION.fullmatch(path)]
    if any(f"({path}" in body for path in found):
        return []
    return [(_LANGUAGES.get(_language_of(path), _language_of(path)), path) for path in found]


def repo_page(call: Call) -> Response:
    """GET /{id}: the card and the files of main"""
    with call.repository.git() as git:
        commit = call.commit(git, "main")
        values = _common(call, git, "main", commit)
        card = card_at(git, commit)
        root = git.entry(commit, "")
        assert root is not None
        rows = _rows(git, root, recursive=True)
    data = card.data if card is not None else {}
    body = card.body if card is not None else ""
    return page(
        "repo",
        title=call.repository.id.id,
        tab="card",
        tags=[tag for tag in tags_of(data) if tag != "region:us"],
        card=_rendered(call, card.body, "README.md", "main") if card is not None else "",
        errors=card.errors if card is not None else (),
        languages=_translations([row.path for row in rows], body),
        results=results_of(data),
        rows=rows,
        size=sum(row.size for row in rows),
        **values,
    )


def tree_page(call: Call) -> Response:
    """GET /{id}/tree/{rev}[/{folder}] and /{id}/commit/{sha}"""
    revision, path = call.revision_and_path()
    path = checked_path(path) if path else ""
    with call.repository.git() as git:
        commit = call.commit(git, revision)
        folder = git.entry(commit, path)
        if folder is None:
            raise entry_not_found(f"{path} does not exist on {revision}", commit)
        if not folder.is_folder:
            quoted = quote(revision, safe="")
            url = f"{call.repository.id.url_path}/blob/{quoted}/{quote(path)}"
            return RedirectResponse(url, 302)
        rows = _rows(git, folder)
        values = _common(call, git, revision, commit)
    title = f"{call.repository.id.id} at {revision}"
    return page("tree", title=title, tab="files", path=path, rows=rows, **values)


def blob_page(call: Call) -> Response:
    """GET /{id}/blob/{rev}/{path}: a file, shown if it is text, an image or markdown"""
    revision, path = call.revision_and_path()
    if not path:
        url = f"{call.repository.id.url_path}/tree/{quote(revision, safe='')}"
        return RedirectResponse(url, 302)
    path = checked_path(path)
    with call.repository.git() as git:
        commit = call.commit(git, revision)
        entry = git.entry(commit, path)
        if entry is None:
            raise entry_not_found(f"{path} does not exist on {revision}", commit)
        if entry.is_folder:
            quoted = quote(revision, safe="")
            url = f"{call.repository.id.url_path}/tree/{quoted}/{quote(path)}"
            return RedirectResponse(url, 302)
        info = git.info(entry)
        values = _common(call, git, revision, commit)
        data = b"" if info.lfs or info.size_bytes > _SHOWN_BYTES else git.blob(entry.oid)
        card = card_at(git, commit, path) if path.endswith(".md") else None
    text = data.decode("utf-8", "replace") if data and is_text(data) else ""
    return page(
        "blob",
        title=f"{path} · {call.repository.id.id}",
        tab="files",
        path=path,
        size=info.size_bytes,
        lfs=info.lfs,
        text="" if card else text,
        card=_rendered(call, card.body, path, revision) if card else "",
        front=card.front if card else "",
        language=_language_of(path),
        image=path.lower().endswith(_IMAGES),
        **values,
    )


def commits_page(call: Call) -> Response:
    """GET /{id}/commits/{rev}: the newest hundred commits"""
    revision = call.revision_and_path()[0] if len(call.rest) > 1 else "main"
    with call.repository.git() as git:
        commit = call.commit(git, revision)
        history = []
        for made in git.history(commit):
            title, message = commit_message(made)
            item = {"id": made.id.decode(), "title": title, "message": message}
            history.append(item | {"author": commit_author(made), "date": commit_date(made)})
            if len(history) == 100:
                break
        values = _common(call, git, revision, commit)
    title = f"History of {call.repository.id.id}"
    return page("commits", title=title, tab="history", history=history, **values)


def discussions_page(call: Call) -> Response:
    """GET /{id}/discussions and /{id}/discussions/{num}: pull requests and discussions"""
    found = discussions.load_all(call.repository)
    if len(call.rest) > 1:
        found = [item for item in found if str(item.num) == call.rest[1]]
        if not found:
            raise Problem(404, f"Discussion {call.rest[1]} not found")
    with call.repository.git() as git:
        values = _common(call, git, "main", call.commit(git, "main"))
    title = f"Discussions of {call.repository.id.id}"
    return page("discussions", title=title, tab="discussions", found=found, **values)


TOP: dict[tuple[str, str], Route] = {
    ("GET", ""): Route(index, "any"),
    ("GET", "login"): Route(login, "any"),
    ("GET", "healthz"): Route(healthz, "any"),
}
ROUTES: dict[tuple[str, str], Route] = {
    ("GET", ""): Route(repo_page, "files"),
    ("GET", "tree"): Route(tree_page, "files"),
    ("GET", "commit"): Route(tree_page, "files"),
    ("GET", "blob"): Route(blob_page, "files"),
    ("GET", "commits"): Route(commits_page, "see"),
    ("GET", "discussions"): Route(discussions_page, "see"),
}
