"""API of branches, tags, and discussions with pull requests."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hubkit.hub.server import discussions
from hubkit.hub.server.call import Call, Route, admit, answer
from hubkit.hub.server.merging import diff_of, merge_of
from hubkit.hub.server.names import branch_ref, checked_ref_name
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


def _point_new_ref(git: GitRepo, ref: str, target: str) -> None:
    try:
        made = git.move_ref(ref, None, target)
    except OSError:
        # git keeps refs as files, so "a" and "a/b" cannot both be.
        raise conflict(f"Reference {ref} conflicts with the name of another one") from None
    if not made:
        raise conflict(f"Reference {ref} already exists")


def create_branch(call: Call) -> Response:
    """POST …/branch/{name} with startingPoint"""
    ref = branch_ref("/".join(call.rest[1:]))
    start = call.json().get("startingPoint") or "main"
    with call.repository.lock, call.repository.git() as git:
        target = call.commit(git, str(start))
        if ref.startswith("refs/origin/") and git.has(ref.removeprefix("refs/origin/")):
            raise conflict(f"{ref} is the id of what is here already")
        _point_new_ref(git, ref, target)
    return answer({})


def delete_branch(call: Call) -> Response:
    """DELETE …/branch/{name}"""
    ref = branch_ref(name := "/".join(call.rest[1:]))
    if name == "main":
        raise forbidden("Cannot delete refs/heads/main")
    with call.repository.lock, call.repository.git() as git:
        if not git.delete_ref(ref):
            raise revision_not_found(name)
    return answer({})


def create_tag(call: Call) -> Response:
    """POST …/tag/{rev} with tag and message"""
    data = call.json()
    message = data.get("message")
    if message is not None and not isinstance(message, str):
        raise bad_request("message must be text")
    with call.repository.lock, call.repository.git() as git:
        target = call.commit(git, call.revision_and_path()[0])
        name = checked_ref_name(data.get("tag"), "tag")
        if git.ref(f"refs/tags/{name}") is not None:
            raise conflict(f"Tag reference exists already: refs/tags/{name}")
        if message:
            target = git.write_tag(name, target, call.author, message)
        _point_new_ref(git, f"refs/tags/{name}", target)
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


def _everything(call: Call, start: int) -> Response:
    """A page of all discussions, of which only those shown are read."""
    nums = discussions.numbers(call.repository)
    shown = [discussions.load(call.repository, num) for num in nums[start : start + 50]]
    page = [_summary(call.repository, found) for found in shown]
    return answer({"discussions": page, "count": len(nums), "start": start})


def list_discussions(call: Call) -> Response:
    """GET …/discussions?type&status&author&p"""
    start = call.number("p", 0, most=10**6) * 50
    if not any(call.text(name) for name in ("type", "status", "author")):
        return _everything(call, start)
    found = discussions.load_all(call.repository)
    if (kind := call.text("type")) not in ("", "all"):
        found = [d for d in found if d.is_pull_request == (kind == "pull_request")]
    if status := call.text("status"):
        is_open = status == "open"
        if status in ("open", "closed"):
            found = [d for d in found if (d.status in ("open", "draft")) == is_open]
    if author := call.text("author"):
        found = [d for d in found if d.author == author]
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


def _check_length(call: Call, *lengths: int) -> None:
    if len(call.rest) not in lengths:
        raise Problem(404, "Not found")


def _changes_of(call: Call, found: discussions.Discussion) -> dict[str, object]:
    try:
        admit(call.user, call.repository, "files")
    except Problem:  # of a gated repository: the diff would tell what the files hold
        return {"filesWithConflicts": [], "diff": ""}
    with call.repository.git() as git:
        ours, theirs = git.ref("refs/heads/main"), git.ref(found.ref)
        if found.merge_commit is not None:
            ours = git.commit(found.merge_commit).parents[0].decode()
        if ours is None or theirs is None:
            return {"filesWithConflicts": [], "diff": ""}
        conflicts = merge_of(git, ours, theirs).conflicts
        return {"filesWithConflicts": list(conflicts), "diff": diff_of(git, ours, theirs)}


def discussion(call: Call) -> Response:
    """GET …/discussions/{num}"""
    _check_length(call, 2)
    found = discussions.load(call.repository, _num(call))
    details = _summary(call.repository, found)
    details["events"] = [_event(event) for event in found.events]
    if found.is_pull_request:
        changes: dict[str, object] = {"base": "refs/heads/main"}
        if found.merge_commit is not None:
            changes["mergeCommitId"] = found.merge_commit
        details |= {"changes": changes, **_changes_of(call, found)}
    return answer(details)


def _comment_text(text: object) -> str | None:
    return discussions.checked_text(text, "comment")


def _change_comment(call: Call, num: int, comment: str, how: str) -> Response:
    """POST …/discussions/{num}/comment/{id}/edit with content, and …/hide"""
    repository = call.repository
    with repository.lock:
        found = discussions.load(repository, num)
        said = next((e for e in found.events if e.id == comment and e.type == "comment"), None)
        if said is None:
            raise Problem(404, "Comment not found")
        if said.author != call.author:
            admit(call.user, repository, "own")
        if how == "edit":
            content = _comment_text(call.json().get("content"))
            if not content:
                raise bad_request("A comment is text")
            changed = discussions.edited(said, call.author, content)
        elif how == "hide":
            changed = discussions.hidden(said, call.author)
        else:
            raise Problem(404, "Not found")
        events = tuple(changed if event.id == comment else event for event in found.events)
        discussions.save(repository, found.model_copy(update={"events": events}))
    return answer({"updatedComment": _event(changed)})


def change_discussion(call: Call) -> Response:
    """POST …/discussions/{num}/merge, /status, /comment, /title"""
    num, what, data = _num(call), call.segment(2), call.json()
    repository, author = call.repository, call.author
    _check_length(call, 3, *([5] if what == "comment" else []))
    if what == "merge":
        admit(call.user, repository, "own")
        discussions.merge(repository, num, author)
        return answer({})
    if what == "comment" and len(call.rest) > 3:
        return _change_comment(call, num, call.segment(3), call.segment(4))
    comment = _comment_text(data.get("comment"))
    with repository.lock:
        found = discussions.load(repository, num)
        if what in ("status", "title") and found.author != author:
            admit(call.user, repository, "own")
        if what == "comment" and not comment:
            raise bad_request("A comment is text")
        if comment:
            said = discussions.comment_event(author, comment)
            found = found.model_copy(update={"events": (*found.events, said)})
        # One file is written once: with a comment, a change is there as a whole or not at all.
        if what == "comment":
            discussions.save(repository, found)
            return answer({"newMessage": _event(said)})
        if what == "status":
            status = discussions.set_status(repository, found, author, data.get("status"))
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
