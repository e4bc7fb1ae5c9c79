"""push, plan and tag with the real client against the embedded Hub, and every fault it can meet."""

from __future__ import annotations

import hashlib
import json

import pytest
from huggingface_hub.errors import HfHubHTTPError
from huggingface_hub.hf_api import RepoFile

from hubkit.errors import HubError
from hubkit.hub.faults import Unreachable
from hubkit.hub.manifest import format_sums
from hubkit.keys import digest_of_bytes
from hubkit.records import Artifact, Lock, Source
from hubkit.stages.push import (
    Pushed,
    PushInput,
    TagInput,
    commit_message,
    plan_push,
    push,
    push_to,
    tag_on,
)
from tests.hub_client.hubs import TOKENS, World, _world  # noqa: F401 - the fixture "world"

SOURCE = Source(kind="model", source="built", id="demo/base", revision="main", sha="0" * 40)
LOCK = Lock(recipe_digest="0" * 64, base=SOURCE, dataset=SOURCE, python="3.11", tools={})
FILES = {
    "README.md": b"---\nlicense: mit\n---\n# tiny\n",
    "config.json": b"{}",
    "lock.json": LOCK.model_dump_json(by_alias=True).encode(),
    "model.onnx": b"onnx" * 5000,
    "pytorch_model.bin": b"torch" * 5000,
    "results.json": b'{"schema": 1}',
}
INITIAL = "initial commit"
TITLE = "Publish tiny: ONNX INT8"
LOST_EVERYWHERE = ("before", 503), ("before", "reset"), ("after", "reset"), ("after", 502)


def with_sums(files: dict[str, bytes]) -> dict[str, bytes]:
    sums = format_sums({path: digest_of_bytes(data) for path, data in files.items()})
    return {**files, "SHA256SUMS": sums.encode()}


@pytest.fixture(name="bundle")
def _bundle(world: World) -> Artifact:
    return world.bundle(with_sums(FILES))


def pushed(world: World, given: PushInput, who: str = "alice", tries: int = 4) -> Pushed:
    with world.ctx() as ctx:
        return push_to(world.hub(who, tries=tries), given, ctx)


def in_repo(world: World) -> dict[str, bytes]:
    content = world.content()
    assert content.pop(".gitattributes")
    return content


def test_first_push(world: World, bundle: Artifact) -> None:
    told: list[tuple[str, int, int]] = []
    with world.ctx() as ctx:
        object.__setattr__(ctx, "progress", lambda *what: told.append(what))
        done = push(world.given(bundle), ctx)
    assert done.made_commit
    assert world.titles() == [TITLE, INITIAL]
    assert in_repo(world) == with_sums(FILES)
    assert done.commit == world.hub().head("alice/model")
    assert done.url == f"{world.server.endpoint}/alice/model"
    assert {c.path for c in done.changes} == with_sums(FILES).keys()
    remote = world.hub().remote_files("alice/model", done.commit)
    assert remote["model.onnx"].sha256 == digest_of_bytes(FILES["model.onnx"])
    assert remote["config.json"].sha256 is None
    sent = [done for what, done, _total in told if what == "uploading"]
    assert sent == sorted(sent)
    assert sent[-1] == len(FILES["model.onnx"]) + len(FILES["pytorch_model.bin"])


def test_second_push_makes_no_commit(world: World, bundle: Artifact) -> None:
    first = pushed(world, world.given(bundle))
    world.switch.heal()
    again = pushed(world, world.given(bundle))
    assert not again.made_commit
    assert again.changes == ()
    assert again.commit == first.commit
    assert {method for method, _ in world.switch.seen} == {"GET"}


def test_only_what_differs_is_sent(world: World, bundle: Artifact) -> None:
    pushed(world, world.given(bundle))
    world.switch.heal()
    changed = with_sums({**FILES, "config.json": b'{"a": 1}'})
    done = pushed(world, world.given(world.bundle(changed)))
    assert [(c.path, c.action) for c in done.changes] == [
        ("SHA256SUMS", "change"),
        ("config.json", "change"),
    ]
    assert not [path for _, path in world.switch.seen if "lfs" in path]
    assert in_repo(world) == changed


def test_what_hubkit_left_goes_and_what_the_author_made_stays(
    world: World, bundle: Artifact
) -> None:
    old = with_sums({**FILES, "README.zh.md": b"old card", "README.fr.md": b"vieux", "x.bin": b"x"})
    pushed(world, world.given(world.bundle(old)))
    world.edit("alice/model", "README.fr.md", b"the author's own words now")
    world.edit("alice/model", "notes.md", b"mine")
    done = pushed(world, world.given(bundle))
    assert [c.path for c in done.changes if c.action == "delete"] == ["README.zh.md", "x.bin"]
    assert in_repo(world) == {
        **with_sums(FILES),
        "README.fr.md": b"the author's own words now",
        "notes.md": b"mine",
    }


def test_a_manifest_that_is_not_hubkits_deletes_nothing(world: World, bundle: Artifact) -> None:
    theirs = {"data.csv": b"1,2", "results.json": b"{}", "lock.json": b'{"lockfileVersion": 3}'}
    world.hub().create_repo("alice/model", private=False)
    for path, data in with_sums(theirs).items():
        world.edit("alice/model", path, data)
    done = pushed(world, world.given(bundle))
    assert not [c for c in done.changes if c.action == "delete"]
    assert world.content()["data.csv"] == b"1,2"
    world.edit("alice/model", "SHA256SUMS", b"no manifest at all")
    pushed(world, world.given(bundle))
    assert in_repo(world) == {**with_sums(FILES), "data.csv": b"1,2"}


def test_weights_that_would_hide_the_quantized_ones(world: World, bundle: Artifact) -> None:
    world.hub().create_repo("alice/model", private=False)
    world.edit("alice/model", "model.safetensors", b"fp32")
    with pytest.raises(HubError, match=r"model\.safetensors.*nothing was pushed") as caught:
        pushed(world, world.given(bundle))
    assert "Delete model.safetensors" in caught.value.hint
    assert TITLE not in world.titles()


def test_gitignore_of_the_repository(world: World, bundle: Artifact) -> None:
    world.hub().create_repo("alice/model", private=False)
    world.edit("alice/model", ".gitignore", b"results.*\n")
    with pytest.raises(HubError, match=r"results\.json; nothing was pushed") as caught:
        pushed(world, world.given(bundle))
    assert ".gitignore" in caught.value.hint
    assert TITLE not in world.titles()


def test_plan_changes_nothing(world: World, bundle: Artifact) -> None:
    with world.ctx() as ctx:
        plan = plan_push(world.given(bundle), ctx)
        assert not plan.exists
        assert plan.put_bytes == bundle.size_bytes
        assert {c.action for c in plan.changes} == {"add"}
        assert world.hub().state("alice/model") is None
        pushed(world, world.given(bundle))
        plan = plan_push(world.given(bundle), ctx)
        assert plan.nothing_to_do
        assert plan.exists
        assert plan.unchanged == len(bundle.files)
    assert {method for method, _ in world.switch.seen if "repos" not in _} >= {"GET"}
    assert world.titles() == [TITLE, INITIAL]


def test_private_branch_dataset_and_own_namespace(world: World, bundle: Artifact) -> None:
    done = pushed(
        world, world.given(bundle, repo_id="model", private=True, branch="next", kind="dataset")
    )
    assert (done.repo_id, done.branch) == ("alice/model", "next")
    assert done.url == f"{world.server.endpoint}/datasets/alice/model"
    assert world.hub("bob").state("alice/model", kind="dataset") is None
    main = world.hub().remote_files("alice/model", "main", kind="dataset")
    assert list(main) == [".gitattributes"]
    assert "model.onnx" in world.hub().remote_files("alice/model", "next", kind="dataset")


def test_private_is_never_made_public(world: World, bundle: Artifact) -> None:
    world.hub().create_repo("alice/model", private=False)
    with pytest.raises(HubError, match=r"is public.*nothing was pushed"):
        pushed(world, world.given(bundle, private=True))
    assert world.titles() == [INITIAL]


def test_no_token(world: World, bundle: Artifact) -> None:
    with pytest.raises(HubError, match=r"no token.*nothing was pushed") as caught:
        pushed(world, world.given(bundle), "nobody")
    assert "hf auth login" in caught.value.hint
    assert world.hub().state("alice/model") is None


@pytest.mark.parametrize("who", ["rita", "bob"])
@pytest.mark.parametrize("there", [True, False])
def test_no_write_access(world: World, bundle: Artifact, who: str, there: bool) -> None:
    if there:
        world.hub().create_repo("alice/model", private=False)
    with pytest.raises(HubError, match="nothing was pushed") as caught:
        pushed(world, world.given(bundle), who)
    assert who in caught.value.message
    assert "alice/model" in caught.value.message
    assert "write access" in caught.value.hint
    assert TOKENS[who] not in caught.value.message + caught.value.hint
    assert not isinstance(caught.value, HfHubHTTPError)
    if there:
        assert world.titles() == [INITIAL]
    else:
        assert world.hub().state("alice/model") is None


class Mover:
    """Commits to the repository, from another thread's point of view, just before ours."""

    def __init__(self, world: World, times: int, path: str = "notes-{}.md") -> None:
        self.world, self.left, self.path, self.busy = world, times, path, False

    def __call__(self, on: World) -> None:
        """Called between our read of the head and our commit."""
        if self.left and not self.busy:
            self.left, self.busy = self.left - 1, True
            on.edit("alice/model", self.path.format(self.left), f"{self.left}".encode())
            self.busy = False


def pushed_while(world: World, given: PushInput, mover: Mover) -> Pushed:
    """Push, with the mover run each time our upload is done."""
    with world.ctx() as ctx:

        def progress(what: str, _done: int, _total: int) -> None:
            if what == "committing":
                mover(world)

        object.__setattr__(ctx, "progress", progress)
        return push_to(world.hub(), given, ctx)


@pytest.mark.parametrize("times", [1, 3])
def test_repository_that_moves_is_read_again(world: World, bundle: Artifact, times: int) -> None:
    done = pushed_while(world, world.given(bundle), Mover(world, times))
    assert done.made_commit
    assert world.titles()[0] == TITLE
    assert world.titles().count(TITLE) == 1
    assert in_repo(world).keys() == with_sums(FILES).keys() | {
        f"notes-{i}.md" for i in range(times)
    }


def test_repository_that_moves_onto_our_files(world: World, bundle: Artifact) -> None:
    done = pushed_while(world, world.given(bundle), Mover(world, 1, "README.md"))
    assert done.made_commit
    assert in_repo(world) == with_sums(FILES)
    card = next(c for c in done.changes if c.path == "README.md")
    assert (card.action, card.was_bytes) == ("change", 1)


def test_what_its_author_has_there_is_not_replaced(world: World, bundle: Artifact) -> None:
    world.hub().create_repo("alice/model", private=False)
    world.edit("alice/model", "config.json", b"the author's own")
    with pytest.raises(HubError, match=r"not made by hubkit, and holds config.json.*nothing was p"):
        pushed(world, world.given(bundle))
    assert TITLE not in world.titles()
    assert in_repo(world)["config.json"] == b"the author's own"


def test_repository_that_never_rests(world: World, bundle: Artifact) -> None:
    with pytest.raises(HubError, match=r"changed by somebody else.*4 times.*nothing was pushed"):
        pushed_while(world, world.given(bundle), Mover(world, 99))
    assert TITLE not in world.titles()
    assert pushed(world, world.given(bundle)).made_commit


def test_hub_down_before(world: World, bundle: Artifact) -> None:
    world.switch.fail_on("/", 503)
    with pytest.raises(Unreachable, match=r"3 tries.*nothing was pushed"):
        pushed(world, world.given(bundle), tries=3)
    world.switch.heal()
    assert pushed(world, world.given(bundle)).made_commit
    assert world.titles() == [TITLE, INITIAL]


@pytest.mark.parametrize("part", ["/preupload/", "/objects/batch", "/info/lfs/objects/"])
def test_hub_down_during_the_upload(world: World, bundle: Artifact, part: str) -> None:
    world.switch.fail_on(part, 503)
    with pytest.raises(Unreachable, match="nothing was pushed"):
        pushed(world, world.given(bundle), tries=2)
    world.switch.heal()
    assert world.titles() == [INITIAL]
    assert pushed(world, world.given(bundle)).made_commit
    assert in_repo(world) == with_sums(FILES)


@pytest.mark.parametrize("fault", [503, "reset"])
def test_hub_down_at_the_commit(world: World, bundle: Artifact, fault: int | str) -> None:
    world.switch.fail_on("/commit/", fault)
    with pytest.raises(Unreachable, match="nothing was pushed") as caught:
        pushed(world, world.given(bundle), tries=2)
    assert "the commit may be there" not in caught.value.message
    world.switch.heal()
    assert world.titles() == [INITIAL]
    assert pushed(world, world.given(bundle)).made_commit


@pytest.mark.parametrize("fault", [502, "reset"])
def test_lost_answer_to_a_commit_that_happened(
    world: World, bundle: Artifact, fault: int | str
) -> None:
    world.switch.fail_on("/commit/", fault, phase="after")
    done = pushed(world, world.given(bundle))
    assert done.made_commit
    assert sum("/commit/" in path for _, path in world.switch.seen) == 1  # it looked instead
    assert done.commit == world.hub().head("alice/model")
    assert world.titles() == [TITLE, INITIAL]


def test_hub_gone_after_the_commit(world: World, bundle: Artifact) -> None:
    gone = [False]

    def rule(_method: str, path: str, phase: str) -> str | None:
        gone[0] = gone[0] or ("/commit/" in path and phase == "after")
        return "reset" if gone[0] else None

    world.switch.rule = rule
    with pytest.raises(
        Unreachable, match=r"committing.*2 tries.*the commit may be there"
    ) as caught:
        pushed(world, world.given(bundle), tries=2)
    assert "nothing was pushed" not in caught.value.message
    assert "same command again" in caught.value.hint
    world.switch.heal()
    again = pushed(world, world.given(bundle))
    assert not again.made_commit
    assert world.titles() == [TITLE, INITIAL]


def test_lost_answer_and_somebody_on_top(world: World, bundle: Artifact) -> None:
    """Our commit happened, its answer was lost, and the branch went on: it is still ours."""
    world.switch.fail_on("/commit/", "reset", phase="after", times=1)
    hub = world.hub()
    mover = Mover(world, 1)
    object.__setattr__(hub.retry, "sleep", lambda _s: mover(world))
    with world.ctx() as ctx:
        done = push_to(hub, world.given(bundle), ctx)
    assert done.made_commit
    assert world.titles() == ["edit notes-0.md", TITLE, INITIAL]
    assert done.commit == world.api().list_repo_commits("alice/model")[1].commit_id


def test_ctrl_c(world: World, bundle: Artifact) -> None:
    with world.ctx() as ctx:

        def interrupt(_what: str, _done: int, _total: int) -> None:
            raise KeyboardInterrupt

        object.__setattr__(ctx, "progress", interrupt)
        with pytest.raises(KeyboardInterrupt):
            push_to(world.hub(), world.given(bundle), ctx)
    assert world.titles() == [INITIAL]
    assert pushed(world, world.given(bundle)).made_commit
    assert in_repo(world) == with_sums(FILES)


def test_a_card_the_hub_refuses(world: World) -> None:
    bad = world.bundle({**FILES, "README.md": b"---\nlicense: [unclosed\n---\n"})
    with pytest.raises(HubError, match=r"(?s)refused.*nothing was pushed"):
        pushed(world, world.given(bad))
    assert world.titles() == [INITIAL]
    assert world.waits == []


def requests_of_a_push(world: World, given: PushInput) -> int:
    world.switch.heal()
    pushed(world, given)
    return len(world.switch.seen)


@pytest.mark.conformance  # by default tests/publishing/test_faults.py
@pytest.mark.parametrize(("phase", "fault"), LOST_EVERYWHERE[:3])
def test_a_fault_at_every_request_of_a_first_push(
    world: World, bundle: Artifact, phase: str, fault: int | str
) -> None:
    """With retries it comes through by itself; without, the repository is as before or complete,
    and the same command again ends it: one new commit either way."""
    count = requests_of_a_push(world, world.given(bundle, repo_id="alice/count"))
    assert count >= 10
    for number in range(1, count + 1):
        repo = f"alice/m{number}"
        given = world.given(bundle, repo_id=repo)
        world.switch.fail_at(number, fault, phase)
        tries = 4 if number % 2 else 1
        try:
            done = pushed(world, given, tries=tries)
        except HubError as error:
            last = error.message
        else:
            last = "" if done.made_commit else "no commit"
        assert len(world.switch.seen) >= number
        # Without retries of ours, huggingface_hub's own may still bring an upload through.
        assert not last or (tries == 1 and ("nothing was pushed" in last or "may be" in last))
        world.switch.heal()
        pushed(world, given)
        assert world.titles(repo) == [TITLE, INITIAL], number
        assert complete(world, repo, with_sums(FILES)), number


@pytest.mark.conformance  # by default tests/publishing/test_faults.py
@pytest.mark.parametrize(("phase", "fault"), LOST_EVERYWHERE[:3])
def test_a_fault_at_every_request_of_an_update(
    world: World, bundle: Artifact, phase: str, fault: int | str
) -> None:
    """The same, on one repository that goes to and fro between two contents."""
    other_files = with_sums({**FILES, "model.onnx": b"old", "gone.md": b"old"})
    sides = [(bundle, with_sums(FILES)), (world.bundle(other_files), other_files)]
    pushed(world, world.given(sides[1][0]))
    count = requests_of_a_push(world, world.given(bundle))
    assert count >= 10
    for number in range(1, count + 1):
        tries = 4 if number % 2 else 1
        here, there = sides
        sides.reverse()
        commits = len(world.titles())
        world.switch.fail_at(number, fault, phase)
        try:
            pushed(world, world.given(there[0]), tries=tries)
        except HubError as error:
            failed = error.message
        else:
            failed = ""
        world.switch.heal()
        if failed:
            grown = len(world.titles()) - commits
            assert tries == 1, (number, failed)
            assert complete(world, "alice/model", (there if grown else here)[1]), number
            assert grown == 0 or "may be there" in failed
        pushed(world, world.given(there[0]))
        assert len(world.titles()) == commits + 1, (number, tries)
        assert complete(world, "alice/model", there[1]), (number, tries)


def complete(world: World, repo: str, files: dict[str, bytes]) -> bool:
    """Whether the repository has exactly these files: ids as git and sha256sum make them."""
    entries = world.api().list_repo_tree(repo, recursive=True)
    found = {
        e.path: e.lfs.sha256 if e.lfs else e.blob_id for e in entries if isinstance(e, RepoFile)
    }
    found.pop(".gitattributes")
    return found == {
        path: digest_of_bytes(data)
        if path.endswith((".onnx", ".bin"))
        else hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
        for path, data in files.items()
    }


def test_tag(world: World, bundle: Artifact) -> None:
    done = pushed(world, world.given(bundle))
    given = TagInput(repo_id="alice/model", tag="v1.0", commit=done.commit)
    first = tag_on(world.hub(), given)
    assert first.made
    assert first.url.endswith("/alice/model/tree/v1.0")
    assert world.hub().tags("alice/model") == {"v1.0": done.commit}
    assert not tag_on(world.hub(), given).made
    world.edit("alice/model", "notes.md", b"x")
    moved = given.model_copy(update={"commit": world.hub().head("alice/model")})
    with pytest.raises(HubError, match=r"v1\.0 .* is at commit") as caught:
        tag_on(world.hub(), moved)
    assert "another tag" in caught.value.hint
    assert world.hub().tags("alice/model") == {"v1.0": done.commit}


@pytest.mark.parametrize(("phase", "fault"), LOST_EVERYWHERE)
def test_tag_with_a_lost_answer(
    world: World, bundle: Artifact, phase: str, fault: int | str
) -> None:
    done = pushed(world, world.given(bundle))
    world.switch.fail_on("/tag/", fault, phase=phase, times=1)
    given = TagInput(repo_id="alice/model", tag="v1", commit=done.commit)
    assert tag_on(world.hub(), given).made
    assert world.hub().tags("alice/model") == {"v1": done.commit}


def test_records_are_json(world: World, bundle: Artifact) -> None:
    done = pushed(world, world.given(bundle))
    written = done.model_copy(update={"bundle": None})  # which is for `verify`, not for a reader
    assert Pushed.model_validate(json.loads(done.model_dump_json())) == written


def test_commit_message() -> None:
    assert (
        commit_message("distilbert-sst2", ("onnx", "pytorch"))
        == "Publish distilbert-sst2: PyTorch INT8 and ONNX INT8"
    )
    half = commit_message("distilbert-sst2", ("onnx", "pytorch"), ("onnx",))
    assert half == "Publish distilbert-sst2: PyTorch INT8 and ONNX FP16"
