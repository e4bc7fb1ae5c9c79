"""The paths of LFS objects: a signed link is the sign-in there, as it is for S3."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.concurrency import run_in_threadpool

from hubkit.hub.server import lfs_multipart
from hubkit.hub.server.api_lfs import put_object
from hubkit.hub.server.api_resolve import lfs_object
from hubkit.hub.server.call import admit
from hubkit.hub.server.problems import Problem

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from starlette.requests import Request
    from starlette.responses import Response

    from hubkit.hub.server.call import Call

    Handler = Callable[[Call, Request], Coroutine[None, None, Response]]


async def _get_object(call: Call, request: Request) -> Response:
    return await run_in_threadpool(lfs_object, call)


def unseen(handler: Handler) -> Handler:
    """A handler that refuses whoever does not see the repository as if it were not there."""

    async def answer(call: Call, request: Request) -> Response:
        try:
            return await handler(call, request)
        except Problem as problem:
            if problem.status in (401, 403):
                await run_in_threadpool(admit, call.user, call.repository, "see")
            raise

    return answer


def handler(call: Call, method: str) -> Handler | None:
    """What answers a path below `info/lfs/objects/{oid}`, if it is one."""
    if call.rest[:3] != ("info", "lfs", "objects") or call.rest[3:] == ("batch",):
        return None
    handlers: dict[tuple[str, int], Handler] = {
        ("GET", 4): _get_object,
        ("PUT", 4): put_object,
        ("POST", 4): lfs_multipart.complete,
        ("PUT", 5): lfs_multipart.put_part,
    }
    found = handlers.get((method, len(call.rest)))
    return found and unseen(found)
