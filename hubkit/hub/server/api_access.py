"""API of gated repositories: asking for access, and what the owner does about it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.responses import RedirectResponse

from hubkit.hub.server.access import Request, record, requests_of
from hubkit.hub.server.call import Call, Route, answer
from hubkit.hub.server.problems import Problem, bad_request, unauthorized

if TYPE_CHECKING:
    from starlette.responses import Response

_STATUSES = ("pending", "accepted", "rejected")


def _need_gate(call: Call) -> None:
    if not call.repository.settings.gated:
        raise bad_request(f"{call.repository.id.id} is not a gated repository")


def _named(call: Call) -> str:
    name, request_id = call.json().get("user"), call.json().get("requestId")
    if name is None and request_id is not None:
        requests = requests_of(call.repository).items()
        name = next((name for name, request in requests if request.id == request_id), None)
    user = call.hub.users.named(name) if isinstance(name, str) else None
    if user is None:
        raise Problem(404, f"User not found: {name}")
    return user.name


def ask(call: Call) -> Response:
    """POST {id}/ask-access: access at once, or a request that the owner decides about"""
    if call.user is None:
        raise unauthorized()
    _need_gate(call)
    repository, name = call.repository, call.user.name
    with repository.lock:
        if name not in requests_of(repository):
            at_once = repository.settings.gated == "auto"
            record(repository, name, Request(status="accepted" if at_once else "pending"))
    return RedirectResponse(call.base + repository.id.url_path, 303)


def listing(call: Call) -> Response:
    """GET …/user-access-request/{status}"""
    status = call.segment(1)
    if status not in _STATUSES:
        raise bad_request(f"status must be one of {', '.join(_STATUSES)}")
    _need_gate(call)
    found = []
    for name, request in requests_of(call.repository).items():
        if request.status != status:
            continue
        user = call.hub.users.named(name)
        item: dict[str, object] = {
            "user": {"_id": name, "user": name, "fullname": user.fullname if user else name},
            "requestId": request.id,
            "status": request.status,
            "timestamp": request.timestamp,
        }
        if request.granted_by is not None:
            item["grantedBy"] = {"user": request.granted_by}
        if request.rejection_reason is not None:
            item["rejectionReason"] = request.rejection_reason
        found.append(item)
    return answer(found)


def change(call: Call) -> Response:
    """POST …/user-access-request/handle with user or requestId, status and rejectionReason, and
    …/grant with user"""
    what, data = call.segment(1), call.json()
    _need_gate(call)
    name, repository = _named(call), call.repository
    with repository.lock:
        now = requests_of(repository).get(name)
        if what == "grant":
            if now is not None and now.status == "accepted":
                raise bad_request(f"{name} has access already")
            record(repository, name, Request(status="accepted", granted_by=call.author))
        elif what == "handle":
            _handle(call, name, now, data)
        else:
            raise Problem(404, "Not found")
    return answer({})


def _handle(call: Call, name: str, now: Request | None, data: dict[str, object]) -> None:
    status, reason = data.get("status"), data.get("rejectionReason")
    if status not in _STATUSES:
        raise bad_request(f"status must be one of {', '.join(_STATUSES)}")
    if reason is not None and (status != "rejected" or not isinstance(reason, str)):
        raise bad_request("rejectionReason is text, and goes with a rejection")
    if now is None:
        raise Problem(404, f"{name} has not asked for access")
    if now.status == status:
        raise Problem(404, f"The request of {name} is {status} already")
    update = {"status": status, "rejection_reason": reason}
    record(call.repository, name, now.model_copy(update=update))


REPO: dict[tuple[str, str], Route] = {
    ("GET", "user-access-request"): Route(listing, "own"),
    ("POST", "user-access-request"): Route(change, "own"),
}
PLAIN: dict[tuple[str, str], Route] = {
    ("POST", "ask-access"): Route(ask, "see"),
}
