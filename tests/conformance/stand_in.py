"""Leads `https://huggingface.co` of one process to a server on this machine.

huggingface_hub below 2 sends two of its calls to that address whatever its endpoint is. In a closed
network a proxy answers there; this is such a proxy: clients find it by HTTPS_PROXY and trust its
certificate, which is made for the occasion. It connects to nothing else.
"""

from __future__ import annotations

import socket
import ssl
import subprocess
import threading
from contextlib import closing, suppress
from pathlib import Path
from types import TracebackType
from urllib.parse import urlsplit

HOST = "huggingface.co"


class StandIn:
    """A proxy that answers as HOST with what is at `endpoint`; use it in a `with` block."""

    def __init__(self, endpoint: str, folder: Path) -> None:
        parts = urlsplit(endpoint)
        self._target = (str(parts.hostname), int(parts.port or 80))
        self._certificate, key = folder / "certificate.pem", folder / "key.pem"
        subject = ["-subj", f"/CN={HOST}", "-addext", f"subjectAltName=DNS:{HOST}"]
        files = ["-keyout", str(key), "-out", str(self._certificate)]
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", *subject, *files],
            check=True,
            capture_output=True,
        )
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._tls.load_cert_chain(self._certificate, key)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.seen: list[str] = []
        """What clients asked to be connected to."""

    @property
    def environment(self) -> dict[str, str]:
        """What tells a process to use it: standard variables of requests, httpx and OpenSSL."""
        port = self._listener.getsockname()[1]
        return {
            "HTTPS_PROXY": f"http://127.0.0.1:{port}",
            "REQUESTS_CA_BUNDLE": str(self._certificate),
            "SSL_CERT_FILE": str(self._certificate),
        }

    def __enter__(self) -> StandIn:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with closing(client), suppress(OSError):
            head = b""
            while not head.endswith(b"\r\n\r\n") and (part := client.recv(1)):
                head += part
            where = head.split(b" ")[1].decode("latin-1")
            self.seen.append(where)
            if where != f"{HOST}:443":
                client.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
                return
            client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            with (
                self._tls.wrap_socket(client, server_side=True) as inside,
                socket.create_connection(self._target) as server,
            ):
                thread = threading.Thread(target=_pipe, args=(server, inside), daemon=True)
                thread.start()
                _pipe(inside, server)
                thread.join()


def _pipe(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)
