"""A server that runs until it is told to stop, and stops in good order."""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import Callable

from hubkit.deps import require
from hubkit.errors import HubkitError
from hubkit.serving.app import App
from hubkit.serving.http import Server
from hubkit.serving.messages import Limits
from hubkit.serving.pool import Pool
from hubkit.serving.served import Served

# How long answers may still take once the server was told to stop.
_DRAIN_S = 30.0


def listening(host: str, port: int) -> socket.socket:
    """A socket that listens. Raises HubkitError where it cannot."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    made = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        made.bind((host, port))
        made.listen(512)
    except OSError as error:
        made.close()
        raise HubkitError(
            f"cannot listen on {host}:{port}: {error.strerror or error}",
            hint="Give --port another port, or 0 for any free one.",
        ) from error
    return made


def address_of(sock: socket.socket) -> str:
    """http://HOST:PORT, as this machine reaches the socket."""
    host, port = sock.getsockname()[:2]
    reached = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"http://{f'[{reached}]' if ':' in reached else reached}:{port}"


def serve(
    served: Served,
    pool: Pool,
    sock: socket.socket,
    *,
    version: str,
    limits: Limits | None = None,
    started: Callable[[str], None] = lambda url: None,
) -> None:
    """Serve until SIGTERM or SIGINT: then no new requests are taken, those in flight are answered,
    and the pool is closed. Raises MissingDependencyError without httptools."""
    require("httptools", extra="serve")
    asyncio.run(_run(served, pool, sock, version, limits or Limits(), started))


async def _run(
    served: Served,
    pool: Pool,
    sock: socket.socket,
    version: str,
    limits: Limits,
    started: Callable[[str], None],
) -> None:
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    app = App(served, pool, version)
    server = Server(app, limits)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    listener = await loop.create_server(server.connection, sock=sock)
    server.sweep()
    started(address_of(sock))
    await stop.wait()
    app.ready = False
    pool.hurry()
    listener.close()
    await server.drain(_DRAIN_S)
    await loop.run_in_executor(None, pool.close)
