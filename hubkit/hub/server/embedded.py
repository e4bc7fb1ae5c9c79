"""Running the embedded Hub: in a thread, in a process of its own, or as the whole process."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.error import URLError
from urllib.request import ProxyHandler, build_opener

from hubkit.errors import HubError
from hubkit.hub.server.running import Server, need_server_packages

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType

    from hubkit.hub.server.injected import Faults
    from hubkit.hub.server.limits import Limits
    from hubkit.hub.server.users import UsersSource

_START_S = 30.0


class EmbeddedHub:
    """An embedded Hub in a thread of this process, for tests and short scripts.

    `users` maps a name to {"token": …, "role": "write" | "read"}, is a users file, or is None for
    the single user "demo" (see `token`). `faults(method, path, phase)` may answer None, an HTTP
    status, "reset", or a `Trouble`; phase is "before" (the handler does not run) or "after" (it
    ran, and its answer is lost). `requests` holds (method, path) of every request so far.
    """

    def __init__(
        self,
        root: Path,
        users: UsersSource = None,
        port: int = 0,
        *,
        host: str = "127.0.0.1",
        faults: Faults | None = None,
        prefer_xet: bool = False,
        limits: Limits | None = None,
    ) -> None:
        self.requests: list[tuple[str, str]] = []
        self._server = Server(
            root,
            users,
            host,
            port,
            faults=faults,
            requests=self.requests,
            prefer_xet=prefer_xet,
            # Who runs a Hub in a thread has imported the client, whose endpoint is fixed by then.
            bare_urls=True,
            limits=limits,
        )
        self.root = self._server.root
        self.endpoint = self._server.endpoint
        self._thread = threading.Thread(target=self._server.run, name="hubkit-hub", daemon=True)
        self._thread.start()
        deadline = time.monotonic() + _START_S
        while not self._server.uvicorn.started:
            if not self._thread.is_alive() or time.monotonic() > deadline:
                raise HubError("the embedded Hub did not start", hint="see the log above")
            time.sleep(0.005)

    @property
    def token(self) -> str:
        """Token of the default user "demo"."""
        from hubkit.hub.server.users import token_of

        return token_of(self.root)

    def close(self) -> None:
        """Stop serving; what was acknowledged stays on disk. Closing twice is harmless."""
        self._server.uvicorn.should_exit = True
        self._thread.join(timeout=15)

    def __enter__(self) -> EmbeddedHub:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def serve(
    root: Path,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    users: Path | None = None,
    prefer_xet: bool = False,
    bare_urls: bool = False,
    on_start: Callable[[str], None] | None = None,
) -> None:
    """Serve in this process, in the main thread, until SIGINT or SIGTERM."""
    import signal

    def leave(number: int, frame: object) -> None:
        raise SystemExit(0)

    server = Server(root, users, host, port, prefer_xet=prefer_xet, bare_urls=bare_urls)
    # uvicorn raises the signal again once it has shut down, and by default that would kill the
    # process before server.json is removed.
    signal.signal(signal.SIGTERM, leave)
    if on_start is not None:
        on_start(server.endpoint)
    with contextlib.suppress(KeyboardInterrupt, SystemExit):
        server.run()


def find_running(root: Path) -> str | None:
    """Endpoint of the server that serves this root now, or None; asks it, so it really answers."""
    try:
        state = json.loads((root.absolute() / "server.json").read_bytes())
        endpoint, instance = state["endpoint"], state["instance"]
        # Never through a proxy: the server is on this machine.
        with build_opener(ProxyHandler({})).open(f"{endpoint}/healthz", timeout=5) as response:
            return endpoint if json.load(response)["instance"] == instance else None
    except (OSError, URLError, ValueError, KeyError, TypeError):
        return None


class SpawnedHub:
    """A Hub in a process of its own, which outlives this one unless it is terminated."""

    def __init__(self, process: subprocess.Popen[bytes], root: Path, endpoint: str) -> None:
        self._process = process
        self.root = root
        self.endpoint = endpoint
        self.pid = process.pid

    def terminate(self) -> None:
        """Stop the server and wait for it, by force after ten seconds."""
        self._process.terminate()
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def __enter__(self) -> SpawnedHub:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.terminate()


def spawn_hub(
    root: Path,
    port: int = 0,
    users: Path | None = None,
    *,
    bare_urls: bool = True,
    options: Sequence[str] = (),
) -> SpawnedHub:
    """Start `python -m hubkit hub serve` and wait until it answers; its log is `<root>/server.log`.

    It is in a session of its own, so that Ctrl-C here does not stop it. `bare_urls` is its option
    --bare-commit-urls: who starts a Hub so has imported the client already, with another endpoint.
    `options` are further ones of the command.
    """
    need_server_packages()
    root = root.absolute()
    root.mkdir(parents=True, exist_ok=True)
    if (running := find_running(root)) is not None:
        raise HubError(f"another Hub serves {root} already", hint=f"use the one at {running}")
    command = [sys.executable, "-m", "hubkit", "hub", "serve", "--root", str(root)]
    command += ["--port", str(port), *options, *(["--bare-commit-urls"] if bare_urls else [])]
    if users is not None:
        command += ["--users", str(users.absolute())]
    log = root / "server.log"
    with log.open("wb") as stream:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=stream,
            start_new_session=True,
        )
    deadline = time.monotonic() + _START_S
    while process.poll() is None and time.monotonic() < deadline:
        endpoint = find_running(root)
        if endpoint is not None:
            return SpawnedHub(process, root, endpoint)
        time.sleep(0.05)
    if process.poll() is None:
        process.kill()
        process.wait()
    said = log.read_text(encoding="utf-8", errors="replace").strip()[-600:]
    raise HubError(f"the embedded Hub did not start: {said}", hint=f"see {log}")
