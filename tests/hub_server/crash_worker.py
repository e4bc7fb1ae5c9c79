"""Kills a Hub's handler before each change it makes to the disk: run as a process of its own.

`python -m tests.hub_server.crash_worker FOLDER STEP [OPERATION…]` makes a root, and for each
operation and each STEPth number n a copy of it, on which a forked child carries the operation out
and dies by SIGKILL right before its n-th change. What a restarted server then shows must be as
before the operation or as after it. Prints {points: operation -> how often it was killed, seconds}.
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from hubkit.hub.server import discussions
from hubkit.hub.server.app import HubApp
from hubkit.hub.server.call import Hub
from hubkit.hub.server.disk import sweep
from hubkit.hub.server.lfs import Signer
from hubkit.hub.server.names import RepoId
from hubkit.hub.server.recovery import mend_all
from hubkit.hub.server.repos import RepoStore
from hubkit.hub.server.users import load_users

TOKEN = "hf_crash_token"
USERS = {"ana": {"token": TOKEN}}
LARGE, OTHER = b"large " * 1000, b"other " * 1000
API = "/api/models/ana/model"
State = dict[str, object]


def oid(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def ndjson(summary: str, *lines: tuple[str, dict[str, object]]) -> bytes:
    made = [("header", {"summary": summary}), *lines]
    return b"".join(json.dumps({"key": k, "value": v}).encode() + b"\n" for k, v in made)


def regular(path: str, text: str) -> tuple[str, dict[str, object]]:
    return "file", {"path": path, "content": text, "encoding": "utf-8"}


def pointer(path: str, data: bytes) -> tuple[str, dict[str, object]]:
    return "lfsFile", {"path": path, "algo": "sha256", "oid": oid(data), "size": len(data)}


def served(root: Path) -> HubApp:
    """The application as a started server has it."""
    sweep(root)
    store = RepoStore(root)
    mend_all(store)
    return HubApp(Hub(store, load_users(USERS, root), Signer(root), "test"))


async def call(app: HubApp, method: str, target: str, body: bytes = b"") -> int:
    """Send one request without a socket; the status."""
    path, _, query = target.partition("?")
    status = 0

    async def receive() -> dict[str, object]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: dict[str, object]) -> None:
        nonlocal status
        if message["type"] == "http.response.start":
            status = int(str(message["status"]))

    headers = {"authorization": f"Bearer {TOKEN}", "host": "localhost"}
    headers["content-length"] = str(len(body))
    scope = {
        "type": "http", "method": method, "path": path, "raw_path": path.encode(),
        "query_string": query.encode(), "scheme": "http", "server": ("localhost", 80),
        "client": ("localhost", 1), "http_version": "1.1", "root_path": "",
        "headers": [(k.encode(), v.encode()) for k, v in headers.items()],
    }  # fmt: skip
    await app(scope, receive, send)
    return status


def upload(root: Path, data: bytes) -> tuple[str, str, bytes]:
    path = f"/ana/model.git/info/lfs/objects/{oid(data)}"
    settings = json.loads((root / "repos/models/ana/model.git/hub.json").read_text())
    bound = f"/ana/model {settings['created_at']}"
    query = Signer(root).query("PUT", bound, oid(data), len(data))
    return "PUT", f"{path}?{query}", data


def sent(method: str, target: str, value: object) -> Callable[[Path], tuple[str, str, bytes]]:
    body = value if isinstance(value, bytes) else json.dumps(value).encode()
    return lambda root: (method, target, body)


OPERATIONS: dict[str, Callable[[Path], tuple[str, str, bytes]]] = {
    "create": sent("POST", "/api/repos/create", {"name": "new", "private": True}),
    "commit": sent("POST", f"{API}/commit/main", ndjson("c", regular("d/new", "n"),
                   pointer("large.bin", LARGE), ("deletedFile", {"path": "d/a"}))),
    "commit-pr": sent("POST", f"{API}/commit/main?create_pr=1", ndjson("a pr", regular("p", "p"))),
    "commit-to-pr": sent("POST", f"{API}/commit/refs%2Fpr%2F1", ndjson("c", regular("q", "q"))),
    "upload": lambda root: upload(root, OTHER),
    "branch": sent("POST", f"{API}/branch/deep/er", {}),
    "delete-branch": sent("DELETE", f"{API}/branch/dev", b""),
    "tag": sent("POST", f"{API}/tag/main", {"tag": "v2"}),
    "annotated-tag": sent("POST", f"{API}/tag/main", {"tag": "v2", "message": "said"}),
    "delete-tag": sent("DELETE", f"{API}/tag/v1", b""),
    "settings": sent("PUT", f"{API}/settings", {"private": True, "gated": "auto"}),
    "move": sent("POST", "/api/repos/move",
                 {"fromRepo": "ana/model", "toRepo": "ana/moved", "type": "model"}),
    "delete": sent("DELETE", "/api/repos/delete", {"name": "model", "type": "model"}),
    "merge": sent("POST", f"{API}/discussions/1/merge", {}),
    "open-discussion": sent("POST", f"{API}/discussions", {"title": "said", "description": "more"}),
    "open-pr": sent("POST", f"{API}/discussions",
                    {"title": "said", "description": "more", "pullRequest": True}),
    "close": sent("POST", f"{API}/discussions/1/status", {"status": "closed", "comment": "no"}),
    "rename": sent("POST", f"{API}/discussions/2/title", {"title": "another", "comment": "so"}),
    "comment": sent("POST", f"{API}/discussions/2/comment", {"comment": "yes"}),
    "squash": sent("POST", f"{API}/super-squash/main", {"message": "one"}),
}  # fmt: skip


def make_root(root: Path) -> None:
    """A root with one repository that has some of everything."""
    root.mkdir()
    app = served(root)
    commit = f"{API}/commit/main"
    for request in (
        ("POST", "/api/repos/create", b'{"name": "model"}'),
        ("POST", commit, ndjson("one", regular("a", "1"), regular("d/a", "2"))),
        None,  # an upload, whose link is signed for this repository
        ("POST", f"{API}/branch/dev", b"{}"),
        ("POST", f"{API}/tag/main", b'{"tag": "v1"}'),
        ("POST", f"{commit}?create_pr=1", ndjson("change it", regular("a", "3"))),
        ("POST", f"{API}/discussions", b'{"title": "talk", "description": "first"}'),
    ):
        method, target, body = request or upload(root, LARGE)
        status = asyncio.run(call(app, method, target, body))
        assert status == 200, (method, target, status)


def snapshot(root: Path) -> State:
    """What a server that is started now shows, without ids and dates."""
    served(root)
    store = RepoStore(root)
    found: State = {"tmp": [path.name for path in (root / "tmp").iterdir()]}
    for name in ("model", "moved", "new"):
        moved = store.moved(RepoId("model", "ana", name))
        is_there = store.find(RepoId("model", "ana", name)) is not None
        found[f"redirect of {name}"] = moved.id.id if moved is not None and not is_there else None
    for repository in store.all("models"):
        settings = repository.settings
        with repository.git() as git:
            refs = {
                ref: (
                    sorted((path, entry.oid) for path, entry in git.files(commit).items()),
                    [item.message for item in git.history(commit)],
                )
                for ref, commit in git.refs("refs/").items()
            }
            entries = [info for e in git.files(git.ref("refs/heads/main") or "").values()
                       if (info := git.info(e).lfs) is not None]  # fmt: skip
        assert all(repository.lfs.size_bytes(e.oid) == e.size_bytes for e in entries)
        found[repository.id.id] = {
            "settings": (settings.private, settings.gated),
            "refs": refs,
            "discussions": [
                (d.num, d.title, d.status, d.merge_commit is None,
                 [(event.type, event.data.get("status"), event.data.get("to"))
                  for event in d.events])
                for d in discussions.load_all(repository)
            ],
            "lfs": sorted(path.name for path in (repository.path / "lfs").rglob("*")
                          if path.is_file()),
            "odd": sorted(str(path.relative_to(repository.path))
                          for path in repository.path.rglob("*")
                          if path.name.endswith((".lock", ".tmp")) or path.name.startswith("tmp_")),
        }  # fmt: skip
    return found


def fsck(root: Path) -> str:
    """What git says is wrong with the repositories."""
    said = ""
    for folder in sorted((root / "repos").glob("*/*/*.git")):
        command = ["git", "-C", str(folder), "fsck", "--strict", "--no-dangling", "--no-progress"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        said += done.stdout + done.stderr
    return said


_CHANGES = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate", "os.link"}


def _die_before(number: int) -> None:
    """Kill this process right before its n-th change to the disk."""
    seen = 0

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal seen
        if event == "open":
            flags = arguments[2] if isinstance(arguments[2], int) else 0
            if not flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT) or isinstance(arguments[0], int):
                return
        elif event not in _CHANGES:
            return
        seen += 1
        if seen == number:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)


def attempt(root: Path, operation: str, number: int) -> bool:
    """Carry an operation out in a child; whether it was killed on the way."""
    app = served(root)
    method, target, body = OPERATIONS[operation](root)
    child = os.fork()
    if child == 0:
        if number:
            _die_before(number)
        status = asyncio.run(call(app, method, target, body))
        os._exit(0 if status == 200 else 1)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert code in (0, -signal.SIGKILL), (operation, number, code)
    return code != 0


def explore(folder: Path, operation: str, *, step: int) -> int:
    """Kill an operation before each of its changes, or each `step`th; how many that were."""
    base, after = folder / "base", folder / f"{operation}-after"
    shutil.copytree(base, after)
    before = snapshot(base)
    assert not attempt(after, operation, 0)
    done = snapshot(after)
    assert done != before, operation
    assert fsck(after) == ""
    points = 0
    for number in itertools.count(1, step):
        root = folder / f"{operation}-{number}"
        shutil.copytree(base, root)
        killed = attempt(root, operation, number)
        found = snapshot(root)
        which = "after" if found == done else "before" if found == before else "neither"
        assert which == "after" if not killed else which != "neither", (operation, number, found)
        if number % 5 == 1 or not killed:
            assert fsck(root) == "", (operation, number)
            # And it goes on from there.
            status = asyncio.run(call(served(root), *OPERATIONS["create"](root)))
            assert status in (200, 409)
        shutil.rmtree(root)
        if not killed:
            break
        points += 1
    return points


def main() -> None:
    folder, step = Path(sys.argv[1]), int(sys.argv[2])
    make_root(folder / "base")
    names = sys.argv[3:] or list(OPERATIONS)
    started = time.monotonic()
    points = {name: explore(folder, name, step=step) for name in names}
    sys.stdout.write(json.dumps({"points": points, "seconds": time.monotonic() - started}))


if __name__ == "__main__":
    main()
