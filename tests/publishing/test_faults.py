"""A Hub that fails at each single request of a publication, in each way, for a moment and for good:
the repository is the complete new revision or the untouched old one, the words that the user reads
say which, and the same command again completes it.

The default run takes each request of an update once, with faults that take turns, and the commits
of the others. `pytest -m conformance tests/publishing/test_faults.py` takes every request
with every fault, those around a writing one for each length of time, and ends with a table of how
many there were (with --basetemp on a disk in memory it takes half the time).
"""

from __future__ import annotations

import shutil
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import pytest
from huggingface_hub import CommitOperationAdd
from huggingface_hub.errors import RepositoryNotFoundError

from hubkit.errors import HubkitError
from hubkit.hub.server.injected import Trouble
from hubkit.hub.session import default_endpoint
from hubkit.pushing import Onto
from tests.hub_client.hubs import World
from tests.publishing.whole import (
    INITIAL,
    Publisher,
    bundle_of,
    files_at,
    ids_of,
    lower_time_outs,
    publishing,
    write,
)

TIME_OUT_S = 0.3
LATE_S = 0.5
ASKED_S = 7
# Name -> when, and what. What is slow before its handler is handled when its sender has gone.
FAULTS: dict[str, tuple[str, Trouble]] = {
    "503": ("before", Trouble(503)),
    "429": ("before", Trouble(429, retry_after=str(ASKED_S))),
    "reset": ("before", Trouble(hang_up=True)),
    "lost answer": ("after", Trouble(hang_up=True)),
    "lost answer, 502": ("after", Trouble(502)),
    "slow": ("before", Trouble(delay_s=LATE_S)),
    "slow answer": ("after", Trouble(delay_s=LATE_S)),
}
# What does not pass by itself.
LASTING: dict[str, tuple[str, Trouble]] = {
    "revoked": ("before", Trouble(401, say="Invalid credentials in Authorization header")),
    "full": ("before", Trouble(507, say="The Hub cannot store or read this")),
}
CURES = {"revoked": "hf auth login", "full": "free some space"}
Request = tuple[str, str]  # method, path
Lasts = Literal["once", "every request", "this request"]
LASTS: tuple[Lasts, ...] = ("once", "every request", "this request")
Scenario = Literal["first", "update", "pull request"]
SCENARIOS: tuple[Scenario, ...] = ("first", "update", "pull request")
Phase = Literal["look", "upload", "commit", "verify", "tag"]
PHASES: tuple[Phase, ...] = ("look", "upload", "commit", "verify", "tag")
WRITING: tuple[Phase, ...] = ("upload", "commit", "tag")

NEW = bundle_of("new", **{"extra.md": b"more"})
OLD = bundle_of("old", **{"gone.md": b"gone", "gone.bin": b"gone" * 3000})
AUTHORS = {"notes.txt": b"the author's own"}
OLD_TITLE, NEW_TITLE = "the old revision", "Publish new"
TAG = "v1"
SLOW = pytest.mark.conformance
_points: Counter[tuple[Scenario, str, Phase]] = Counter()


def phases_of(requests: list[Request]) -> list[Phase]:
    """What the publication is at when it sends each of its requests."""
    found: list[Phase] = []
    phase: Phase = "look"
    for method, path in requests:
        if "/preupload/" in path:
            phase = "upload"
        elif path == "/api/validate-yaml":
            phase = "commit"
        elif phase == "commit" and method == "GET":
            phase = "verify"
        elif phase == "verify" and path == "/api/whoami-v2":
            phase = "tag"
        found.append(phase)
    return found


@dataclass
class Point:
    """One fault: at request `number` of a publication (from 1), and for how long."""

    number: int
    fault: str
    lasts: Lasts
    chosen: Request | None = None  # the request of that number, once it was sent
    met: bool = False

    def arm(self, world: World, patch: pytest.MonkeyPatch) -> None:
        """Let the Hub fail there; where it is slow, time-outs are short around that request."""
        when, trouble = {**FAULTS, **LASTING}[self.fault]
        world.switch.heal()

        def rule(method: str, path: str, phase: str) -> Trouble | None:
            if phase == "before":
                if len(world.switch.seen) == self.number - 1:
                    self.lower(patch)
                elif len(world.switch.seen) == self.number:
                    self.chosen = method, path
                elif self.met and self.lasts == "once":
                    patch.undo()
            if phase != when or self.chosen is None:
                return None
            this = (method, path) == self.chosen
            if self.met:
                lasting = self.lasts == "every request" or (self.lasts == "this request" and this)
                return trouble if lasting else None
            self.met = this
            return trouble if this else None

        if self.number == 1:
            self.lower(patch)
        world.switch.rule = rule

    def disarm(self, world: World) -> None:
        """The Hub is well again."""
        world.switch.heal()

    def lower(self, patch: pytest.MonkeyPatch) -> None:
        """Short time-outs, where they are wanted."""
        if "slow" in self.fault:
            lower_time_outs(patch, TIME_OUT_S)


@dataclass
class Bench:
    """A publication, over and over, each time in a repository of its own."""

    world: World
    publisher: Publisher
    folder: Path
    scenario: Scenario
    repos: int = 0
    last_seen: list[Request] = field(default_factory=list)
    failed: HubkitError | None = None

    @property
    def onto(self) -> Onto:
        return Onto(create_pr=True) if self.scenario == "pull request" else Onto(tag=TAG)

    @property
    def old(self) -> dict[str, str]:
        return {} if self.scenario == "first" else ids_of({**OLD, **AUTHORS})

    @property
    def new(self) -> dict[str, str]:
        return ids_of(NEW if self.scenario == "first" else {**NEW, **AUTHORS})

    @property
    def before(self) -> list[str]:
        return [INITIAL] if self.scenario == "first" else [OLD_TITLE, INITIAL]

    def prepared(self) -> str:
        """A repository as it is before: not there, or at the old revision."""
        self.world.switch.heal()
        self.repos += 1
        repos = self.world.server.root / "repos" / "models" / "alice"
        if self.scenario != "first":
            if self.repos == 1:
                self._make_old("alice/old")
            shutil.copytree(repos / "old.git", repos / f"m{self.repos}.git")
        self.world.switch.heal()
        return f"alice/m{self.repos}"

    def _make_old(self, repo_id: str) -> None:
        api = self.world.api()
        api.create_repo(repo_id)
        adds = [CommitOperationAdd(path, data) for path, data in {**OLD, **AUTHORS}.items()]
        with default_endpoint(self.world.server.endpoint):
            api.create_commit(repo_id, adds, commit_message=OLD_TITLE)

    def requests(self) -> dict[str, list[Request]]:
        """Those of an undisturbed publication in their order: "before", and those that are not
        refused, "after"."""
        repo_id = self.prepared()
        found: dict[str, list[Request]] = {"before": [], "after": []}
        self.world.switch.rule = lambda method, path, phase: found[phase].append((method, path))
        self.publisher.publish(self.folder, repo_id, self.onto)
        return found

    def whole(self, repo_id: str) -> bool:
        """Whether the repository is the complete new revision; else it is the untouched old one."""
        try:
            found, titles = files_at(self.world, repo_id), self.world.titles(repo_id)
        except RepositoryNotFoundError:
            assert self.scenario == "first"
            return False
        if self.scenario == "pull request":
            assert (titles, found) == (self.before, self.old)
            return self.opened(repo_id)
        if titles == [NEW_TITLE, *self.before]:
            assert found == self.new
            return True
        assert (titles, found) == (self.before, self.old)
        return False

    def opened(self, repo_id: str) -> bool:
        """Whether there is the pull request, whole; there are never two."""
        numbers = list(self.world.hub().refs(repo_id).pull_requests)
        for number in numbers:
            at = f"refs/pr/{number}"
            assert files_at(self.world, repo_id, at) == self.new
            assert self.world.titles(repo_id, revision=at) == [NEW_TITLE, *self.before]
        assert len(numbers) <= 1
        return len(numbers) == 1

    def suffer(self, point: Point) -> bool:
        """Publish with that fault, and again without; False where it was not met."""
        repo_id = self.prepared()
        self.publisher.waits.clear()
        self.publisher.tries = 6 if point.lasts == "once" else 2
        # A pull request that may still be opened is waited for, not opened again.
        pulls = self.scenario == "pull request"
        self.publisher.pause_s = LATE_S / 4 if pulls and "slow" in point.fault else 0.0
        failed = None
        with pytest.MonkeyPatch.context() as patch:
            point.arm(self.world, patch)
            try:
                self.publisher.publish(self.folder, repo_id, self.onto)
            except HubkitError as error:  # of the Hub, or of what came from it
                failed = error
        self.last_seen, self.failed = list(self.world.switch.seen), failed
        point.disarm(self.world)
        whole = self.whole(repo_id)
        if not point.met:
            return False
        if point.lasts == "once":
            assert failed is None
        if failed is None:
            assert whole
            assert self.scenario == "pull request" or self.tags(repo_id).keys() == {TAG}
        else:
            self.says_so(failed, whole)
        if "429" in point.fault:
            assert max(self.publisher.waits) >= ASKED_S
        if failed is not None or "slow" in point.fault:
            self.completes(repo_id)
        return True

    def completes(self, repo_id: str) -> None:
        """The same command again, and the Hub is well."""
        pushed, _, tagged = self.publisher.publish(self.folder, repo_id, self.onto)
        assert self.whole(repo_id)
        if self.scenario == "pull request":
            assert pushed.commit == self.world.hub().head(repo_id, pushed.branch)
            return
        assert tagged is not None
        assert self.tags(repo_id) == {TAG: pushed.commit}
        assert pushed.commit == self.world.hub().head(repo_id)

    def tags(self, repo_id: str) -> dict[str, str]:
        return self.world.hub().tags(repo_id)

    def says_so(self, error: HubkitError, whole: bool) -> None:
        """The words of a failure fit what the repository is."""
        said = error.message
        assert error.hint
        nothing, unsure = "nothing was pushed" in said, "may" in said
        unsure |= "unless the Hub is still at it" in said
        assert nothing or unsure or "holds commit" in said, said
        if whole:
            assert unsure or not nothing, said
        else:
            assert "holds commit" not in said, said

    def met(self, point: Point) -> None:
        """Let it happen."""
        try:
            # With time-outs this short, a busy machine may end a publication before its point.
            assert any(self.suffer(replace(point)) for _ in range(3))
        except Exception as error:
            raise AssertionError(f"{self.scenario}: {point}") from error


@pytest.fixture(name="bench", params=SCENARIOS)
def _bench(
    request: pytest.FixtureRequest, world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[Bench]:
    folder = write(NEW, tmp_path / "new")
    with publishing(world, monkeypatch) as publisher:
        yield Bench(world, publisher, folder, request.param)


@pytest.fixture(scope="module", autouse=True)
def _table(request: pytest.FixtureRequest) -> Iterator[None]:
    """How many fault points there were, after the last of them."""
    _points.clear()
    yield
    capture = request.config.pluginmanager.get_plugin("capturemanager")
    if _points and capture is not None:
        with capture.global_and_fixture_disabled():
            sys.stdout.write("\n" + "\n".join(table(_points)) + "\n")


def table(points: Counter[tuple[Scenario, str, Phase]]) -> list[str]:
    """Fault points: a line for each kind of fault, a column for each phase."""
    heads = ["fault points", *PHASES, "all"]
    rows = [heads]
    for name in (*FAULTS, "all"):
        counts = [
            sum(n for (_, fault, at), n in points.items() if name in (fault, "all") and at in cols)
            for cols in [*((phase,) for phase in PHASES), PHASES]
        ]
        rows.append([name, *map(str, counts)])
    for scenario in SCENARIOS:
        total = sum(n for (one, _, _), n in points.items() if one == scenario)
        rows.append([f"of them: {scenario}", *[""] * len(PHASES), str(total)])
    return [row[0].ljust(24) + "".join(cell.rjust(8) for cell in row[1:]) for row in rows]


def test_each_request_fails_in_one_way(bench: Bench) -> None:
    """Faults take turns. Of what is read before a push, more is in tests/stages/test_push.py."""
    requests = bench.requests()["before"]
    names, shift = list(FAULTS), SCENARIOS.index(bench.scenario)
    met = 0
    for at, ((method, _), phase) in enumerate(zip(requests, phases_of(requests), strict=True)):
        commits = phase == "commit" and method == "POST"
        if bench.scenario == "update" or commits:
            point = Point(at + 1, names[(at + shift) % len(names)], LASTS[at % 2])
            bench.met(point)
            _points[bench.scenario, point.fault, phase] += 1
            met += 1
    assert met >= (30 if bench.scenario == "update" else 2)


@pytest.mark.conformance
@pytest.mark.parametrize("fault", FAULTS)
def test_every_request_fails_in_every_way(bench: Bench, fault: str) -> None:
    requests = bench.requests()
    answered = list(requests[FAULTS[fault][0]])  # an answer that is a refusal is not lost
    phases = phases_of(requests["before"])
    turn = list(FAULTS).index(fault)
    for number, request in enumerate(requests["before"], 1):
        if request not in answered:
            continue
        answered.remove(request)
        alone, phase = False, phases[number - 1]
        # Each request that only reads meets each length with some of the faults.
        writing = phase in WRITING or request[0] == "POST"
        lengths = LASTS if writing else (LASTS[(number + turn) % len(LASTS)],)
        for lasts in lengths:
            if lasts == "this request" and alone:
                continue  # nothing else was asked of the Hub that was away: it is the same again
            bench.met(Point(number, fault, lasts))
            alone = lasts == "every request" and set(bench.last_seen[number - 1 :]) == {request}
            _points[bench.scenario, fault, phase] += 1


@pytest.mark.parametrize("bench", ["update"], indirect=True)
@pytest.mark.parametrize(
    ("fault", "every"),
    [("revoked", 8), pytest.param("revoked", 1, marks=SLOW), pytest.param("full", 1, marks=SLOW)],
)
def test_what_does_not_pass_is_named_with_its_cure(bench: Bench, fault: str, every: int) -> None:
    """From each request on (by default from some) the token is not taken, or the Hub's disk is
    full: it is not asked again and again, nothing is half there, and once that is mended the same
    command ends it."""
    requests = list(enumerate(bench.requests()["before"], 1))
    for number, (method, path) in requests[every // 2 :: every]:
        if fault == "full" and method not in ("POST", "PUT"):
            continue
        assert bench.suffer(Point(number, fault, "every request")), path
        assert bench.failed is not None
        assert CURES[fault] in bench.failed.hint, (path, bench.failed.message, bench.failed.hint)
        assert bench.publisher.waits == []
