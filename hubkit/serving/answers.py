"""Where an HTTP answer ends: as little parsing as a load generator can do with."""

from __future__ import annotations

import re
from dataclasses import dataclass

_LENGTH = re.compile(rb"\r\nContent-Length:[ \t]*(\d+)", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\nTransfer-Encoding:[^\r]*chunked", re.IGNORECASE)
_CLOSE = re.compile(rb"\r\nConnection:[^\r]*close", re.IGNORECASE)


class NotHttp(ValueError):
    """What came is no HTTP answer."""


@dataclass(frozen=True)
class Head:
    """The head of an answer. `end`: of the head; `length`: of the body; None: it is chunked."""

    status: int
    end: int
    length: int | None
    close: bool


def read_head(data: bytes | bytearray) -> Head | None:
    """The head at the start of `data`; None: it is not whole yet. Raises NotHttp."""
    end = data.find(b"\r\n\r\n")
    if end < 0:
        if len(data) > 1 << 16 or not b"HTTP/1.".startswith(bytes(data[:7])):
            raise NotHttp(bytes(data[:40]))
        return None
    head = bytes(data[: end + 2])
    if head[:7] != b"HTTP/1." or not head[9:12].isdigit():
        raise NotHttp(head[:40])
    close = head[7:8] == b"0" or _CLOSE.search(head) is not None
    if _CHUNKED.search(head):
        return Head(int(head[9:12]), end + 4, None, close)
    length = _LENGTH.search(head)
    if length is None:
        raise NotHttp(b"an answer without a length")
    return Head(int(head[9:12]), end + 4, int(length[1]), close)


def chunks_end(data: bytes | bytearray, at: int) -> int | None:
    """Where a chunked body that begins at `at` ends; None: it is not whole yet. Raises NotHttp."""
    while True:
        line = data.find(b"\r\n", at)
        if line < 0:
            return None
        try:
            size = int(bytes(data[at:line]).partition(b";")[0], 16)
        except ValueError:
            raise NotHttp(bytes(data[at : at + 20])) from None
        if size == 0:
            end = data.find(b"\r\n\r\n", line)  # trailers, where there are any
            return None if end < 0 else end + 4
        at = line + 2 + size + 2


def unchunked(data: bytes) -> bytes:
    """The body that chunks are of."""
    found: list[bytes] = []
    at = 0
    while True:
        line = data.find(b"\r\n", at)
        size = int(data[at:line].partition(b";")[0], 16)
        if size == 0:
            return b"".join(found)
        found.append(data[line + 2 : line + 2 + size])
        at = line + 2 + size + 2
