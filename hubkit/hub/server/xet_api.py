"""Xet: tokens from the Hub's API, and the storage itself below `{id}.git/xet/{cas id}/`.

Protocol: https://huggingface.co/docs/xet/api. The storage is told apart by repository, in its URL,
its tokens and on disk: nothing can be found out about, or read from, another repository, and
deduplication ends at the repository's border.
"""

from __future__ import annotations

import json
import logging
import secrets
from contextlib import suppress
from typing import TYPE_CHECKING

from starlette.concurrency import run_in_threadpool
from starlette.responses import Response, StreamingResponse

from hubkit.hub.server.bodies import length_of
from hubkit.hub.server.call import Call, Route, admit, answer
from hubkit.hub.server.disk import need_room
from hubkit.hub.server.names import REPO_TYPES
from hubkit.hub.server.problems import Problem, too_large
from hubkit.hub.server.receiving import pour
from hubkit.hub.server.xet_files import XetFiles
from hubkit.hub.server.xet_formats import (
    MOST_SHARD_BODY_BYTES,
    MOST_XORB_BODY_BYTES,
    ShardFile,
    files_of_shard,
)
from hubkit.hub.server.xet_hashes import to_bytes
from hubkit.hub.server.xet_reading import data, reconstruction
from hubkit.hub.server.xet_tokens import Scope, check_token, make_token
from hubkit.hub.server.xet_xorbs import MissingChunks

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from starlette.requests import Request

_log = logging.getLogger("hubkit.hub")


def is_storage(segments: tuple[str, ...]) -> bool:
    """Whether a path is the storage's: `[{type}s/]{namespace}/{name}.git/xet/…`."""
    rest = segments[1:] if segments[0] in REPO_TYPES else segments
    return len(rest) > 4 and rest[1].endswith(".git") and rest[2] == "xet"


def files_of(call: Call) -> XetFiles:
    """The Xet files of the call's repository."""
    return XetFiles(call.repository, call.hub.store.temporary)


def cas_url(call: Call, cas_id: str) -> str:
    """Address of a repository's storage; clients cache by it what they believe to be there."""
    return f"{call.base}{call.repository.id.url_path}.git/xet/{cas_id}"


def _bound(call: Call) -> str:
    """What tokens are for: this repository, and not another one of its name."""
    return f"{call.repository.id.url_path} {call.repository.settings.created_at}"


def _token(call: Call, scopes: tuple[Scope, ...]) -> Response:
    call.segment(1)
    cas_id = files_of(call).cas_id
    token, expires = make_token(call.hub.signer, _bound(call), scopes)
    url = cas_url(call, cas_id)
    headers = {
        "X-Xet-Cas-Url": url,
        "X-Xet-Access-Token": token,
        "X-Xet-Token-Expiration": str(expires),
        "Cache-Control": "no-store",
    }
    return answer({"casUrl": url, "accessToken": token, "exp": expires}, headers=headers)


def xet_headers(call: Call, oid: str, commit: str) -> dict[str, str]:
    """What tells a client to download an LFS object by Xet: where the Hub was told to prefer it,
    and the object has come that way."""
    files = files_of(call)
    digest = files.hash_of(oid) if call.hub.prefers_xet else None
    if digest is None:
        return {}
    route = f"{call.base}{call.repository.id.api_path}/xet-read-token/{commit}"
    info = f"{cas_url(call, files.cas_id)}/v1/reconstructions/{digest}"
    links = f'<{route}>; rel="xet-auth", <{info}>; rel="xet-reconstruction-info"'
    return {"X-Xet-Hash": digest, "X-Xet-Refresh-Route": route, "Link": links}


def read_token(call: Call) -> Response:
    """GET …/xet-read-token/{rev}"""
    return _token(call, ("read",))


def write_token(call: Call) -> Response:
    """GET …/xet-write-token/{rev}: it allows to read too, but only who may read anyway"""
    files_of(call).xorbs.sweep()
    try:
        admit(call.user, call.repository, "files")
    except Problem:
        return _token(call, ("write",))
    return _token(call, ("read", "write"))


async def storage(call: Call, request: Request) -> Response:
    """Any call of the storage: its token or signed link is checked here."""
    _, cas_id, *rest = call.rest
    if rest[0] == "data":
        return await run_in_threadpool(data, call, files_of(call), rest[1:])
    method, header = request.method, call.headers.get("authorization")

    def allow(scope: Scope | None) -> None:
        check_token(call.hub.signer, header, _bound(call), scope)

    version, name, *more = (*rest, "", "")
    if method == "POST" and (version, name) == ("v1", "xorbs") and len(more) == 4:
        allow("write")
        return await _receive(call, request, MOST_XORB_BODY_BYTES, more[1])
    if method == "POST" and version in ("v1", "v2") and name == "shards":
        allow("write")
        return await _receive(call, request, MOST_SHARD_BODY_BYTES, version)
    if method == "GET" and version in ("v1", "v2") and name == "reconstructions":
        allow("read")
        files, url = files_of(call), cas_url(call, cas_id)
        return await run_in_threadpool(
            reconstruction, call, files, more[0], url, multi=version == "v2"
        )
    if method == "POST" and (version, name) == ("v1", "telemetry"):
        allow(None)
        # Figures of the client about itself: taken, as it expects, and thrown away.
        await pour(request, lambda data: None)
        return answer({})
    # Also chunks from other files to reuse (v1/chunks): "not known" is an answer clients live with.
    raise Problem(404, "The Xet storage does not have this")


async def _receive(call: Call, request: Request, limit_bytes: int, what: str) -> Response:
    """Spool the body to disk, so that many uploads at once take no memory, and take it in."""
    if length_of(request) > limit_bytes:
        raise too_large(f"The body is limited to {limit_bytes} bytes")
    need_room(call.hub.store.temporary, 2 * limit_bytes)
    spool = call.hub.store.temporary / f"xet-{secrets.token_hex(8)}"
    stream = await run_in_threadpool(spool.open, "xb")

    def write(data: bytes | memoryview) -> None:
        if stream.tell() + len(data) > limit_bytes:
            raise too_large(f"The body is limited to {limit_bytes} bytes")
        stream.write(data)

    try:
        await pour(request, write)
        stream.close()
        if what in ("v1", "v2"):
            return await run_in_threadpool(_shard, call, spool, what)
        return await run_in_threadpool(_xorb, call, spool, to_bytes(what))
    finally:
        with suppress(OSError):  # a full disk
            stream.close()
        spool.unlink(missing_ok=True)


def _xorb(call: Call, spool: Path, digest: bytes) -> Response:
    """POST v1/xorbs/default/{hash}"""
    with spool.open("rb") as stream:
        return answer({"was_inserted": files_of(call).xorbs.receive(digest, stream)})


def _shard(call: Call, spool: Path, version: str) -> Response:
    """POST v1/shards, and v2/shards which tells of its progress"""
    files = files_of(call)
    with spool.open("rb") as stream:
        wanted = files_of_shard(stream)
    try:
        files.check(wanted, call.hub.limits.file_bytes)
    except MissingChunks:
        files.forget_caches()
        raise
    if version == "v1":
        for file in wanted:
            for _ in _add(files, file):
                pass
        return answer({"result": 1})
    return StreamingResponse(_progress(files, wanted), media_type="application/x-ndjson")


def _add(files: XetFiles, file: ShardFile) -> Iterator[None]:
    try:
        yield from files.add(file)
    except MissingChunks:
        files.forget_caches()
        raise


def _progress(files: XetFiles, wanted: list[ShardFile]) -> Iterator[bytes]:
    """Lines of JSON; the last is `result` or `error`, since the status has gone out already."""
    for number, file in enumerate(wanted):
        state = _line(type="validating", verified=number, total=len(wanted))
        yield state
        try:
            # Said again now and then, since clients give up on a silent server.
            yield from (state for _ in _add(files, file))
        except Problem as problem:
            retryable = problem.status >= 500
            yield _line(type="error", message=problem.message, retryable=retryable)
            return
        except Exception:
            _log.exception("shard")
            yield _line(type="error", message="Internal error; see the Hub's log", retryable=True)
            return
    yield _line(type="result")


def _line(**value: object) -> bytes:
    return json.dumps(value).encode() + b"\n"


REPO: dict[tuple[str, str], Route] = {
    ("GET", "xet-read-token"): Route(read_token, "files"),
    ("GET", "xet-write-token"): Route(write_token, "contribute"),
}
