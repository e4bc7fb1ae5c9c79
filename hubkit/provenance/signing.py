"""A bundle with its signature: the one that is on the Hub as long as it holds, else a new one."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from hubkit.errors import UsageError, VerifyError
from hubkit.hub.manifest import SUMS, format_sums
from hubkit.keys import digest_of_bytes
from hubkit.provenance.signature import (
    SIGNATURE,
    check_signer,
    read_signature,
    signable,
)
from hubkit.provenance.signing_key import KEYLESS, sign_folder, trust_of_key
from hubkit.records import Artifact
from hubkit.store import Store


def with_signature(
    bundle: Artifact, store: Store, repo_id: str, *, there: Sequence[str], sign_with: str | None
) -> Artifact:
    """The bundle as it is to lie in the repository.

    `there`: each model.sig that the repository has; `sign_with`: the path of a private key,
    "keyless", or None. A signature over these very files is kept where the same signer made it, and
    where nobody signs this time; so publishing again changes nothing. What is not signed, and was
    not, is given back as it is. Raises UsageError, HubError.
    """
    own = _own(bundle, store)
    files = signable({ref.path: ref.sha256 for ref in bundle.files})
    for text in (*there, *([own] if own is not None else [])):
        if _holds(text, files, store.path(bundle), sign_with):
            return bundle if text == own else _laid(bundle, store, text)
    if sign_with is None:
        if own is not None:
            raise UsageError(
                f"{SIGNATURE} of the bundle is not over its files",
                hint="Write the bundle anew: hubkit card RECIPE --output FOLDER.",
            )
        return bundle
    return _laid(bundle, store, _new(bundle, store, repo_id, sign_with))


def _own(bundle: Artifact, store: Store) -> str | None:
    if not any(ref.path == SIGNATURE for ref in bundle.files):
        return None
    return (store.path(bundle) / SIGNATURE).read_text(encoding="utf-8", errors="replace")


def _holds(text: str, files: dict[str, str], folder: Path, sign_with: str | None) -> bool:
    """Whether a signature is over these files, and by the one who signs now."""
    said = read_signature(text)
    if said is None or said.files != files:
        return False
    if sign_with is None:
        return True
    if sign_with == KEYLESS:  # every certificate is another: whose it was, `verify` can tell
        return said.keyless
    trust = trust_of_key(sign_with)
    with tempfile.TemporaryDirectory() as scratch:
        signature = Path(scratch) / SIGNATURE
        signature.write_text(text, encoding="utf-8")
        try:
            check_signer(folder, signature, trust)
        except VerifyError:
            return False
    return True


def _new(bundle: Artifact, store: Store, repo_id: str, sign_with: str) -> str:
    with store.scratch() as scratch:
        # A signature names the folder that it was made in: the repository's name.
        folder = scratch / repo_id.rpartition("/")[2]
        _copy(bundle, store, folder)
        return sign_folder(folder, sign_with)


def _laid(bundle: Artifact, store: Store, signature: str) -> Artifact:
    """The bundle with that signature, and with a SHA256SUMS that lists it."""
    sums = signable({ref.path: ref.sha256 for ref in bundle.files})
    sums[SIGNATURE] = digest_of_bytes(signature.encode())
    with store.scratch() as scratch:
        folder = scratch / "signed"
        _copy(bundle, store, folder)
        (folder / SIGNATURE).write_bytes(signature.encode())
        (folder / SUMS).write_bytes(format_sums(sums).encode())
        return store.adopt(folder)


def _copy(bundle: Artifact, store: Store, folder: Path) -> None:
    """The files that a signature is over, in a new folder; they never change, so as links."""
    source = store.path(bundle)
    for path in signable({ref.path: ref.sha256 for ref in bundle.files}):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(source / path, folder / path)
        except OSError:  # another file system, or one without links
            shutil.copyfile(source / path, folder / path)
