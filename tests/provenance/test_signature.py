"""model.sig: whose it is, what it is over, and when a new one is made."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from hubkit.errors import UsageError, VerifyError
from hubkit.hub.manifest import parse_sums
from hubkit.keys import digest_of_bytes, files_of
from hubkit.provenance.signature import Trust, check_signature, read_signature, wanted_signer
from hubkit.provenance.signing import with_signature
from hubkit.provenance.signing_key import signer_of, trust_of_key
from hubkit.records import Artifact
from hubkit.store import Store
from tests.provenance.conftest import Keys, adopt

FILES = {"README.md": b"# Card\n", "model.onnx": b"\x00weights", "assets/plot.svg": b"<svg/>"}
REPO = "alice/model"
MakeKeys = Callable[..., Keys]


@pytest.fixture
def bundle(store: Store) -> Artifact:
    return adopt(store, FILES)


def sums_of(store: Store, bundle: Artifact) -> dict[str, str]:
    return parse_sums((store.path(bundle) / "SHA256SUMS").read_text())


def signed(store: Store, bundle: Artifact, keys: Keys | None, *there: str) -> Artifact:
    return with_signature(
        bundle, store, REPO, there=there, sign_with=keys.private if keys else None
    )


def signature_of(store: Store, bundle: Artifact) -> str:
    return (store.path(bundle) / "model.sig").read_text()


def test_it_is_over_all_files_but_the_list_that_has_it(
    store: Store, bundle: Artifact, keys: Keys
) -> None:
    done = signed(store, bundle, keys)
    said = read_signature(signature_of(store, done))
    assert said is not None
    assert said.files == {path: digest_of_bytes(data) for path, data in FILES.items()}
    assert said.key == digest_of_bytes(keys.pem.encode())
    found = files_of(store.path(done))
    del found["SHA256SUMS"]
    assert sums_of(store, done) == found
    assert "model.sig" in found
    assert "scratch" not in signature_of(store, done)


def test_the_librarys_own_verifier_takes_it(store: Store, bundle: Artifact, keys: Keys) -> None:
    from model_signing import verifying

    folder = store.path(signed(store, bundle, keys))
    verifier = verifying.Config().use_elliptic_key_verifier(public_key=keys.public)
    verifier.verify(folder, folder / "model.sig")


def test_who_signed(store: Store, bundle: Artifact, make_keys: MakeKeys, tmp_path: Path) -> None:
    keys, other = make_keys("one"), make_keys("other")
    done = signed(store, bundle, keys)
    folder, sums = store.path(done), sums_of(store, done)
    by = digest_of_bytes(keys.pem.encode())
    found = check_signature(folder, sums, None)
    assert (found.state, found.by) == ("unchecked", by)
    found = check_signature(folder, sums, Trust(public_key=keys.pem))
    assert (found.state, found.by) == ("valid", by)
    with pytest.raises(VerifyError, match=r"model\.sig is not a signature of this key"):
        check_signature(folder, sums, Trust(public_key=other.pem))
    with pytest.raises(UsageError, match="none that model signing knows"):
        check_signature(folder, sums, Trust(public_key="rubbish"))


def test_what_is_not_signed(store: Store, bundle: Artifact, keys: Keys) -> None:
    folder, sums = store.path(bundle), sums_of(store, bundle)
    assert check_signature(folder, sums, None).state == "none"
    with pytest.raises(VerifyError, match="it is not signed"):
        check_signature(folder, sums, Trust(public_key=keys.pem))


def test_links_and_an_authors_own_files_beside_it(
    store: Store, bundle: Artifact, keys: Keys, tmp_path: Path
) -> None:
    """As huggingface_hub's cache has them."""
    done = signed(store, bundle, keys)
    cache = tmp_path / "snapshot"
    for ref in done.files:
        (cache / ref.path).parent.mkdir(parents=True, exist_ok=True)
        (cache / ref.path).symlink_to(store.path(done) / ref.path)
    (cache / "notes.md").write_text("mine")
    trust = Trust(public_key=keys.pem)
    assert check_signature(cache, sums_of(store, done), trust).state == "valid"


@pytest.mark.parametrize("listed", [True, False])
def test_a_file_that_was_changed_or_added_with_a_list_that_fits(
    store: Store, bundle: Artifact, keys: Keys, tmp_path: Path, listed: bool
) -> None:
    done = signed(store, bundle, keys)
    folder = tmp_path / "copy"
    folder.mkdir()
    for path in ("README.md", "model.onnx", "model.sig"):
        (folder / path).write_bytes((store.path(done) / path).read_bytes())
    name = "model.onnx" if listed else "evil.py"
    (folder / name).write_bytes(b"other")
    sums = {**sums_of(store, done), name: digest_of_bytes(b"other")}
    with pytest.raises(VerifyError, match=f"over other files: {name}"):
        check_signature(folder, sums, None)


def test_a_payload_that_was_changed_to_fit(store: Store, bundle: Artifact, keys: Keys) -> None:
    """What it is over may be rewritten by anybody; the key's owner has not signed that."""
    import base64
    import json

    done = signed(store, adopt(store, {**FILES, "model.onnx": b"good"}), keys)
    forged = json.loads(signature_of(store, done))
    payload = base64.b64decode(forged["dsseEnvelope"]["payload"])
    good, bad = digest_of_bytes(b"good"), digest_of_bytes(FILES["model.onnx"])
    forged["dsseEnvelope"]["payload"] = base64.b64encode(
        payload.replace(good.encode(), bad.encode())
    ).decode()
    laid = signed(store, bundle, None, json.dumps(forged))
    folder, sums = store.path(laid), sums_of(store, laid)
    assert check_signature(folder, sums, None).state == "unchecked"
    with pytest.raises(VerifyError, match="not a signature of this key"):
        check_signature(folder, sums, Trust(public_key=keys.pem))
    assert signature_of(store, signed(store, bundle, keys, json.dumps(forged))) != json.dumps(
        forged
    )


def test_the_signature_on_the_hub_is_kept_as_long_as_it_holds(
    store: Store, bundle: Artifact, make_keys: MakeKeys
) -> None:
    keys, other = make_keys("one"), make_keys("other")
    first = signed(store, bundle, keys)
    text = signature_of(store, first)
    assert signature_of(store, signed(store, bundle, keys)) != text  # each is another
    assert signed(store, bundle, keys, text) == first
    assert signed(store, bundle, keys, "rubbish", text) == first
    assert signed(store, bundle, None, text) == first
    assert signed(store, first, None) == first
    assert signed(store, first, keys) == first
    assert signature_of(store, signed(store, bundle, other, text)) != text
    changed = adopt(store, {**FILES, "README.md": b"# Other\n"})
    assert signed(store, changed, None, text) == changed
    assert signature_of(store, signed(store, changed, keys, text)) != text


def test_a_bundle_with_a_signature_over_something_else_is_refused(
    store: Store, bundle: Artifact, keys: Keys
) -> None:
    text = signature_of(store, signed(store, bundle, keys))
    odd = adopt(store, {**FILES, "README.md": b"# Other\n", "model.sig": text.encode()})
    with pytest.raises(UsageError, match="not over its files"):
        signed(store, odd, None)
    assert signature_of(store, signed(store, odd, keys)) != text


def test_keys_that_will_not_do(make_keys: MakeKeys, tmp_path: Path) -> None:
    from cryptography.hazmat.primitives import serialization as forms
    from cryptography.hazmat.primitives.asymmetric import ed25519

    with pytest.raises(UsageError, match="no such key") as caught:
        signer_of(str(tmp_path / "none.key"))
    assert "openssl ecparam" in caught.value.hint
    with pytest.raises(UsageError, match="cannot be read as a private key"):
        signer_of(str(make_keys().public))
    path = tmp_path / "ed25519.key"
    path.write_bytes(
        ed25519.Ed25519PrivateKey.generate().private_bytes(
            forms.Encoding.PEM, forms.PrivateFormat.PKCS8, forms.NoEncryption()
        )
    )
    with pytest.raises(UsageError, match="no key on one of the curves"):
        signer_of(str(path))


def test_a_key_with_a_password(
    make_keys: MakeKeys, store: Store, bundle: Artifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = make_keys("locked", password="open sesame")
    monkeypatch.delenv("HUBKIT_SIGNING_KEY_PASSWORD", raising=False)
    with pytest.raises(UsageError) as caught:
        signer_of(keys.private)
    assert "HUBKIT_SIGNING_KEY_PASSWORD" in caught.value.hint
    monkeypatch.setenv("HUBKIT_SIGNING_KEY_PASSWORD", "open sesame")
    assert signer_of(keys.private) == keys.private
    assert trust_of_key(keys.private) == Trust(public_key=keys.pem)
    done = signed(store, bundle, keys)
    trust = Trust(public_key=keys.pem)
    assert check_signature(store.path(done), sums_of(store, done), trust).state == "valid"


def test_what_to_sign_with(keys: Keys, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HUBKIT_SIGNING_KEY", raising=False)
    assert signer_of(None) is None
    assert signer_of("keyless") == "keyless"
    monkeypatch.setenv("HUBKIT_SIGNING_KEY", keys.private)
    assert signer_of(None) == keys.private
    monkeypatch.setenv("HUBKIT_SIGNING_KEY", "")
    assert signer_of(None) is None


def test_without_an_identity_nobody_is_asked_in_a_browser(
    store: Store, bundle: Artifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("sigstore")
    for name in ("GITHUB_ACTIONS", "GITLAB_CI", "BUILDKITE", "GOOGLE_SERVICE_ACCOUNT_NAME"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(UsageError, match="no identity to sign with") as caught:
        with_signature(bundle, store, REPO, there=(), sign_with="keyless")
    assert "id-token: write" in caught.value.hint


def test_a_ci_job_that_may_not_have_an_identity(
    store: Store, bundle: Artifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("sigstore")
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.delenv("ACTIONS_ID_TOKEN_REQUEST_TOKEN", raising=False)
    monkeypatch.delenv("ACTIONS_ID_TOKEN_REQUEST_URL", raising=False)
    with pytest.raises(UsageError, match="identity to sign with") as caught:
        with_signature(bundle, store, REPO, there=(), sign_with="keyless")
    assert "id-token: write" in caught.value.hint


def test_what_a_user_asks_for(keys: Keys, tmp_path: Path) -> None:
    assert wanted_signer(None, None, None) is None
    assert wanted_signer(keys.public, None, None) == Trust(public_key=keys.pem)
    asked = wanted_signer(None, "https://example.org/w", "https://issuer.example.org")
    assert asked == Trust(identity="https://example.org/w", issuer="https://issuer.example.org")
    with pytest.raises(UsageError, match="go together"):
        wanted_signer(None, "https://example.org/w", None)
    with pytest.raises(UsageError, match="do not go together"):
        wanted_signer(keys.public, "https://example.org/w", "https://issuer.example.org")
    with pytest.raises(UsageError, match="cannot be read"):
        wanted_signer(tmp_path / "none.pub", None, None)


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"dsseEnvelope": {"payload": "e30="}}'])
def test_what_is_no_signature(text: str) -> None:
    assert read_signature(text) is None
