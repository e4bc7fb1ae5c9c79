"""LFS over HTTP: batch, upload and verify.

Protocol: https://github.com/git-lfs/git-lfs/blob/main/docs/api/batch.md
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from hubkit.hub.server import lfs_multipart
from hubkit.hub.server.call import Call, Route, admit, answer
from hubkit.hub.server.lfs import LINK_LIFE_S, Upload, checked_oid, is_oid
from hubkit.hub.server.problems import bad_request, entry_not_found, forbidden
from hubkit.hub.server.receiving import pour

if TYPE_CHECKING:
    from starlette.requests import Request

    from hubkit.hub.server.repos import Repository

_DOWNLOAD_LIFE_S = 3600
_MIME = "application/vnd.git-lfs+json"
MOST_OBJECTS = 1000


def object_url(call: Call, method: str, oid: str, size_bytes: int, *, name: str = "") -> str:
    """A signed link to an object, good for one method; see `allow_link`."""
    path = call.repository.id.url_path
    query = call.hub.signer.query(method, _bound(call.repository, method), oid, size_bytes)
    more = f"&{name}" if name else ""
    return f"{call.base}{path}.git/info/lfs/objects/{oid}?{query}{more}"


def _bound(repository: Repository, method: str) -> str:
    """What a link is signed for: this repository and no later one of its name, and to download as
    open as it is now."""
    settings, path = repository.settings, repository.id.url_path
    bound = f"{path} {settings.created_at}"
    return bound if method == "PUT" else f"{bound} {settings.private} {settings.gated}"


def _is_fresh(method: str, expires: str) -> bool:
    # The signer gives every link a day; who downloads asks for another one at will.
    return method == "PUT" or int(expires) - LINK_LIFE_S > time.time() - _DOWNLOAD_LIFE_S


def _wanted(data: dict[str, object]) -> list[tuple[str, int]]:
    objects = data.get("objects")
    if not isinstance(objects, list) or len(objects) > MOST_OBJECTS:
        raise bad_request(f"objects must be a list of at most {MOST_OBJECTS}")
    found = []
    for item in objects:
        if not isinstance(item, dict):
            raise bad_request("An object is {oid, size}")
        size = item.get("size")
        if not isinstance(size, int) or isinstance(size, bool) or size < 0:
            raise bad_request("size must be a whole number")
        found.append((checked_oid(item.get("oid")), size))
    return found


def batch(call: Call) -> Response:
    """POST {id}.git/info/lfs/objects/batch"""
    data = call.json()
    operation = data.get("operation")
    if operation not in ("upload", "download") or data.get("hash_algo", "sha256") != "sha256":
        raise bad_request("operation is upload or download, hash_algo sha256")
    admit(call.user, call.repository, "contribute" if operation == "upload" else "files")
    transfers = data.get("transfers")
    transfers = transfers if isinstance(transfers, list) else []
    settings = call.repository.settings
    # Who asked for a repository with a limit for parts of its own asked for LFS.
    by_xet = settings.xet_enabled and settings.multipart_over_bytes is None
    if operation == "upload" and call.hub.prefers_xet and by_xet and "xet" in transfers:
        return _batch_answer("xet", [{"oid": oid, "size": size} for oid, size in _wanted(data)])
    objects: list[dict[str, object]] = []
    for oid, size in _wanted(data):
        item: dict[str, object] = {"oid": oid, "size": size, "authenticated": True}
        stored = call.repository.lfs.size_bytes(oid)
        if operation == "download":
            if stored is None:
                item["error"] = {"code": 404, "message": "Object does not exist"}
            else:
                item["actions"] = {"download": {"href": object_url(call, "GET", oid, stored)}}
        elif size > call.hub.limits.file_bytes:
            limit = call.hub.limits.file_bytes
            item["error"] = {"code": 422, "message": f"A file is limited to {limit} bytes"}
        elif stored is None:
            verify = f"{call.base}{call.repository.id.url_path}.git/info/lfs/verify"
            over = settings.multipart_over_bytes
            over = lfs_multipart.OVER_BYTES if over is None else over
            parts = "multipart" in transfers and size > over
            upload = (
                lfs_multipart.upload_action(call, oid, size)
                if parts
                else {"href": object_url(call, "PUT", oid, size)}
            )
            item["actions"] = {"upload": upload, "verify": {"href": verify}}
        elif stored != size:
            item["error"] = {"code": 422, "message": f"The object has {stored} bytes"}
        objects.append(item)
    return _batch_answer("basic", objects)


def _batch_answer(transfer: str, objects: list[dict[str, object]]) -> Response:
    found = answer({"transfer": transfer, "objects": objects})
    found.headers["content-type"] = _MIME
    return found


def verify(call: Call) -> Response:
    """POST {id}.git/info/lfs/verify with oid and size"""
    data = call.json()
    oid = checked_oid(data.get("oid"))
    stored = call.repository.lfs.size_bytes(oid)
    if stored is None:
        raise entry_not_found("The object is not there")
    if data.get("size") != stored:
        raise bad_request(f"The object has {stored} bytes")
    return answer({})


def allow_link(call: Call, repository: Repository, oid: str) -> int:
    """The size a signed link names, or 403: an upload's is good for a day, a download's for an hour
    or for who is signed in; 401 or 404 to who does not see the repository."""
    query = {key: values[-1] for key, values in call.query.items()}
    bound = _bound(repository, call.method)
    # What is no digest was signed by nobody, and may be text that cannot even be hashed.
    allowed = is_oid(oid) and call.hub.signer.allows(call.method, bound, oid, query)
    if allowed and _is_fresh(call.method, query["expires"]):
        return int(query["size"])
    admit(call.user, repository, "see")
    if call.method == "PUT":
        raise forbidden("The upload link is not valid or too old")
    admit(call.user, repository, "files")
    return 0


async def put_object(call: Call, request: Request) -> Response:
    """PUT {id}.git/info/lfs/objects/{oid}: streamed to disk in blocks, in constant memory."""
    oid = call.rest[-1]
    size = await run_in_threadpool(allow_link, call, call.repository, oid)
    checked_oid(oid)
    length = request.headers.get("content-length")
    if length is not None and length != str(size):
        raise bad_request(f"LFS object has {length} bytes and not {size}")
    upload: Upload = await run_in_threadpool(call.repository.lfs.receive, oid, size)
    try:
        await pour(request, upload.write)
        await run_in_threadpool(upload.finish)
    finally:
        await run_in_threadpool(upload.abandon)
    return Response(headers={"ETag": f'"{oid}"'})


ROUTES: dict[tuple[str, str], Route] = {
    ("POST", "info/lfs/objects/batch"): Route(batch, "see"),
    ("POST", "info/lfs/verify"): Route(verify, "contribute"),
}
