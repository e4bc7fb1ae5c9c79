"""Why a request is not answered: an HTTP status and a sentence for whoever sent it."""

from __future__ import annotations


class Refusal(Exception):
    """A request that is not answered. `retry_after_s`: when it is worth another try."""

    def __init__(self, status: int, message: str, *, retry_after_s: int | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.retry_after_s = retry_after_s
