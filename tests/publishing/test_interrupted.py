"""A publisher that is killed during its upload: the next one sends only what is not there."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from subprocess import PIPE
from threading import Event, Timer

import pytest
from huggingface_hub.errors import RepositoryNotFoundError

from hubkit.keys import digest_of_bytes
from hubkit.stage import no_progress
from tests.hub_client.hubs import TOKENS, World
from tests.publishing.between import proxy_before
from tests.publishing.programs import push_it
from tests.publishing.whole import INITIAL, LARGE, bundle_of, files_at, ids_of, write

SIZE = 3_000_000
SLOW = pytest.mark.conformance
REPO = "alice/model"


def bundle(count: int) -> dict[str, bytes]:
    """Besides the two small ones, so many large files."""
    return bundle_of("new", **{f"w{n}.bin": bytes([n]) * SIZE for n in range(count)})


def killed(world: World, folder: Path, what: str, size: int) -> None:
    """Let a publisher run until it is killed there."""
    arguments = [world.server.endpoint, TOKENS["alice"], REPO, str(folder.parent / "store")]
    command = [sys.executable, "-m", "tests.publishing.programs", "die", *arguments]
    done = subprocess.run([*command, str(folder), what, str(size)], timeout=120, check=False)
    assert done.returncode == -signal.SIGKILL


def stored(world: World, repo_id: str = REPO, wait_s: float = 0.5) -> set[str]:
    """The SHA-256 of the large files that the Hub holds, whole, once it is done with what had been
    sent."""
    objects = world.server.root / "repos" / "models" / f"{repo_id}.git" / "lfs" / "objects"
    found: set[str] | None = None
    while (now := {path.name for path in objects.rglob("*") if path.is_file()}) != found:
        found = now
        time.sleep(wait_s)
    return now


def sent(world: World) -> Counter[str]:
    """SHA-256 -> how often it was sent since the switch was last reset."""
    return Counter(path.split("/")[-1] for method, path in world.switch.seen if method == "PUT")


@pytest.mark.parametrize(
    ("count", "what", "size"),
    [
        pytest.param(1, "uploading", SIZE // 2, id="in the middle of a file", marks=SLOW),
        pytest.param(1, "committing", 0, id="between upload and commit", marks=SLOW),
        pytest.param(9, "uploading", 6 * SIZE, id="in the middle of many files"),
        pytest.param(9, "committing", 0, id="between many files and commit", marks=SLOW),
    ],
)
def test_what_is_there_is_not_sent_again(
    world: World, tmp_path: Path, count: int, what: str, size: int
) -> None:
    files = bundle(count)
    folder = write(files, tmp_path / "new")
    large = {
        digest_of_bytes(data): len(data) for path, data in files.items() if path.endswith(LARGE)
    }
    killed(world, folder, what, size)
    assert world.titles(REPO) == [INITIAL]
    there = stored(world)
    assert there <= large.keys()
    if what == "committing":
        assert there == large.keys()
    elif count > 1:
        assert there
        assert there != large.keys()

    world.switch.heal()
    with proxy_before(world.server.endpoint) as proxy:
        push_it(proxy.endpoint, TOKENS["alice"], REPO, tmp_path / "store", folder, no_progress)
    assert sent(world) == Counter(large.keys() - there)  # each once
    assert proxy.received["PUT"] == sum(large.values()) - sum(large[s] for s in there)
    assert proxy.received["POST"] < SIZE // 10
    assert files_at(world, REPO) == ids_of(files)
    assert world.titles(REPO) == ["Publish new", INITIAL]


class Victims:
    """Publishers in processes of their own, one after the other, that can be killed."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self._started = Event()
        self._pid = 0

    def publish(self, repo_id: str) -> bool:
        """Let one publish; whether it came to its end."""
        assert self._process.stdin
        self._started.clear()
        self._process.stdin.write(repo_id + "\n")
        self._process.stdin.flush()
        self._pid = self._said("pid")
        self._started.set()
        return self._said("status") == 0

    def kill(self) -> None:
        """kill -9 the one that publishes."""
        with suppress(ProcessLookupError):  # it was faster
            if self._started.wait(20):
                os.kill(self._pid, signal.SIGKILL)

    def _said(self, what: str) -> int:
        assert self._process.stdout
        return int(json.loads(self._process.stdout.readline())[what])


@contextmanager
def victims(world: World, folder: Path) -> Iterator[Victims]:
    """A process that forks publishers of that folder."""
    arguments = [world.server.endpoint, TOKENS["alice"], "-", str(folder.parent / "stores")]
    command = [sys.executable, "-m", "tests.publishing.programs", "victims", *arguments]
    with subprocess.Popen([*command, str(folder)], stdin=PIPE, stdout=PIPE, text=True) as process:
        yield Victims(process)
        process.kill()


def whole_or_untouched(world: World, repo_id: str, files: dict[str, bytes]) -> bool:
    """Whether the repository is the new revision; else it is empty or not there."""
    try:
        titles, found = world.titles(repo_id), files_at(world, repo_id)
        while (now := world.titles(repo_id)) != titles:  # what was sent before the kill goes on
            titles, found = now, files_at(world, repo_id)
    except RepositoryNotFoundError:
        return False
    if titles == [INITIAL]:
        assert found == {}
        return False
    assert titles == ["Publish new", INITIAL]
    assert found == ids_of(files)
    return True


@pytest.mark.conformance
def test_killed_at_each_request_and_at_any_moment(world: World, tmp_path: Path) -> None:
    """kill -9 when a request arrives, when its answer is ready, and at random moments: all or
    nothing is there, and the next publisher completes it, sending only what is not there."""
    files = bundle_of("new", **{f"w{n}.bin": bytes([n]) * 300_000 for n in range(3)})
    folder = write(files, tmp_path / "new")
    sizes = {
        digest_of_bytes(data): len(data) for path, data in files.items() if path.endswith(LARGE)
    }
    dice, kept, killed = random.Random(5), 0, 0
    with victims(world, folder) as them, proxy_before(world.server.endpoint) as proxy:
        assert them.publish("alice/undisturbed")
        count = len(world.switch.seen)
        moments = [(n, phase) for n in range(1, count + 1) for phase in ("before", "after")]
        for at, moment in enumerate([*moments, *[(0, "")] * 20]):
            repo_id = f"alice/k{at}"
            world.switch.heal()

            def rule(_m: str, _p: str, phase: str, moment: tuple[int, str] = moment) -> None:
                if (len(world.switch.seen), phase) == moment:
                    them.kill()

            world.switch.rule = rule
            timer = Timer(dice.uniform(0.0, 0.4), them.kill)
            if moment == (0, ""):
                timer.start()
            ended = them.publish(repo_id)
            timer.cancel()
            whole = settled(world, repo_id, files)
            assert whole or not ended, moment
            there = stored(world, repo_id, wait_s=0.1) & sizes.keys()
            kept += bool(there) and not whole
            killed += not ended
            world.switch.heal()
            proxy.received.clear()
            push_it(proxy.endpoint, TOKENS["alice"], repo_id, tmp_path / "s", folder, no_progress)
            assert proxy.received["PUT"] == sum(sizes[sha] for sha in sizes.keys() - there)
            assert whole_or_untouched(world, repo_id, files), moment
    assert killed >= 2 * count - 8  # an answer that is a refusal has no "after"
    assert kept >= 5  # uploads were cut and gone on with


def settled(world: World, repo_id: str, files: dict[str, bytes]) -> bool:
    """`whole_or_untouched`, when the Hub is done with what a killed publisher had sent."""
    before = None
    while (now := whole_or_untouched(world, repo_id, files)) != before:
        before = now
        time.sleep(0.05)
    return now
