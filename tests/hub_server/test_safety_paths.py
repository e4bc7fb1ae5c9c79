"""No path, name or revision that a client sends reaches a file outside its repository's folder."""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote, urlsplit

import pytest
from huggingface_hub import HfApi
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import hubkit
from hubkit.hub.server.embedded import EmbeddedHub
from hubkit.hub.server.names import checked_path, checked_ref_name, is_name
from hubkit.hub.server.problems import Problem
from tests.hub_server.conftest import OWNER, USERS

_EVENTS = {
    "open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link", "os.symlink",
    "os.scandir", "os.listdir", "os.chmod", "os.truncate", "os.chown", "os.utime",
}  # fmt: skip
# Where Python itself reads, when a module is imported late.
_CODE = tuple({sys.prefix, sys.base_prefix, str(Path(hubkit.__file__).parents[1] / "hubkit")})
_touched: list[str] | None = None


def _hook(event: str, arguments: tuple[object, ...]) -> None:
    if _touched is None or event not in _EVENTS:
        return
    if threading.current_thread() is threading.main_thread():
        return
    for argument in arguments[: 2 if event in ("os.rename", "os.link", "os.symlink") else 1]:
        if isinstance(argument, str | bytes | os.PathLike):
            _touched.append(os.fsdecode(argument))


sys.addaudithook(_hook)


@contextmanager
def watched() -> Iterator[list[str]]:
    """The paths that the server's threads touch meanwhile."""
    global _touched
    found: list[str] = []
    _touched = found
    try:
        yield found
    finally:
        _touched = None


def outside(touched: list[str], *allowed: Path) -> list[str]:
    """Those that lie in none of the folders, links followed."""
    found = []
    for path in touched:
        real = os.path.realpath(path)
        if any(Path(real).is_relative_to(folder) for folder in allowed):
            continue
        if not real.startswith(_CODE):
            found.append(path)
    return found


class Served(NamedTuple):
    hub: EmbeddedHub
    repo: Path
    secret: bytes

    def send(self, method: str, target: str, body: bytes = b"") -> tuple[int, bytes]:
        """The request as it is: other clients would tidy the path up first."""
        parts = urlsplit(self.hub.endpoint)
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=20)
        headers = {"Authorization": f"Bearer {OWNER}", "Content-Type": "application/json"}
        try:
            connection.request(method, target, body or None, headers)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    root = tmp_path_factory.mktemp("safety")
    secret = b"what nobody may read"
    (root / "secret.txt").write_bytes(secret)
    with EmbeddedHub(root / "root", users=USERS) as hub:
        api = HfApi(endpoint=hub.endpoint, token=OWNER)
        HfApi(endpoint=hub.endpoint, token="hf_test_other").create_repo("bob/own", private=True)
        for name in ("ana/model", "ana/moving"):
            api.create_repo(name)
        api.upload_file(repo_id="ana/model", path_in_repo="d/a.txt", path_or_fileobj=b"a")
        repo = (root / "root/repos/models/ana/model.git").resolve()
        made = Served(hub, repo, secret)
        for template in TARGETS:  # what is imported late is imported now
            made.send(template.method, template.target.replace("*", "x"), template.sent("x"))
        yield made


class Target(NamedTuple):
    method: str
    target: str
    body: object = None
    anywhere: bool = False
    """Whether other repositories may be named."""

    def sent(self, text: str) -> bytes:
        if self.body is None:
            return b""
        lines = self.body if isinstance(self.body, list) else [self.body]
        filled = "\n".join(json.dumps(_filled(line, text)) for line in lines)
        return filled.encode("utf-8", "surrogatepass")


def _filled(value: object, text: str) -> object:
    if isinstance(value, dict):
        return {key: _filled(item, text) for key, item in value.items()}
    if isinstance(value, list):
        return [_filled(item, text) for item in value]
    return text if value == "*" else value


def _commit(key: str, **value: object) -> Target:
    lines: list[object] = [{"key": "header", "value": {"summary": "s"}}]
    lines.append({"key": key, "value": value})
    return Target("POST", "/api/models/ana/model/commit/main", lines)


API, PAGE = "/api/models/ana/model", "/ana/model"
TARGETS = [
    *(Target("GET", f"{PAGE}/{what}/main/*") for what in ("resolve", "raw", "blob", "tree")),
    *(Target("GET", f"{PAGE}/{what}/*/d/a.txt") for what in ("resolve", "blob")),
    Target("GET", f"{PAGE}/*"),
    Target("GET", f"{PAGE}.git/*"),
    Target("GET", f"{PAGE}.git/info/lfs/objects/*"),
    Target("PUT", f"{PAGE}.git/info/lfs/objects/*?size=1&expires=9999999999&signature=0", "x"),
    Target("GET", "/*", anywhere=True),
    Target("GET", "/ana/*/resolve/main/config.json", anywhere=True),
    Target("GET", "/datasets/*/resolve/main/x", anywhere=True),
    Target("GET", "/api/models/*", anywhere=True),
    Target("GET", "/api/*", anywhere=True),
    Target("GET", f"{API}/*"),
    Target("GET", f"{API}/tree/main/*"),
    *(Target("GET", f"{API}/{what}/*") for what in ("tree", "revision", "commits", "discussions")),
    Target("POST", f"{API}/paths-info/main", {"paths": ["*"]}),
    Target("POST", f"{API}/paths-info/*", {"paths": ["d"]}),
    Target("POST", f"{API}/preupload/main", {"files": [{"path": "*", "size": 1, "sample": ""}]}),
    Target("POST", f"{API}/branch/*", {}),
    Target("POST", f"{API}/branch/new", {"startingPoint": "*"}),
    Target("DELETE", f"{API}/branch/*"),
    Target("POST", f"{API}/tag/main", {"tag": "*"}),
    Target("POST", f"{API}/tag/*", {"tag": "v1"}),
    Target("DELETE", f"{API}/tag/*"),
    Target("POST", f"{API}/discussions/*/comment", {"comment": "c"}),
    Target("POST", f"{API}/super-squash/*", {}),
    Target("POST", f"{API}/commit/*", [{"key": "header", "value": {"summary": "s"}}]),
    _commit("file", path="*", content="eA=="),
    _commit("lfsFile", path="x", algo="sha256", oid="*", size=1),
    _commit("lfsFile", path="*", algo="sha256", oid="0" * 64, size=1),
    _commit("deletedFile", path="*"),
    _commit("deletedFolder", path="*"),
    _commit("copyFile", path="copy", srcPath="*"),
    _commit("copyFile", path="copy", srcPath="d/a.txt", srcRevision="*"),
    Target("POST", f"{PAGE}.git/info/lfs/objects/batch",
           {"operation": "upload", "objects": [{"oid": "*", "size": 1}]}),
    Target("POST", "/api/repos/create", {"name": "*", "type": "model"}, True),
    Target("POST", "/api/repos/create", {"name": "x", "organization": "*"}, True),
    Target("POST", "/api/repos/create", {"name": "x", "type": "*"}, True),
    Target("POST", "/api/repos/move",
           {"fromRepo": "ana/moving", "toRepo": "*", "type": "model"}, True),
    Target("POST", "/api/repos/move", {"fromRepo": "*", "toRepo": "ana/y", "type": "model"}, True),
    Target("DELETE", "/api/repos/delete", {"name": "*", "organization": "bob"}, True),
]  # fmt: skip

_PARTS = [
    "..", ".", "", "...", "．．", "‥", "%2e%2e", "%252e%252e", "..%2f..", "..;", "etc", "passwd",
    "secret.txt", "root", "repos", "models", "bob", "own.git", "own", "hub.json", "users.json",
    ".git", ".GIT", "．git", "git~1", ".g\u200cit", ".git ", "HEAD", "config", "refs", "heads",
    "main", "objects", "lfs", "tmp", "~", "C:", "\0", "a\nb", "é", "e\u0301", "\u202e", "x", "d",
    "a.txt", "\ud800", "-", "con", "a" * 256,
]  # fmt: skip
_JOINTS = ["/", "/", "/", "\\", "//", "%2f", "%5c", "／", "⁄", "∕", "＼", "\0", ""]


@st.composite
def hostile(draw: st.DrawFn) -> str:
    """A path as an attacker would write it."""
    parts = draw(st.lists(st.sampled_from(_PARTS) | st.text(max_size=4), min_size=1, max_size=7))
    start = draw(st.sampled_from(["", "/", "../" * 9, "/" * 3, "refs/heads/", "d/"]))
    return start + "".join(
        part + (draw(st.sampled_from(_JOINTS)) if part is not parts[-1] else "") for part in parts
    )


_ASKED = given(st.sampled_from(TARGETS), hostile(), st.sampled_from(["", "/", "/%", "/%.~"]))


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@_ASKED
def test_nothing_outside_the_repository_is_touched(
    served: Served, target: Target, text: str, unquoted: str
) -> None:
    _nothing_outside(served, target, text, unquoted)


@pytest.mark.conformance
@settings(
    max_examples=3000, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@_ASKED
def test_nothing_outside_is_touched_by_thousands(
    served: Served, target: Target, text: str, unquoted: str
) -> None:
    _nothing_outside(served, target, text, unquoted)


def _nothing_outside(served: Served, target: Target, text: str, unquoted: str) -> None:
    quoted = quote(text.encode("utf-8", "surrogatepass"), safe=unquoted)
    with watched() as touched:
        status, body = served.send(
            target.method, target.target.replace("*", quoted), target.sent(text)
        )
    assert status < 500, (status, body)
    assert served.secret not in body
    root = served.hub.root.resolve()
    allowed = [served.repo, root / "tmp"] + ([root / "repos"] if target.anywhere else [])
    assert outside(touched, *allowed) == []


def test_after_all_that_only_repositories_are_there(served: Served) -> None:
    """Runs after the test above: what it left behind is repositories and nothing half made."""
    root = served.hub.root
    for folder in (root / "repos").glob("*/*/*"):
        kind, namespace, name = folder.relative_to(root / "repos").parts
        assert kind in ("models", "datasets", "spaces")
        assert namespace in ("ana", "lab", "bob")
        assert is_name(name.removesuffix(".git"))
        assert (folder / "hub.json").is_file()
    assert (root / "repos/models/bob/own.git/hub.json").is_file()
    assert list((root / "tmp").iterdir()) == []
    fsck = ["git", "-C", str(served.repo), "fsck", "--strict", "--no-dangling"]
    done = subprocess.run(fsck, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


@settings(deadline=None, max_examples=200)
@given(hostile() | st.text(max_size=30))
def test_a_checked_path_is_inside_for_every_reader(text: str) -> None:
    with suppress(Problem):
        path = checked_path(text)
        assert os.path.normpath(f"/repo/{path}") == f"/repo/{path}"
        for spelling in (path, path.replace("／", "/").replace("．", "."), path.casefold()):
            parts = spelling.replace("\\", "/").split("/")
            assert not {"..", ".git", "git~1"} & {part.rstrip(" .") or part for part in parts}


@settings(deadline=None, max_examples=200)
@given(hostile() | st.text(max_size=30))
def test_a_checked_ref_name_is_a_file_below_refs(text: str) -> None:
    with suppress(Problem):
        name = checked_ref_name(text, "branch")
        assert os.path.normpath(f"/refs/heads/{name}") == f"/refs/heads/{name}"
        assert not name.endswith(".lock")
        assert name.encode().decode() == name


@given(hostile() | st.text(max_size=100))
def test_a_name_is_one_plain_component(text: str) -> None:
    if is_name(text):
        assert text.isascii()
        assert Path("/root", text).parent == Path("/root")
        assert text not in (".", "..")


def test_links_in_a_repository_are_not_followed(served: Served, tmp_path: Path) -> None:
    work = tmp_path / "work"
    git = ["git", "-c", "user.name=t", "-c", "user.email=t@localhost"]
    subprocess.run([*git, "clone", "-q", str(served.repo), str(work)], check=True)
    (work / "file").symlink_to("../../../../../../secret.txt")
    (work / "folder").symlink_to("../../../../../..")
    subprocess.run([*git, "-C", str(work), "add", "-A"], check=True)
    subprocess.run([*git, "-C", str(work), "commit", "-qm", "links"], check=True)
    push = [*git, "-C", str(work), "push", "-q", "origin", "HEAD:refs/heads/links"]
    subprocess.run(push, check=True)
    with watched() as touched:
        status, body = served.send("GET", "/ana/model/resolve/links/file")
        assert (status, body) == (200, b"../../../../../../secret.txt")
        for path in ("folder/secret.txt", "folder/root/users.json", "file/x"):
            assert served.send("GET", f"/ana/model/resolve/links/{path}")[0] == 404
        target = _commit("file", path="folder/new.txt", content="eA==")
        where = target.target.replace("main", "links")
        assert served.send("POST", where, target.sent(""))[0] == 400
    assert outside(touched, served.repo, served.hub.root.resolve() / "tmp") == []
    assert not list(served.hub.root.rglob("new.txt"))
