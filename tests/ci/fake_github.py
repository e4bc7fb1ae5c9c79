"""GitHub's REST API as far as hubkit calls it, and the two ends of trusted publishing: a server on
loopback that keeps what it is sent."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import requests

Json = dict[str, object]
REPOSITORY = "acme/model"
TOKEN = "ghs_the_job_s_own_token"
_NOT_ON = ("connection", "content-length")  # Host goes on: the Hub names itself as it was asked
_NOT_BACK = ("transfer-encoding", "connection", "content-encoding", "content-length", "server")


@dataclass
class FakeGitHub:
    """Comments and releases of one repository. `fault(method, path, phase)`: an HTTP status to
    answer with, or "reset"; phase "after": what was asked is done, and its answer is lost."""

    comments: list[Json] = field(default_factory=list)
    releases: list[Json] = field(default_factory=list)
    assets: dict[int, list[Json]] = field(default_factory=dict)
    contents: dict[int, bytes] = field(default_factory=dict)
    may: set[str] = field(default_factory=lambda: {"pull-requests", "contents"})
    fault: Callable[[str, str, str], int | str | None] = lambda _m, _p, _w: None
    immutable: bool = False
    # The Hub's part: who may have a token for what, and which token that is.
    publishers: dict[str, str] = field(default_factory=dict)
    hub: str | None = None  # what is asked below / is passed on to this Hub
    page: int = 100
    calls: list[tuple[str, str]] = field(default_factory=list)
    exchanged: list[Json] = field(default_factory=list)
    url: str = ""
    _last: int = 0

    def number(self) -> int:
        self._last += 1
        return self._last

    def comment(self, body: str, *, bot: bool = True) -> Json:
        user = {"login": "github-actions[bot]", "type": "Bot"} if bot else {"type": "User"}
        made: Json = {"id": self.number(), "body": body, "user": user}
        self.comments.append(made)
        return made

    def release(self, tag: str, body: str = "", *, draft: bool = False) -> Json:
        number = self.number()
        made: Json = {
            "id": number,
            "tag_name": tag,
            "body": body,
            "draft": draft,
            "html_url": f"https://github.example/{REPOSITORY}/releases/tag/{tag}",
            "upload_url": f"{self.url}/upload/{number}/assets{{?name,label}}",
        }
        self.releases.append(made)
        self.assets[number] = []
        return made

    def names(self, tag: str) -> list[str]:
        """Names of a release's assets, sorted."""
        (release,) = [one for one in self.releases if one["tag_name"] == tag]
        return sorted(str(asset["name"]) for asset in self.assets[int(str(release["id"]))])

    def content(self, tag: str, name: str) -> bytes:
        (release,) = [one for one in self.releases if one["tag_name"] == tag]
        found = self.assets[int(str(release["id"]))]
        (number,) = [asset["id"] for asset in found if asset["name"] == name]
        return self.contents[int(str(number))]

    @contextmanager
    def serve(self) -> Iterator[FakeGitHub]:
        server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        server.daemon_threads = True
        self.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield self
        finally:
            server.shutdown()
            server.server_close()

    def answer(self, method: str, path: str, query: Json, body: bytes) -> tuple[int, object]:
        """What the API says; the caller has checked the token."""
        parts = path.strip("/").split("/")
        if parts[0] == "upload" and method == "POST":
            return self._upload(int(parts[1]), str(query["name"]), body)
        if parts[:3] != ["repos", *REPOSITORY.split("/")]:
            return 404, {"message": "Not Found"}
        given = json.loads(body) if body else {}
        first = int(str(query.get("page", 1))) - 1
        size = min(self.page, int(str(query.get("per_page", 30))))
        chosen = slice(first * size, (first + 1) * size)
        match (method, *parts[3:]):
            case ("GET", "issues", "7", "comments"):
                return 200, self.comments[chosen]
            case ("POST", "issues", "7", "comments"):
                return self._write("pull-requests", 201, lambda: self.comment(given["body"]))
            case ("PATCH", "issues", "comments", number):
                return self._write("pull-requests", 200, lambda: self._edit(number, given))
            case ("GET", "releases"):
                return 200, self.releases[chosen]
            case ("POST", "releases"):
                tag, text = given["tag_name"], given.get("body", "")
                draft = bool(given.get("draft"))
                return self._write("contents", 201, lambda: self.release(tag, text, draft=draft))
            case ("PATCH", "releases", number):
                return self._write("contents", 200, lambda: self._change(number, given))
            case ("GET", "releases", number, "assets"):
                return 200, self.assets[int(number)][chosen]
            case ("DELETE", "releases", "assets", number):
                return self._write("contents", 204, lambda: self._delete(number))
        return 404, {"message": "Not Found"}

    def _write(self, right: str, status: int, do: Callable[[], object]) -> tuple[int, object]:
        if right not in self.may:
            return 403, {"message": "Resource not accessible by integration"}
        return status, do()

    def _edit(self, number: str, given: Json) -> Json:
        (found,) = [one for one in self.comments if one["id"] == int(number)]
        found["body"] = given["body"]
        return found

    def _change(self, number: str, given: Json) -> Json:
        (found,) = [one for one in self.releases if one["id"] == int(number)]
        found.update(given)
        return found

    def _delete(self, number: str) -> None:
        for found in self.assets.values():
            found[:] = [asset for asset in found if asset["id"] != int(number)]

    def _upload(self, release: int, name: str, body: bytes) -> tuple[int, object]:
        (found,) = [one for one in self.releases if one["id"] == release]
        taken = any(asset["name"] == name for asset in self.assets[release])
        if taken or (self.immutable and not found["draft"]):
            return 422, {"message": "Validation Failed"}
        number = self.number()
        digest = f"sha256:{hashlib.sha256(body).hexdigest()}"
        made: Json = {"id": number, "name": name, "size": len(body), "digest": digest}
        made["state"] = "uploaded"
        self.contents[number] = body
        self.assets[release].append(made)
        return 201, made

    def identity(self, authorization: str, audience: str) -> tuple[int, object]:
        if authorization != "Bearer the-runner's-secret":
            return 401, {"message": "no"}
        return 200, {"value": f"jwt for {audience}"}

    def exchange(self, given: Json) -> tuple[int, object]:
        """POST /oauth/token of the Hub, by huggingface.co/docs/hub/trusted-publishers."""
        self.exchanged.append(given)
        token = self.publishers.get(str(given.get("resource")))
        if token is None or given.get("subject_token") != f"jwt for {self.url}":
            return 400, {"error": "invalid_grant", "error_description": "no publisher matches"}
        return 200, {"access_token": token, "token_type": "bearer", "expires_in": 3600}


def _handler(fake: FakeGitHub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: object) -> None:
            """Nothing: the tests look at `calls`."""

        def _serve(self) -> None:
            parts = urlsplit(self.path)
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            fake.calls.append((self.command, parts.path))
            if self._faulty("before", parts.path):
                return
            status, value = self._answer(parts.path, parts.query, body)
            if self._faulty("after", parts.path):
                return
            if isinstance(value, requests.Response):
                self._relay(value)
                return
            text = b"" if value is None else json.dumps(value).encode()
            self._send(status, text, {"Content-Type": "application/json"})

        def _answer(self, path: str, query: str, body: bytes) -> tuple[int, object]:
            asked = {key: values[0] for key, values in parse_qs(query).items()}
            if path == "/identity":
                return fake.identity(self.headers["Authorization"], asked["audience"])
            if path == "/oauth/token":
                return fake.exchange(json.loads(body))
            if path.startswith(("/repos/", "/upload/")):
                if self.headers.get("Authorization") != f"Bearer {TOKEN}":
                    return 401, {"message": "Bad credentials"}
                return fake.answer(self.command, path, dict(asked), body)
            if fake.hub is None:
                return 404, {"message": "Not Found"}
            headers = {k: v for k, v in self.headers.items() if k.lower() not in _NOT_ON}
            return 0, requests.request(
                self.command,
                fake.hub + self.path,
                headers=headers,
                data=body,
                allow_redirects=False,
                timeout=60,
            )

        def _faulty(self, phase: str, path: str) -> bool:
            fault = fake.fault(self.command, path, phase)
            if fault == "reset":
                self.close_connection = True
                self.connection.close()
                return True
            if isinstance(fault, int):
                self._send(fault, b'{"message": "away"}', {})
                return True
            return False

        def _relay(self, found: requests.Response) -> None:
            length = {"Content-Length": found.headers.get("Content-Length", "0")}
            headers = {k: v for k, v in found.headers.items() if k.lower() not in _NOT_BACK}
            self._send(
                found.status_code, found.content, headers | (length if self._is_head() else {})
            )

        def _is_head(self) -> bool:
            return self.command == "HEAD"

        def _send(self, status: int, text: bytes, headers: dict[str, str]) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            if self._is_head():
                self.end_headers()
                return
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        do_GET = do_POST = do_PATCH = do_DELETE = do_PUT = do_HEAD = _serve

    return Handler
