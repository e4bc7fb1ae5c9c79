"""What stands between: pages in the Hub's place, bodies that are cut, a disk that is full."""

from __future__ import annotations

import errno
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from hubkit.errors import HubkitError, StoreError
from hubkit.store import Store
from tests.hub_client.hubs import World
from tests.publishing.between import HARMS, Harm, Proxy, proxy_before
from tests.publishing.test_faults import LASTS, Bench, Point, _bench  # noqa: F401 - the fixture


@dataclass
class Harmed(Point):
    """A request that a proxy harms."""

    proxy: Proxy | None = None

    def arm(self, world: World, patch: pytest.MonkeyPatch) -> None:
        """Let the proxy harm that request, or all from there on."""
        world.switch.heal()
        proxy, harm = self.proxy, self.fault
        assert proxy is not None
        proxy.heal()

        def rule(number: int) -> Harm | None:
            hit = number == self.number or (self.lasts != "once" and number > self.number)
            return next(one for one in HARMS if one == harm) if hit else None

        proxy.rule = rule

    def disarm(self, world: World) -> None:
        """All goes through again."""
        assert self.proxy is not None
        self.met = self.proxy.harmed > 0
        self.proxy.heal()
        world.switch.heal()


@pytest.fixture(name="proxy")
def _proxy(bench: Bench) -> Iterator[Proxy]:
    with proxy_before(bench.world.server.endpoint) as proxy:
        bench.publisher.endpoint = proxy.endpoint
        yield proxy


def harm_all(bench: Bench, proxy: Proxy, harm: Harm, numbers: list[int], turn: int = 0) -> int:
    """Harm each of these requests in turn; how often there was something to harm."""
    met = 0
    for number in numbers:
        point = Harmed(number, harm, LASTS[(number + turn) % 2], proxy=proxy)
        try:
            met += bench.suffer(point)
        except Exception as error:
            raise AssertionError(f"{point}") from error
        if bench.failed is not None and point.met:
            assert "same command again" in bench.failed.hint or "verify" in bench.failed.hint
            if harm == "page":
                assert "log-in page" in bench.failed.hint, (point, bench.failed.message)
    return met


@pytest.mark.parametrize("bench", ["update"], indirect=True)
@pytest.mark.parametrize("harm", HARMS)
def test_a_harmed_answer_at_some_requests(bench: Bench, proxy: Proxy, harm: Harm) -> None:
    """At what says which files are hubkit's to delete, at the commit, and at the tag."""
    requests = bench.requests()["before"]
    telling = [
        number
        for number, (method, path) in enumerate(requests, 1)
        if "/commit/" in path or "/tag/" in path or (method == "GET" and "SHA256SUMS" in path)
    ]
    assert harm_all(bench, proxy, harm, [*telling[:2], telling[-1]]) >= 2


@pytest.mark.conformance
@pytest.mark.parametrize("harm", HARMS)
def test_a_harmed_answer_at_every_request(bench: Bench, proxy: Proxy, harm: Harm) -> None:
    """In each scenario, for once and for good in turn."""
    count = len(bench.requests()["before"])
    met = harm_all(bench, proxy, harm, list(range(1, count + 1)), HARMS.index(harm))
    assert met >= (count if harm == "page" else count // 3)


@contextmanager
def small_disk(folder: Path) -> Iterator[None]:
    """A real disk of 2 MB at `folder`; skips the test where this user may not mount one."""
    folder.mkdir(exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("only root may mount a disk")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(ballast: Path) -> None:
    """Write until nothing more goes on the disk."""
    with ballast.open("wb", buffering=0) as file:
        try:
            while file.write(b"0" * 512):
                pass
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise


@pytest.mark.parametrize("bench", ["update"], indirect=True)
def test_a_disk_that_fills_up(bench: Bench, tmp_path: Path) -> None:
    """This machine's, before the first request, at the commit, while the files are read back.

    Before the push nothing is sent; after it, what is there is named, and tagged the next time.
    """
    requests = bench.requests()["before"]
    commit = next(n for n, (_, path) in enumerate(requests, 1) if "/commit/" in path)
    disk = tmp_path / "disk"
    with small_disk(disk):
        bench.world.store = Store(disk / "store")
        for number in (0, commit, commit + 6):
            repo_id, ballast = bench.prepared(), disk / "ballast"

            def rule(
                _method: str, _path: str, phase: str, at: int = number, on: Path = ballast
            ) -> None:
                if phase == "before" and len(bench.world.switch.seen) == at:
                    fill(on)

            bench.world.switch.rule = rule
            if number == 0:
                fill(ballast)
            with pytest.raises(HubkitError) as caught:
                bench.publisher.publish(bench.folder, repo_id, bench.onto)
            bench.world.switch.heal()
            assert isinstance(caught.value, StoreError)
            assert f"no space left on the disk of {tmp_path}" in caught.value.message
            assert "same command again" in caught.value.hint
            assert bench.whole(repo_id) == bool(number)
            assert ("holds commit" in caught.value.message) == bool(number)
            assert bench.tags(repo_id) == {}
            ballast.unlink()
            bench.completes(repo_id)
