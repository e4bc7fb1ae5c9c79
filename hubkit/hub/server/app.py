"""The ASGI application: splits the path, signs in, admits, reads the body, calls a handler."""

from __future__ import annotations

import base64
import binascii
import logging
import secrets
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, unquote

from dulwich.errors import NotGitRepository
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from hubkit.hub.server import (
    api_access,
    api_files,
    api_lfs,
    api_lfs_files,
    api_refs,
    api_repos,
    api_resolve,
    git_http,
    page,
    signed_links,
    templates,
    xet_api,
)
from hubkit.hub.server.bodies import Bodies
from hubkit.hub.server.call import Access, Call, Hub, Route, admit
from hubkit.hub.server.injected import Reset, cause
from hubkit.hub.server.moved import send_on
from hubkit.hub.server.names import REPO_TYPES, RepoId, is_name
from hubkit.hub.server.problems import Problem, bad_request, repo_not_found

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.types import Receive, Scope, Send

    from hubkit.hub.server.injected import Faults
    from hubkit.hub.server.users import User

_log = logging.getLogger("hubkit.hub")

_API = {
    **api_repos.REPO,
    **api_files.REPO,
    **api_refs.REPO,
    **api_access.REPO,
    **api_lfs_files.REPO,
    **xet_api.REPO,
}
_PLAIN = {**api_resolve.ROUTES, **page.ROUTES, **api_access.PLAIN}
_GIT = {**api_lfs.ROUTES, **git_http.ROUTES}
_GIT_FIRST = ("info", "git-upload-pack", "git-receive-pack")
# What their paths end with.
_LAST = ("refs", "settings", "auth-check")


class HubApp:
    """The embedded Hub as an ASGI application.

    `faults` and `requests` serve tests: the first injects failures, the second records
    (method, path) of every request.
    """

    def __init__(
        self,
        hub: Hub,
        *,
        faults: Faults | None = None,
        requests: list[tuple[str, str]] | None = None,
        hang_up: Callable[[Scope], None] | None = None,
    ) -> None:
        self._hub, self._faults, self._requests = hub, faults, requests
        self._hang_up = hang_up
        self._bodies = Bodies(hub.limits, hub.store.temporary)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        request = Request(scope, receive)
        path = scope.get("raw_path", b"").decode("latin-1").split("?")[0] or "/"
        if self._requests is not None:
            self._requests.append((request.method, unquote(path)))
        try:
            response = await self._answer(request, path)
        except Reset:
            if self._hang_up is not None:
                self._hang_up(scope)
            return
        except ClientDisconnect:
            return
        response.headers["X-Request-Id"] = secrets.token_hex(12)
        response.headers.setdefault("X-Content-Type-Options", "nosniff")
        await response(scope, receive, send)

    async def _answer(self, request: Request, path: str) -> Response:
        try:
            await self._fault(request, path, "before")
            response = await self._dispatch(request, path)
            await self._fault(request, path, "after")
        except (Reset, ClientDisconnect):
            raise
        except Problem as problem:
            if problem.status == 401 and _is_git(path):
                # Without it git does not ask for, or send, a password.
                problem.extra.setdefault("WWW-Authenticate", 'Basic realm="hubkit"')
            return templates.problem(problem) if _is_browser(request, path) else _refusal(problem)
        except NotGitRepository:
            return _refusal(repo_not_found(anonymous=False))
        except OSError as error:
            _log.exception("%s %s", request.method, path)
            full = error.errno in (28, 122)  # ENOSPC, EDQUOT
            return _refusal(Problem(507 if full else 500, "The Hub cannot store or read this"))
        except Exception:
            _log.exception("%s %s", request.method, path)
            return _refusal(Problem(500, "Internal error; see the Hub's log"))
        return response

    async def _fault(self, request: Request, path: str, phase: str) -> None:
        if self._faults is not None:
            await cause(self._faults(request.method, unquote(path), phase), request, phase)

    async def _dispatch(self, request: Request, path: str) -> Response:
        if not path.startswith("/"):  # OPTIONS * and what a proxy is asked for
            raise bad_request("The target must be a path")
        segments = tuple(unquote(part, errors="surrogateescape") for part in path.split("/")[1:])
        if any("\0" in part for part in segments):
            raise bad_request("Forbidden character in path")
        method = "GET" if request.method == "HEAD" else request.method
        git_path = _is_git(path)
        headers = {key.lower(): value for key, value in request.headers.items()}
        headers["x-raw-path"] = path
        headers["x-peer"] = request.client.host if request.client else ""
        user = None
        if not xet_api.is_storage(segments):  # it has tokens of its own
            user = self._user(headers.get("authorization"), basic=method == "GET" or git_path)
        call = Call(
            self._hub,
            request.method,
            f"{request.url.scheme}://{headers.get('host') or request.url.netloc}",
            _query(request.scope.get("query_string", b"")),
            headers,
            user,
        )
        repo_id, route = self._route(call, method, segments)
        if repo_id is not None:
            call.found = await run_in_threadpool(self._hub.store.find, repo_id)
            if call.found is None:
                await run_in_threadpool(send_on, call, repo_id, path)
        signed = signed_links.handler(call, method) if git_path else None
        if signed is None and xet_api.is_storage(segments):
            signed = signed_links.unseen(xet_api.storage)
        if signed is not None:
            # A signed link or token stands for the sign-in, so only existence is checked here.
            if call.found is None:
                raise repo_not_found(anonymous=user is None)
            return await signed(call, request)
        if route is None:
            access: Access = "any" if repo_id is None else "see"
            await run_in_threadpool(admit, user, call.found, access)
            raise Problem(404, f"No such page or API: {request.method} {path}")
        await run_in_threadpool(admit, user, call.found, route.access)
        return await self._run(call, route, request)

    def _route(
        self, call: Call, method: str, segments: tuple[str, ...]
    ) -> tuple[RepoId | None, Route | None]:
        """The repository a path names, if any, and what answers; sets `call.rest`."""
        if segments[0] == "api":
            top = "/".join(segments[1:])
            if (method, top) in api_repos.TOP:
                call.kind = top
                return None, api_repos.TOP[method, top]
            kind = segments[1] if len(segments) > 1 else ""
            if kind not in REPO_TYPES or len(segments) < 3:
                return None, None
            repo_id = _repo_id(kind, segments[2:4])
            call.rest = segments[4:]
            action = call.rest[0] if call.rest else ""
            if action == "discussions" and len(call.rest) > 1:
                action = "discussions/"
            if action in _LAST and any(call.rest[1:]):
                return repo_id, None
            return repo_id, _API.get((method, action))
        if len(segments) == 1 or segments[0] in ("login", "healthz"):
            return None, page.TOP.get((method, segments[0]))
        kind = segments[0] if segments[0] in REPO_TYPES else "models"
        start = 1 if segments[0] in REPO_TYPES else 0
        if segments[start:] == ("",):
            return None, page.TOP.get((method, ""))
        call.rest = segments[start + 2 :]
        names = segments[start : start + 2]
        if len(names) == 2 and names[1].endswith(".git"):
            name = names[1][: -len(".git")]
            return _repo_id(kind, (names[0], name)), _GIT.get((method, "/".join(call.rest)))
        if call.rest and call.rest[0] in _GIT_FIRST:
            return _repo_id(kind, names), _GIT.get((method, "/".join(call.rest)))
        action = call.rest[0] if call.rest else ""
        return _repo_id(kind, names), _PLAIN.get((method, action))

    def _user(self, header: str | None, *, basic: bool) -> User | None:
        if not header:
            return None
        scheme, _, value = header.partition(" ")
        token = value.strip()
        if scheme.lower() == "basic" and basic:
            # What browsers and git send. Not taken for API writes: a browser adds it unasked.
            try:
                token = base64.b64decode(token).decode("utf-8", "replace").partition(":")[2]
            except (binascii.Error, ValueError):
                token = ""
        elif scheme.lower() != "bearer":
            token = ""
        user = self._hub.users.find(token) if token else None
        if user is None:
            raise Problem(
                401,
                "Invalid credentials in Authorization header",
                extra={"WWW-Authenticate": 'Basic realm="hubkit"'},
            )
        return user

    async def _run(self, call: Call, route: Route, request: Request) -> Response:
        if route.body == "json":
            async with self._bodies.held(request) as call.body:
                return await run_in_threadpool(route.handler, call)
        async with self._bodies.spooled(request) as call.spool:
            return await self._bodies.commit(route.handler, call)


def _repo_id(kind: str, names: tuple[str, ...]) -> RepoId:
    # A name that cannot be is looked up all the same, so that it answers as a missing one.
    namespace, name = (*names, "", "")[:2]
    if not is_name(namespace) or not is_name(name):
        namespace, name = "-", "-"
    return RepoId(REPO_TYPES[kind], namespace, name)


def _query(text: bytes) -> dict[str, list[str]]:
    try:
        return parse_qs(text.decode("latin-1"), keep_blank_values=True, max_num_fields=2000)
    except ValueError:
        raise bad_request("The query has too many parts") from None


def _is_git(path: str) -> bool:
    """Whether a path goes to git's handlers or to LFS objects, as `_route` sends it there."""
    segments = [unquote(part, errors="surrogateescape") for part in path.split("/")[1:]]
    # A browser sends Basic unasked: what only looks like git's must not have it taken.
    if segments[:1] == ["api"]:
        return False
    start = 1 if segments[:1] and segments[0] in REPO_TYPES else 0
    name, rest = segments[start + 1 : start + 2], segments[start + 2 :]
    return bool(rest) and (name[0].endswith(".git") or rest[0] in _GIT_FIRST)


def _is_browser(request: Request, path: str) -> bool:
    return "text/html" in request.headers.get("accept", "") and not path.startswith("/api/")


def _refusal(problem: Problem) -> Response:
    # A header is one line of latin-1.
    line = "".join(c if c.isprintable() else " " for c in problem.message)[:1000]
    line = " ".join(line.split()).encode("latin-1", "replace").decode("latin-1")
    headers = {"X-Error-Message": line, **problem.extra}
    if problem.code:
        headers["X-Error-Code"] = problem.code
    return JSONResponse({"error": problem.message}, problem.status, headers)
