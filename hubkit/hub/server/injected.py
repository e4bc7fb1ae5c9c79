"""Failures on demand, for tests: a Hub that refuses, hangs up, loses answers or is slow."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hubkit.hub.server.problems import Problem

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.requests import Request


class Reset(Exception):
    """Raised by an injected fault: the connection is to be dropped without an answer."""


@dataclass(frozen=True)
class Trouble:
    """One failure: wait `delay_s`, then answer `status`, or hang up, or go on as if nothing was.

    Waiting before the handler means that the request is handled late, whether or not its sender is
    still there. `retry_after` is the header of that name, as it is; `say`
    the words of a refusal.
    """

    status: int | None = None
    delay_s: float = 0.0
    hang_up: bool = False
    retry_after: str | None = None
    say: str = ""


if TYPE_CHECKING:
    # (method, path, "before" | "after") -> what happens there; a number is a status to answer,
    # "reset" is to hang up, None is nothing.
    Faults = Callable[[str, str, str], Trouble | int | str | None]


async def cause(fault: Trouble | int | str | None, request: Request, phase: str) -> None:
    """Let a failure happen. Raises Reset and Problem."""
    if isinstance(fault, int):
        fault = Trouble(fault)
    elif isinstance(fault, str):
        fault = Trouble(hang_up=fault == "reset")
    if fault is None:
        return
    if phase == "before" and fault.status is not None:
        async for _ in request.stream():
            pass  # a client that is still sending might never see the answer
    elif phase == "before" and fault.delay_s:
        await request.body()  # now, while its sender is there
    await asyncio.sleep(fault.delay_s)
    if fault.hang_up:
        raise Reset
    if fault.status is not None:
        wait = {} if fault.retry_after is None else {"Retry-After": fault.retry_after}
        said = fault.say or f"Injected fault {fault.status}"
        raise Problem(fault.status, said, extra=wait)
