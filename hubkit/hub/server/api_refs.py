"""API of branches, tags, and discussions with pull requests."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hubkit.hub.server import discussions
from hubkit.hub.server.call import Call, Route, admit, answer
from hubkit.hub.server.names import checked_ref_name
from hubkit.hub.server.problems import Problem, bad_request, conflict, forbidden, revision_not_found

if TYPE_CHECKING:
    from starlette.responses import Response

    from hubkit.hub.server.git import GitRepo
    from hubkit.hub.server.repos import Repository


def refs(call: Call) -> Response:
    """GET …/refs[?include_prs=1]"""

    def found(git: GitRepo, prefix: str, name: str = "") -> list[dict[str, str]]:
        return [
            {"name": ref.removeprefix(prefix), "ref": ref, "targetCommit": commit}
            for ref, commit in git.refs(prefix).items()
        ]

    with call.repository.git() as git:
        lists = {
            "branches": found(git, "refs/heads/"),
            "converts": found(git, "refs/convert/"),
            "tags": found(git, "refs/tags/"),
        }
        if call.flag("include_prs"):
            lists["pullRequests"] = found(git, "refs/pr/")
    return answer(lists)


def _point_new_ref(git: GitRepo, ref: str, target: str, what: str) -> None:
    try:
        made = git.move_ref(ref, None, target)
    except OSError:
        # git keeps refs as files, so "a" and "a/b" cannot both be.
        raise conflict(f"{what} conflicts with the name of another one") from None
    if not made:
        raise conflict(f"{what} exists already")


def create_branch(call: Call) -> Response:
    """POST …/branch/{name} with startingPoint"""
    name = checked_ref_name("/".join(call.rest[1:]), "branch")
    start = call.json().get("startingPoint") or "main"
    with call.repository.lock, call.repository.git() as git:
        target = call.commit(git, str(start))
        _point_new_ref(git, f"refs/heads/{name}", target, f"Reference {name}")
    return answer({})


def delete_branch(call: Call) -> Response:
    """DELETE …/branch/{name}"""
    name = checked_ref_name("/".join(call.rest[1:]), "branch")
    if name == "main":
        raise forbidden("The main branch cannot be deleted")
    with call.repository.lock, call.repository.git() as git:
        if not git.delete_ref(f"refs/heads/{name}"):
            raise revision_not_found(name)
    return answer({})


def create_tag(call: Call) -> Response:
    """POST …/tag/{rev} with tag and message"""
    data = call.json()
    name, message = checked_ref_name(data.get("tag"), "tag"), data.get("message")
    if message is not None and not isinstance(message, str):
        raise bad_request("message must be text")
    with call.repository.lock, call.repository.git() as git:
        target = call.commit(git, call.revision_and_path()[0])
        if git.ref(f"refs/tags/{name}") is not None:
            raise conflict(f"Tag {name} exists already")
        if message:
            target = git.write_tag(name, target, call.author, message)
        _point_new_ref(git, f"refs/tags/{name}", target, f"Tag {name}")
    return answer({})


def delete_tag(call: Call) -> Response:
    """DELETE …/tag/{name}"""
    name = checked_ref_name("/".join(call.rest[1:]), "tag")
    with call.repository.lock, call.repository.git() as git:
        if not git.delete_ref(f"refs/tags/{name}"):
            raise revision_not_found(name)
    return answer({})


def _summary(repository: Repository, found: discussions.Discussion) -> dict[str, object]:
    return {
        "num": found.num,
        "title": found.title,
        "author": {"name": found.author},
        "status": found.status,
        "isPullRequest": found.is_pull_request,
        "createdAt": found.created_at,
        "repo": {"name": repository.id.id, "type": repository.id.type},
    }


def _event(event: discussions.Event) -> dict[str, object]:
    return {
        "id": event.id,
        "type": event.type,
        "createdAt": event.created_at,
        "author": {"name": event.author},
        "data": event.data,
    }


def list_discussions(call: Call) -> Response:
    """GET …/discussions?type&status&author&p"""
    found = discussions.load_all(call.repository)
    if (kind := call.text("type")) not in ("", "all"):
        found = [d for d in found if d.is_pull_request == (kind == "pull_request")]
    if status := call.text("status"):
        is_open = status == "open"
        if status in ("open", "closed"):
            found = [d for d in found if (d.status in ("open", "draft")) == is_open]
    if author := call.text("author"):
        found = [d for d in found if d.author == author]
    start = call.number("p", 0, most=10**6) * 50
    page = [_summary(call.repository, d) for d in found[start : start + 50]]
    return answer({"discussions": page, "count": len(found), "start": start})


def create_discussion(call: Call) -> Response:
    """POST …/discussions with title, description, pullRequest"""
    data = call.json()
    made = discussions.open_discussion(
        call.repository,
        call.author,
        data.get("title"),
        data.get("description"),
        pull_request=data.get("pullRequest") is True,
    )
    url = f"{call.base}{call.repository.id.url_path}/discussions/{made.num}"
    return answer({"num": made.num, "url": url, "pullRequest": made.is_pull_request})


def _num(call: Call) -> int:
    text = call.segment(1)
    if not text.isascii() or not text.isdigit() or len(text) > 9:
        raise bad_request("A discussion has a number")
    return int(text)


def discussion(call: Call) -> Response:
    """GET …/discussions/{num}"""
    found = discussions.load(call.repository, _num(call))
    details = _summary(call.repository, found)
    details["events"] = [_event(event) for event in found.events]
    if found.is_pull_request:
        changes: dict[str, object] = {"base": "refs/heads/main"}
        if found.merge_commit is not None:
            changes["mergeCommitId"] = found.merge_commit
        details |= {"changes": changes, "filesWithConflicts": [], "diff": ""}
    return answer(details)


def change_discussion(call: Call) -> Response:
    """POST …/discussions/{num}/merge, /status, /comment, /title"""
    num, what, data = _num(call), call.segment(2), call.json()
    repository, author = call.repository, call.author
    if what == "merge":
        admit(call.user, repository, "own")
        discussions.merge(repository, num, author)
        return answer({})
    comment = data.get("comment")
    if comment is not None and (not isinstance(comment, str) or len(comment) > 65536):
        raise bad_request("A comment is text of at most 65536 characters")
    with repository.lock:
        found = discussions.load(repository, num)
        if what in ("status", "title") and found.author != author:
            admit(call.user, repository, "own")
        if what == "comment" and not comment:
            raise bad_request("A comment is text")
        if comment:
            said = discussions.comment_event(author, comment)
            found = found.model_copy(update={"events": (*found.events, said)})
            discussions.save(repository, found)
        if what == "comment":
            return answer({"newMessage": _event(said)})
        if what == "status":
            status = discussions.set_status(repository, num, author, data.get("status"))
            return answer({"newStatus": _event(status)})
        if what == "title":
            title = data.get("title")
            if not isinstance(title, str) or not 3 <= len(title.strip()) <= 200:
                raise bad_request("A title has 3 to 200 characters")
            event = discussions.Event(
                type="title-change", author=author, data={"from": found.title, "to": title.strip()}
            )
            update = {"title": title.strip(), "events": (*found.events, event)}
            discussions.save(repository, found.model_copy(update=update))
            return answer({"newTitle": _event(event)})
    raise Problem(404, "Not found")


REPO: dict[tuple[str, str], Route] = {
    ("GET", "refs"): Route(refs, "see"),
    ("POST", "branch"): Route(create_branch, "own"),
    ("DELETE", "branch"): Route(delete_branch, "own"),
    ("POST", "tag"): Route(create_tag, "own"),
    ("DELETE", "tag"): Route(delete_tag, "own"),
    ("GET", "discussions"): Route(list_discussions, "see"),
    ("POST", "discussions"): Route(create_discussion, "contribute"),
    ("GET", "discussions/"): Route(discussion, "see"),
    ("POST", "discussions/"): Route(change_discussion, "contribute"),
}
