"""Pages for people: the list of repositories, and for each its card, files, history and talk."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.responses import RedirectResponse

from hubkit.hub.server.call import Call, Route, answer, sees
from hubkit.hub.server.git import MAIN
from hubkit.hub.server.info import repo_json, used_bytes
from hubkit.hub.server.names import REPO_TYPES
from hubkit.hub.server.page_card import repo_page
from hubkit.hub.server.page_discussions import discussion_page, list_page
from hubkit.hub.server.page_files import blob_page, tree_page
from hubkit.hub.server.page_history import branches_page, commit_page, commits_page
from hubkit.hub.server.problems import Problem
from hubkit.hub.server.templates import page

if TYPE_CHECKING:
    from starlette.responses import Response


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


def discussions_page(call: Call) -> Response:
    """GET /{id}/discussions and /{id}/discussions/{num}"""
    return discussion_page(call) if len(call.rest) > 1 else list_page(call)


TOP: dict[tuple[str, str], Route] = {
    ("GET", ""): Route(index, "any"),
    ("GET", "login"): Route(login, "any"),
    ("GET", "healthz"): Route(healthz, "any"),
}
ROUTES: dict[tuple[str, str], Route] = {
    ("GET", ""): Route(repo_page, "files"),
    ("GET", "tree"): Route(tree_page, "files"),
    ("GET", "blob"): Route(blob_page, "files"),
    ("GET", "commits"): Route(commits_page, "see"),
    ("GET", "commit"): Route(commit_page, "files"),
    ("GET", "branches"): Route(branches_page, "see"),
    ("GET", "discussions"): Route(discussions_page, "files"),
}
