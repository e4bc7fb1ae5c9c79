"""API of the LFS objects as such: listed, deleted for good, taken over from elsewhere."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from hubkit.hub.server.api_files import next_page
from hubkit.hub.server.call import Call, Route, admit, answer
from hubkit.hub.server.history import forget, lfs_files
from hubkit.hub.server.lfs import checked_oid
from hubkit.hub.server.names import repo_id_of
from hubkit.hub.server.problems import Problem, bad_request, repo_not_found
from hubkit.hub.server.xet_api import files_of
from hubkit.hub.server.xet_files import XetFiles

if TYPE_CHECKING:
    from starlette.responses import Response

    from hubkit.hub.server.repos import Repository

_PAGE = 500
_MOST = 1000


def listing(call: Call) -> Response:
    """GET …/lfs-files?cursor"""
    start = call.number("cursor", 0, most=10**9)
    with call.repository.git() as git:
        files = lfs_files(call.repository, git)
        page = list(islice(files, start, start + _PAGE))
        more = next(files, None) is not None
    found = [
        {
            "fileOid": file.oid,
            "oid": file.oid,
            "filename": file.filename,
            "pushedAt": file.pushed_at,
            "ref": file.ref,
            "size": file.size_bytes,
        }
        for file in page
    ]
    return answer(found, headers=next_page(call, start + _PAGE) if more else None)


def _delete(call: Call) -> Response:
    data = call.json().get("deletions")
    oids = data.get("sha") if isinstance(data, dict) else None
    rewrite = data.get("rewriteHistory", True) if isinstance(data, dict) else None
    if not isinstance(oids, list) or len(oids) > _MOST or not isinstance(rewrite, bool):
        raise bad_request(f"deletions has sha, a list of at most {_MOST}, and rewriteHistory")
    wanted = {checked_oid(oid) for oid in oids}
    with call.repository.lock, call.repository.git() as git:
        forget(call.repository, git, wanted, rewrite=rewrite)
    return answer({})


def _target(call: Call, data: dict[str, object]) -> Repository:
    target = data.get("target")
    if not isinstance(target, dict):
        raise bad_request("target has type and name")
    found = call.hub.store.find(repo_id_of(target.get("type"), target.get("name")))
    admit(call.user, found, "contribute")
    if found is None:
        raise repo_not_found(anonymous=False)
    return found


def _duplicate(call: Call) -> Response:
    data = call.json()
    target, files = _target(call, data), data.get("files")
    if not isinstance(files, list) or len(files) > _MOST:
        raise bad_request(f"files must be a list of at most {_MOST}")
    succeeded, failed = [], []
    for file in files:
        if not isinstance(file, dict):
            raise bad_request("A file is {sha256, filename}")
        oid = checked_oid(file.get("sha256"))
        if call.repository.lfs.size_bytes(oid) is None:
            failed.append({"sha256": oid, "error": "The object is not there"})
            continue
        target.lfs.take(call.repository.lfs.path(oid), oid)
        XetFiles(target, call.hub.store.temporary).take(files_of(call), oid)
        succeeded.append({"sha256": oid})
    return answer({"succeeded": succeeded, "failed": failed})


def change(call: Call) -> Response:
    """POST …/lfs-files/batch with deletions, and …/lfs-files/duplicate with target and files"""
    what = call.segment(1)
    if what == "batch":
        admit(call.user, call.repository, "own")
        return _delete(call)
    if what == "duplicate":
        return _duplicate(call)
    raise Problem(404, "Not found")


REPO: dict[tuple[str, str], Route] = {
    ("GET", "lfs-files"): Route(listing, "own"),
    ("POST", "lfs-files"): Route(change, "files"),
}
