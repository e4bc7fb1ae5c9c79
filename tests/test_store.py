"""The store keeps whole things only, whatever happens."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hubkit.errors import StoreError
from hubkit.keys import digest_of_folder
from hubkit.records import Failed
from hubkit.store import Store, describe, disk_errors


def _fill(store: Store, files: dict[str, bytes]) -> Path:
    folder = store.root / "scratch" / f"{os.getpid()}-made"
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


def test_adopted_folder_is_found_by_its_content(tmp_path: Path) -> None:
    store = Store(tmp_path)
    files = {"a.bin": b"one", "sub/b.txt": b"two"}
    artifact = store.adopt(_fill(store, files))
    folder = store.path(artifact)
    assert {r.path: (folder / r.path).read_bytes() for r in artifact.files} == files
    assert artifact.digest == digest_of_folder(folder)
    assert artifact.size_bytes == 6
    assert store.adopt(_fill(store, files)) == artifact
    assert [p.name for p in (tmp_path / "artifacts").iterdir()] == [artifact.digest]


def test_artifacts_are_read_only(tmp_path: Path) -> None:
    store = Store(tmp_path)
    artifact = store.adopt(_fill(store, {"a.bin": b"one"}))
    assert (store.path(artifact) / "a.bin").stat().st_mode & 0o222 == 0


@pytest.mark.parametrize("damage", ["truncate", "remove"])
def test_damaged_artifact_is_not_used(tmp_path: Path, damage: str) -> None:
    store = Store(tmp_path)
    artifact = store.adopt(_fill(store, {"a.bin": b"one"}))
    file = store.path(artifact) / "a.bin"
    file.chmod(0o644)
    if damage == "truncate":
        file.write_bytes(b"on")
    else:
        file.unlink()
    assert not store.has(artifact)
    with pytest.raises(StoreError, match=r"a\.bin") as caught:
        store.path(artifact)
    assert "run the same command again" in caught.value.hint


def test_damaged_record_counts_as_none(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.put_record("k", Failed(stage="export", subject="x", reason="y"))
    assert store.get_record("k", Failed) == Failed(stage="export", subject="x", reason="y")
    (tmp_path / "records" / "k.json").write_text('{"stage": "exp', encoding="utf-8")
    assert store.get_record("k", Failed) is None
    assert store.get_record("other", Failed) is None


def test_full_disk_names_the_folder_and_the_cure(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no space left") as caught, disk_errors(tmp_path):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert str(tmp_path) in caught.value.message
    assert "HUBKIT_HOME" in caught.value.hint


def test_sweep_removes_only_what_the_dead_left(tmp_path: Path) -> None:
    store = Store(tmp_path)
    done = subprocess.run([sys.executable, "-c", "pass"], check=True)
    assert done.returncode == 0
    gone = subprocess.Popen([sys.executable, "-c", "pass"])
    gone.wait()
    (tmp_path / "scratch" / f"{gone.pid}-left").mkdir()
    (tmp_path / "scratch" / f"{os.getpid()}-mine").mkdir()
    store.sweep()
    assert [p.name for p in (tmp_path / "scratch").iterdir()] == [f"{os.getpid()}-mine"]


_WRITER = """
import sys
from pathlib import Path
from hubkit.records import Failed
from hubkit.store import Store
store = Store(Path(sys.argv[1]))
number = 0
while True:
    with store.scratch() as scratch:
        folder = scratch / "out"
        folder.mkdir()
        for name in "abc":
            (folder / name).write_bytes(f"{number}-{name}".encode() * 5000)
        artifact = store.adopt(folder)
    store.put_record(f"{number:06d}", Failed(stage="s", subject=artifact.digest, reason="r"))
    number += 1
"""


def test_killed_writer_leaves_only_whole_things(tmp_path: Path) -> None:
    for delay in (0.4, 0.5, 0.6):
        writer = subprocess.Popen([sys.executable, "-c", _WRITER, str(tmp_path)])
        time.sleep(delay)
        writer.send_signal(signal.SIGKILL)
        writer.wait()
    store = Store(tmp_path)
    store.sweep()
    assert list((tmp_path / "scratch").iterdir()) == []
    folders = list((tmp_path / "artifacts").iterdir())
    assert folders
    for folder in folders:
        assert describe(folder).digest == folder.name
    for path in (tmp_path / "records").iterdir():
        assert store.get_record(path.stem, Failed) is not None
