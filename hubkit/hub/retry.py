"""Trying again: exponential backoff with jitter, a server's own wish honoured, and an end to it.

The waits follow "full jitter" (M. Brooker, Exponential Backoff and Jitter, AWS Architecture Blog,
2015), with a floor of half the step so that a Hub that restarts is given time to.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")
Notice = Callable[[str, float], None]  # (why, seconds)
# A failed call counts for no more: one that took longer has moved something before it failed.
_LONGEST_CALL_S = 120.0


class Transient(Exception):
    """A call failed in a way that may pass; `wait_s` is what the server asked for, if it did."""

    def __init__(self, reason: str, wait_s: float | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.wait_s = wait_s


class GivenUp(Exception):
    """A call failed in a passing way each time it was tried."""

    def __init__(self, tries: int, last: Transient) -> None:
        super().__init__(f"{tries} tries, last: {last.reason}")
        self.tries = tries
        self.last = last


_listeners: list[Notice] = []


@contextmanager
def waits_told(listener: Notice) -> Iterator[None]:
    """Inside, `listener` hears of each wait before another try, from whichever thread waits."""
    _listeners.append(listener)
    try:
        yield
    finally:
        _listeners.remove(listener)


def tell_wait(reason: str, wait_s: float) -> None:
    """Let whoever listens know of a wait."""
    for listener in _listeners[-1:]:
        listener(reason, wait_s)


@dataclass(frozen=True)
class Retry:
    """How often and how long to try: `tries` calls, with waits of up to `longest_s` between them
    unless the server asks for longer ones.

    `total_s` bounds the waits and the failed calls together, so that a Hub that lets every call run
    into its time-out is given up too. `notice` hears of each wait.
    """

    tries: int = 6
    first_s: float = 0.5
    longest_s: float = 8.0
    total_s: float = 600.0  # the Hub's own rate limits ask for up to 300
    sleep: Callable[[float], None] = time.sleep
    jitter: Callable[[], float] = random.random
    clock: Callable[[], float] = time.monotonic
    notice: Notice = tell_wait

    def run(self, call: Callable[[], T]) -> T:
        """The call's result; a call says with `Transient` that it is worth another try.

        Raises GivenUp when the tries or the time are used up. Everything else passes through.
        """
        spent = 0.0
        for number in range(1, self.tries + 1):
            began = self.clock()
            try:
                return call()
            except Transient as fault:
                spent += min(self.clock() - began, _LONGEST_CALL_S)
                wait = self._wait(number, fault)
                if number == self.tries or spent + wait > self.total_s:
                    raise GivenUp(number, fault) from fault
                self.notice(fault.reason, wait)
            self.sleep(wait)
            spent += wait
        raise AssertionError("tries must be at least 1")

    def _wait(self, number: int, fault: Transient) -> float:
        if fault.wait_s is not None:
            return fault.wait_s + self.first_s * self.jitter()  # not before it is wanted
        step = min(self.longest_s, self.first_s * 2.0 ** (number - 1))
        return step * (0.5 + 0.5 * self.jitter())
