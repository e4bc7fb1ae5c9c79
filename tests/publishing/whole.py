"""A whole publication in this process: push, verify and tag, with waits that cost nothing."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from huggingface_hub.hf_api import RepoFile

from hubkit import pushing
from hubkit.executors.local import LocalExecutor
from hubkit.hub.client import connect
from hubkit.hub.manifest import format_sums
from hubkit.hub.retry import Retry
from hubkit.keys import digest_of_bytes
from hubkit.pipeline import Silent
from hubkit.runner import Runner
from hubkit.stage import Context, stage
from hubkit.stages.push import Pushed, Tagged
from hubkit.stages.verify import Verified, VerifyInput
from hubkit.verify_worker import run as verify_in_this_process
from tests.hub_client.hubs import TOKENS, World
from tests.sweeps.examples import make_report

LARGE = (".bin", ".onnx")
INITIAL = "initial commit"


def with_sums(files: Mapping[str, bytes]) -> dict[str, bytes]:
    """The files with the SHA256SUMS that fits them."""
    sums = format_sums({path: digest_of_bytes(data) for path, data in files.items()})
    return {**files, "SHA256SUMS": sums.encode()}


def bundle_of(word: str, **more: bytes) -> dict[str, bytes]:
    """A bundle that every check of a publication takes and that holds no model: that of a sweep,
    with two large files, the second the same for each word."""
    report = make_report()
    return with_sums(
        {
            "README.md": f"---\nlicense: mit\n---\n# {word}\n".encode(),
            "lock.json": report.lock.model_dump_json(by_alias=True).encode(),
            "results.json": report.model_dump_json(by_alias=True).encode(),
            "own.onnx": word.encode() * 3000,
            "same.bin": b"same" * 3000,
            **more,
        }
    )


def write(files: Mapping[str, bytes], folder: Path) -> Path:
    """The folder with these files."""
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


@dataclass
class Publisher:
    """hubkit's own way from a bundle folder to a verified and tagged commit."""

    world: World
    endpoint: str
    tries: int = 3
    waits: list[float] = field(default_factory=list)
    pause_s: float = 0.0

    def publish(
        self, folder: Path, repo_id: str, onto: pushing.Onto = pushing.ONTO_MAIN
    ) -> tuple[Pushed, Verified | None, Tagged | None]:
        """What `hubkit push FOLDER` does."""
        endpoint, token = self.endpoint, TOKENS["alice"]
        run = Runner(
            self.world.store,
            LocalExecutor(endpoint=endpoint, token=token),
            Silent(),
            endpoint,
            token,
        )
        try:
            return pushing.push_folder(run, folder, repo_id, onto)
        finally:
            run.close()

    def retry(self) -> Retry:
        """Waits that are noted, and short."""

        def sleep(seconds: float) -> None:
            self.waits.append(seconds)
            time.sleep(min(seconds, self.pause_s))

        return Retry(tries=self.tries, sleep=sleep)


@contextmanager
def publishing(world: World, patch: pytest.MonkeyPatch) -> Iterator[Publisher]:
    """A publisher whose verification runs in this process, as its fresh one would: an empty cache,
    and nothing but the Hub's address and a token."""
    publisher = Publisher(world, world.server.endpoint)

    @stage("verify", version=1, kind="effect", takes=VerifyInput, gives=Verified)
    def verify_here(given: VerifyInput, ctx: Context) -> Verified:
        patch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(ctx.scratch / "cache"))
        return verify_in_this_process(given, ctx.progress)

    patch.setattr("hubkit.hub.client.Retry", publisher.retry)
    patch.setattr("hubkit.pushing.verify", verify_here)
    patch.setattr(
        "hubkit.verify_worker.connect",
        lambda _endpoint, _token: connect(publisher.endpoint, TOKENS["alice"]),
    )
    patch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True)
    yield publisher


def lower_time_outs(patch: pytest.MonkeyPatch, seconds: float) -> None:
    """Every request ends after so long without a byte."""
    patch.setattr("hubkit.hub.session.TIMEOUTS", (seconds, seconds))
    patch.setattr("hubkit.hub.session.UPLOAD_TIMEOUTS", (seconds, seconds))
    patch.setattr("huggingface_hub.constants.HF_HUB_ETAG_TIMEOUT", seconds)
    patch.setattr("huggingface_hub.constants.HF_HUB_DOWNLOAD_TIMEOUT", seconds)


def digest_as_on_the_hub(path: str, data: bytes) -> str:
    """The id of a file's content: of a large one its SHA-256, else its git blob's."""
    if path.endswith(LARGE):
        return digest_of_bytes(data)
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def files_at(world: World, repo_id: str, revision: str = "main") -> dict[str, str]:
    """Path -> id of each file's content, read with nothing of hubkit; without .gitattributes."""
    entries = world.api().list_repo_tree(repo_id, recursive=True, revision=revision)
    files = [entry for entry in entries if isinstance(entry, RepoFile)]
    found = {file.path: file.lfs.sha256 if file.lfs else file.blob_id for file in files}
    found.pop(".gitattributes", None)
    return found


def ids_of(files: Mapping[str, bytes]) -> dict[str, str]:
    """The same of a bundle."""
    return {path: digest_as_on_the_hub(path, data) for path, data in files.items()}
