"""Retry: how often, how long, and what passes through."""

from __future__ import annotations

import pytest

from hubkit.hub.retry import GivenUp, Retry, Transient


def failing(times: int, *, wait_s: float | None = None):  # type: ignore[no-untyped-def]
    left = [times]

    def call() -> str:
        if left[0]:
            left[0] -= 1
            raise Transient("503", wait_s)
        return "done"

    return call


def test_waits_grow_and_end() -> None:
    waits: list[float] = []
    retry = Retry(tries=6, first_s=1, longest_s=5, sleep=waits.append, jitter=lambda: 1.0)
    assert retry.run(failing(5)) == "done"
    assert waits == [1, 2, 4, 5, 5]


def test_jitter_keeps_half_of_the_wait() -> None:
    waits: list[float] = []
    Retry(first_s=1, sleep=waits.append, jitter=lambda: 0.0).run(failing(2))
    assert waits == [0.5, 1]


def test_gives_up_after_the_last_try_without_waiting_for_it() -> None:
    waits: list[float] = []
    with pytest.raises(GivenUp) as caught:
        Retry(tries=3, sleep=waits.append).run(failing(99))
    assert caught.value.tries == 3
    assert len(waits) == 2


def test_the_server_says_how_long() -> None:
    waits: list[float] = []
    Retry(sleep=waits.append, jitter=lambda: 0.0).run(failing(1, wait_s=30))
    assert waits == [30]


def test_a_wish_beyond_the_total_is_not_granted() -> None:
    waits: list[float] = []
    with pytest.raises(GivenUp):
        Retry(total_s=60, sleep=waits.append).run(failing(1, wait_s=600))
    assert waits == []


def test_other_errors_are_not_tried_again() -> None:
    calls = []

    def call() -> None:
        calls.append(1)
        raise KeyError("bug")

    with pytest.raises(KeyError):
        Retry(sleep=lambda _s: None).run(call)
    assert len(calls) == 1
