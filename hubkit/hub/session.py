"""huggingface_hub made fit for a tool: calls end, and nothing is printed unasked."""

from __future__ import annotations

import functools
import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from requests import Response, Session

# Seconds to connect, and seconds without a byte: a commit of many files takes a Hub long.
TIMEOUTS = (10.0, 120.0)


def _patient(make: Callable[[], Session]) -> Session:
    session = make()
    plain = session.request

    @functools.wraps(plain)
    def request(method: str, url: str, *args: object, **options: object) -> Response:
        if options.get("timeout") is None:
            options["timeout"] = TIMEOUTS
        return plain(method, url, *args, **options)  # type: ignore[arg-type]

    session.request = request  # type: ignore[method-assign,assignment]
    return session


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
