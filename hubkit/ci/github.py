"""GitHub as a workflow's job meets it: its environment, its files for outputs, its REST API.

Standard library alone, so that a job that only writes a comment need not install a model's tools.
"""

from __future__ import annotations

import json
import os
import re
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.client import HTTPException, HTTPMessage
from pathlib import Path
from typing import IO, TypeVar

from hubkit.errors import HubkitError, UsageError

T = TypeVar("T")
Json = dict[str, object]

API = "https://api.github.com"
_TIMEOUT_S = 60.0
_PASSING = (429, 500, 502, 503, 504)
_WAITS_S = (1.0, 4.0, 16.0)
_PAGE = 100
_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+")


class Refused(HubkitError):
    """The API said no. `status` is HTTP's."""

    def __init__(self, status: int, what: str, said: str) -> None:
        super().__init__(f"GitHub refused {what}: {status} {said}".rstrip(), hint=_CURES[status])
        self.status = status


class Passing(HubkitError):
    """The API is away, or did not answer: whether it did what it was asked is not known."""


class _Cures(dict[int, str]):
    def __missing__(self, status: int) -> str:
        return ""


_CURES = _Cures(
    {
        401: "Give the step GITHUB_TOKEN: ${{ github.token }} in its env.",
        403: "The job's `permissions` do not allow it; `hubkit ci init` writes those it takes.",
        404: "There is no such thing, or the job's `permissions` do not let it be seen.",
    }
)


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """A redirect would carry the token to wherever it points."""

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        return None


@dataclass(frozen=True)
class GitHub:
    """One repository's REST API, with a job's token."""

    repository: str
    token: str = field(repr=False)
    api: str = API
    sleep: Callable[[float], None] = time.sleep

    def call(self, method: str, path: str, body: Json | None = None) -> Json:
        """The JSON object that a call below this repository answers with; {} for none.

        Raises Refused, or Passing where nobody knows what came of it.
        """
        found = self._send(method, self._url(path), json.dumps(body).encode() if body else None)
        return found if isinstance(found, dict) else {}

    def pages(self, path: str) -> Iterator[Json]:
        """The objects of a list, page by page. Raises as `call` does."""
        number = 1
        while True:
            found = self._send("GET", self._url(f"{path}?per_page={_PAGE}&page={number}"), None)
            items = [item for item in found if isinstance(item, dict)] if found else []
            yield from items
            if len(items) < _PAGE:
                return
            number += 1

    def upload(self, url: str, name: str, content: bytes, kind: str) -> Json:
        """Add a file to a release at its upload address. Raises as `call` does."""
        whole = f"{url.partition('{')[0]}?name={urllib.parse.quote(name)}"
        found = self._send("POST", safe_url(whole), content, kind)
        return found if isinstance(found, dict) else {}

    def persist(self, attempt: Callable[[], T]) -> T:
        """What `attempt` gives, made again where the API was away: it must look first what is there
        already, for an answer that was lost may be that of a call which worked."""
        for wait in _WAITS_S:
            try:
                return attempt()
            except Passing:
                self.sleep(wait)
        return attempt()

    def _url(self, path: str) -> str:
        return safe_url(f"{self.api.rstrip('/')}/repos/{self.repository}/{path}")

    def _send(
        self, method: str, url: str, content: bytes | None, kind: str = "application/json"
    ) -> Json | list[object] | None:
        request = urllib.request.Request(url, data=content, method=method)
        request.add_header("Authorization", f"Bearer {self.token}")
        request.add_header("Accept", "application/vnd.github+json")
        request.add_header("X-GitHub-Api-Version", "2022-11-28")
        request.add_header("User-Agent", "hubkit")
        if content is not None:
            request.add_header("Content-Type", kind)
        return read_json(request, f"{method} {urllib.parse.urlsplit(url).path}")


def read_json(request: urllib.request.Request, what: str) -> Json | list[object] | None:
    """The JSON that a request answers with; None for none. Raises Refused or Passing."""
    opener = urllib.request.build_opener(_NoRedirects)
    try:
        with opener.open(request, timeout=_TIMEOUT_S) as answer:
            text = answer.read()
    except urllib.error.HTTPError as error:
        said = _message(error.read())
        if error.code in _PASSING:
            raise Passing(f"{what} was answered with {error.code} {said}".rstrip()) from None
        raise Refused(error.code, what, said) from None
    except (OSError, HTTPException) as error:
        raise Passing(f"{what} was not answered: {error}") from None
    found = json.loads(text) if text.strip() else None
    return found if isinstance(found, dict | list) else None


def _message(body: bytes) -> str:
    """What the API says went wrong, in one line."""
    try:
        found = json.loads(body)
    except ValueError:
        return ""
    if not isinstance(found, dict):
        return ""
    said = found.get("message") or found.get("error_description") or found.get("error") or ""
    return " ".join(str(said).split())[:300]


def safe_url(url: str) -> str:
    """The address, unless it would send a token over the network in clear."""
    parts = urllib.parse.urlsplit(url)
    if parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _LOOPBACK):
        return url
    raise UsageError(f"{url}: not an https address", hint="Leave GITHUB_API_URL as GitHub sets it.")


def github_here(environ: Mapping[str, str] = os.environ) -> GitHub:
    """The API of the repository that this job is of. Raises UsageError outside of a job."""
    repository = environ.get("GITHUB_REPOSITORY", "")
    token = environ.get("GITHUB_TOKEN", "")
    if not _REPOSITORY.fullmatch(repository):
        raise UsageError(
            "GITHUB_REPOSITORY names no repository",
            hint="This command is for a job of GitHub Actions, which sets it.",
        )
    if not token:
        raise UsageError("GITHUB_TOKEN is not set", hint=_CURES[401])
    return GitHub(repository, token, environ.get("GITHUB_API_URL") or API)


def pull_request_here(environ: Mapping[str, str] = os.environ) -> int:
    """The number of the pull request that started this job. Raises UsageError for another event."""
    try:
        event = json.loads(Path(environ.get("GITHUB_EVENT_PATH", "")).read_text(encoding="utf-8"))
        return int(event["pull_request"]["number"])
    except (OSError, ValueError, KeyError, TypeError):
        raise UsageError(
            "this job was not started by a pull request",
            hint="Run it in a workflow `on: pull_request`, or give --number.",
        ) from None


def set_outputs(values: Mapping[str, str], environ: Mapping[str, str] = os.environ) -> None:
    """Make values known to the steps that follow; outside of a job, nothing."""
    path = environ.get("GITHUB_OUTPUT")
    if not path:
        return
    for name, value in values.items():
        if "\n" in value or "\r" in value:  # it would be read as another output
            raise ValueError(f"the output {name} has more than one line")
    with Path(path).open("a", encoding="utf-8") as stream:
        stream.writelines(f"{name}={value}\n" for name, value in values.items())


def annotation(kind: str, message: str) -> str:
    """A line of the log that GitHub shows beside the run. `kind`: notice, warning or error."""
    escaped = message.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
    return f"::{kind}::{escaped}"
