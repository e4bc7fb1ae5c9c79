"""model.sig: who vouches for the files of a publication, in the format of OpenSSF model signing.

It holds the SHA-256 of every file but SHA256SUMS and itself; SHA256SUMS lists it like the rest, so
that neither is over the other. `model_signing verify key FOLDER --signature FOLDER/model.sig
--public_key PUB` takes it without hubkit, since it says itself which files it leaves out.

Signatures are random: the same key makes another one each time. So whoever publishes the same files
again keeps the one that is on the Hub (`hubkit.provenance.signing`).
"""

from __future__ import annotations

import base64
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from hubkit.deps import require
from hubkit.errors import UsageError, VerifyError
from hubkit.hub.manifest import SUMS
from hubkit.records import Record

if TYPE_CHECKING:
    from model_signing.hashing import Config as Hashing
    from model_signing.verifying import Config as Verifying

SIGNATURE = "model.sig"
UNSIGNED = frozenset({SUMS, SIGNATURE})
EXTRA = "sign"
_PEM = "It is a PEM file: openssl ec -in signing.key -pubout -out signing.pub"
_OTHER_FILES = "Somebody has changed the files on the Hub: publish again to put them right."


class Trust(Record):
    """Whose signature is wanted: that of a key (`public_key`: its PEM text), or of an identity that
    Sigstore knows, such as a workflow, with the `issuer` that vouches for it."""

    public_key: str | None = None
    identity: str | None = None
    issuer: str | None = None


class SignatureCheck(Record):
    """`none`: not signed; `unchecked`: signed, and nobody said by whom it should be; `valid`: by
    the one who was asked for. `by`: the key's SHA-256, or the identity."""

    state: Literal["none", "unchecked", "valid"] = "none"
    by: str | None = None


def wanted_signer(
    public_key: Path | None, identity: str | None, issuer: str | None
) -> Trust | None:
    """Whose signature a user asks for; None: nobody's. Raises UsageError for what is no question:
    a key and an identity, one half of the latter, or a key's file that cannot be read."""
    if (identity is None) != (issuer is None):
        raise UsageError(
            "--identity and --issuer go together",
            hint="Of a GitHub workflow: --identity https://github.com/OWNER/REPO/.github/workflows/"
            "FILE@REF --issuer https://token.actions.githubusercontent.com",
        )
    if public_key is None:
        return Trust(identity=identity, issuer=issuer) if identity else None
    if identity is not None:
        raise UsageError("--public-key and --identity do not go together", hint="Give one of them.")
    try:
        return Trust(public_key=public_key.expanduser().read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"{public_key} cannot be read as a public key: {error}", hint=_PEM
        ) from error


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True)


class _Key(_Part):
    hint: str | None = None


class _Material(_Part):
    key: _Key | None = Field(None, alias="publicKey")
    certificate: dict[str, object] | None = None
    chain: dict[str, object] | None = Field(None, alias="x509CertificateChain")


class _Envelope(_Part):
    payload: str


class _Bundle(_Part):
    material: _Material = Field(alias="verificationMaterial")
    envelope: _Envelope = Field(alias="dsseEnvelope")


class _Resource(_Part):
    name: str
    algorithm: str
    digest: str


class _Predicate(_Part):
    resources: tuple[_Resource, ...]


class _Statement(_Part):
    predicate: _Predicate


class Signed(Record):
    """What a signature says, before anybody has checked it: `files`: path -> SHA-256; `key`: the
    SHA-256 of the public key's PEM text; `keyless`: it has a certificate of Sigstore instead."""

    files: dict[str, str]
    key: str | None
    keyless: bool


def read_signature(text: str) -> Signed | None:
    """The claim of a model.sig; None where the text is none."""
    try:
        bundle = _Bundle.model_validate_json(text)
        statement = _Statement.model_validate_json(base64.b64decode(bundle.envelope.payload))
    except (ValidationError, ValueError):
        return None
    material = bundle.material
    return Signed(
        files={
            one.name: one.digest if one.algorithm == "sha256" else ""
            for one in statement.predicate.resources
        },
        key=material.key.hint if material.key else None,
        keyless=material.certificate is not None or material.chain is not None,
    )


def signable(files: Mapping[str, str]) -> dict[str, str]:
    """Those of the files (path -> SHA-256) that a signature is over."""
    return {path: sha for path, sha in files.items() if path not in UNSIGNED}


def check_signature(folder: Path, sums: Mapping[str, str], trust: Trust | None) -> SignatureCheck:
    """Whether and by whom a folder is signed, whose files are those of `sums` (its SHA256SUMS).

    Raises VerifyError where a signature is over other files than these, where it is not made by the
    one who is wanted, or where one is wanted and there is none.
    """
    if SIGNATURE not in sums:
        if trust is not None:
            raise VerifyError(
                "it is not signed",
                hint="Publish it with --sign-key, or verify it without asking for a signer.",
            )
        return SignatureCheck()
    said = read_signature((folder / SIGNATURE).read_text(encoding="utf-8", errors="replace"))
    if said is None:
        raise VerifyError(f"{SIGNATURE} is no signature of OpenSSF model signing")
    wanted = signable(sums)
    if said.files != wanted:
        odd = sorted(
            path
            for path in said.files.keys() | wanted.keys()
            if said.files.get(path) != wanted.get(path)
        )
        raise VerifyError(f"{SIGNATURE} is over other files: {', '.join(odd)}", hint=_OTHER_FILES)
    by = said.key or ("Sigstore" if said.keyless else None)
    if trust is None:
        return SignatureCheck(state="unchecked", by=by)
    check_signer(folder, folder / SIGNATURE, trust)
    return SignatureCheck(state="valid", by=trust.identity or by)


def check_signer(folder: Path, signature: Path, trust: Trust) -> None:
    """Raise VerifyError unless the signature is over the folder's files and by the one who is
    trusted; UsageError for a public key that is none."""
    require("model_signing", extra=EXTRA)
    from model_signing import verifying

    with tempfile.TemporaryDirectory() as scratch:
        config = _verifier(verifying.Config(), trust, Path(scratch))  # type: ignore[no-untyped-call]
        # The cache of the Hub's client holds links, and other files of the repository are its
        # author's own.
        config.set_hashing_config(hashing_config().set_allow_symlinks(True))
        config.set_ignore_unsigned_files(True)
        try:
            config.verify(folder, signature)
        except Exception as error:  # of a wrong signature each kind of key has its own
            raise VerifyError(
                f"{SIGNATURE} is not a signature of {_name(trust)}:"
                f" {str(error).strip() or type(error).__name__}",
                hint="Ask who published it for the right public key. If it is the right one, the"
                " files are not from them.",
            ) from error


def _verifier(config: Verifying, trust: Trust, scratch: Path) -> Verifying:
    if trust.public_key is None:
        return config.use_sigstore_verifier(
            identity=trust.identity or "", oidc_issuer=trust.issuer or ""
        )
    key = scratch / "key.pub"
    key.write_text(trust.public_key, encoding="utf-8")
    try:
        return config.use_elliptic_key_verifier(public_key=key)
    except Exception as error:
        raise UsageError(
            f"the public key is none that model signing knows: {error}",
            hint=_PEM,
        ) from error


def _name(trust: Trust) -> str:
    return trust.identity or "this key"


def hashing_config() -> Hashing:
    """What a signature leaves out, for the library."""
    from model_signing import hashing

    config = hashing.Config()  # type: ignore[no-untyped-call]
    return config.set_ignored_paths(paths=sorted(UNSIGNED))
