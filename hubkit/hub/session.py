"""huggingface_hub made fit for a tool: calls end, what fails in passing is tried again, and nothing
is printed unasked."""

from __future__ import annotations

import functools
import logging
import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from hubkit.hub.faults import NOT_THE_HUB, broken, passing
from hubkit.hub.retry import Retry

if TYPE_CHECKING:
    from requests import Response, Session

# Seconds to connect, and seconds without a byte: a commit of many files takes a Hub long.
TIMEOUTS = (10.0, 120.0)
# The first holds for each piece of a body that goes out, too: a busy storage server may pause.
UPLOAD_TIMEOUTS = (60.0, 120.0)
# What no call of the Hub's API answers, and a proxy or a log-in page in between does.
_PAGE = re.compile(rb"\s*<(!doctype html|html)\b", re.IGNORECASE)
# What may be sent twice, whoever sends it. A POST may not: its sender looks first what came of it.
_REPEATABLE = ("GET", "HEAD", "PUT")

_patience: list[Retry] = []


@contextmanager
def patience(retry: Retry) -> Iterator[None]:
    """Inside, every request that may be sent twice is sent again when it fails in passing,
    whichever library makes it, and raises GivenUp in the end.

    huggingface_hub's own tries know no Retry-After and no jitter, and those of its downloads cannot
    be told from outside. Uploads and downloads use threads, so other threads see the change too.
    """
    _patience.append(retry)
    try:
        yield
    finally:
        _patience.remove(retry)


def _patient(make: Callable[[], Session]) -> Session:
    session = make()
    plain = session.request

    @functools.wraps(plain)
    def request(method: str, url: str, *args: object, **options: object) -> Response:
        body = options.get("data")
        if options.get("timeout") is None:
            options["timeout"] = UPLOAD_TIMEOUTS if hasattr(body, "seek") else TIMEOUTS

        def send() -> Response:
            answer = plain(method, url, *args, **options)  # type: ignore[arg-type]
            if not options.get("stream"):
                _refuse_page(answer)
            return answer

        if not _patience or method.upper() not in _REPEATABLE:
            return send()
        return _persist(send, body, _patience[-1])

    session.request = request  # type: ignore[method-assign,assignment]
    return session


def _refuse_page(answer: Response) -> None:
    """Raise RequestException where a page for people says that a call was a success: it is not the
    Hub that says so."""
    import requests

    kind = answer.headers.get("Content-Type", "")
    path = urlsplit(answer.url or "").path
    if not answer.ok or "html" not in kind or not ("/api/" in path or ".git/info/lfs" in path):
        return
    if _PAGE.match(answer.content):
        raise requests.exceptions.ContentDecodingError(NOT_THE_HUB, response=answer)


def _persist(send: Callable[[], Response], body: object, retry: Retry) -> Response:
    import requests

    seek: Callable[[int], object] | None = getattr(body, "seek", None)
    start = body.tell() if seek else 0  # type: ignore[attr-defined]

    def once() -> Response:
        if seek:
            seek(start)
        try:
            answer = send()
        except requests.RequestException as error:
            if (fault := broken(error)) is None:
                raise
            raise fault from error
        if fault := passing(answer):
            answer.close()
            raise fault
        return answer

    return retry.run(once)


def with_timeouts() -> None:
    """Let every request of huggingface_hub end: it sets no time limit on most of them. A session
    factory that the caller has configured goes on being used."""
    from huggingface_hub import configure_http_backend
    from huggingface_hub.utils import _http

    make = _http._GLOBAL_BACKEND_FACTORY
    if getattr(make, "func", None) is not _patient:
        configure_http_backend(functools.partial(_patient, make))


@contextmanager
def quiet() -> Iterator[None]:
    """No progress bars and no log lines of huggingface_hub inside; as before afterwards."""
    from huggingface_hub.utils import logging as hub_logging
    from huggingface_hub.utils.tqdm import (
        are_progress_bars_disabled,
        disable_progress_bars,
        enable_progress_bars,
    )

    had_bars, level = not are_progress_bars_disabled(), hub_logging.get_verbosity()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        disable_progress_bars()
        hub_logging.set_verbosity(logging.ERROR)
        try:
            yield
        finally:
            hub_logging.set_verbosity(level)
            if had_bars:
                enable_progress_bars()


@contextmanager
def default_endpoint(endpoint: str) -> Iterator[None]:
    """Inside, the endpoint is huggingface_hub's default one; as before afterwards.

    `HfApi.create_commit` needs it: once the commit is made, it reads the answer's address as one of
    the default Hub (`CommitInfo.repo_url`) and raises ValueError for every other Hub. Other threads
    see the change too, so let nothing else happen inside.
    """
    from huggingface_hub import constants

    before, constants.ENDPOINT = constants.ENDPOINT, endpoint
    try:
        yield
    finally:
        constants.ENDPOINT = before
