"""API of whole repositories: create, delete, move, settings, info, lists, and who is asking."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import parse_qs

from hubkit.hub.server.call import Call, Route, admit, answer, is_mirror, require_writer, sees
from hubkit.hub.server.cards import parse_card
from hubkit.hub.server.expand import checked_expand
from hubkit.hub.server.git import MAIN
from hubkit.hub.server.info import repo_json
from hubkit.hub.server.names import REPO_TYPES, RepoId, repo_id_of
from hubkit.hub.server.problems import bad_request, forbidden, repo_not_found, unauthorized
from hubkit.hub.server.users import EVERY

if TYPE_CHECKING:
    from starlette.responses import Response

    from hubkit.hub.server.repos import Repository


def whoami(call: Call) -> Response:
    """GET /api/whoami-v2"""
    user = call.user
    if user is None:
        raise unauthorized()
    return answer(
        {
            "type": "user",
            "id": user.name,
            "name": user.name,
            "fullname": user.fullname or user.name,
            "isPro": False,
            "avatarUrl": "",
            "orgs": [
                {
                    "type": "org",
                    "name": org.name,
                    "fullname": org.fullname or org.name,
                    "roleInOrg": "write",
                }
                for org in user.known_orgs
                if org.name != EVERY
            ],
            "auth": {"type": "access_token", "accessToken": user.access_token()},
        }
    )


def validate_yaml(call: Call) -> Response:
    """POST /api/validate-yaml"""
    content: object
    if "form" in call.headers.get("content-type", ""):  # RepoCard.validate of 0.x
        content = parse_qs(call.body.decode("utf-8", "replace")).get("content", [""])[-1]
    else:
        content = call.json().get("content")
    if not isinstance(content, str):
        raise bad_request("content must be text")
    card = parse_card(content)
    if is_mirror(call):  # what is copied is copied as it is
        return answer({"errors": [], "warnings": []})
    lists = {
        "errors": [{"message": text} for text in card.errors],
        "warnings": [{"message": text} for text in card.warnings],
    }
    return answer(lists, 400 if card.errors else 200)


def _named(call: Call, data: dict[str, object]) -> RepoId:
    namespace = data.get("organization") or call.author
    return repo_id_of(data.get("type"), f"{namespace}/{data.get('name')}")


def _own_namespace(call: Call, repo_id: RepoId) -> None:
    user = require_writer(call.user)
    namespace = repo_id.namespace
    if not user.owns(namespace) or not user.may("repo.write", repo_id.type, namespace):
        raise forbidden(
            f"You don't have the rights to create, move or delete a {repo_id.type} under the "
            f'namespace "{repo_id.namespace}"'
        )


def _is_private(data: dict[str, object]) -> bool | None:
    # 0.x sends private: bool, 2.x visibility: "public" | "private".
    if (visibility := data.get("visibility")) is not None:
        if visibility not in ("public", "private"):
            raise bad_request("visibility is public or private")
        return visibility == "private"
    private = data.get("private")
    if private is not None and not isinstance(private, bool):
        raise bad_request("private is true or false")
    return private


def create(call: Call) -> Response:
    """POST /api/repos/create"""
    data = call.json()
    require_writer(call.user)
    repo_id = _named(call, data)
    _own_namespace(call, repo_id)
    sdk = data.get("sdk")
    if sdk is not None and not isinstance(sdk, str):
        raise bad_request("sdk must be text")
    url = call.base + repo_id.url_path
    if call.hub.store.find(repo_id) is not None:
        text = f"You already created this {repo_id.type} repo: {repo_id.id}"
        return answer({"error": text, "url": url}, 409, {"X-Error-Message": text})
    private = _is_private(data)
    if private is None:
        assert call.user is not None
        orgs = {org.name: org.private for org in call.user.known_orgs}
        private = orgs.get(repo_id.namespace, False)
    over = data.get("lfsmultipartthresh")
    if over is not None and (not isinstance(over, int) or over < 0):
        raise bad_request("lfsmultipartthresh must be a whole number of bytes")
    made = call.hub.store.create(
        repo_id, call.author, private=private, sdk=sdk, multipart_over_bytes=over
    )
    return answer({"url": url, "name": made.id.id, "id": made.id.id, "private": private})


def _mine(call: Call, repo_id: RepoId) -> Repository:
    found = call.hub.store.find(repo_id)
    admit(call.user, found, "own")
    if found is None:
        raise repo_not_found(anonymous=False)
    return found


def delete(call: Call) -> Response:
    """DELETE /api/repos/delete"""
    require_writer(call.user)
    found = _mine(call, _named(call, call.json()))
    # A token of this one repository writes its content; names are the namespace's.
    _own_namespace(call, found.id)
    call.hub.store.delete(found)
    return answer({})


def move(call: Call) -> Response:
    """POST /api/repos/move"""
    data = call.json()
    require_writer(call.user)
    source = _mine(call, repo_id_of(data.get("type"), data.get("fromRepo")))
    _own_namespace(call, source.id)
    target = repo_id_of(data.get("type"), data.get("toRepo"))
    _own_namespace(call, target)
    call.hub.store.move(source, target)
    return answer({"url": call.base + target.url_path})


def settings(call: Call) -> Response:
    """PUT /api/{type}s/{id}/settings"""
    data = call.json()
    gated = data.get("gated")
    if gated not in (None, False, "auto", "manual"):
        raise bad_request("gated is auto, manual or false")
    xet = data.get("xetEnabled")
    if xet is not None and not isinstance(xet, bool):
        raise bad_request("xetEnabled is true or false")
    changed = call.repository.change(private=_is_private(data), gated=gated, xet_enabled=xet)
    return answer({"private": changed.private, "gated": changed.gated})


def info(call: Call) -> Response:
    """GET /api/{type}s/{id} and /api/{type}s/{id}/revision/{rev}"""
    revision = "main"
    expand = checked_expand(call.repository.id.type, call.values("expand"))
    if len(call.rest) > 1:
        revision, path = call.revision_and_path()
        if path:
            raise bad_request("A revision with a slash in it must be quoted")
    with call.repository.git() as git:
        commit = call.commit(git, revision)
        found = repo_json(call.repository, git, commit, blobs=call.flag("blobs"))
    if expand:
        found["xetEnabled"] = call.repository.settings.xet_enabled
        found = {key: found.get(key) for key in ("_id", "id", *expand) if key in found}
    return answer(found)


def auth_check(call: Call) -> Response:
    """GET /api/{type}s/{id}/auth-check"""
    return answer({})


_LIST_KEYS = ("author", "search", "filter", "pipeline_tag")


def listing(call: Call) -> Response:
    """GET /api/models, /api/datasets, /api/spaces"""
    found = []
    wanted = {k: [v for text in call.values(k) for v in text.split(",")] for k in _LIST_KEYS}
    expand = checked_expand(REPO_TYPES[call.kind], call.values("expand"))
    full = call.flag("full") or call.flag("cardData") or bool(expand)
    for repository in call.hub.store.all(call.kind):
        if wanted["author"] and repository.id.namespace not in wanted["author"]:
            continue
        if not sees(call.user, repository):
            continue
        if any(text.lower() not in repository.id.id.lower() for text in wanted["search"]):
            continue
        with repository.git() as git:
            head = git.ref(MAIN.decode())
            if head is None:
                continue
            item = repo_json(repository, git, head, full=full)
        tags = item["tags"]
        assert isinstance(tags, list)
        if all(t in tags for t in [*wanted["filter"], *wanted["pipeline_tag"]]):
            found.append(item)
    key = call.text("sort") if call.text("sort") in ("createdAt", "lastModified") else ""
    if key:
        found.sort(key=lambda item: str(item[key]), reverse=call.text("direction", "-1") != "1")
    if "limit" in call.query:
        del found[call.number("limit", 1000, most=10**9) :]
    if expand:
        keys = ("_id", "id", *expand)
        found = [{k: item[k] for k in keys if k in item} for item in found]
    return answer(found)


TOP: dict[tuple[str, str], Route] = {
    ("GET", "whoami-v2"): Route(whoami, "any"),
    ("POST", "validate-yaml"): Route(validate_yaml, "any"),
    ("POST", "repos/create"): Route(create, "any"),
    ("DELETE", "repos/delete"): Route(delete, "any"),
    ("POST", "repos/move"): Route(move, "any"),
    ("GET", "models"): Route(listing, "any"),
    ("GET", "datasets"): Route(listing, "any"),
    ("GET", "spaces"): Route(listing, "any"),
}
REPO: dict[tuple[str, str], Route] = {
    ("GET", ""): Route(info, "see"),
    ("GET", "revision"): Route(info, "see"),
    ("GET", "auth-check"): Route(auth_check, "files"),
    ("PUT", "settings"): Route(settings, "own"),
}
