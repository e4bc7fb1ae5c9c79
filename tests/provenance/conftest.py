"""Keys, and a store with a small bundle."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from hubkit.hub.manifest import format_sums
from hubkit.keys import digest_of_bytes
from hubkit.records import Artifact
from hubkit.store import Store


@dataclass(frozen=True)
class Keys:
    """The files of a key pair, and its public half as text."""

    private: str
    public: Path

    @property
    def pem(self) -> str:
        return self.public.read_text()


@pytest.fixture
def make_keys(tmp_path: Path) -> Callable[..., Keys]:
    pytest.importorskip("model_signing")
    from cryptography.hazmat.primitives import serialization as forms
    from cryptography.hazmat.primitives.asymmetric import ec

    def make(name: str = "signing", password: str | None = None) -> Keys:
        key = ec.generate_private_key(ec.SECP256R1())
        locked = forms.BestAvailableEncryption(password.encode()) if password else None
        private, public = tmp_path / f"{name}.key", tmp_path / f"{name}.pub"
        private.write_bytes(
            key.private_bytes(
                forms.Encoding.PEM, forms.PrivateFormat.PKCS8, locked or forms.NoEncryption()
            )
        )
        public.write_bytes(
            key.public_key().public_bytes(
                forms.Encoding.PEM, forms.PublicFormat.SubjectPublicKeyInfo
            )
        )
        return Keys(str(private), public)

    return make


@pytest.fixture
def keys(make_keys: Callable[..., Keys]) -> Keys:
    return make_keys()


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def adopt(store: Store, files: dict[str, bytes]) -> Artifact:
    """The files as an artifact, with a SHA256SUMS that lists them."""
    sums = format_sums({path: digest_of_bytes(data) for path, data in files.items()})
    with store.scratch() as scratch:
        for path, data in {**files, "SHA256SUMS": sums.encode()}.items():
            (scratch / "made" / path).parent.mkdir(parents=True, exist_ok=True)
            (scratch / "made" / path).write_bytes(data)
        return store.adopt(scratch / "made")
