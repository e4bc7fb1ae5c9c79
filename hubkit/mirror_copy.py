"""Files from one Hub to another: each checked when it comes, and none sent that is there."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from hubkit.errors import HubError
from hubkit.hub.remote import RemoteFile
from hubkit.hub.server.attributes import LFS_OVER_BYTES
from hubkit.keys import digest_of_value
from hubkit.mirror_origin import Origin
from hubkit.mirror_side import Side
from hubkit.paths import cache_dir

if TYPE_CHECKING:
    from huggingface_hub import CommitOperationAdd, HfApi

T = TypeVar("T")
Progress = Callable[[str, int, int], None]  # (what, bytes done, bytes in all)
_AT_ONCE = 8
_BATCH = 500


def is_same(one: RemoteFile, other: RemoteFile) -> bool:
    """Whether two Hubs hold the same content, as far as their lists tell."""
    if one.sha256 is not None and other.sha256 is not None:
        return one.sha256 == other.sha256
    if one.sha256 is None and other.sha256 is None:
        return one.git_sha1 == other.git_sha1
    # A large object here and a plain file there: of what has been copied, only these are so.
    return one.size_bytes == other.size_bytes and one.size_bytes > LFS_OVER_BYTES


def held_objects(mirror: Side, origin: Origin, files: Iterable[RemoteFile]) -> set[str]:
    """The SHA-256 of those files that the mirror has already, in this repository."""
    from huggingface_hub.lfs import UploadInfo, post_lfs_batch_info

    infos = [
        UploadInfo(sha256=bytes.fromhex(file.sha256), size=file.size_bytes, sample=b"")
        for file in files
        if file.sha256
    ]
    found: set[str] = set()
    for start in range(0, len(infos), _BATCH):
        asked = partial(
            post_lfs_batch_info,
            infos[start : start + _BATCH],
            mirror.token,
            origin.wanted.kind,
            origin.id,
            endpoint=mirror.endpoint,
        )
        doing = f"asking what is there of {origin.id}"
        actions, _, _ = mirror.ask(doing, origin.id, partial(_without_api, asked))
        found |= {str(item["oid"]) for item in actions if not item.get("actions")}
    return found


def _without_api(call: Callable[[], T], _: HfApi) -> T:
    return call()


@dataclass
class Carrier:
    """Carries files of an origin to its mirror; what was fetched is kept until it has arrived, so
    that an interrupted run goes on where it was."""

    source: Side
    mirror: Side
    origin: Origin
    progress: Progress
    total: int
    done: int = 0

    @property
    def folder(self) -> Path:
        """Where files are on their way; the same for the next run."""
        kind, repo_id = self.origin.wanted.kind, self.origin.id
        key = digest_of_value([self.source.endpoint, kind, repo_id, self.origin.commit])
        return cache_dir() / "mirror" / key[:32]

    def carry(self, paths: Iterable[str]) -> list[CommitOperationAdd]:
        """Operations that put these files on the mirror, the content of large ones sent ahead."""
        files = {path: self.origin.files[path] for path in paths}
        large = {path: file for path, file in files.items() if _is_large(file)}
        held = held_objects(self.mirror, self.origin, large.values())
        made = [
            _held(path, file) if file.sha256 in held else self._send(path, file)
            for path, file in large.items()
        ]
        self._moved(sum(file.size_bytes for file in large.values() if file.sha256 in held))
        small = [path for path in files if path not in large]
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            made += pool.map(self._small, small)
        return made

    def clear(self) -> None:
        """Forget what was fetched: it has arrived."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _moved(self, size_bytes: int) -> None:
        self.done += size_bytes
        self.progress("copying", self.done, self.total)

    def _fetch(self, path: str) -> Path:
        return Path(
            self.source.ask(
                f"downloading {path} of {self.origin.id}",
                self.origin.id,
                lambda api: api.hf_hub_download(
                    self.origin.id,
                    path,
                    revision=self.origin.commit,
                    repo_type=self.origin.wanted.kind,
                    local_dir=self.folder,
                ),
            )
        )

    def _send(self, path: str, file: RemoteFile) -> CommitOperationAdd:
        from huggingface_hub import CommitOperationAdd

        local = self._fetch(path)
        made = CommitOperationAdd(path, local)
        if file.sha256 is not None and made.upload_info.sha256.hex() != file.sha256:
            self._refuse(path, local)
        if file.sha256 is None and _git_sha1(local.read_bytes()) != file.git_sha1:
            self._refuse(path, local)
        made._upload_mode, made._should_ignore = "lfs", False
        self.mirror.ask(
            f"uploading {path} to {self.origin.id}",
            self.origin.id,
            lambda api: api.preupload_lfs_files(
                self.origin.id, [made], repo_type=self.origin.wanted.kind, free_memory=False
            ),
        )
        local.unlink()  # it is on the mirror: two of them could be more than the disk holds
        self._moved(file.size_bytes)
        return made

    def _small(self, path: str) -> CommitOperationAdd:
        from huggingface_hub import CommitOperationAdd

        local, file = self._fetch(path), self.origin.files[path]
        data = local.read_bytes()
        if _git_sha1(data) != file.git_sha1:
            self._refuse(path, local)
        made = CommitOperationAdd(path, data)
        # As at the origin, whatever .gitattributes and .gitignore would say of a new file.
        made._upload_mode, made._should_ignore = "regular", False
        self._moved(file.size_bytes)
        return made

    def _refuse(self, path: str, local: Path) -> None:
        local.unlink()
        raise HubError(
            f"{path} of {self.origin.id} did not come as {self.source.endpoint} says it is: its"
            " digest is another one",
            hint="Run the same command again: it goes on with what is missing. If it stays so,"
            " something on the way changes files.",
        )


def _is_large(file: RemoteFile) -> bool:
    return file.sha256 is not None or file.size_bytes > LFS_OVER_BYTES


def _git_sha1(data: bytes) -> str:
    """The id that git gives a file (git-scm.com/book, 10.2 Git Objects)."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()


def _held(path: str, file: RemoteFile) -> CommitOperationAdd:
    """An operation for a large file whose content the mirror has: it is only named."""
    from huggingface_hub import CommitOperationAdd
    from huggingface_hub.lfs import UploadInfo

    made = CommitOperationAdd(path, b"")
    digest = bytes.fromhex(file.sha256 or "")
    made.upload_info = UploadInfo(sha256=digest, size=file.size_bytes, sample=b"")
    made._upload_mode, made._should_ignore, made._is_uploaded = "lfs", False, True
    return made
