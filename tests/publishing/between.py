"""What may stand between a publisher and its Hub: a proxy that answers pages or cuts bodies."""

from __future__ import annotations

import http.client
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Literal
from urllib.parse import urlsplit

Harm = Literal["page", "cut", "cut and counted"]
HARMS: tuple[Harm, ...] = ("page", "cut", "cut and counted")
PAGE = b"<!DOCTYPE html><html><title>Log in to the network</title></html>"
_OWN = ("connection", "transfer-encoding", "content-length")


@dataclass
class Proxy:
    """Passes everything on, but for what `rule` (the number of the request, from 1) harms."""

    hub: str
    endpoint: str = ""
    rule: Callable[[int], Harm | None] = lambda _number: None
    harmed: int = 0
    seen: int = 0
    received: Counter[str] = field(default_factory=Counter)  # bytes of bodies by method
    lock: threading.Lock = field(default_factory=threading.Lock)

    def heal(self) -> None:
        self.rule, self.harmed, self.seen = (lambda _number: None), 0, 0

    def next_harm(self) -> Harm | None:
        with self.lock:
            self.seen += 1
            return self.rule(self.seen)


def _handler(proxy: Proxy) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm, wbufsize = True, -1  # else each answer waits 40 ms for an ACK

        def log_message(self, *_: object) -> None:
            pass

        def _pass_on(self) -> None:
            harm = proxy.next_harm()
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            with proxy.lock:
                proxy.received[self.command] += len(body)
            if harm == "page":
                proxy.harmed += 1
                head = [("Content-Type", "text/html"), ("Content-Length", str(len(PAGE)))]
                self._answer(200, head, b"" if self.command == "HEAD" else PAGE)
                return
            to = http.client.HTTPConnection(urlsplit(proxy.hub).netloc)
            to.request(self.command, self.path, body or None, dict(self.headers.items()))
            answer = to.getresponse()
            data = answer.read()
            to.close()
            head = [(k, v) for k, v in answer.getheaders() if k.lower() not in _OWN]
            length = answer.getheader("Content-Length") or str(len(data))
            if harm and len(data) > 1:
                proxy.harmed += 1
                data = data[: len(data) // 2]
                self.close_connection = True
                if harm == "cut and counted":
                    length = str(len(data))
            self._answer(answer.status, [*head, ("Content-Length", length)], data)

        def _answer(self, status: int, head: list[tuple[str, str]], data: bytes) -> None:
            self.send_response(status)
            for name, value in head:
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = _pass_on

    return Handler


@contextmanager
def proxy_before(hub: str) -> Iterator[Proxy]:
    """A proxy in a thread, before the Hub at that address."""
    proxy = Proxy(hub)
    with ThreadingHTTPServer(("127.0.0.1", 0), _handler(proxy)) as server:
        server.daemon_threads = True
        proxy.endpoint = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield proxy
        finally:
            server.shutdown()
            thread.join()
