"""What the server refuses, in the Hub's own words: status, `X-Error-Code` and `X-Error-Message`."""

from __future__ import annotations


class Problem(Exception):
    """An answer that is not a success; the client maps `code` to its exception class.

    `code` is the Hub's `X-Error-Code` (RepoNotFound, RevisionNotFound, EntryNotFound, GatedRepo) or
    empty; `extra` holds further response headers.
    """

    def __init__(
        self,
        status: int,
        message: str,
        code: str = "",
        *,
        extra: dict[str, str] | None = None,
    ) -> None:
        # It may repeat what the client sent, which need not be text.
        message = message.encode("utf-8", "replace").decode()
        super().__init__(message)
        self.status = status
        self.message = message
        self.code = code
        self.extra = extra or {}


def bad_request(message: str) -> Problem:
    """400: what was sent does not make sense."""
    return Problem(400, message)


def too_large(message: str) -> Problem:
    """413: the body is over its limit."""
    return Problem(413, message)


def busy() -> Problem:
    """503: too much is going on; the client comes back in a moment."""
    return Problem(503, "The Hub is busy; try again", extra={"Retry-After": "2"})


def unauthorized(message: str = "Invalid username or password.") -> Problem:
    """401: nobody is signed in, and somebody must be."""
    return Problem(401, message)


def forbidden(message: str) -> Problem:
    """403: the user is known and may not do this."""
    return Problem(403, message)


def conflict(message: str) -> Problem:
    """409: it is there already, or changed in the meantime in a way that cannot be merged."""
    return Problem(409, message)


def stale(message: str) -> Problem:
    """412: the named parent commit is no longer the head."""
    return Problem(412, message)


def repo_not_found(*, anonymous: bool) -> Problem:
    """401 for nobody and 404 for somebody, as the Hub does: a private name is never confirmed."""
    if anonymous:
        return Problem(401, "Invalid username or password.", "RepoNotFound")
    return Problem(404, "Repository not found", "RepoNotFound")


def revision_not_found(revision: str) -> Problem:
    """404: no branch, tag, pull request or commit has this name."""
    return Problem(404, f"Invalid rev id: {revision}", "RevisionNotFound")


def entry_not_found(message: str = "Entry not found", commit: str = "") -> Problem:
    """404: the revision exists and holds no such file; `commit` lets clients cache the absence."""
    return Problem(
        404, message, "EntryNotFound", extra={"X-Repo-Commit": commit} if commit else None
    )


def gated(what: str, *, anonymous: bool) -> Problem:
    """401 or 403: the files of a gated repository are for its owner and whom the owner lets in;
    `what` is its type and name."""
    why = (
        ". You must have access to it and be authenticated to access it. Please log in."
        if anonymous
        else " and you are not in the authorized list. Visit its page to ask for access."
    )
    return Problem(401 if anonymous else 403, f"Access to {what} is restricted{why}", "GatedRepo")
