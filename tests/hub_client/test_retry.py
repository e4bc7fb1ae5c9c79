"""Retry: how often, how long, and what passes through."""

from __future__ import annotations

import pytest

from hubkit.hub.retry import GivenUp, Retry, Transient, waits_told


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


def test_failed_calls_count_against_the_total() -> None:
    """Six time-outs of 120 s would be twelve minutes."""
    now, calls = [0.0], []

    def call() -> None:
        calls.append(1)
        now[0] += 120
        raise Transient("no answer in time")

    with pytest.raises(GivenUp):
        Retry(tries=99, total_s=600, sleep=lambda _s: None, clock=lambda: now[0]).run(call)
    assert len(calls) == 5


def test_a_long_upload_that_breaks_is_tried_again() -> None:
    now, left = [0.0], [1]

    def call() -> str:
        now[0] += 7200
        if left[0]:
            left[0] -= 1
            raise Transient("the connection broke")
        return "done"

    assert Retry(sleep=lambda _s: None, clock=lambda: now[0]).run(call) == "done"


def test_each_wait_is_told() -> None:
    told: list[tuple[str, float]] = []
    retry = Retry(
        sleep=lambda _s: None, jitter=lambda: 0.0, notice=lambda why, s: told.append((why, s))
    )
    assert retry.run(failing(2)) == "done"
    assert told == [("503", 0.25), ("503", 0.5)]


def test_who_sits_before_it_hears_of_the_longer_waits(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever the command is, a line on stderr."""
    from hubkit.cli import app

    def command() -> None:
        Retry(first_s=1, sleep=lambda _s: None, jitter=lambda: 1.0).run(failing(3))
        with pytest.raises(GivenUp):
            Retry(tries=2, sleep=lambda _s: None).run(failing(9, wait_s=0.2))

    monkeypatch.setattr(app, "app", command)
    app.main()
    said = capsys.readouterr()
    assert said.err.splitlines() == [
        f"  the Hub answered 503, trying again in {seconds} s" for seconds in (1, 2, 4)
    ]
    assert said.out == ""


def test_the_innermost_listens() -> None:
    told: list[str] = []
    with waits_told(lambda _why, _s: told.append("outer")):
        with waits_told(lambda _why, _s: told.append("inner")):
            Retry(sleep=lambda _s: None).run(failing(1))
        Retry(sleep=lambda _s: None).run(failing(1))
    Retry(sleep=lambda _s: None).run(failing(1))
    assert told == ["inner", "outer"]
