"""Downloads: `resolve/{rev}/{path}`, whole or in ranges, from git or from LFS."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

from starlette.responses import RedirectResponse, Response

from hubkit.hub.server.api_lfs import allow_link, object_url
from hubkit.hub.server.call import Call, Route
from hubkit.hub.server.downloads import count_download
from hubkit.hub.server.lfs import checked_oid
from hubkit.hub.server.names import checked_path
from hubkit.hub.server.problems import entry_not_found
from hubkit.hub.server.sending import FileBody, part_of
from hubkit.hub.server.xet_api import xet_headers

if TYPE_CHECKING:
    from collections.abc import Mapping

_LOCAL_PAGE = re.compile(r"https?://(localhost|127\.0\.0\.1|\[::1\])(:\d+)?")
_IMAGES = {
    "png": "image/png",
    "jpg": "image/jpeg",
    "jpeg": "image/jpeg",
    "gif": "image/gif",
    "webp": "image/webp",
    "svg": "image/svg+xml",
}
_TEXT_EXTENSIONS = "md txt py json yaml yml csv tsv html css js xml toml cfg ini po j2"
_TEXTS = frozenset(_TEXT_EXTENSIONS.split())


def media_type(path: str) -> str:
    """Content type a file is sent with; never HTML, since anyone may have uploaded it."""
    extension = path.rpartition(".")[2].lower() if "." in path else ""
    if extension in _IMAGES:
        return _IMAGES[extension]
    return "text/plain; charset=utf-8" if extension in _TEXTS else "application/octet-stream"


def _headers(call: Call, path: str) -> dict[str, str]:
    name = path.rpartition("/")[2]
    how = "attachment" if call.flag("download") else "inline"
    return _sharing(call) | {
        "Accept-Ranges": "bytes",
        "Content-Disposition": f"{how}; filename*=UTF-8''{quote(name, safe='')}",
        # An SVG or text opened by itself may run and load nothing.
        "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; sandbox",
        "Content-Type": media_type(path),
    }


def _sharing(call: Call) -> dict[str, str]:
    """Lets a page of this machine read files by script, as transformers.js does; no other page, for
    what is on this Hub is nobody else's."""
    origin = call.headers.get("origin", "")
    if _LOCAL_PAGE.fullmatch(origin) is None:
        return {"Vary": "Origin"}
    return {
        "Vary": "Origin",
        "Access-Control-Allow-Origin": origin,
        "Access-Control-Expose-Headers": "Content-Range, ETag, X-Linked-Size, X-Repo-Commit",
    }


def resolve(call: Call) -> Response:
    """GET or HEAD {id}/resolve/{rev}/{path}; an LFS file answers 302 to a signed link."""
    revision, path = call.revision_and_path()
    path = checked_path(path)
    repository = call.repository
    with repository.git() as git:
        commit = call.commit(git, revision)
        entry = git.entry(commit, path)
        if entry is None or entry.is_folder:
            raise entry_not_found("Entry not found", commit)
        info = git.info(entry)
        data = b"" if info.lfs is not None else git.blob(entry.oid)
        count_download(call, git, commit, path)
    headers = _headers(call, path) | {"X-Repo-Commit": commit}
    if info.lfs is None:
        headers["ETag"] = f'"{entry.oid}"'
        return _bytes_response(call.headers, headers, data)
    oid = info.lfs.oid
    if repository.lfs.size_bytes(oid) is None:
        raise entry_not_found(f"The LFS object {oid} of {path} is not on this Hub", commit)
    # What the target repeats: 1.x clients follow a redirect on the same host, even for HEAD.
    more = {"path": path, "commit": commit}
    if call.flag("download"):
        more["download"] = "1"
    url = object_url(call, "GET", oid, info.size_bytes, name=urlencode(more))
    headers |= {
        "ETag": f'"{oid}"',
        "X-Linked-Etag": f'"{oid}"',
        "X-Linked-Size": str(info.size_bytes),
    } | xet_headers(call, oid, commit)
    del headers["Content-Type"]
    return RedirectResponse(url, 302, headers)


def lfs_object(call: Call) -> Response:
    """GET or HEAD {id}.git/info/lfs/objects/{oid}, the target of resolve and of git-lfs"""
    allow_link(call, call.repository, call.rest[-1])
    oid = checked_oid(call.rest[-1])
    size = call.repository.lfs.size_bytes(oid)
    if size is None:
        raise entry_not_found("The object is not there")
    path = call.text("path") or oid
    headers = _headers(call, path) | {
        "ETag": f'"{oid}"',
        "X-Linked-Etag": f'"{oid}"',
        "X-Linked-Size": str(size),
    }
    if re.fullmatch(r"[0-9a-f]{40}", call.text("commit")):
        headers["X-Repo-Commit"] = call.text("commit")
        headers |= xet_headers(call, oid, call.text("commit"))
    return FileBody(call.repository.lfs.path(oid), call.headers, headers)


def _bytes_response(request: Mapping[str, str], headers: dict[str, str], data: bytes) -> Response:
    if request.get("if-none-match") == headers["ETag"]:
        return Response(status_code=304, headers=headers)
    part = part_of(len(data), request, headers["ETag"])
    if part is None:
        return Response(data, headers=headers)
    start, count = part
    headers["Content-Range"] = f"bytes {start}-{start + count - 1}/{len(data)}"
    return Response(data[start : start + count], 206, headers)


ROUTES: dict[tuple[str, str], Route] = {
    ("GET", "resolve"): Route(resolve, "files"),
    ("GET", "raw"): Route(resolve, "files"),
}
