"""Large files through the embedded Hub and through nginx: python -m benchmarks.hub_speed.

PUT (an LFS upload, hashed on arrival, against a WebDAV PUT), GET and GET of ranges with the same
client in the same run, both servers in turns; then 50 parallel downloads whose sums are checked.
Needs nginx with its WebDAV module (Debian: apt-get install nginx-light); the servers run from a
temporary folder on free ports. Prints one JSON object. The default takes about four minutes.
"""

from __future__ import annotations

import argparse
import hashlib
import http.client
import json
import secrets
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

import psutil

from hubkit.hub.server.embedded import spawn_hub
from hubkit.machine import machine_info

BLOCK_BYTES = 1 << 20
_NGINX = """
daemon off; worker_processes auto; error_log {root}/error.log; pid {root}/nginx.pid; {user}
events {{ worker_connections 1024; }}
http {{
  access_log off; sendfile on; tcp_nopush on; default_type application/octet-stream;
  client_max_body_size 0; {buffer} client_body_temp_path {root}/temp;
  proxy_temp_path {root}/p; fastcgi_temp_path {root}/f; uwsgi_temp_path {root}/u;
  scgi_temp_path {root}/s;
  server {{
    listen 127.0.0.1:{port}; root {root}/files;
    location / {{ dav_methods PUT; create_full_put_path on; }}
  }}
}}
"""


class Target(Protocol):
    """A server that takes and gives one file."""

    name: str
    processes: list[psutil.Process]

    def put_url(self, oid: str, size: int) -> str:
        """Where to send the file; each time another place."""

    def get_url(self) -> str:
        """Where to read what was sent last."""


class Nginx:
    """nginx as Debian builds it, its files in a folder of the run."""

    name = "nginx"

    def __init__(self, root: Path, buffer: str | None) -> None:
        self._root = root
        self._buffer = f"client_body_buffer_size {buffer};" if buffer else ""
        (root / "files").mkdir(parents=True)
        with socket.create_server(("127.0.0.1", 0)) as free:
            self._base = f"http://127.0.0.1:{free.getsockname()[1]}"
        self._number = 0
        self.processes: list[psutil.Process] = []

    @contextmanager
    def running(self) -> Iterator[Nginx]:
        user = "user root;" if psutil.Process().uids().real == 0 else ""
        port = urlsplit(self._base).port
        text = _NGINX.format(root=self._root, port=port, user=user, buffer=self._buffer)
        (self._root / "nginx.conf").write_text(text)
        command = ["nginx", "-p", str(self._root), "-c", str(self._root / "nginx.conf")]
        with subprocess.Popen(command) as process:
            _wait_for(self._base)
            main = psutil.Process(process.pid)
            self.processes = [main, *main.children()]
            try:
                yield self
            finally:
                process.terminate()

    def put_url(self, oid: str, size: int) -> str:
        with suppress(FileNotFoundError):
            (self._root / "files" / f"{self._number}.bin").unlink()
        self._number += 1
        return self.get_url()

    def get_url(self) -> str:
        return f"{self._base}/{self._number}.bin"


class Hub:
    """`hubkit hub serve` in a process of its own; each upload goes to a new repository."""

    name = "hubkit"

    def __init__(self, root: Path) -> None:
        self._root = root
        self._number = 0
        self._oid, self._size = "", 0
        self._endpoint = ""
        self.processes: list[psutil.Process] = []

    @contextmanager
    def running(self) -> Iterator[Hub]:
        with spawn_hub(self._root) as hub:
            self._endpoint = hub.endpoint
            self.processes = [psutil.Process(hub.pid)]
            yield self

    def put_url(self, oid: str, size: int) -> str:
        if self._number:
            self._post("/api/repos/delete", {"name": f"speed{self._number}"}, "DELETE")
        self._number += 1
        self._oid, self._size = oid, size
        self._post("/api/repos/create", {"name": f"speed{self._number}"})
        return self._link("upload")

    def get_url(self) -> str:
        return self._link("download")

    def _link(self, operation: str) -> str:
        objects = [{"oid": self._oid, "size": self._size}]
        path = f"/demo/speed{self._number}.git/info/lfs/objects/batch"
        said = self._post(path, {"operation": operation, "objects": objects})
        href: str = said["objects"][0]["actions"][operation]["href"]  # type: ignore[index]
        return href

    def _post(self, path: str, body: object, method: str = "POST") -> dict[str, object]:
        token = (self._root / "token").read_text().strip()
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        connection = _connect(self._endpoint)
        connection.request(method, path, json.dumps(body), headers)
        with connection.getresponse() as response:
            if response.status >= 300:
                raise SystemExit(f"{path}: {response.status} {response.read()!r}")
            said: dict[str, object] = json.loads(response.read())
        return said


def _wait_for(base: str) -> None:
    deadline = time.monotonic() + 10
    while True:
        try:
            _connect(base).connect()
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def _connect(url: str) -> http.client.HTTPConnection:
    parts = urlsplit(url)
    assert parts.hostname is not None
    return http.client.HTTPConnection(
        parts.hostname, parts.port, timeout=120, blocksize=BLOCK_BYTES
    )


def _target(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.path}?{parts.query}" if parts.query else parts.path


def put(url: str, file: Path) -> None:
    """Send a file in blocks."""
    connection = _connect(url)
    with file.open("rb") as stream:
        headers = {"Content-Length": str(file.stat().st_size)}
        connection.request("PUT", _target(url), stream, headers)
        with connection.getresponse() as response:
            if response.status not in (200, 201, 204):
                raise SystemExit(f"PUT {url}: {response.status} {response.read()!r}")
    connection.close()


def get(url: str, first: int = 0, last: int | None = None, *, check: bool = False) -> str:
    """Read a file or a part of it in blocks; with `check` its SHA-256."""
    connection = _connect(url)
    headers = {} if last is None else {"Range": f"bytes={first}-{last}"}
    connection.request("GET", _target(url), headers=headers)
    sha, total, block = hashlib.sha256(), 0, memoryview(bytearray(BLOCK_BYTES))
    with connection.getresponse() as response:
        if response.status != (200 if last is None else 206):
            raise SystemExit(f"GET {url}: {response.status}")
        expected = int(response.headers["Content-Length"])
        while count := response.readinto(block):
            total += count
            if check:
                sha.update(block[:count])
    connection.close()
    if total != expected:
        raise SystemExit(f"GET {url}: {total} of {expected} bytes")
    return sha.hexdigest()


def get_ranges(url: str, size: int, count: int) -> None:
    """The whole file, as ranges one after another where `count` is not 1."""
    if count == 1:
        get(url)
        return
    step = -(-size // count)
    for first in range(0, size, step):
        get(url, first, min(first + step, size) - 1)


@dataclass
class Watch:
    """Resident memory of a server's processes, looked at every 50 ms."""

    processes: list[psutil.Process]
    before: int = 0
    peak: int = 0
    _over: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Watch:
        self.before = self.peak = self._now()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *unused: object) -> None:
        self._over.set()
        self._thread.join()

    def _now(self) -> int:
        return sum(process.memory_info().rss for process in self.processes)

    def _run(self) -> None:
        while not self._over.wait(0.05):
            self.peak = max(self.peak, self._now())

    def megabytes(self) -> dict[str, float]:
        """Before the work and at most during it."""
        return {"before_mb": round(self.before / 1e6, 1), "peak_mb": round(self.peak / 1e6, 1)}


def _cpu(target: Target) -> float:
    return float(sum(p.cpu_times().user + p.cpu_times().system for p in target.processes))


def _random_file(path: Path, size: int) -> str:
    sha = hashlib.sha256()
    with path.open("wb") as stream:
        left = size
        while left:
            block = secrets.token_bytes(min(left, 16 << 20))
            stream.write(block)
            sha.update(block)
            left -= len(block)
    return sha.hexdigest()


def one_round(target: Target, file: Path, oid: str) -> dict[str, tuple[float, float]]:
    """Wall and server CPU seconds of an upload, a download, and a download in ranges."""
    size = file.stat().st_size
    url = target.put_url(oid, size)
    work: dict[str, Callable[[], None]] = {
        "put": lambda: put(url, file),
        "get": lambda: get_ranges(target.get_url(), size, 1),
        "range": lambda: get_ranges(target.get_url(), size, 8),
    }
    found = {}
    for what, run in work.items():
        cpu, started = _cpu(target), time.perf_counter()
        run()
        found[what] = time.perf_counter() - started, _cpu(target) - cpu
    return found


def parallel(target: Target, oid: str, count: int) -> dict[str, object]:
    """Many whole downloads at once, each checked."""
    url = target.get_url()
    with Watch(target.processes) as memory, ThreadPoolExecutor(count) as pool:
        started = time.perf_counter()
        sums = list(pool.map(lambda _: get(url, check=True), range(count)))
        seconds = time.perf_counter() - started
    right = sum(found == oid for found in sums)
    return {"downloads": count, "right": right, "seconds": round(seconds, 1), **memory.megabytes()}


def _summary(
    size: int, rounds: dict[str, list[dict[str, tuple[float, float]]]]
) -> dict[str, object]:
    found: dict[str, object] = {}
    for what in ("put", "get", "range"):
        ratios = [
            theirs[what][0] / ours[what][0]
            for ours, theirs in zip(rounds["hubkit"], rounds["nginx"], strict=True)
        ]
        found[what] = {
            "speed_of_nginx": round(statistics.median(ratios), 2),
            "of_each_round": [round(ratio, 2) for ratio in ratios],
            **{
                f"{name}_mb_per_s": round(
                    statistics.median(size / 1e6 / one[what][0] for one in made)
                )
                for name, made in rounds.items()
            },
            **{
                f"{name}_cpu_s": round(statistics.median(one[what][1] for one in made), 2)
                for name, made in rounds.items()
            },
        }
    return found


def main() -> None:
    """Run both servers side by side; only one works at a time."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size-mb", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--parallel", type=int, default=50)
    parser.add_argument("--folder", type=Path, help="where the files go; a temporary folder")
    parser.add_argument("--nginx-buffer", help="its client_body_buffer_size; its own: 16k")
    options = parser.parse_args()
    if shutil.which("nginx") is None:
        raise SystemExit("nginx is missing: apt-get install nginx-light")
    machine, size = machine_info(), options.size_mb * 1_000_000
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        file = Path(folder, "file.bin")
        oid = _random_file(file, size)
        with (
            Nginx(Path(folder, "nginx"), options.nginx_buffer).running() as nginx,
            Hub(Path(folder, "hub")).running() as hub,
        ):
            targets: list[Target] = [hub, nginx]
            rounds: dict[str, list[dict[str, tuple[float, float]]]] = {"hubkit": [], "nginx": []}
            with Watch(hub.processes) as memory:
                for number in range(options.rounds + 1):
                    for target in targets if number % 2 else reversed(targets):
                        made = one_round(target, file, oid)
                        if number:  # the first warms caches up
                            rounds[target.name].append(made)
            result = {
                "machine": machine.cpu,
                "logical_cpus": machine.logical_cpus,
                "size_mb": options.size_mb,
                "nginx_buffer": options.nginx_buffer or "its own default",
                **_summary(size, rounds),
                "hubkit_memory": memory.megabytes(),
                "parallel": parallel(hub, oid, options.parallel) if options.parallel else None,
            }
    sys.stdout.write(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
