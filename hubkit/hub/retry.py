"""Trying again: exponential backoff with jitter, a server's own wish honoured, and an end to it.

The waits follow "full jitter" (M. Brooker, Exponential Backoff and Jitter, AWS Architecture Blog,
2015), with a floor of half the step so that a Hub that restarts is given time to.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")


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


@dataclass(frozen=True)
class Retry:
    """How often and how long to try: `tries` calls, waits of up to `longest_s` each and `total_s`
    in all."""

    tries: int = 6
    first_s: float = 0.5
    longest_s: float = 8.0
    total_s: float = 90.0
    sleep: Callable[[float], None] = time.sleep
    jitter: Callable[[], float] = random.random

    def run(self, call: Callable[[], T]) -> T:
        """The call's result; a call says with `Transient` that it is worth another try.

        Raises GivenUp when the tries or the time are used up. Everything else passes through.
        """
        waited = 0.0
        for number in range(1, self.tries + 1):
            try:
                return call()
            except Transient as fault:
                wait = self._wait(number, fault)
                if number == self.tries or waited + wait > self.total_s:
                    raise GivenUp(number, fault) from fault
            self.sleep(wait)
            waited += wait
        raise AssertionError("tries must be at least 1")

    def _wait(self, number: int, fault: Transient) -> float:
        if fault.wait_s is not None:
            return fault.wait_s + self.first_s * self.jitter()  # not before it is wanted
        step = min(self.longest_s, self.first_s * 2.0 ** (number - 1))
        return step * (0.5 + 0.5 * self.jitter())
