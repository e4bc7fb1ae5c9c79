"""API of a repository's content: trees, paths, what to upload how, commits, history, squash."""

from __future__ import annotations

import base64
import binascii
import re
from itertools import islice
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlencode

from hubkit.hub.server.attributes import goes_to_lfs, lfs_patterns
from hubkit.hub.server.call import Call, Route, admit, answer, is_mirror
from hubkit.hub.server.commits import Done, commit
from hubkit.hub.server.discussions import (
    MOST_TEXT,
    Discussion,
    comment_event,
    commit_event,
    load,
    next_num,
    save,
)
from hubkit.hub.server.ignoring import Ignored
from hubkit.hub.server.info import commit_json, entry_json
from hubkit.hub.server.names import branch_ref, checked_path
from hubkit.hub.server.problems import (
    Problem,
    bad_request,
    conflict,
    entry_not_found,
    revision_not_found,
)
from hubkit.hub.server.xet_api import files_of

if TYPE_CHECKING:
    from starlette.responses import Response

    from hubkit.hub.server.git import GitRepo

_PAGE, _EXPANDED_PAGE, _COMMITS_PAGE = 1000, 50, 50
_MOST_EXPANDED = 100


def next_page(call: Call, cursor: int) -> dict[str, str]:
    """The header that leads a client to the next page of a list."""
    # The path is the client's own, quoted as it quoted it.
    query = {k: v for k, v in call.query.items() if k not in ("cursor", "p")} | {"cursor": [cursor]}
    url = f"{call.base}{call.headers['x-raw-path']}?{urlencode(query, doseq=True)}"
    return {"Link": f'<{url}>; rel="next"'}


def tree(call: Call) -> Response:
    """GET …/tree/{rev}[/{folder}]?recursive&expand&cursor&limit"""
    revision, path = call.revision_and_path()
    path = checked_path(path) if path else ""
    expand = call.flag("expand")
    most = _EXPANDED_PAGE if expand else _PAGE
    limit = max(1, call.number("limit", most, most=most))
    start = call.number("cursor", 0, most=10**9)
    with call.repository.git() as git:
        head = call.commit(git, revision)
        folder = git.entry(head, path)
        if folder is None or not folder.is_folder:
            raise entry_not_found(f"{path} does not exist on {revision}", head)
        entries = git.listing(folder, recursive=call.flag("recursive"), folders_first=True)
        page = list(islice(entries, start, start + limit))
        more = next(entries, None) is not None
        last = git.last_commits(head, page) if expand else {}
        # A client that finds the hash in a list downloads by Xet, so only where that is preferred.
        xet_hash = files_of(call).described if call.hub.prefers_xet else None
        found = [entry_json(git, entry, last.get(entry.path), xet_hash) for entry in page]
    return answer(found, headers=next_page(call, start + limit) if more else None)


def paths_info(call: Call) -> Response:
    """POST …/paths-info/{rev} with paths and expand, as a form or as JSON"""
    if "json" in call.headers.get("content-type", ""):
        data = call.json()
        paths, expand = data.get("paths"), data.get("expand") is True
    else:
        form = parse_qs(call.body.decode("utf-8", "replace"), keep_blank_values=True)
        paths, expand = form.get("paths", []), form.get("expand", [""])[-1].lower() == "true"
    paths = [paths] if isinstance(paths, str) else paths
    if not isinstance(paths, list) or len(paths) > 10_000:
        raise bad_request("paths must be a list of at most 10000 paths")
    if expand and len(paths) > _MOST_EXPANDED:
        raise bad_request(f"At most {_MOST_EXPANDED} paths can be expanded at a time")
    with call.repository.git() as git:
        head = call.commit(git, _revision_alone(call))
        # The root itself is asked for as "".
        names = ["" if path == "" else checked_path(path) for path in paths]
        entries = [entry for path in names if (entry := git.entry(head, path)) is not None]
        last = git.last_commits(head, entries) if expand else {}
        # Always told here: 2.x copies an LFS file to another repository only if it has one.
        files = files_of(call)
        xet_hash = files.described if call.hub.prefers_xet else files.hash_of
        return answer([entry_json(git, e, last.get(e.path), xet_hash) for e in entries])


def _revision_alone(call: Call) -> str:
    """The revision at the end of the path; 404 if more follows it."""
    revision, more = call.revision_and_path()
    if more:
        raise revision_not_found(f"{revision}/{more}")
    return revision


def _write_ref(call: Call, git: GitRepo, revision: str, *, create_pr: bool) -> str:
    """The full ref a commit to `revision` moves; 403 or 404 if it may not or cannot be."""
    repository = call.repository
    if revision.startswith("refs/pr/"):
        number = revision.removeprefix("refs/pr/")
        ref = revision
        if git.ref(ref) is None or not number.isdigit():
            raise revision_not_found(revision)
        if load(repository, int(number)).author != call.author:
            admit(call.user, repository, "own")
    else:
        ref = f"refs/heads/{revision.removeprefix('refs/heads/')}"
        if revision.startswith("refs/convert/"):
            ref = branch_ref(revision)
        if git.ref(ref) is None:
            raise revision_not_found(revision)
        if not create_pr:
            admit(call.user, repository, "own")
    return ref


def preupload(call: Call) -> Response:
    """POST …/preupload/{rev}[?create_pr=1]: for each file LFS or regular, and what is there now"""
    data = call.json()
    files = data.get("files")
    if not isinstance(files, list) or len(files) > 1000:
        raise bad_request("files must be a list of at most 1000 files")
    revision = _revision_alone(call)
    found = []
    with call.repository.git() as git:
        ref = _write_ref(call, git, revision, create_pr=call.flag("create_pr"))
        head = call.commit(git, ref)
        patterns = lfs_patterns(_text_at(git, head, ".gitattributes"))
        ignored = Ignored(data.get("gitIgnore") or _text_at(git, head, ".gitignore"))
        for file in files:
            if not isinstance(file, dict):
                raise bad_request("A file is {path, size, sample}")
            path, size = _uploadable(file.get("path")), file.get("size")
            if not isinstance(size, int) or size < 0:
                raise bad_request(f"{path}: size must be a whole number")
            lfs = goes_to_lfs(path, size, _sample(file.get("sample")), patterns)
            entry = git.entry(head, path)
            oid = None
            if entry is not None and not entry.is_folder:
                pointer = git.info(entry).lfs
                oid = pointer.oid if pointer is not None else entry.oid
            mode = "lfs" if lfs else "regular"
            should_ignore = path != ".gitignore" and ignored(path)
            found.append(
                {"path": path, "uploadMode": mode, "shouldIgnore": should_ignore, "oid": oid}
            )
    return answer({"files": found, "commitOid": head})


def _uploadable(path: object) -> str:
    """A checked path; 422 for one that no file may have, as the Hub says before an upload."""
    try:
        return checked_path(path)
    except Problem as problem:
        problem.status = 422
        raise


def _sample(text: object) -> bytes:
    try:
        return base64.b64decode(text or "") if isinstance(text, str) else b""
    except binascii.Error:
        raise bad_request("sample is not base64") from None


def _text_at(git: GitRepo, head: str, path: str) -> str:
    entry = git.entry(head, path)
    if entry is None or entry.is_folder:
        return ""
    return git.blob(entry.oid).decode("utf-8", "replace")


def commits(call: Call) -> Response:
    """GET …/commits/{rev}, 50 a page"""
    limit = max(1, call.number("limit", _COMMITS_PAGE, most=1000))
    start = call.number("cursor", call.number("p", 0, most=10**6) * limit, most=10**9)
    formatted = "formatted" in call.values("expand")
    with call.repository.git() as git:
        head = call.commit(git, _revision_alone(call))
        total = git.count(head)
        page = islice(git.history(head), start, start + limit) if start < total else ()
        found = [commit_json(item, formatted=formatted) for item in page]
    headers = {"X-Total-Count": str(total)}
    if start + limit < total:
        headers |= next_page(call, start + limit)
    return answer(found, headers=headers)


def _commit_base(call: Call) -> str:
    path = call.repository.id.url_path
    if (call.hub.bare_urls or is_mirror(call)) and re.search(
        r"\bhf_hub/0\.", call.headers.get("user-agent", "")
    ):
        return path.removeprefix("/")
    return call.base + path


def make_commit(call: Call) -> Response:
    """POST …/commit/{rev}[?create_pr=1], NDJSON"""
    repository, revision = call.repository, _revision_alone(call)
    create_pr = call.flag("create_pr")
    assert call.spool is not None
    url = call.base + repository.id.url_path
    with repository.lock:
        with repository.git() as git:
            ref = _write_ref(call, git, revision, create_pr=create_pr)
            num = next_num(repository, git)
        new_ref = f"refs/pr/{num}" if create_pr else None
        done = commit(
            repository,
            ref,
            call.spool,
            call.author,
            new_ref=new_ref,
            check_card=not is_mirror(call),
        )
        result: dict[str, object] = {
            "success": True,
            "commitOid": done.oid,
            "commitUrl": f"{_commit_base(call)}/commit/{done.oid}",
            "hookOutput": "",
        }
        if create_pr:
            title = done.header.summary
            made = Discussion(
                num=num, title=title, author=call.author, status="open", is_pull_request=True
            )
            said = done.header.description
            events = (comment_event(call.author, said),) if said else ()
            _save_with_commit(call, made.model_copy(update={"events": events}), done)
            result["pullRequestUrl"] = f"{url}/discussions/{num}"
        elif ref.startswith("refs/pr/") and done.made:
            number = int(ref.removeprefix("refs/pr/"))
            _save_with_commit(call, load(repository, number), done)
    return answer(result)


def _save_with_commit(call: Call, found: Discussion, done: Done) -> None:
    event = commit_event(call.author, done.oid, done.header.summary)
    events = (*found.events, event) if done.made else found.events
    save(call.repository, found.model_copy(update={"events": events}))


def super_squash(call: Call) -> Response:
    """POST …/super-squash/{branch}: one commit with the branch's files and no history"""
    branch = _revision_alone(call)
    special = branch.startswith(("refs/pr/", "refs/convert/"))
    ref = branch if special else f"refs/heads/{branch}"
    message = str(call.json().get("message") or f"Super-squash branch '{branch}'")
    if len(message) > MOST_TEXT:
        raise bad_request(f"A message has at most {MOST_TEXT} characters")
    with call.repository.lock, call.repository.git() as git:
        head = git.ref(ref)
        if head is None:
            raise revision_not_found(branch)
        made = git.write_commit(git.commit(head).tree.decode(), [], call.author, message)
        if not git.move_ref(ref, head, made):
            raise conflict("The branch has moved; try again")
    return answer({"commitId": made})


REPO: dict[tuple[str, str], Route] = {
    ("GET", "tree"): Route(tree, "see"),
    ("POST", "paths-info"): Route(paths_info, "see"),
    ("POST", "preupload"): Route(preupload, "contribute"),
    ("POST", "commit"): Route(make_commit, "contribute", "spool"),
    ("GET", "commits"): Route(commits, "see"),
    ("POST", "super-squash"): Route(super_squash, "own"),
}
