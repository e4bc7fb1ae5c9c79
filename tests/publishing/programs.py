"""Publishers in processes of their own: racing ones, and ones that are killed.

    python -m tests.publishing.programs race ENDPOINT TOKEN REPO WORK FOLDER...
    python -m tests.publishing.programs die ENDPOINT TOKEN REPO WORK FOLDER WHAT BYTES
    python -m tests.publishing.programs victims ENDPOINT TOKEN REPO WORK FOLDER
    python -m tests.publishing.programs verify ENDPOINT TOKEN REPO WORK

`race` forks one publisher a folder and lets all of them go at once; each prints one JSON line.
`die` sends itself SIGKILL when its progress says WHAT with at least so many bytes. `victims` forks
a publisher for each line on stdin, which is a repository; it says {"pid"} before it starts, and the
parent {"status"} when it has ended. `verify` does
what the fresh process of `hubkit verify` does, with an empty cache, once for each line on stdin,
and answers each with a line; it waits for nothing.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from pathlib import Path

from hubkit.errors import HubError, HubkitError
from hubkit.hub.client import connect
from hubkit.stage import Context, Progress, no_progress
from hubkit.stages.push import Pushed, PushInput, push_to
from hubkit.store import Store


def title(folder: Path) -> str:
    """What a folder's commit is called."""
    return f"Publish {folder.name}"


def push_it(
    endpoint: str, token: str, repo_id: str, work: Path, folder: Path, progress: Progress
) -> Pushed:
    """Push a folder's files, with a store of its own, as `hubkit push` does."""
    import huggingface_hub.constants

    huggingface_hub.constants.HF_HUB_DISABLE_XET = True
    store = Store(work / folder.name)
    with store.scratch() as scratch:
        for path in folder.iterdir():
            (scratch / "bundle").mkdir(exist_ok=True)
            (scratch / "bundle" / path.name).write_bytes(path.read_bytes())
        bundle = store.adopt(scratch / "bundle")
    given = PushInput(bundle=bundle, repo_id=repo_id, message=title(folder))
    with store.scratch() as scratch:
        ctx = Context(store, scratch, progress, endpoint, token)
        return push_to(connect(endpoint, token), given, ctx)


def race(endpoint: str, token: str, repo_id: str, work: Path, folders: list[Path]) -> None:
    """All at once: each tells {"folder", "commit"} or {"folder", "error"}."""
    import huggingface_hub.hf_api  # noqa: F401 - imported once, before the fork

    read, write = os.pipe()
    children = []
    for folder in folders:
        if (child := os.fork()) == 0:
            os.close(write)
            os.read(read, 1)  # until the parent closes its end
            said = {"folder": folder.name}
            try:
                pushed = push_it(endpoint, token, repo_id, work, folder, no_progress)
                said |= {"commit": pushed.commit}
            except HubError as error:
                said |= {"error": error.message, "hint": error.hint}
            os.write(1, (json.dumps(said) + "\n").encode())
            os._exit(0)
        children.append(child)
    os.close(write)
    for child in children:
        os.waitpid(child, 0)


def die(
    endpoint: str, token: str, repo_id: str, work: Path, folder: Path, what: str, size: int
) -> None:
    """Push until it is time."""

    def progress(doing: str, done: int, total: int) -> None:
        if doing == what and done >= size:
            os.kill(os.getpid(), signal.SIGKILL)

    push_it(endpoint, token, repo_id, work, folder, progress)


def victims(endpoint: str, token: str, work: Path, folder: Path) -> None:
    """Publishers to be killed from outside."""
    import huggingface_hub.hf_api  # noqa: F401 - imported once, before the fork

    def say(**what: int) -> None:
        os.write(1, (json.dumps(what) + "\n").encode())

    for number, line in enumerate(sys.stdin):
        if (child := os.fork()) == 0:
            say(pid=os.getpid())
            push_it(endpoint, token, line.strip(), work / str(number), folder, no_progress)
            os._exit(0)
        say(status=os.waitpid(child, 0)[1])


def verify(endpoint: str, token: str, repo_id: str, work: Path) -> None:
    """Each line: {"time_out": seconds or null}; each answer: {"verified"} or {"error", "kind"}."""
    os.environ |= {"HF_ENDPOINT": endpoint, "HF_TOKEN": token, "HF_HOME": str(work)}
    from hubkit.hub import client, session
    from hubkit.hub.retry import Retry
    from hubkit.stages.verify import VerifyInput
    from hubkit.verify_worker import run

    client.Retry = lambda: Retry(tries=3, sleep=lambda _s: None)  # type: ignore[misc,assignment]
    usual = session.TIMEOUTS
    from huggingface_hub import constants

    etag, download = constants.HF_HUB_ETAG_TIMEOUT, constants.HF_HUB_DOWNLOAD_TIMEOUT
    for line in sys.stdin:
        limit = json.loads(line)["time_out"]
        session.TIMEOUTS = (limit, limit) if limit else usual
        constants.HF_HUB_ETAG_TIMEOUT = limit or etag
        constants.HF_HUB_DOWNLOAD_TIMEOUT = limit or download
        shutil.rmtree(work / "hub", ignore_errors=True)
        try:
            done = run(VerifyInput(repo_id=repo_id), no_progress)
            said = {"verified": done.model_dump(mode="json")}
        except HubkitError as error:
            said = {"error": error.message, "kind": type(error).__name__}
        sys.__stdout__.write(json.dumps(said) + "\n")
        sys.__stdout__.flush()


def main() -> None:
    name, endpoint, token, repo_id, work, *rest = sys.argv[1:]
    if name == "race":
        race(endpoint, token, repo_id, Path(work), [Path(folder) for folder in rest])
    elif name == "victims":
        victims(endpoint, token, Path(work), Path(rest[0]))
    elif name == "verify":
        verify(endpoint, token, repo_id, Path(work))
    else:
        die(endpoint, token, repo_id, Path(work), Path(rest[0]), rest[1], int(rest[2]))


if __name__ == "__main__":
    main()
