"""With what a publication is signed: a private key of one's own, or the identity that CI gives."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from hubkit.deps import require
from hubkit.errors import HubError, UsageError
from hubkit.provenance.signature import EXTRA, SIGNATURE, Trust, hashing_config

if TYPE_CHECKING:
    from model_signing.signing import Config

# In place of a key's path: what Sigstore calls keyless, a certificate for some minutes.
KEYLESS = "keyless"
KEY_VARIABLE, PASSWORD_VARIABLE = "HUBKIT_SIGNING_KEY", "HUBKIT_SIGNING_KEY_PASSWORD"
_MAKE = (
    "openssl ecparam -name prime256v1 -genkey -noout -out signing.key makes one; keep it to"
    " yourself, and give others what openssl ec -in signing.key -pubout prints."
)


def signer_of(sign_key: str | None) -> str | None:
    """What to sign with: what the option says, else the environment; None: not at all.

    Raises UsageError where that is no readable key, before anything is measured.
    """
    chosen = sign_key or os.environ.get(KEY_VARIABLE) or None
    if chosen is not None and chosen != KEYLESS:
        trust_of_key(chosen)
    return chosen


def trust_of(sign_with: str | None) -> Trust | None:
    """Who must have signed what is signed with that: the key. None where nobody knows it, as of an
    identity that only Sigstore has seen."""
    return None if sign_with in (None, KEYLESS) else trust_of_key(str(sign_with))


def trust_of_key(private_key: str) -> Trust:
    """What whoever checks a signature of this key has to trust: its public half.

    Raises UsageError for a file that is no private key on a curve that model signing takes.
    """
    require("model_signing", extra=EXTRA)
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    try:
        data = Path(private_key).expanduser().read_bytes()
    except OSError as error:
        raise UsageError(f"{private_key}: no such key ({error.strerror})", hint=_MAKE) from error
    try:
        key = serialization.load_pem_private_key(data, _password())
    except (ValueError, TypeError) as error:  # of a password too many or too few, TypeError
        locked = "password" in str(error).lower()
        raise UsageError(
            f"{private_key} cannot be read as a private key: {error}",
            hint=f"Set {PASSWORD_VARIABLE} to its password." if locked else _MAKE,
        ) from error
    curves = ("secp256r1", "secp384r1", "secp521r1")
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.curve.name not in curves:
        raise UsageError(
            f"{private_key} is no key on one of the curves {', '.join(curves)}", hint=_MAKE
        )
    public = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return Trust(public_key=public.decode())


def sign_folder(folder: Path, sign_with: str) -> str:
    """The text of a new model.sig over the files of a folder. `sign_with`: the path of a private
    key, or "keyless". Raises UsageError, HubError."""
    require("model_signing", extra=EXTRA)
    from model_signing import signing

    config = signing.Config()  # type: ignore[no-untyped-call]
    config = use_signer(config.set_hashing_config(hashing_config()), sign_with)
    with tempfile.TemporaryDirectory() as scratch:
        made = Path(scratch) / SIGNATURE
        config.sign(folder, made)
        # One form, whatever the library's version likes to write.
        return json.dumps(json.loads(made.read_bytes()), indent=1, sort_keys=True) + "\n"


def use_signer(config: Config, sign_with: str) -> Config:
    """The configuration with a signer: the key's, or Sigstore's with the identity that CI gives.

    Raises UsageError for a bad key or no identity, HubError where Sigstore cannot be reached.
    """
    if sign_with != KEYLESS:
        trust_of_key(sign_with)
        return config.use_elliptic_key_signer(
            private_key=Path(sign_with).expanduser(),
            password=_password(),  # type: ignore[arg-type]  # it says str, and needs bytes
        )
    token = _ambient_identity()
    try:
        return config.use_sigstore_signer(identity_token=token)
    except Exception as error:  # of its network client, whichever that is
        raise HubError(
            f"Sigstore cannot be reached: {error}",
            hint=f"Sign with a key of your own: --sign-key PATH, or {KEY_VARIABLE}.",
        ) from error


def _ambient_identity() -> str:
    """The OpenID token of a CI job. Never asks in a browser, as Sigstore's own would."""
    from sigstore import oidc

    try:
        token = oidc.detect_credential()
    except Exception as error:
        raise UsageError(f"CI gives no identity to sign with: {error}", hint=_IDENTITY) from error
    if token is None:
        raise UsageError("there is no identity to sign with", hint=_IDENTITY)
    return token


_IDENTITY = (
    "--sign-key keyless works in CI: on GitHub with `permissions: id-token: write`. Elsewhere sign"
    " with a key: --sign-key PATH."
)


def _password() -> bytes | None:
    found = os.environ.get(PASSWORD_VARIABLE)
    return found.encode() if found else None
