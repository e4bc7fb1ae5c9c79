"""What the Hub takes in one commit. One that asks for more is refused here, not sent in parts.

Sources, read in 2026:

- `file_bytes`, `folder_entries`: "Repository limitations and recommendations" in the Hub's
  documentation (docs/hub/storage-limits.md of huggingface/hub-docs), which calls 500 GB the hard
  limit of one file and 10,000 files the most that a folder may hold; a push beyond that is rejected
  (huggingface/datasets#7956).
- `large_files`, `regular_bytes`: `HfApi.create_commit` of huggingface_hub, which takes 25,000 LFS
  files and 1 GB of regular files in a commit.

The Hub recommends far less (100 files a commit, 200 GB a file), but takes more, and so does
hubkit.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from hubkit.errors import HubError

_ONE = "One commit shows all of a publication or nothing, so it is not split. "


@dataclass(frozen=True)
class Limits:
    """The most of each that one commit may hold."""

    file_bytes: int = 500 * 10**9
    folder_entries: int = 10_000
    large_files: int = 25_000
    regular_bytes: int = 10**9

    def refuse_files(self, sizes: Mapping[str, int]) -> None:
        """Raise HubError for path -> bytes of what a commit would put, before anything is sent."""
        for path, size in sorted(sizes.items()):
            if size > self.file_bytes:
                raise HubError(
                    f"{path} has {size:,} bytes, and the Hub takes {self.file_bytes:,} in a file",
                    hint="Save the model in smaller files, or publish fewer formats"
                    " (publication.formats).",
                )
        if len(sizes) > self.large_files:
            raise HubError(
                f"the commit has {len(sizes):,} files, and the Hub takes {self.large_files:,} in"
                " one commit",
                hint=_ONE + "Publish fewer files.",
            )

    def refuse_folders(self, files: Iterable[str], adds: Iterable[str]) -> None:
        """Raise HubError where a folder that a commit adds to would hold too many of the files
        (all paths as they would be after it)."""
        entries = {
            ("/".join(parts[:depth]), parts[depth])
            for parts in (path.split("/") for path in files)
            for depth in range(len(parts))
        }
        count = Counter(folder for folder, _ in entries)
        parts_of = (path.split("/") for path in adds)
        touched = {"/".join(parts[:n]) for parts in parts_of for n in range(len(parts))}
        for folder in sorted(touched):
            if count[folder] > self.folder_entries:
                raise HubError(
                    f"{folder or 'the root of the repository'} would hold {count[folder]:,} files,"
                    f" and the Hub takes {self.folder_entries:,} in a folder",
                    hint="Publish fewer files, or publish to another repository with --repo-id.",
                )

    def refuse_payload(self, size_bytes: int) -> None:
        """Raise HubError where the files that go in the commit itself, not as LFS, are too large
        together."""
        if size_bytes > self.regular_bytes:
            raise HubError(
                f"the commit has {size_bytes:,} bytes of files that are not LFS, and the Hub takes"
                f" {self.regular_bytes:,} in one commit",
                hint=_ONE + "Let .gitattributes of the repository track the large ones with LFS.",
            )


HUB = Limits()
