"""Copying a repository from one Hub to another."""

from __future__ import annotations

from dataclasses import replace

import pytest
from huggingface_hub import HfApi

from hubkit.errors import HubError, UsageError
from hubkit.hub.faults import NotThere
from hubkit.hub.server.git import GitRepo
from hubkit.hub.session import default_endpoint
from hubkit.mirror_origin import Selection, Wanted
from hubkit.mirror_plan import Options
from tests.mirror.conftest import DATASET, MIRROR, MODEL, WEIGHTS, Pair

TINY = Wanted("model", MODEL)
CONVERTED = "refs/convert/parquet"


def test_a_revision_becomes_one_commit_with_its_names(pair: Pair, model: str) -> None:
    pair.public_api().create_tag(MODEL, tag="v1")
    (done,) = pair.run(TINY)
    assert pair.same(MODEL)
    assert done.origin_commit == model
    assert done.made_commit
    assert done.files == done.copied_files == 7
    assert done.copied_bytes == done.sent_bytes == done.size_bytes
    api = pair.api()
    history = api.list_repo_commits(MODEL)
    assert [c.title for c in history][1:] == ["initial commit"]
    assert history[0].title == f"Mirror of {pair.public.endpoint}/{MODEL} at main"
    assert history[0].message == f"Commit {model} there."
    # Its branch, its tag and the id it has at its origin all stand for it.
    assert done.tags == ("v1",)
    for revision in ("main", "v1", model):
        assert api.repo_info(MODEL, revision=revision).sha == done.commit
    refs = api.list_repo_refs(MODEL)
    assert [ref.name for ref in refs.branches] == ["main"]
    # What was on its way is gone.
    assert pair.sent[-1][1] == pair.sent[-1][2] == done.copied_bytes


def test_a_second_run_writes_nothing(pair: Pair, model: str) -> None:
    (first,) = pair.run(TINY)
    pair.mirror.requests.clear()
    pair.public.requests.clear()
    (again,) = pair.run(TINY)
    assert again.commit == first.commit
    assert not again.made_commit
    assert again.copied_files == again.sent_bytes == 0
    assert {method for method, _ in pair.mirror.requests} == {"GET"}
    assert not [path for _, path in pair.public.requests if "/resolve/" in path]


def test_a_new_revision_is_one_commit_on_top_and_what_vanished_goes(pair: Pair, model: str) -> None:
    (first,) = pair.run(TINY)
    pair.public_api().delete_file("onnx/model.onnx", MODEL)
    head = pair.push(MODEL, {"config.json": b'{"a": 2}'})
    pair.mirror.requests.clear()
    (second,) = pair.run(TINY)
    assert pair.same(MODEL)
    assert (second.copied_files, second.deleted_files) == (1, 1)
    assert not [m for m, path in pair.mirror.requests if m == "PUT"]  # no weights again
    api = pair.api()
    assert len(api.list_repo_commits(MODEL)) == 3
    assert api.repo_info(MODEL, revision=model).sha == first.commit
    assert api.repo_info(MODEL, revision=head).sha == second.commit


def test_an_old_tag_and_a_pinned_commit_leave_main_alone(pair: Pair, model: str) -> None:
    pair.public_api().create_tag(MODEL, tag="v1")
    head = pair.push(MODEL, {"config.json": b'{"a": 2}'})
    (by_tag,) = pair.run(replace(TINY, revision="v1"))
    api = pair.api()
    assert pair.same(MODEL, "v1")
    assert [f.rfilename for f in api.repo_info(MODEL).siblings or []] == [".gitattributes"]
    assert [ref.name for ref in api.list_repo_refs(MODEL).branches] == ["main"]
    (by_commit,) = pair.run(replace(TINY, revision=model))
    assert by_commit.commit == by_tag.commit
    assert not by_commit.made_commit
    # The commit that main is at is main here too.
    (newest,) = pair.run(replace(TINY, revision=head))
    assert api.repo_info(MODEL).sha == newest.commit
    assert pair.same(MODEL)


def test_other_branches(pair: Pair, model: str) -> None:
    pair.public_api().create_branch(MODEL, branch="fp16/x")
    pair.push(MODEL, {"config.json": b'{"a": 3}'}, revision="fp16/x")
    (done,) = pair.run(replace(TINY, revision="fp16/x"))
    assert pair.same(MODEL, "fp16/x")
    assert pair.api().repo_info(MODEL, revision="fp16/x").sha == done.commit
    pair.push(MODEL, {"config.json": b'{"a": 4}'}, revision="fp16/x")
    pair.run(replace(TINY, revision="fp16/x"))
    assert pair.same(MODEL, "fp16/x")


def test_a_converted_dataset_is_at_the_same_revision(pair: Pair, dataset: str) -> None:
    wanted = Wanted("dataset", DATASET, CONVERTED)
    (done,) = pair.run(wanted)
    assert pair.same(DATASET, CONVERTED, "dataset")
    refs = pair.api().list_repo_refs(DATASET, repo_type="dataset")
    assert [(r.ref, r.target_commit) for r in refs.converts] == [(CONVERTED, done.commit)]
    assert [ref.name for ref in refs.branches] == ["main"]
    assert not pair.run(wanted)[0].made_commit
    pair.push(DATASET, {"more.parquet": b"PAR1"}, kind="dataset", revision=CONVERTED)
    assert pair.run(wanted)[0].made_commit
    assert pair.same(DATASET, CONVERTED, "dataset")


def test_with_the_datasets_of_the_card(pair: Pair, model: str, dataset: str) -> None:
    found = pair.run(TINY, with_datasets=True)
    assert [(one.id, one.revision) for one in found] == [
        (MODEL, "main"),
        (DATASET, "main"),
        (DATASET, CONVERTED),  # main is a script, which nothing runs any more
    ]
    assert pair.same(DATASET, "main", "dataset")
    assert pair.same(DATASET, CONVERTED, "dataset")


def test_spaces(pair: Pair) -> None:
    pair.public_api().create_repo("elastic/app", repo_type="space", space_sdk="gradio")
    pair.public_api().upload_file(
        path_or_fileobj=b"1\n", path_in_repo="app.py", repo_id="elastic/app", repo_type="space"
    )
    pair.run(Wanted("space", "elastic/app"))
    assert pair.same("elastic/app", "main", "space")
    assert pair.api().space_info("elastic/app").sdk == "gradio"


def test_a_dry_run_writes_nothing(pair: Pair, model: str) -> None:
    (found,) = pair.run(TINY, Options(dry_run=True))
    assert found.commit is None
    assert found.copied_files == found.files == 7
    assert found.sent_bytes == found.size_bytes > len(WEIGHTS)
    assert not pair.api().repo_exists(MODEL)
    pair.run(TINY)
    (found,) = pair.run(TINY, Options(dry_run=True))
    assert (found.copied_files, found.made_commit) == (0, False)


def test_only_some_files_and_later_more(pair: Pair, model: str) -> None:
    some = Options(Selection(include=("*.json", "*.md"), exclude=("onnx/*",)))
    (one,) = pair.run(TINY, some)
    assert one.copied_files == 2
    assert set(pair.content(pair.mirror, MODEL, "main", "model")) == {
        *(".gitattributes", "README.md", "config.json")
    }
    assert not pair.run(TINY, some)[0].made_commit
    (more,) = pair.run(TINY)
    assert pair.same(MODEL)
    # The origin's commit now stands for all of it.
    assert pair.api().repo_info(MODEL, revision=model).sha == more.commit
    # What was left out this time is left there.
    assert not pair.run(TINY, some)[0].made_commit


def test_more_files_of_a_commit_without_a_branch(pair: Pair, model: str) -> None:
    pair.push(MODEL, {"config.json": b"{}"})
    old = replace(TINY, revision=model)
    pair.run(old, Options(Selection(include=("*.json",))))
    pair.run(old)
    assert pair.same(MODEL, model)
    assert [ref.name for ref in pair.api().list_repo_refs(MODEL).branches] == ["main"]


def test_a_card_that_no_author_could_send_is_copied_as_it_is(pair: Pair, model: str) -> None:
    text = b"---\nlicense: [1, 2]\nmodel-index: 3\n---\n# Old\n"
    path = pair.public.root / "repos" / "models" / f"{MODEL}.git"
    with GitRepo(path) as git:
        files = {name: entry.oid for name, entry in git.files(model).items()}
        tree = git.write_tree({**files, "README.md": git.write_blob(text)})
        made = git.write_commit(tree, [model], "owner", "an old card")
        assert git.move_ref("refs/heads/main", model, made)
    pair.run(TINY)
    assert pair.same(MODEL)
    # Nobody else may.
    api = pair.api()
    with default_endpoint(pair.mirror.endpoint), pytest.raises(ValueError, match="metadata"):
        api.upload_file(path_or_fileobj=text, path_in_repo="README.md", repo_id=MODEL)


def test_private_and_gated_repositories_are_private_on_the_mirror(pair: Pair, model: str) -> None:
    api = pair.public_api()
    api.update_repo_settings(MODEL, gated="auto")
    with pytest.raises(HubError, match="is gated") as refused:
        pair.run(TINY)
    assert f"{pair.public.endpoint}/{MODEL}" in refused.value.hint
    assert not pair.api().repo_exists(MODEL)
    source = pair.source()
    open_side = replace(source, token=None, api=HfApi(pair.public.endpoint, token=False))
    pair.source = lambda: open_side  # type: ignore[method-assign]
    with pytest.raises(HubError, match="is gated") as refused:
        pair.run(TINY)
    assert "hf auth login" in refused.value.hint
    owner = replace(source, api=api)
    pair.source = lambda: owner  # type: ignore[method-assign]
    pair.run(TINY)
    assert pair.api().repo_info(MODEL).private
    api.create_repo("elastic/open")
    pair.run(Wanted("model", "elastic/open"))
    assert not pair.api().repo_info("elastic/open").private


@pytest.mark.parametrize(
    "wanted",
    [Wanted("model", "elastic/none"), Wanted("model", MODEL, "v9"), Wanted("dataset", MODEL)],
)
def test_what_is_not_there(pair: Pair, model: str, wanted: Wanted) -> None:
    with pytest.raises(NotThere, match=pair.public.endpoint):
        pair.run(wanted)
    assert not pair.api().repo_exists(MODEL)


def test_changes_made_on_the_mirror_are_not_overwritten_unasked(pair: Pair, model: str) -> None:
    pair.run(TINY)
    with default_endpoint(pair.mirror.endpoint):
        pair.api().upload_file(
            path_or_fileobj=b"ours", path_in_repo="ours.txt", repo_id=MODEL, commit_message="Ours"
        )
    head = pair.api().repo_info(MODEL).sha
    with pytest.raises(HubError, match='"Ours"') as refused:
        pair.run(TINY)
    assert "--force" in refused.value.hint
    assert pair.api().repo_info(MODEL).sha == head
    pair.run(TINY, Options(force=True))
    assert pair.same(MODEL)


def test_a_moved_tag_is_moved_only_with_force(pair: Pair, model: str) -> None:
    api = pair.public_api()
    api.create_tag(MODEL, tag="v1")
    (old,) = pair.run(TINY)
    pair.push(MODEL, {"config.json": b"{}"})
    api.delete_tag(MODEL, tag="v1")
    api.create_tag(MODEL, tag="v1")
    with pytest.raises(HubError, match="tag v1"):
        pair.run(TINY)
    assert pair.api().repo_info(MODEL, revision="v1").sha == old.commit
    (new,) = pair.run(TINY, Options(force=True))
    assert pair.api().repo_info(MODEL, revision="v1").sha == new.commit


def test_a_mirror_of_itself_is_refused(pair: Pair, model: str) -> None:
    pair.mirror = pair.public
    with pytest.raises(UsageError, match="itself"):
        pair.run(TINY)


def test_tokens_go_to_their_own_hub_only(pair: Pair, model: str) -> None:
    source = pair.source()
    assert source.token not in (None, MIRROR)
    assert MIRROR not in repr(source)
    assert str(source.token) not in repr(source)
