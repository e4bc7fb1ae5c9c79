"""A root being served: its lock, its socket, its uvicorn, and `server.json` to find it by."""

from __future__ import annotations

import json
import os
import secrets
import socket
from typing import TYPE_CHECKING

from hubkit.errors import HubError, MissingDependencyError

if TYPE_CHECKING:
    from pathlib import Path

    from hubkit.hub.server.injected import Faults
    from hubkit.hub.server.limits import Limits
    from hubkit.hub.server.users import UsersSource


def need_server_packages() -> None:
    """Say how to install the server's packages when one is missing."""
    try:
        import blake3
        import dulwich.repo
        import jinja2
        import markdown_it
        import mdit_py_plugins
        import nh3
        import starlette
        import uvicorn
        import yaml
    except ModuleNotFoundError as error:
        raise MissingDependencyError(
            f"the embedded Hub needs the package {error.name}",
            hint='pip install "hubkit[hub]"',
        ) from error
    del blake3, dulwich, jinja2, markdown_it, mdit_py_plugins, nh3, starlette, uvicorn, yaml


class Server:
    """A root being served: its lock, its socket and its uvicorn; not yet running."""

    def __init__(
        self,
        root: Path,
        users: UsersSource,
        host: str,
        port: int,
        *,
        faults: Faults | None = None,
        requests: list[tuple[str, str]] | None = None,
        limits: Limits | None = None,
        prefer_xet: bool = False,
        bare_urls: bool = False,
    ) -> None:
        need_server_packages()
        import uvicorn

        from hubkit.hub.server.app import HubApp
        from hubkit.hub.server.call import Hub
        from hubkit.hub.server.disk import RootLock, sweep, write_atomic
        from hubkit.hub.server.lfs import Signer
        from hubkit.hub.server.limits import Limits, fitting
        from hubkit.hub.server.protocol import hang_up, protocol_with
        from hubkit.hub.server.recovery import mend_all
        from hubkit.hub.server.repos import RepoStore
        from hubkit.hub.server.users import load_users

        self.root = root = root.absolute()
        try:
            root.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise HubError(
                f"{root} cannot be used as a Hub's root: {error.strerror}",
                hint="give --root a folder that you can write",
            ) from error
        self._lock = RootLock(root)
        self._socket: socket.socket | None = None
        try:
            sweep(root)
            store = RepoStore(root)
            mend_all(store)
            self.instance = secrets.token_hex(16)
            limits = fitting(limits or Limits())
            hub = Hub(
                store,
                load_users(users, root),
                Signer(root),
                self.instance,
                limits,
                prefer_xet,
                bare_urls,
            )
            self._socket = _listen(host, port)
            address = self._socket.getsockname()
            reached = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
            name = f"[{reached}]" if ":" in reached else reached
            self.endpoint = f"http://{name}:{address[1]}"
            app = HubApp(hub, faults=faults, requests=requests, hang_up=hang_up)
            config = uvicorn.Config(
                app,
                http=protocol_with(limits),
                loop="asyncio",
                ws="none",
                limit_concurrency=limits.connections,
                h11_max_incomplete_event_size=limits.header_bytes,
                lifespan="off",
                log_level="warning",
                access_log=False,
                server_header=False,
                timeout_graceful_shutdown=5,
            )
            self.uvicorn = uvicorn.Server(config)
            self.state = {
                "pid": os.getpid(),
                "endpoint": self.endpoint,
                "instance": self.instance,
            }
            write_atomic(root / "server.json", json.dumps(self.state).encode())
        except BaseException:
            self.close()
            raise

    def run(self) -> None:
        """Serve until told to stop; then let go of everything."""
        assert self._socket is not None
        try:
            self.uvicorn.run(sockets=[self._socket])
        finally:
            self.close()

    def close(self) -> None:
        """Remove server.json and let another server have the root."""
        (self.root / "server.json").unlink(missing_ok=True)
        if self._socket is not None:
            self._socket.close()
        self._lock.release()


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio turns Nagle's delay (40 ms an answer) off only where the protocol is named.
    made = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        made.bind((host, port))
        made.listen(128)
    except OSError as error:
        made.close()
        raise HubError(
            f"cannot listen on {host}:{port}: {error.strerror}",
            hint="give --port another port, or 0 for any free one",
        ) from error
    return made
