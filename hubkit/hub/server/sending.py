"""Files on their way out: whole or one range, sent by the system where the server can."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, BinaryIO

from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from hubkit.hub.server.problems import Problem

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from starlette.types import Receive, Scope, Send

_BLOCK_BYTES = 1 << 20
_RANGE = re.compile(r"bytes=(\d*)-(\d*)")


def part_of(size: int, request: Mapping[str, str], etag: str) -> tuple[int, int] | None:
    """First byte and count of the one range that a request's headers ask for, None for the whole;
    416 if it lies outside. Several ranges, or another unit, are answered with the whole, which is
    valid (RFC 9110, 14.2)."""
    wanted = request.get("range")
    if wanted is None or request.get("if-range") not in (None, etag):
        return None
    found = _RANGE.fullmatch(wanted.strip())
    if found is None or found[0] == "bytes=-" or len(found[0]) > 64:
        return None
    first, last = found[1], found[2]
    start = max(0, size - int(last)) if not first else int(first)
    end = min(int(last) if first and last else size - 1, size - 1)
    if first and last and int(last) < start:
        return None  # not a range (RFC 9110, 14.1.1)
    if start > end:
        raise Problem(416, f"The file has {size} bytes", extra={"Content-Range": f"bytes */{size}"})
    return start, end - start + 1


class FileBody(Response):  # type: ignore[misc]
    """A file as the answer to GET or HEAD, in constant memory. `request` are the request's headers
    in lower case; `headers` must have an ETag."""

    def __init__(self, path: Path, request: Mapping[str, str], headers: Mapping[str, str]) -> None:
        self._file: BinaryIO = path.open("rb")
        try:
            size = self._file.seek(0, 2)
            headers = dict(headers)
            etag = headers["ETag"]
            self.status_code, self._start, self._count = 200, 0, size
            if request.get("if-none-match") == etag:
                self.status_code, self._count = 304, 0
            elif (part := part_of(size, request, etag)) is not None:
                self.status_code, (self._start, self._count) = 206, part
                last = self._start + self._count - 1
                headers["Content-Range"] = f"bytes {self._start}-{last}/{size}"
            if self.status_code != 304:
                headers["Content-Length"] = str(self._count)
        except BaseException:
            self._file.close()
            raise
        self.background = None
        self.body = b""
        self.init_headers(headers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        with self._file as file:
            start = {"type": "http.response.start", "status": self.status_code}
            await send({**start, "headers": self.raw_headers})
            left = 0 if scope["method"] == "HEAD" else self._count
            if left and "http.response.zerocopysend" in scope.get("extensions", {}):
                await send(
                    {
                        "type": "http.response.zerocopysend",
                        "file": file,
                        "offset": self._start,
                        "count": left,
                        "more_body": False,
                    }
                )
                return
            file.seek(self._start)
            while left:
                block = await run_in_threadpool(file.read, min(_BLOCK_BYTES, left))
                if not block:
                    raise OSError("the file has become shorter")
                left -= len(block)
                await send({"type": "http.response.body", "body": block, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
