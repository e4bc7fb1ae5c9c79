"""A Hub that refuses, changes under us, is away or loses its answer: no half push, and no two."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace

import pytest

from tests.e2e_small.worlds import HEAVY, TOKENS, Done, World

TITLE = "Publish tiny: ONNX INT8"


@pytest.mark.parametrize(
    ("token", "said", "cure"),
    [
        (None, "no token for the Hub at http", "hf auth login"),
        ("hf_nobody_token_00", "does not accept the token (401", "HF_TOKEN"),
        (
            TOKENS["reader"],
            "the token of account reader has no write access to writer/",
            "--repo-id",
        ),
    ],
    ids=["none", "unknown", "may only read"],
)
def test_without_a_token_that_may_write_nothing_is_begun(
    fresh: World, token: str | None, said: str, cure: str
) -> None:
    done = replace(fresh, token=token).publish(style="human")
    assert done.code == 1
    assert said in done.err
    assert cure in done.err.partition("  hint: ")[2]
    assert "resolve" not in done.err
    assert fresh.titles() == []


def test_a_namespace_of_somebody_else(warm: World) -> None:
    warm.repo = "somebody/tiny"
    done = warm.publish(style="human")
    assert done.code == 1
    assert "no write access to somebody/tiny" in done.err
    assert "nothing was pushed" in done.err
    assert warm.titles() == []
    assert warm.lacks() == []


def test_others_who_write_all_the_time(warm: World) -> None:
    count = itertools.count()

    def rule(method: str, path: str, phase: str) -> None:
        if phase == "before" and path.endswith(f"{warm.repo}/commit/main"):
            warm.intrude(f"other-{next(count)}.txt")

    warm.switch.rule = rule
    done = warm.publish(style="human")
    warm.switch.heal()
    assert done.code == 1
    assert f"{warm.repo} was changed by somebody else" in done.err
    assert "4 times running; nothing was pushed" in done.err
    assert "run the same command again" in done.err
    assert TITLE not in warm.titles()
    assert len(warm.titles()) == 4 + 1
    assert warm.lacks() == []


def test_a_storm_is_lived_through_with_one_commit(warm: World) -> None:
    """Down before, a writer in between, down during, and the answer to the commit lost."""
    commits = []

    def rule(method: str, path: str, phase: str) -> int | str | None:
        if (
            phase == "before"
            and path == "/api/whoami-v2"
            and warm.switch.seen.count((method, path)) == 1
        ):
            return 503
        if not path.endswith(f"{warm.repo}/commit/main"):
            return None
        if phase == "before":
            commits.append(path)
            if len(commits) == 1:
                warm.intrude("other.txt")  # answered with 412
            return {2: 503, 3: "reset"}.get(len(commits))
        return "reset" if len(commits) == 4 else None  # it happened, and nobody is told

    warm.switch.rule = rule
    done = warm.publish()
    warm.switch.heal()
    assert done.code == 0
    assert len(commits) == 4
    assert done.json()["made_commit"] is True
    assert done.json()["verified"] != "before"
    assert warm.titles()[:2] == [TITLE, "edit other.txt"]
    assert len(warm.titles()) == 3
    assert warm.file("other.txt") == b"of somebody else"
    assert done.ran().isdisjoint(HEAVY)

    again = warm.publish()
    assert again.json()["made_commit"] is False
    assert again.json()["verified"] == "before"
    assert len(warm.titles()) == 3


@dataclass(frozen=True)
class Away:
    """What three publications came to, each on a Hub that went away at another moment."""

    before: Done
    during: Done
    after: Done
    world: World  # of `after`


@pytest.fixture(scope="module", name="away")
def _away(published: World) -> Away:
    # Each gives up after some ten seconds of trying again: side by side they take no longer.
    switch = published.switch
    during = replace(published, repo="writer/away-during")
    after = replace(published, repo="writer/away-after")
    gone = []

    def rule(method: str, path: str, phase: str) -> int | None:
        if f"{during.repo}/commit/" in path:
            return 503
        if f"{after.repo}/commit/" in path and phase == "after":
            gone.append(path)
            return None
        return 503 if after.repo in path and gone else None

    switch.heal()
    switch.rule = rule
    processes = (
        published.start(*published.publishing(style="human"), HF_ENDPOINT="http://127.0.0.1:9"),
        during.start(*during.publishing(style="human")),
        after.start(*after.publishing(style="human")),
    )
    ends = [published.end(process) for process in processes]
    switch.heal()
    return Away(*ends, world=after)


def test_the_hub_is_away_before(away: Away) -> None:
    assert away.before.code == 1
    assert "the Hub at http://127.0.0.1:9 cannot be reached: connection refused" in away.before.err
    assert "run the same command again" in away.before.err


def test_the_hub_goes_away_during_the_commit(away: Away, published: World) -> None:
    assert away.during.code == 1
    assert "cannot be reached: 503" in away.during.err
    assert "nothing was pushed" in away.during.err
    assert "run the same command again" in away.during.err
    assert TITLE not in replace(published, repo="writer/away-during").titles()


def test_the_hub_goes_away_after_the_commit(away: Away) -> None:
    assert away.after.code == 1
    assert "cannot be reached: 503" in away.after.err
    head = away.world.api().repo_info(away.world.repo).sha
    assert head is not None
    assert f"{away.world.repo} holds commit {head[:12]}, not verified yet" in away.after.err

    done = away.world.publish()  # what was not verified then is verified now
    assert done.code == 0
    assert done.json()["made_commit"] is False
    assert done.json()["verified"] != "before"
    assert away.world.titles().count(TITLE) == 1


def test_two_at_the_same_time_make_one_commit(warm: World) -> None:
    first, second = (warm.start(*warm.publishing()) for _ in range(2))
    ends = [warm.end(process) for process in (first, second)]
    assert [done.code for done in ends] == [0, 0]
    # Who of them it was cannot be told where the answer to the slower one is 412.
    assert ends[0].json()["commit"] == ends[1].json()["commit"]
    assert warm.titles().count(TITLE) == 1
