"""Downloads, counted as the Hub counts them: who asks for the file that a model starts with.

Of each repository and day there is a file `downloads/DAY` with one byte a download: to append a
byte needs no lock and survives kill -9, and to read a count is to read a size.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from hubkit.hub.server.call import Call
    from hubkit.hub.server.git import GitRepo

RECENT_DAYS = 30
# What libraries read first (huggingface.co/docs/hub/models-download-stats): one a download.
_FIRST_FILES = (
    *("config.json", "config.yaml", "hyperparams.yaml", "params.json", "meta.yaml"),
    *("model_index.json", "adapter_config.json"),
)
_NEVER = (".gitattributes", ".gitignore", "README.md", "LICENSE")
# Of a client's requests for a repository within this time, all are one download: it asks with HEAD
# and with GET, and once for each part of a library.
_ONE_DOWNLOAD_S = 300.0
_REMEMBERED = 20_000
_AGENT_CHARACTERS = 100


class _Recent:
    """Who has downloaded what within the last minutes."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last: dict[tuple[str, ...], float] = {}

    def is_new(self, who: tuple[str, ...], now: float) -> bool:
        """Whether it is a download of its own; it is known from now on."""
        with self._lock:
            last = self._last.pop(who, None)
            is_new = last is None or now - last > _ONE_DOWNLOAD_S
            self._last[who] = now if last is None or is_new else last
            if len(self._last) > _REMEMBERED:  # the oldest goes
                del self._last[next(iter(self._last))]
            return is_new


_recent = _Recent()
_without_first_file: dict[str, bool] = {}  # commit of a model -> whether it has none of them


def _counts(call: Call, git: GitRepo, commit: str, path: str) -> bool:
    if call.headers.get("sec-fetch-dest") == "image":  # a figure on a page
        return False
    if call.repository.id.type != "model":
        return path not in _NEVER
    if path in _FIRST_FILES or path.endswith(".gguf"):
        return True
    if path in _NEVER:
        return False
    if commit not in _without_first_file:
        if len(_without_first_file) >= _REMEMBERED:
            _without_first_file.clear()
        found = (git.entry(commit, name) for name in _FIRST_FILES)
        _without_first_file[commit] = all(entry is None for entry in found)
    return _without_first_file[commit]


def count_download(call: Call, git: GitRepo, commit: str, path: str) -> None:
    """Count a request for a file, if it is a download: of a model, the file that libraries read
    first (where it has none, any); of a dataset or a space, any."""
    if not _counts(call, git, commit, path):
        return
    folder = call.repository.path / "downloads"
    name = call.user.name if call.user is not None else ""
    agent = call.headers.get("user-agent", "")[:_AGENT_CHARACTERS]
    who = (str(folder), call.headers.get("x-peer", ""), agent, name)
    if not _recent.is_new(who, time.monotonic()):
        return
    day = datetime.now(timezone.utc).date().isoformat()
    # Not on a full disk, nor of a repository deleted this moment: the file itself is served.
    with contextlib.suppress(OSError):
        folder.mkdir(exist_ok=True)
        with (folder / day).open("ab", buffering=0) as stream:
            stream.write(b".")


def recent_downloads(repository: Path) -> int:
    """Downloads of a repository's folder in the last thirty days, today among them."""
    return sum(count for _, count in daily_downloads(repository))


def daily_downloads(repository: Path) -> list[tuple[str, int]]:
    """Day and downloads of each of the last thirty days, today last."""
    today, counted = datetime.now(timezone.utc).date(), _days(repository)
    days = [(today - timedelta(days=back)).isoformat() for back in range(RECENT_DAYS)]
    return [(day, counted.get(day, 0)) for day in reversed(days)]


def all_downloads(repository: Path) -> int:
    """Downloads of a repository's folder since it was made."""
    return sum(_days(repository).values())


def _days(repository: Path) -> dict[str, int]:
    try:
        with os.scandir(repository / "downloads") as found:
            return {entry.name: entry.stat().st_size for entry in found}
    except FileNotFoundError:
        return {}
