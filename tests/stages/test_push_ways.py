"""Where a push goes: branches, pull requests, a revision to build on, moved tags, and limits."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from hubkit.errors import HubError, UsageError
from hubkit.hub.limits import Limits
from hubkit.stages.push import Pushed, PushInput, TagInput, plan_push, push_to, tag_on
from tests.hub_client.hubs import World, _world  # noqa: F401 - the fixture "world"
from tests.stages.test_push import FILES, INITIAL, TITLE, pushed, with_sums

if TYPE_CHECKING:
    from hubkit.records import Artifact

REPO = "alice/model"
# What issue 4 added to a publication: cards in other languages, figures, results, a citation.
RICH = {
    **FILES,
    "README.zh.md": b"# tiny, zh",
    "assets/latency.svg": b"<svg/>",
    "assets/latency-dark.svg": b"<svg />",
    ".eval_results/sst2-accuracy.yaml": b"- value: 0.9\n",
    "CITATION.cff": b"cff-version: 1.2.0\n",
    "onnx/model.onnx": b"fp32" * 5000,
}


@pytest.fixture(name="old")
def _old(world: World) -> Artifact:
    return world.bundle(with_sums(RICH))


@pytest.fixture(name="new")
def _new(world: World) -> Artifact:
    return world.bundle(with_sums({**FILES, "model.onnx": b"new!" * 6000}))


def files_at(world: World, revision: str) -> dict[str, bytes]:
    found = world.content(REPO, revision)
    found.pop(".gitattributes")
    return found


def test_pull_request(world: World, old: Artifact, new: Artifact) -> None:
    first = pushed(world, world.given(old))
    done = pushed(world, world.given(new, create_pr=True))
    assert done.made_commit
    assert (done.branch, done.pull_request) == ("refs/pr/1", 1)
    assert done.pull_request_url == f"{world.server.endpoint}/{REPO}/discussions/1"
    assert world.hub().head(REPO) == first.commit
    assert world.hub().head(REPO, "refs/pr/1") == done.commit
    assert files_at(world, "refs/pr/1") == with_sums({**FILES, "model.onnx": b"new!" * 6000})
    commits = world.api().list_repo_commits(REPO, revision="refs/pr/1")
    assert [c.title for c in commits] == [TITLE, TITLE, INITIAL]
    world.api().merge_pull_request(REPO, 1)
    assert files_at(world, "main") == files_at(world, "refs/pr/1")
    assert not pushed(world, world.given(new, create_pr=True)).made_commit


def test_the_same_pull_request_is_not_opened_twice(
    world: World, old: Artifact, new: Artifact
) -> None:
    pushed(world, world.given(old))
    first = pushed(world, world.given(new, create_pr=True))
    world.edit(REPO, "notes.md", b"main has gone on")
    again = pushed(world, world.given(new, create_pr=True))
    with world.ctx() as ctx:
        plan = plan_push(world.given(new, create_pr=True), ctx)
    assert (plan.nothing_to_do, plan.branch) == (True, "refs/pr/1")
    assert not again.made_commit
    assert (again.pull_request, again.commit) == (1, first.commit)
    assert again.pull_request_url == first.pull_request_url
    world.api().change_discussion_status(REPO, 1, "closed")
    assert pushed(world, world.given(new, create_pr=True)).pull_request == 2


@pytest.mark.parametrize("fault", [502, "reset"])
def test_a_lost_answer_opens_one_pull_request(
    world: World, old: Artifact, new: Artifact, fault: int | str
) -> None:
    pushed(world, world.given(old))
    world.switch.fail_on("/commit/", fault, phase="after", times=1)
    done = pushed(world, world.given(new, create_pr=True))
    assert (done.made_commit, done.pull_request) == (True, 1)
    assert len(list(world.api().get_repo_discussions(REPO))) == 1


def test_pull_request_to_somebody_elses_repository(world: World, old: Artifact) -> None:
    pushed(world, world.given(old))
    mine = world.bundle(with_sums({**FILES, "config.json": b'{"by": "bob"}'}))
    done = pushed(world, world.given(mine, create_pr=True), who="bob")
    assert done.pull_request == 1
    assert next(iter(world.api().get_repo_discussions(REPO))).author == "bob"
    assert "by" not in world.content(REPO)["config.json"].decode()


def test_a_pull_request_is_added_to(world: World, old: Artifact, new: Artifact) -> None:
    pushed(world, world.given(old))
    pushed(world, world.given(new, create_pr=True))
    more = world.bundle(with_sums({**FILES, "config.json": b"[]"}))
    done = pushed(world, world.given(more, branch="refs/pr/1"))
    assert (done.branch, done.pull_request) == ("refs/pr/1", 1)
    assert done.commit == world.hub().head(REPO, "refs/pr/1")
    assert files_at(world, "refs/pr/1") == with_sums({**FILES, "config.json": b"[]"})
    with pytest.raises(HubError, match=r"no pull request refs/pr/7; nothing was pushed"):
        pushed(world, world.given(more, branch="refs/pr/7"))


def test_a_pull_request_starts_at_a_revision(world: World, old: Artifact, new: Artifact) -> None:
    """What main has by now and the start has not must go into the pull request all the same."""
    start = pushed(world, world.given(old)).commit
    pushed(world, world.given(new))
    tuned = world.bundle(with_sums({**FILES, "model.onnx": b"new!" * 6000, "x.txt": b"x"}))
    done = pushed(world, world.given(tuned, create_pr=True, revision=start[:10]))
    commits = world.api().list_repo_commits(REPO, revision=done.branch)
    assert [c.commit_id for c in commits][:2] == [done.commit, start]
    files = files_at(world, done.branch)
    assert files["model.onnx"] == b"new!" * 6000
    assert "README.zh.md" not in files


def test_branch_is_made_from_main_or_a_revision(world: World, old: Artifact, new: Artifact) -> None:
    start = pushed(world, world.given(old)).commit
    world.edit(REPO, "notes.md", b"mine")
    done = pushed(world, world.given(new, branch="next"))
    assert files_at(world, "next").keys() == with_sums(FILES).keys() | {"notes.md"}
    assert files_at(world, "main").keys() == with_sums(RICH).keys() | {"notes.md"}
    assert done.branch == "next"
    assert not pushed(world, world.given(new, branch="next")).made_commit
    hotfix = world.given(new, branch="hotfix/1", revision=start)
    assert pushed(world, hotfix).made_commit
    assert files_at(world, "hotfix/1").keys() == with_sums(FILES).keys()
    again = pushed(world, hotfix)  # it has gone on from the revision, and that is as it should be
    assert not again.made_commit


def test_a_branch_alone_where_nothing_differs(world: World, old: Artifact) -> None:
    first = pushed(world, world.given(old))
    done = pushed(world, world.given(old, branch="same"))
    assert (done.made_commit, done.commit) == (False, first.commit)
    assert world.hub().refs(REPO).branches["same"] == first.commit


def test_revision_that_cannot_be_built_on(world: World, old: Artifact, new: Artifact) -> None:
    with pytest.raises(HubError, match=r"is not on the Hub.*no v9 to build on; nothing was pushed"):
        pushed(world, world.given(old, revision="v9"))
    assert world.hub().state(REPO) is None
    start = pushed(world, world.given(old)).commit
    with pytest.raises(HubError, match=r"no branch, tag or commit v9 to build on"):
        pushed(world, world.given(new, revision="v9"))
    assert pushed(world, world.given(new, revision=start)).made_commit  # main is there
    with pytest.raises(HubError, match=rf"main .* not at {start[:12]}, which --revision") as caught:
        pushed(world, world.given(old, revision=start))
    assert "--branch" in caught.value.hint
    assert "--create-pr" in caught.value.hint
    assert world.titles() == [TITLE, TITLE, INITIAL]


def test_a_branch_is_not_named_like_a_tag(world: World, old: Artifact, new: Artifact) -> None:
    done = pushed(world, world.given(old))
    tag_on(world.hub(), TagInput(repo_id=REPO, tag="v1", commit=done.commit))
    with pytest.raises(HubError, match=r"v1 is a tag.*nothing was pushed"):
        pushed(world, world.given(new, branch="v1"))
    assert world.hub().refs(REPO).branches.keys() == {"main"}


def test_a_branch_and_a_pull_request_do_not_go_together(world: World, old: Artifact) -> None:
    with pytest.raises(UsageError, match="do not go together"):
        pushed(world, world.given(old, branch="next", create_pr=True))


def test_a_new_repository_that_is_private(world: World, old: Artifact) -> None:
    pushed(world, world.given(old, private=True, create_pr=True))
    assert world.api().repo_info(REPO).private
    assert world.hub("bob").state(REPO) is None
    assert world.titles() == [INITIAL]  # a pull request shows nothing on main


@pytest.mark.parametrize("where", ["main", "next", "pull request"])
def test_what_vanishes_from_the_bundle_vanishes_there(
    world: World, old: Artifact, where: str
) -> None:
    """Figures, results, cards of other languages: on every branch, and only if untouched."""
    pushed(world, world.given(old))
    for path in ("assets/latency.svg", "notes.md", "assets/own.png"):
        world.edit(REPO, path, b"the author's")
    slim = world.bundle(with_sums(FILES))
    ways: dict[str, dict[str, object]] = {"next": {"branch": "next"}, "main": {}}
    done = pushed(world, world.given(slim, **ways.get(where, {"create_pr": True})))
    gone = RICH.keys() - FILES.keys() - {"assets/latency.svg"}
    assert {c.path for c in done.changes if c.action == "delete"} == gone
    left = {"assets/latency.svg", "notes.md", "assets/own.png"}
    assert files_at(world, done.branch).keys() == with_sums(FILES).keys() | left


def test_a_branch_that_moves_is_read_again(world: World, old: Artifact, new: Artifact) -> None:
    pushed(world, world.given(old, branch="next"))
    moved = [False]
    with world.ctx() as ctx:

        def progress(what: str, _done: int, _total: int) -> None:
            if what == "committing" and not moved[0]:
                moved[0] = True
                world.api().upload_file(
                    repo_id=REPO, path_in_repo="o.md", path_or_fileobj=b"o", revision="next"
                )

        object.__setattr__(ctx, "progress", progress)
        done = push_to(world.hub(), world.given(new, branch="next"), ctx)
    assert done.made_commit
    assert files_at(world, "next").keys() == with_sums(FILES).keys() | {"o.md"}


def test_tag_is_moved_by_force_only(world: World, old: Artifact, new: Artifact) -> None:
    first, second = (pushed(world, world.given(one)) for one in (old, new))
    given = TagInput(repo_id=REPO, tag="v1", commit=first.commit)
    assert tag_on(world.hub(), given.model_copy(update={"force": True})).moved_from is None
    moving = given.model_copy(update={"commit": second.commit})
    with pytest.raises(HubError, match="not moved") as caught:
        tag_on(world.hub(), moving)
    assert "--force" in caught.value.hint
    done = tag_on(world.hub(), moving.model_copy(update={"force": True}))
    assert (done.made, done.moved_from) == (True, first.commit)
    assert world.hub().tags(REPO) == {"v1": second.commit}


@pytest.mark.parametrize(("phase", "fault"), [("before", 503), ("after", "reset")])
def test_tag_is_moved_where_answers_are_lost(
    world: World, old: Artifact, new: Artifact, phase: str, fault: int | str
) -> None:
    first, second = (pushed(world, world.given(one)) for one in (old, new))
    given = TagInput(repo_id=REPO, tag="v1", commit=first.commit)
    tag_on(world.hub(), given)
    world.switch.fail_on("/tag/", fault, phase=phase, times=1)
    moving = given.model_copy(update={"commit": second.commit, "force": True})
    assert tag_on(world.hub(), moving).moved_from == first.commit
    assert world.hub().tags(REPO) == {"v1": second.commit}


def test_tag_that_is_deleted_and_cannot_be_made_anew(
    world: World, old: Artifact, new: Artifact
) -> None:
    first, second = (pushed(world, world.given(one)) for one in (old, new))
    tag_on(world.hub(), TagInput(repo_id=REPO, tag="v1", commit=first.commit))
    world.switch.rule = lambda method, path, when: (
        503 if (method, when) == ("POST", "before") and "/tag/" in path else None
    )
    moving = TagInput(repo_id=REPO, tag="v1", commit=second.commit, force=True)
    with pytest.raises(HubError, match=rf"tag v1 was at {first.commit[:12]} and is deleted"):
        tag_on(world.hub(tries=2), moving)
    world.switch.heal()
    assert tag_on(world.hub(), moving).made
    assert world.hub().tags(REPO) == {"v1": second.commit}


def over(world: World, given: PushInput, **limits: int) -> Pushed:
    """A push to a Hub that takes less."""
    with world.ctx() as ctx:
        return push_to(replace(world.hub(), limits=Limits(**limits)), given, ctx)


@pytest.mark.parametrize(
    ("limits", "said"),
    [
        ({"file_bytes": 23_999}, r"model\.onnx has 24,000 bytes, and the Hub takes 23,999"),
        ({"large_files": 6}, r"the commit has 7 files, and the Hub takes 6 in one commit"),
        ({"folder_entries": 7}, r"root of the repository would hold 8 files, .* 7 in a folder"),
        ({"regular_bytes": 800}, r"bytes of files that are not LFS, and the Hub takes 800"),
    ],
)
def test_more_than_the_hub_takes_is_refused_and_not_split(
    world: World, new: Artifact, limits: dict[str, int], said: str
) -> None:
    with pytest.raises(HubError, match=rf"{said}.*; nothing was pushed") as caught:
        over(world, world.given(new), **limits)
    assert caught.value.hint
    assert world.titles() == [INITIAL]
    assert over(world, world.given(new), **{k: n + 10_000 for k, n in limits.items()}).made_commit


def test_limits_are_of_what_changes(world: World, old: Artifact) -> None:
    """A repository that is full already can still be mended."""
    pushed(world, world.given(old))
    mended = world.bundle(with_sums({**RICH, "config.json": b"{ }"}))
    limits = {"file_bytes": 10_000, "large_files": 2, "folder_entries": 3}
    assert over(world, world.given(mended), **limits).made_commit


def test_a_plan_says_what_is_to_be_sent(world: World, old: Artifact) -> None:
    """What lies on the Hub under another name or on another branch is not sent again."""
    pushed(world, world.given(old, branch="old"))
    world.edit(REPO, "README.md", b"the author's own")
    moved = {**FILES, "weights/model.onnx": FILES["model.onnx"], "pytorch_model.bin": b"n" * 9000}
    bundle = world.bundle(with_sums(moved))
    world.switch.heal()
    with world.ctx() as ctx:
        plan = plan_push(world.given(bundle), ctx)
    small = sum(f.size_bytes for f in bundle.files if "model" not in f.path)
    assert plan.send_bytes == small + 9000
    assert plan.put_bytes == plan.send_bytes + 2 * len(FILES["model.onnx"])
    assert [c.path for c in plan.changes if c.foreign] == ["README.md"]
    changed = next(c for c in plan.changes if c.path == "README.md")
    assert (changed.action, changed.size_bytes, changed.was_bytes) == (
        *("change", len(FILES["README.md"])),
        16,
    )
    asked = {path for method, path in world.switch.seen if method != "GET"}
    assert asked == {f"/{REPO}.git/info/lfs/objects/batch"}
    assert len(world.titles()) == 2
    with world.ctx() as ctx:  # nobody may ask, so it is what the branch shows
        object.__setattr__(ctx, "token", None)
        seen = plan_push(world.given(bundle), ctx)
    assert seen.send_bytes == plan.put_bytes - len(FILES["model.onnx"])


def test_a_plan_for_a_branch_that_is_not_there(world: World, old: Artifact, new: Artifact) -> None:
    pushed(world, world.given(old))
    with world.ctx() as ctx:
        plan = plan_push(world.given(new, branch="next"), ctx)
        assert (plan.exists, plan.branch_exists) == (True, False)
        assert [c.path for c in plan.changes if c.action == "change"] == [
            "SHA256SUMS",
            "model.onnx",
        ]
        assert not any(c.foreign for c in plan.changes)
        plan = plan_push(world.given(new, create_pr=True), ctx)
        assert plan.create_pr
    assert world.hub().refs(REPO).branches.keys() == {"main"}
