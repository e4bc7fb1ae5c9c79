"""What can go wrong with a Hub, told apart: huggingface_hub's and requests' exceptions end here."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timezone
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlsplit

from hubkit.errors import HubError
from hubkit.hub.retry import GivenUp, Transient

if TYPE_CHECKING:
    from requests import HTTPError, RequestException, Response

Kind = Literal[
    "transient", "moved", "missing", "unknown-user", "forbidden", "gated", "offline", "refused"
]

NO_ANSWER = "no answer in time"
NOT_THE_HUB = "an HTML page instead of an answer"
NOT_JSON = "an answer that is not JSON"
FULL = 507  # the Hub's disk is: that does not pass by itself
CUT = "came with another size than the Hub told"
# How a reason starts after which the Hub may still do what it was asked for.
LATE = (NO_ANSWER, "504")


class Unreachable(HubError):
    """The Hub did not answer, or answered that it cannot, at every try; `reason` is the last."""

    def __init__(self, message: str, *, hint: str = "", reason: str = "") -> None:
        super().__init__(message, hint=hint)
        self.reason = reason


class Moved(HubError):
    """The branch is no longer at the commit that a change was made for (412)."""


class NotThere(HubError):
    """No such repository, revision or file, or none that this account may see."""


class Clash(HubError):
    """What was to be made is there already (409)."""


@dataclass(frozen=True)
class Fault:
    """One failed call. `detail` is the server's or the network's own words, without secrets."""

    kind: Kind
    detail: str
    status: int | None = None
    wait_s: float | None = None


_SECRETS = (
    re.compile(r"hf_[A-Za-z0-9_-]{4,}"),
    re.compile(r"(?i)(?<=bearer )\S+"),
    re.compile(r"(?i)(?<=authorization: )\S+( \S+)?"),
    re.compile(r"(?<=//)[^/@\s]+(?=@)"),  # user:password@ of an address
    re.compile(r"(?i)(?<=[?&])(?:x-amz-[a-z-]+|signature|sig|token|policy|key-pair-id)=[^&\s]+"),
)


def scrub(text: str, *secrets: str | None) -> str:
    """The text without tokens, passwords and signatures of links."""
    for secret in secrets:
        if secret:
            text = text.replace(secret, "***")
    for pattern in _SECRETS:
        text = pattern.sub("***", text)
    return text


@contextmanager
def outcome(words: str) -> Iterator[None]:
    """Add to a HubError that passes what it means for the repository ("nothing was pushed")."""
    try:
        yield
    except HubError as error:
        if words not in error.message:
            error.message = f"{error.message}; {words}"
            error.args = (error.message,)
        raise


def _causes(error: BaseException) -> Iterator[BaseException]:
    # Not __context__: a call made while another failure is handled has that failure as its context.
    seen: BaseException | None = error
    while seen is not None:
        yield seen
        seen = seen.__cause__


def given_up_in(error: BaseException, token: str | None = None) -> GivenUp | None:
    """The end of the tries of a single request (`session.patience`), whatever other libraries have
    made of it on its way."""
    for one in _causes(error):
        if isinstance(one, GivenUp):
            one.last.reason = scrub(one.last.reason, token)
            return one
    return None


def asked_at(error: BaseException) -> str:
    """The address that a failed call had asked last; empty: unknown."""
    urls = (getattr(getattr(one, "request", None), "url", None) for one in _causes(error))
    return next((str(url) for url in urls if url), "")


def broken(error: RequestException) -> Transient | None:
    """What a request without an answer means, if it may pass."""
    from requests import exceptions

    passing = (
        exceptions.ConnectionError,
        exceptions.Timeout,
        exceptions.ChunkedEncodingError,
        exceptions.ContentDecodingError,
    )
    return Transient(scrub(_reason(error))) if isinstance(error, passing) else None


def passing(response: Response) -> Transient | None:
    """What an answer means that says to come back: 408, 425, 429 and 5xx."""
    status = response.status_code
    if (status not in (408, 425, 429) and status < 500) or status == FULL:
        return None
    said = response.headers.get("X-Error-Message") or response.reason or ""
    return Transient(scrub(f"{status} {said}".strip()), _asked_wait(response))


def fault_of(error: Exception, *, endpoint: str, token: str | None) -> Fault | None:
    """What a failed call of huggingface_hub means; None for what has nothing to do with a Hub, such
    as a local file that cannot be read."""
    import requests
    from huggingface_hub.errors import (
        FileMetadataError,
        OfflineModeIsEnabled,
        XetAuthorizationError,
    )

    causes = list(_causes(error))
    if any(isinstance(e, OfflineModeIsEnabled) for e in causes):
        return Fault("offline", "HF_HUB_OFFLINE is set")
    if any(isinstance(e, XetAuthorizationError) for e in causes):
        return Fault("forbidden", scrub(str(error), token))
    for one in causes:
        if isinstance(one, requests.HTTPError) and one.response is not None:
            return _of_answer(one, one.response, endpoint, token)
    if any(isinstance(e, FileMetadataError) for e in causes):
        return Fault("transient", NOT_THE_HUB)  # an answer about a file that says nothing of it
    for one in reversed(causes):
        if isinstance(one, requests.exceptions.InvalidURL | requests.exceptions.InvalidSchema):
            return Fault("refused", f"{endpoint} is not an address of a Hub")
        if isinstance(one, requests.RequestException):
            return Fault("transient", scrub(_reason(one), token))
    if isinstance(error, OSError):
        return None
    if isinstance(error, RuntimeError):  # hf_xet's network errors are bare RuntimeErrors
        return Fault("transient", scrub(str(error), token))
    return Fault("refused", scrub(str(error), token)) if isinstance(error, ValueError) else None


def _reason(error: Exception) -> str:
    import requests

    if isinstance(error, requests.exceptions.SSLError):
        return f"TLS failed: {error}"
    if isinstance(error, requests.Timeout):
        return NO_ANSWER
    if isinstance(error, requests.exceptions.ProxyError):
        return "the proxy does not let it through"
    if isinstance(error, requests.exceptions.JSONDecodeError):
        return NOT_JSON
    text = str(error)
    if text == NOT_THE_HUB:
        return text
    if "NameResolution" in text or "name resolution" in text or "not known" in text:
        return "its name cannot be resolved"
    if "refused" in text:
        return "connection refused"
    return "the connection broke"


def _of_answer(error: HTTPError, response: Response, endpoint: str, token: str | None) -> Fault:
    from huggingface_hub.errors import (
        DisabledRepoError,
        EntryNotFoundError,
        GatedRepoError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    status = response.status_code
    said = getattr(error, "server_message", None) or response.reason or ""
    detail = scrub(f"{status} {said}".strip(), token)
    # A storage server's 401 and 403 tell of an expired link, and a new one helps.
    elsewhere = urlsplit(response.url or "").netloc not in ("", urlsplit(endpoint).netloc)
    if passing(response) or (elsewhere and status in (401, 403)):
        return Fault("transient", detail, status, _asked_wait(response))
    if isinstance(error, GatedRepoError | DisabledRepoError):
        return Fault("gated", detail, status)
    if isinstance(error, RepositoryNotFoundError | RevisionNotFoundError | EntryNotFoundError):
        return Fault("missing", detail, status)
    by_status: dict[int, Kind] = {
        401: "unknown-user",
        403: "forbidden",
        404: "missing",
        412: "moved",
    }
    return Fault(by_status.get(status, "refused"), detail, status)


def _asked_wait(response: Response) -> float | None:
    """Seconds of Retry-After (RFC 9110, 10.2.3), else of the Hub's `RateLimit: …;t=55`."""
    asked = response.headers.get("Retry-After", "").strip()
    if not asked:
        match = re.search(r"\bt=(\d+)", response.headers.get("RateLimit", ""))
        return float(match[1]) if match and response.status_code == 429 else None
    if re.fullmatch(r"\d+(\.\d+)?", asked, re.ASCII):
        return float(asked)
    try:
        until = parsedate_to_datetime(asked)
    except ValueError:
        return None
    if until.tzinfo is None:  # "-0000", which says UTC and nothing of the place
        until = until.replace(tzinfo=timezone.utc)
    return max(0.0, until.timestamp() - time.time())
