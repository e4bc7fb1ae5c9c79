"""Release files made on the spot, and a pip that knows of no other place to find any."""

from __future__ import annotations

import io
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from hubkit.demo.materials import Material, Member
from hubkit.keys import digest_of_bytes, digest_of_file
from tests.tiny import make_tiny_model


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Torch on one thread: models this small only wait for a second one."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def make_tiny_encoder(folder: Path) -> None:
    """What the package of MiniLM holds, in small: a BERT encoder without a head."""
    import torch
    from transformers import BertConfig, BertModel

    make_tiny_model(folder, model_type="bert")
    torch.manual_seed(1)
    encoder = BertModel(BertConfig.from_pretrained(folder), add_pooling_layer=False)
    encoder.save_pretrained(folder)


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is all that pip may download from."""
    folder = tmp_path / "index"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def add_wheel(index: Path, files: dict[str, bytes], *, name: str = "tinymodel") -> Path:
    """A wheel of version 1.0 that holds the files."""
    path = index / f"{name}-1.0-py3-none-any.whl"
    info = f"{name}-1.0.dist-info"
    tags = "Wheel-Version: 1.0\nGenerator: hubkit-tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    whole = {
        **files,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n".encode(),
        f"{info}/WHEEL": tags.encode(),
        f"{info}/RECORD": b"",
    }
    with zipfile.ZipFile(path, "w") as archive:
        for member, data in whole.items():
            archive.writestr(member, data)
    return path


def tar_of(files: dict[str, bytes], links: dict[str, str] | None = None) -> bytes:
    """A .tar.gz with the files, and symbolic links name -> target."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
        for name, target in (links or {}).items():
            link = tarfile.TarInfo(name)
            link.type, link.linkname = tarfile.SYMTYPE, target
            archive.addfile(link)
    return out.getvalue()


# Its build backend is inside it, so that pip needs nothing else to look at it.
_BACKEND = b"""
def get_requires_for_build_wheel(settings=None):
    return []

def prepare_metadata_for_build_wheel(folder, settings=None):
    import pathlib
    info = pathlib.Path(folder) / "tinydata-1.0.dist-info"
    info.mkdir()
    info.joinpath("METADATA").write_text("Metadata-Version: 2.1\\nName: tinydata\\nVersion: 1.0\\n")
    info.joinpath("WHEEL").write_text("Wheel-Version: 1.0\\nTag: py3-none-any\\n")
    return info.name

def build_wheel(folder, settings=None, metadata=None):
    raise SystemExit("nothing is built here")
"""
_PROJECT = b'[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'


def add_sdist(index: Path, files: dict[str, bytes], *, links: dict[str, str] | None = None) -> Path:
    """The source archive tinydata-1.0 that holds the files, besides what pip needs of it."""
    top = "tinydata-1.0"
    path = index / f"{top}.tar.gz"
    own = {
        f"{top}/pyproject.toml": _PROJECT,
        f"{top}/backend.py": _BACKEND,
        f"{top}/PKG-INFO": b"Metadata-Version: 2.1\nName: tinydata\nVersion: 1.0\n",
    }
    path.write_bytes(tar_of({**own, **files}, links))
    return path


def material(path: Path, members: dict[str, bytes], **changes: str) -> Material:
    """The material of a release file, with the members that are used of it."""
    wheel = path.suffix == ".whl"
    return Material(
        package=path.name.split("-")[0],
        version="1.0",
        form="wheel" if wheel else "sdist",
        sha256=changes.get("sha256", digest_of_file(path)),
        members=tuple(Member(name, digest_of_bytes(data)) for name, data in members.items()),
    )
