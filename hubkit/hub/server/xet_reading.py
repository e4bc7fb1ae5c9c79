"""Reading by Xet: how a file is made of xorbs, and the bytes of those xorbs."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from starlette.responses import Response, StreamingResponse

from hubkit.hub.server.call import Call, answer
from hubkit.hub.server.problems import Problem, bad_request, entry_not_found, forbidden
from hubkit.hub.server.xet_files import Run, XetFile, XetFiles, serialized
from hubkit.hub.server.xet_hashes import to_bytes, to_text

if TYPE_CHECKING:
    from collections.abc import Iterator

_RANGE = re.compile(r"bytes=(\d{1,20})-(\d{0,20})")


def _wanted(call: Call, size_bytes: int) -> tuple[int, int]:
    """First and last byte of the Range header, or of everything; 416 if there are none."""
    header = call.headers.get("range")
    if header is None:
        return 0, size_bytes - 1
    found = _RANGE.fullmatch(header.strip())
    if found is None:
        raise bad_request("Range must be bytes=FIRST-LAST")
    first = int(found[1])
    last = min(int(found[2]) if found[2] else size_bytes - 1, size_bytes - 1)
    if first > last:
        raise Problem(
            416, f"There are {size_bytes} bytes", extra={"Content-Range": f"bytes */{size_bytes}"}
        )
    return first, last


def _parts(file: XetFile, first: int, last: int) -> Iterator[tuple[Run, int, int, int]]:
    """Each run that has some of the bytes, its chunks that have them, and where these start."""
    for run in file.runs():
        offset, start, end, begins = run.offset, None, 0, 0
        for number, (_, size) in enumerate(run.chunks):
            if offset <= last and offset + size > first:
                if start is None:
                    start, begins = number, offset
                end = number + 1
            offset += size
        if start is not None:
            yield run, start, end, begins
        if offset > last:
            return


def reconstruction(call: Call, files: XetFiles, name: str, url: str, multi: bool) -> Response:
    """GET v1/reconstructions/{file}, and v2 (`multi`), whole or for a range of the file's bytes"""
    file = files.find(to_bytes(name))
    if file is None:
        raise entry_not_found("The Xet storage does not have this file")
    first, last = _wanted(call, file.size_bytes)
    terms: list[dict[str, object]] = []
    fetches: dict[str, list[dict[str, object]]] = {}
    skip: int | None = None
    path = call.repository.id.url_path
    for run, start, end, begins in _parts(file, first, last):
        skip = first - begins if skip is None else skip
        digest, chunks = to_text(run.hash), {"start": start, "end": end}
        terms.append(
            {"hash": digest, "unpacked_length": run.size_bytes(start, end), "range": chunks}
        )
        before = run.serialized_bytes(0, start)
        span = {"start": before, "end": before + run.serialized_bytes(start, end) - 1}
        signed = call.hub.signer.query("XET", path, f"{name}/{run.number}", file.size_bytes)
        link = f"{url}/data/{name}/{run.number}?{signed}"
        fetch: dict[str, object] = {"url": link, "range": chunks, "url_range": span}
        if multi:
            fetch = {"url": link, "ranges": [{"chunks": chunks, "bytes": span}]}
        fetches.setdefault(digest, []).append(fetch)
    return answer(
        {
            "offset_into_first_range": skip or 0,
            "terms": terms,
            "xorbs" if multi else "fetch_info": fetches,
        }
    )


def data(call: Call, files: XetFiles, rest: list[str]) -> Response:
    """GET data/{file}/{run} with a signed link: a run as a xorb, whole or in a range"""
    if call.method not in ("GET", "HEAD") or len(rest) != 2 or not rest[1].isdecimal():
        raise entry_not_found()
    query = {key: values[-1] for key, values in call.query.items()}
    path = call.repository.id.url_path
    if not call.hub.signer.allows("XET", path, f"{rest[0]}/{rest[1]}", query):
        raise forbidden("The link is not valid or too old")
    file = files.find(to_bytes(rest[0]))
    runs = () if file is None else file.runs()
    run = next((run for run in runs if run.number == int(rest[1])), None)
    if file is None or run is None:
        raise entry_not_found("The Xet storage does not have this file")
    size = run.serialized_bytes(0, len(run.chunks))
    first, last = _wanted(call, size)
    headers = {
        "Accept-Ranges": "bytes",
        "Content-Length": str(last - first + 1),
        "Content-Type": "application/octet-stream",
    }
    if "range" in call.headers:
        headers["Content-Range"] = f"bytes {first}-{last}/{size}"
    status = 206 if "range" in call.headers else 200
    if call.method == "HEAD":
        return Response(status_code=status, headers=headers)
    body = serialized(files.path_of(file), run, first, last)
    return StreamingResponse(body, status, headers)
