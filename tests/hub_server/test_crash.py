"""kill -9 at any moment loses nothing that was acknowledged, and shows nothing half done."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from hubkit.hub.server.embedded import EmbeddedHub, spawn_hub
from tests.hub_server.crash_model import Driver, Server
from tests.hub_server.crash_worker import fsck

USERS: dict[str, dict[str, object]] = {f"u{n}": {"token": f"hf_crash_{n}"} for n in range(3)}
# Those that change more than one file, or what others see at several places.
_DELICATE = ("merge", "close", "branch", "upload", "commit-pr")


def explored(folder: Path, step: int, *operations: str) -> dict[str, int]:
    command = [sys.executable, "-m", "tests.hub_server.crash_worker", str(folder), str(step)]
    done = subprocess.run([*command, *operations], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    points: dict[str, int] = json.loads(done.stdout)["points"]
    return points


def test_delicate_operations_killed_before_their_changes(tmp_path: Path) -> None:
    points = explored(tmp_path, 3, *_DELICATE)
    assert set(points) == set(_DELICATE)
    assert all(points.values())


@pytest.mark.conformance
def test_each_operation_killed_before_each_of_its_changes(tmp_path: Path) -> None:
    points = explored(tmp_path, 1)
    assert len(points) == 20
    assert sum(points.values()) > 200


class _Killer(threading.Thread):
    """Starts the server, kills it after some operations, at any moment of the next, and so on."""

    def __init__(self, root: Path, server: Server, drivers: list[Driver], longest: int) -> None:
        super().__init__(daemon=True)
        self._root, self._server, self._drivers, self._longest = root, server, drivers, longest
        self._users = root.parent / "users.json"
        self._users.write_text(json.dumps(USERS))
        self._random = random.Random(5)
        self._over = threading.Event()
        self.lives = 0
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            while not self._over.is_set():
                self._live()
        except BaseException as error:
            self.error = error
            self._server.up.set()

    def _live(self) -> None:
        hub = spawn_hub(self._root, users=self._users)
        self._server.endpoint = hub.endpoint
        self._server.up.set()
        self.lives += 1
        # Counted, not timed: on a loaded machine a second may be no operation or all of them.
        enough = self._done() + self._random.randint(1, self._longest)
        while self._done() < enough and not self._over.wait(0.002):
            pass
        if self._over.wait(self._random.uniform(0, 0.03)):
            hub.terminate()
            return
        self._server.up.clear()
        os.kill(hub.pid, signal.SIGKILL)
        hub.terminate()

    def _done(self) -> int:
        return sum(driver.acknowledged + driver.cut for driver in self._drivers)

    def stop(self) -> None:
        self._over.set()
        self.join()


def _random_operations(tmp_path: Path, operations: int, longest: int) -> tuple[int, int, int]:
    """Numbers of acknowledged and of cut operations, and of the server's lives."""
    server, root = Server(), tmp_path / "root"
    drivers = [Driver(server, name, str(entry["token"]), n)
               for n, (name, entry) in enumerate(USERS.items())]  # fmt: skip
    with EmbeddedHub(root, users=USERS) as hub:
        server.endpoint = hub.endpoint
        server.up.set()
        for driver in drivers:
            driver.learn_initial()
        server.up.clear()
    killer = _Killer(root, server, drivers, longest)
    failures: list[BaseException] = []

    def work(driver: Driver) -> None:
        try:
            while driver.acknowledged + driver.cut < operations // len(drivers):
                assert killer.error is None
                driver.step()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(driver,)) for driver in drivers]
    killer.start()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    killer.stop()
    if failures:
        raise failures[0]
    assert killer.error is None
    # The last life ended in peace; kill once more, in the middle of an upload, and look at it all.
    (root / "tmp" / "lfs-half").write_bytes(b"half")
    with EmbeddedHub(root, users=USERS) as again:
        server.endpoint = again.endpoint
        assert not list((root / "tmp").iterdir())
        for driver in drivers:
            assert driver.observed() == driver.repos
            assert driver.check_contents() > 0
    assert fsck(root) == ""
    odd = [p for p in root.rglob("*") if p.name.endswith((".lock", ".tmp")) and p.name != ".lock"]
    assert odd == []
    kinds = set().union(*(driver.kinds for driver in drivers))
    if operations >= 500:
        assert len(kinds) >= 13, kinds
    return (
        sum(driver.acknowledged for driver in drivers),
        sum(driver.cut for driver in drivers),
        killer.lives,
    )


def test_kill_9_during_random_operations(tmp_path: Path) -> None:
    acknowledged, cut, lives = _random_operations(tmp_path, 45, 25)
    assert acknowledged >= 20
    assert lives >= 2
    assert acknowledged + cut == 45


@pytest.mark.conformance
def test_kill_9_during_500_random_operations(tmp_path: Path) -> None:
    started = time.monotonic()
    acknowledged, cut, lives = _random_operations(tmp_path, 510, 14)
    sys.stderr.write(f"{acknowledged=} {cut=} {lives=} {time.monotonic() - started:.0f} s\n")
    assert acknowledged + cut == 510
    assert lives >= 20
    assert cut >= 10
