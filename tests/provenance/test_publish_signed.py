"""Signed publications on the embedded Hub: one commit, none again, and what verify says of them."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from hubkit.errors import HubkitError, UsageError, VerifyError
from hubkit.executors.local import LocalExecutor
from hubkit.keys import digest_of_bytes
from hubkit.pipeline import Silent
from hubkit.provenance.signature import Trust
from hubkit.pushing import push_folder, taken_in
from hubkit.records import Artifact
from hubkit.runner import Runner
from hubkit.stage import Context
from hubkit.stages.push import Pushed, PushInput, plan_push, push_to
from hubkit.stages.report import record_json
from hubkit.stages.verify import VerifyInput, verify
from tests.hub_client.hubs import World, _world  # noqa: F401 - the fixture "world"
from tests.provenance.conftest import Keys
from tests.stages.test_push import FILES, in_repo, with_sums
from tests.sweeps.examples import make_report

MakeKeys = Callable[..., Keys]


@pytest.fixture(name="bundle")
def _bundle(world: World) -> Artifact:
    return world.bundle(with_sums(FILES))


def pushed(world: World, bundle: Artifact, keys: Keys | None = None, **how: object) -> Pushed:
    sign_with = keys.private if keys else None
    with world.ctx() as ctx:
        return push_to(world.hub(), world.given(bundle, sign_with=sign_with, **how), ctx)


def test_signed_once_is_one_commit(world: World, bundle: Artifact, keys: Keys) -> None:
    first = pushed(world, bundle, keys)
    there = in_repo(world)
    assert first.made_commit
    assert {change.path for change in first.changes} == {*FILES, "SHA256SUMS", "model.sig"}
    assert first.bundle is not None
    assert {ref.path for ref in first.bundle.files} == there.keys()
    assert first.trust == Trust(public_key=keys.pem)
    for again in (pushed(world, bundle, keys), pushed(world, bundle)):
        assert not again.made_commit
        assert again.commit == first.commit
        assert again.bundle == first.bundle
    assert in_repo(world) == there
    with world.ctx() as ctx:
        assert plan_push(world.given(bundle, sign_with=keys.private), ctx).nothing_to_do


def test_what_is_said_of_a_push_holds_no_key(world: World, bundle: Artifact, keys: Keys) -> None:
    text = pushed(world, bundle, keys).model_dump_json()
    assert "BEGIN" not in text
    assert keys.private not in text


def test_signing_what_was_not_signed_and_changing_the_signer(
    world: World, bundle: Artifact, make_keys: MakeKeys
) -> None:
    plain = pushed(world, bundle)
    assert "model.sig" not in in_repo(world)
    one, other = make_keys("one"), make_keys("other")
    signed = pushed(world, bundle, one)
    assert signed.made_commit
    assert signed.commit != plain.commit
    assert {change.path for change in signed.changes} == {"SHA256SUMS", "model.sig"}
    assert {change.path for change in pushed(world, bundle, other).changes} == {
        "SHA256SUMS",
        "model.sig",
    }


def test_a_signature_goes_with_the_files_that_it_was_over(
    world: World, bundle: Artifact, keys: Keys
) -> None:
    pushed(world, bundle, keys)
    changed = with_sums({**FILES, "README.md": b"---\nlicense: mit\n---\n# other\n"})
    done = pushed(world, world.bundle(changed))
    assert [c.path for c in done.changes if c.action == "delete"] == ["model.sig"]
    assert in_repo(world) == changed


def test_a_pull_request_is_opened_once(world: World, bundle: Artifact, keys: Keys) -> None:
    pushed(world, world.bundle(with_sums({**FILES, "config.json": b'{"a": 1}'})))
    first = pushed(world, bundle, keys, create_pr=True)
    again = pushed(world, bundle, keys, create_pr=True)
    assert first.made_commit
    assert not again.made_commit
    assert (again.pull_request, again.commit) == (first.pull_request, first.commit)


def test_an_answer_that_was_lost(world: World, bundle: Artifact, keys: Keys) -> None:
    """The signature is made once, so that the commit is known again."""
    world.switch.fail_on("/commit/", "reset", phase="after", times=1)
    done = pushed(world, bundle, keys)
    world.switch.heal()
    assert done.made_commit
    assert len(world.titles()) == 2
    assert not pushed(world, bundle, keys).made_commit


def test_verify_says_who_signed(world: World, make_keys: MakeKeys) -> None:
    """Of a sweep's report, for which no library has to be imported."""
    keys, other = make_keys("one"), make_keys("other")
    report = make_report()
    files = {
        "lock.json": record_json(report.lock).encode(),
        "results.json": record_json(report).encode(),
    }
    done = pushed(world, world.bundle(with_sums(files)), keys)

    def checked(trust: Trust | None) -> tuple[str, str | None]:
        wanted = VerifyInput(repo_id="alice/model", bundle=done.bundle, trust=trust)
        with world.ctx() as ctx:
            found = verify(wanted, ctx).records.signature
        return found.state, found.by

    by = digest_of_bytes(keys.pem.encode())
    assert checked(done.trust) == ("valid", by)
    assert checked(None) == ("unchecked", by)
    with pytest.raises(VerifyError, match=r"model\.sig is not a signature of this key"):
        checked(Trust(public_key=other.pem))


def _runner(ctx: Context) -> Runner:
    executor = LocalExecutor(endpoint=ctx.endpoint, token=ctx.token)
    return Runner(ctx.store, executor, Silent(), ctx.endpoint, ctx.token)


def test_a_folder_with_a_secret_is_not_pushed(world: World) -> None:
    token = "hf_" + "aB3dE5gH7j" * 4
    card = FILES["README.md"] + f"\nUse `{token}`.\n".encode()
    bundle = world.bundle(with_sums({**FILES, "README.md": card}))
    with world.ctx() as ctx:
        run = _runner(ctx)
        with pytest.raises(HubkitError, match=r"README\.md, line 6: Hugging Face tok") as caught:
            push_folder(run, ctx.store.path(bundle), "alice/model")
    assert caught.value.exit_code == 1
    assert token not in f"{caught.value.message}{caught.value.hint}"
    assert world.hub().state("alice/model") is None


def test_a_signature_that_no_publication_left_is_not_kept(
    world: World, bundle: Artifact, keys: Keys
) -> None:
    """It may claim anything: here it is the right one, which nobody has listed."""
    pushed(world, bundle, keys)
    signature = in_repo(world)["model.sig"]
    world.hub().api.delete_repo("alice/model")
    pushed(world, bundle)
    world.edit("alice/model", "model.sig", signature)
    again = pushed(world, bundle)
    assert not again.made_commit
    signed = pushed(world, bundle, keys)
    assert signed.made_commit
    assert in_repo(world)["model.sig"] != signature


def test_a_folder_that_is_linked_into_a_bundle_is_looked_at(world: World, tmp_path: Path) -> None:
    secrets = tmp_path / "elsewhere"
    secrets.mkdir()
    (secrets / "id_rsa").write_text("x")
    with world.ctx() as ctx:
        folder = tmp_path / "bundle"
        shutil.copytree(ctx.store.path(world.bundle(with_sums(FILES))), folder)
        folder.chmod(0o755)
        (folder / "link").symlink_to(secrets)
        with pytest.raises(UsageError, match="link/id_rsa differ from SHA256SUMS"):
            taken_in(_runner(ctx), folder, "alice/model")


def test_push_input_knows_nothing_of_a_key_by_default() -> None:
    assert PushInput.model_fields["sign_with"].default is None
