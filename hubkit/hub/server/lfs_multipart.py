"""Large LFS objects in parts, as the Hub's clients send them: PUT each, then POST the list.

The parts wait in the root's `tmp/`, which is emptied when the server starts.
"""

from __future__ import annotations

import hashlib
import json
import re
import secrets
import shutil
from contextlib import suppress
from typing import TYPE_CHECKING

from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from hubkit.hub.server.call import Call, answer
from hubkit.hub.server.disk import need_room
from hubkit.hub.server.lfs import checked_oid
from hubkit.hub.server.problems import bad_request, forbidden, too_large
from hubkit.hub.server.receiving import pour

if TYPE_CHECKING:
    from pathlib import Path

    from starlette.requests import Request

OVER_BYTES = 5 * 1000**3
"""Objects up to this size come in one piece, as S3 takes them."""
PART_BYTES = 64 * 1024 * 1024
MOST_PARTS = 1000
_BLOCK_BYTES = 1 << 20
_BODY_BYTES = 1 << 20
_ETAG = re.compile(r'"?([0-9a-f]{64})"?')


def part_bytes(size_bytes: int) -> int:
    """Length of each part but the last: 64 MiB, or more where there would be over 1000 parts."""
    fewest = -(-size_bytes // MOST_PARTS)
    return max(PART_BYTES, -(-fewest // _BLOCK_BYTES) * _BLOCK_BYTES)


def upload_action(call: Call, oid: str, size_bytes: int) -> dict[str, object]:
    """The batch's `upload` action: a link for each part, and one that completes."""
    path = call.repository.id.url_path
    url = f"{call.base}{path}.git/info/lfs/objects/{oid}"
    length = part_bytes(size_bytes)
    header = {"chunk_size": str(length)}
    for number, start in enumerate(range(0, size_bytes, length), 1):
        name, size = f"{oid}/{number}", min(length, size_bytes - start)
        header[str(number)] = f"{url}/{number}?{call.hub.signer.query('PUT', path, name, size)}"
    return {
        "href": f"{url}?{call.hub.signer.query('POST', path, oid, size_bytes)}",
        "header": header,
    }


def _size(call: Call, method: str, name: str) -> int:
    query = {key: values[-1] for key, values in call.query.items()}
    if not call.hub.signer.allows(method, call.repository.id.url_path, name, query):
        raise forbidden("The upload link is not valid or too old")
    return int(query["size"])


def _folder(call: Call, oid: str) -> Path:
    name = hashlib.sha256(f"{call.repository.path}\n{oid}".encode()).hexdigest()
    return call.hub.store.temporary / f"parts-{name}"


async def put_part(call: Call, request: Request) -> Response:
    """PUT {id}.git/info/lfs/objects/{oid}/{part}: its ETag is its SHA-256"""
    oid, number = checked_oid(call.rest[3]), call.rest[4]
    size = _size(call, "PUT", f"{oid}/{number}")
    length = request.headers.get("content-length")
    if length is not None and length != str(size):
        raise bad_request(f"The part has {length} bytes and not {size}")
    folder = _folder(call, oid)
    need_room(call.hub.store.temporary, size)
    part = call.hub.store.temporary / f"part-{secrets.token_hex(8)}"
    stream = await run_in_threadpool(part.open, "xb")
    sha = hashlib.sha256()

    def write(data: bytes | memoryview) -> None:
        if stream.tell() + len(data) > size:
            raise bad_request(f"The part is longer than {size} bytes")
        sha.update(data)
        stream.write(data)

    try:
        await pour(request, write)
        if (written := stream.tell()) != size:
            raise bad_request(f"The part has {written} bytes and not {size}")
        stream.close()
        folder.mkdir(exist_ok=True)
        # The link is signed, so its number is one that we gave.
        part.replace(folder / f"{number}-{sha.hexdigest()}")
    finally:
        with suppress(OSError):  # a full disk
            stream.close()
        part.unlink(missing_ok=True)
    return Response(headers={"ETag": f'"{sha.hexdigest()}"'})


async def complete(call: Call, request: Request) -> Response:
    """POST {id}.git/info/lfs/objects/{oid} with the parts' numbers and ETags"""
    oid = checked_oid(call.rest[3])
    size = _size(call, "POST", oid)
    body = bytearray()

    def take(data: bytes | memoryview) -> None:
        if len(body) + len(data) > _BODY_BYTES:
            raise too_large(f"The body is limited to {_BODY_BYTES} bytes")
        body.extend(data)

    await pour(request, take)
    return await run_in_threadpool(_join, call, oid, size, _names(bytes(body), size))


def _names(body: bytes, size_bytes: int) -> list[str]:
    """The files of the parts that a completion names, in order; 400 if it does not name all."""
    wanted = -(-size_bytes // part_bytes(size_bytes))
    try:
        parts = {int(part["partNumber"]): str(part["etag"]) for part in json.loads(body)["parts"]}
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        raise bad_request("The body must be {parts: [{partNumber, etag}]}") from None
    etags = [_ETAG.fullmatch(parts.get(number, "")) for number in range(1, wanted + 1)]
    if len(parts) != wanted or not all(etags):
        raise bad_request(f"The object has {wanted} parts")
    return [f"{number}-{etag[1]}" for number, etag in enumerate(etags, 1) if etag]


def _join(call: Call, oid: str, size_bytes: int, names: list[str]) -> Response:
    folder, lfs = _folder(call, oid), call.repository.lfs
    if lfs.size_bytes(oid) != size_bytes:
        upload = lfs.receive(oid, size_bytes)
        try:
            for name in names:
                try:
                    stream = (folder / name).open("rb")
                except FileNotFoundError:
                    raise bad_request(f"Part {name.partition('-')[0]} is not here") from None
                with stream:
                    while block := stream.read(_BLOCK_BYTES):
                        upload.write(block)
            upload.finish()
        finally:
            upload.abandon()
    shutil.rmtree(folder, ignore_errors=True)
    return answer({"success": True})
