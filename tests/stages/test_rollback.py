"""rollback with the real client against the embedded Hub: what comes back, and what stays."""

from __future__ import annotations

import pytest

from hubkit.errors import HubError
from hubkit.hub.faults import Unreachable
from hubkit.stages.push import TagInput, tag_on
from hubkit.stages.rollback import (
    RollbackInput,
    RolledBack,
    plan_rollback,
    rollback,
    rollback_on,
)
from tests.hub_client.hubs import World, _world  # noqa: F401 - the fixture "world"
from tests.stages.test_push import FILES, INITIAL, TITLE, complete, pushed, with_sums

REPO = "alice/model"
OLD = with_sums({**FILES, "README.zh.md": b"# zh", "assets/plot.svg": b"<svg/>", "a.bin": b"A" * 9})
NEW = with_sums(
    {**FILES, "model.onnx": b"newer" * 5000, "README.md": b"# new\n", "n.bin": b"N" * 9}
)
GIVEN = RollbackInput(repo_id=REPO, to="v1")


@pytest.fixture(name="released")
def _released(world: World) -> str:
    """OLD tagged v1, then NEW tagged v2, and a file of the author's; v1's commit."""
    commits = []
    for name, files in (("v1", OLD), ("v2", NEW)):
        commits.append(pushed(world, world.given(world.bundle(files))).commit)
        tag_on(world.hub(), TagInput(repo_id=REPO, tag=name, commit=commits[-1]))
    world.edit(REPO, "notes.md", b"mine")
    world.switch.heal()
    return commits[0]


def rolled_back(world: World, given: RollbackInput = GIVEN, *, tries: int = 4) -> RolledBack:
    with world.ctx() as ctx:
        return rollback_on(world.hub(tries=tries), given, ctx)


def content(world: World, revision: str = "main") -> dict[str, bytes]:
    found = world.content(REPO, revision)
    found.pop(".gitattributes")
    return found


def test_a_tag_is_restored_in_one_commit(world: World, released: str) -> None:
    head = world.hub().head(REPO)
    with world.ctx() as ctx:
        done = rollback(GIVEN, ctx)
    assert done.made_commit
    assert (done.source, done.commit) == (released, world.hub().head(REPO))
    titles = world.titles()
    assert titles == [
        f"Roll back to v1 ({released[:12]})",
        "edit notes.md",
        TITLE,
        TITLE,
        INITIAL,
    ]
    assert world.api().list_repo_commits(REPO)[1].commit_id == head
    assert content(world) == {**OLD, "notes.md": b"mine"}
    assert {c.path for c in done.changes if c.action == "delete"} == {"n.bin"}
    assert world.hub().tags(REPO)["v1"] == released


def test_no_large_file_is_sent(world: World, released: str) -> None:
    assert rolled_back(world).made_commit
    sent = [path for method, path in world.switch.seen if method in ("PUT", "POST")]
    assert not [path for path in sent if "lfs" in path]
    assert [path for path in sent if "/commit/" in path] == [f"/api/models/{REPO}/commit/main"]


def test_where_it_is_there_already_no_commit_is_made(world: World, released: str) -> None:
    first = rolled_back(world)
    world.edit(REPO, "notes.md", b"more")
    head = world.hub().head(REPO)
    again = rolled_back(world)
    assert (again.made_commit, again.commit, again.changes) == (False, head, ())
    assert again.source == first.source
    back = rolled_back(world, GIVEN.model_copy(update={"to": "v2"}))  # and forward again
    assert back.made_commit
    assert content(world) == {**NEW, "notes.md": b"more"}


def test_a_plan_changes_nothing(world: World, released: str) -> None:
    with world.ctx() as ctx:
        found = plan_rollback(GIVEN.model_copy(update={"to": released[:9]}), ctx)
    assert found.source == released
    actions = {c.path: c.action for c in found.plan.changes}
    assert actions == {
        "README.md": "change",
        "README.zh.md": "add",
        "SHA256SUMS": "change",
        "a.bin": "add",
        "assets/plot.svg": "add",
        "model.onnx": "change",
        "n.bin": "delete",
    }
    small = ("README.md", "README.zh.md", "SHA256SUMS", "assets/plot.svg")
    assert found.plan.send_bytes == sum(len(OLD[path]) for path in small)
    assert {method for method, _ in world.switch.seen} == {"GET"}


def test_a_file_of_the_authors_in_the_way(world: World, released: str) -> None:
    world.edit(REPO, "a.bin", b"the author's own")
    head = world.hub().head(REPO)
    with pytest.raises(HubError, match=r"a\.bin on main .* is not hubkit's.*nothing was pushed"):
        rolled_back(world, GIVEN.model_copy(update={"force": True}))
    assert world.hub().head(REPO) == head


def test_what_was_edited_since_is_replaced_by_force_only(world: World, released: str) -> None:
    world.edit(REPO, "README.md", b"# edited on the web\n")
    world.edit(REPO, "n.bin", b"edited too")
    with pytest.raises(HubError, match=r"README\.md on main .* was edited since") as caught:
        rolled_back(world)
    assert "--force" in caught.value.hint
    assert rolled_back(world, GIVEN.model_copy(update={"force": True})).made_commit
    # What is in no one's way stays, though hubkit wrote it once: it is the author's now.
    assert content(world) == {**OLD, "notes.md": b"mine", "n.bin": b"edited too"}


@pytest.mark.parametrize(
    ("to", "said"),
    [
        ("v9", r"no tag, branch or commit v9"),
        ("before", r"hubkit published nothing at before"),
        ("edited", r"config\.json at edited .* is not as hubkit published it"),
    ],
)
def test_nothing_to_restore(world: World, released: str, to: str, said: str) -> None:
    first = world.api().list_repo_commits(REPO)[-1].commit_id
    edited = world.edit(REPO, "config.json", b"[]")
    for name, commit in (("before", first), ("edited", edited)):
        tag_on(world.hub(), TagInput(repo_id=REPO, tag=name, commit=commit))
    with pytest.raises(HubError, match=rf"{said}.*nothing was pushed"):
        rolled_back(world, GIVEN.model_copy(update={"to": to}))
    assert world.hub().head(REPO) == edited


def test_no_repository_and_no_branch(world: World, released: str) -> None:
    with pytest.raises(HubError, match=r"alice/none has no tag.*nothing was pushed"):
        rolled_back(world, GIVEN.model_copy(update={"repo_id": "alice/none"}))
    with pytest.raises(HubError, match="no branch nowhere to roll back"):
        rolled_back(world, GIVEN.model_copy(update={"branch": "nowhere"}))
    with pytest.raises(HubError, match="no write access"), world.ctx() as ctx:
        rollback_on(world.hub("rita"), GIVEN, ctx)


def test_a_branch_is_rolled_back(world: World, released: str) -> None:
    main = world.hub().head(REPO)
    world.hub().create_branch(REPO, "next", "v2")
    done = rolled_back(world, GIVEN.model_copy(update={"branch": "next"}))
    assert (done.branch, done.commit) == ("next", world.hub().head(REPO, "next"))
    assert content(world, "next") == OLD
    assert world.hub().head(REPO) == main


def test_a_branch_that_moves_is_read_again(world: World, released: str) -> None:
    moved = [False]
    with world.ctx() as ctx:

        def progress(what: str, _done: int, _total: int) -> None:
            if what == "committing" and not moved[0]:
                moved[0] = True
                world.edit(REPO, "other.md", b"o")

        object.__setattr__(ctx, "progress", progress)
        assert rollback_on(world.hub(), GIVEN, ctx).made_commit
    assert content(world) == {**OLD, "notes.md": b"mine", "other.md": b"o"}


@pytest.mark.parametrize(("phase", "fault"), [("before", 503), ("after", "reset")])
def test_the_commit_is_lost(world: World, released: str, phase: str, fault: int | str) -> None:
    """A commit that is refused is sent again, one whose answer is lost is found."""
    world.switch.fail_on("/commit/", fault, phase=phase, times=1)
    done = rolled_back(world)
    assert done.made_commit
    assert done.commit == world.hub().head(REPO)
    assert len(world.titles()) == 5
    assert content(world) == {**OLD, "notes.md": b"mine"}


@pytest.mark.conformance
@pytest.mark.parametrize(("phase", "fault"), [("before", 503), ("after", "reset")])
def test_a_fault_at_every_request(
    world: World, released: str, phase: str, fault: int | str
) -> None:
    """The branch is as it was or restored whole, and the same command again ends it."""
    count = 0
    there, here = {**OLD, "notes.md": b"mine"}, {**NEW, "notes.md": b"mine"}
    back, number = GIVEN.model_copy(update={"to": "v2"}), 1
    while not count or number <= count:
        commits = len(world.titles())
        world.switch.fail_at(number, fault, phase)
        try:
            done = rolled_back(world, tries=1)
        except Unreachable:
            seen = 0
        else:
            seen = len(world.switch.seen) if number > len(world.switch.seen) else 0
            assert done.made_commit
        world.switch.heal()
        assert complete(world, REPO, there) or complete(world, REPO, here), number
        rolled_back(world)
        assert len(world.titles()) == commits + 1, number
        assert complete(world, REPO, there), number
        rolled_back(world, back)
        count = seen or count
        number += 1
    assert count >= 10
