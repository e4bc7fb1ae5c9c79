"""The folder that a report is written to: nobody else's files are lost, and what a kill leaves
there is known for a report's."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from hubkit.errors import StoreError, UsageError
from hubkit.hub.manifest import SUMS, parse_sums
from hubkit.keys import files_of


def refuse_unwritable(folder: Path) -> None:
    """Raise UsageError where nothing can be written: before hours go by, not after them."""
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not os.access(there, os.W_OK | os.X_OK) or not there.is_dir():
        raise UsageError(f"cannot write to {folder}", hint="Name another folder: --output.")


def refuse_foreign(folder: Path, mark: str, what: str) -> None:
    """Raise UsageError where nothing can be written, or files would be lost that no such report
    wrote. `mark`: a file that each of them has; `what`: such a report, in words."""
    refuse_unwritable(folder)
    if not folder.exists() or not any(folder.iterdir()):
        return
    sums = folder / SUMS
    listed = parse_sums(sums.read_text(encoding="utf-8")) if sums.is_file() else {}
    if mark not in listed or set(files_of(folder)) - {SUMS, *listed}:
        raise UsageError(
            f"{folder} holds files that are not of {what}", hint="Name another folder: --output."
        )


def write_folder(source: Path, folder: Path) -> None:
    """A writable copy of a stored report in place of an older one. Its list of files comes first:
    by that the rest is known for ours. Raises StoreError where the disk does not take it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for old in files_of(folder):
            (folder / old).unlink()
        for name in sorted(files_of(source), key=lambda name: name != SUMS):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source / name, folder / name)
    except OSError as error:
        raise StoreError(
            f"cannot write to {folder}: {error.strerror or error}",
            hint="Free some space, or name another folder with --output, and run the same command"
            " again: what was measured is kept.",
        ) from error
