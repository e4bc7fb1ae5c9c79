"""What other libraries read from a Hub, as safely as what hubkit reads itself."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from hubkit.hub.client import Hub
from hubkit.hub.faults import given_up_in
from hubkit.hub.refusals import Place, unreachable
from hubkit.hub.session import patience


@contextmanager
def reading(hub: Hub, doing: str, repo_id: str) -> Iterator[None]:
    """Inside, each request that transformers, optimum or datasets make is tried again as the Hub's
    own calls are. Raises Unreachable where the Hub is away, whatever the library made of that."""
    try:
        with patience(hub.retry):
            yield
    except Exception as error:
        if (given_up := given_up_in(error, hub.token)) is None:
            raise
        raise unreachable(given_up, doing, Place(hub.endpoint, repo_id)) from error
