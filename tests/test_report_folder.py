"""The folder of a report: whose files it holds, before anything runs and after a kill."""

from __future__ import annotations

import errno
import shutil
from pathlib import Path

import pytest

from hubkit.errors import StoreError, UsageError
from hubkit.hub.manifest import SUMS
from hubkit.report_folder import refuse_foreign, write_folder

MARK = "formats.json"


@pytest.fixture
def report(tmp_path: Path) -> Path:
    folder = tmp_path / "stored"
    (folder / "plots").mkdir(parents=True)
    names = ["README.md", MARK, "plots/a.png"]
    for name in names:
        (folder / name).write_text(name, encoding="utf-8")
    lines = "".join(f"{'0' * 64}  {name}\n" for name in names)
    (folder / SUMS).write_text(lines, encoding="utf-8")
    return folder


def _refuse(folder: Path) -> None:
    refuse_foreign(folder, MARK, "a report on formats")


def test_files_of_others_are_not_replaced(tmp_path: Path, report: Path) -> None:
    folder = tmp_path / "out"
    _refuse(folder)
    write_folder(report, folder)
    _refuse(folder)
    write_folder(report, folder)  # in place of the older one
    (folder / "notes.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(UsageError, match="holds files that are not of a report on formats"):
        _refuse(folder)
    (folder / SUMS).write_text(f"{'0' * 64}  notes.txt\n", encoding="utf-8")
    with pytest.raises(UsageError):
        _refuse(folder)


def test_what_cannot_be_written_is_refused_at_once(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine", encoding="utf-8")
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(UsageError, match="cannot write to"):
            _refuse(folder)


@pytest.mark.parametrize("copied", [1, 2, 3])
def test_a_full_disk_is_said_and_what_it_left_is_ours(
    copied: int, tmp_path: Path, report: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, done = tmp_path / "out", []
    copy = shutil.copyfile

    def until_full(source: Path, target: Path) -> None:
        if len(done) == copied:
            raise OSError(errno.ENOSPC, "No space left on device")
        done.append(target)
        copy(source, target)

    monkeypatch.setattr(shutil, "copyfile", until_full)
    with pytest.raises(StoreError, match="No space left on device"):
        write_folder(report, folder)
    monkeypatch.undo()
    _refuse(folder)
    write_folder(report, folder)
    assert (folder / "plots" / "a.png").read_text(encoding="utf-8") == "plots/a.png"
