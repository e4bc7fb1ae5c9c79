"""The sticky comment, the release's files, the job's environment: against a GitHub on loopback."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hubkit.ci.attach import attach
from hubkit.ci.comment import LONGEST, mark, stick
from hubkit.ci.github import (
    GitHub,
    Passing,
    Refused,
    annotation,
    github_here,
    pull_request_here,
    set_outputs,
)
from hubkit.errors import HubkitError, UsageError
from tests.ci.fake_github import FakeGitHub

MARK = mark("recipe")


def once(method: str, part: str, fault: int | str, phase: str = "before", times: int = 1):
    """A fault of the next requests whose path has `part` in it."""
    left = [times]

    def rule(asked: str, path: str, when: str) -> int | str | None:
        if asked != method or part not in path or when != phase or not left[0]:
            return None
        left[0] -= 1
        return fault

    return rule


def test_a_comment_is_written_once_and_then_anew(fake: FakeGitHub, github: GitHub) -> None:
    assert stick(github, 7, f"{MARK}\nfirst") == "created"
    assert stick(github, 7, f"{MARK}\nsecond") == "updated"
    assert [one["body"] for one in fake.comments] == [f"{MARK}\nsecond"]
    calls = len(fake.calls)
    assert stick(github, 7, f"{MARK}\nsecond") == "unchanged"
    assert fake.calls[calls:] == [("GET", "/repos/acme/model/issues/7/comments")]


def test_each_name_has_a_comment_of_its_own(fake: FakeGitHub, github: GitHub) -> None:
    stick(github, 7, f"{MARK}\none")
    stick(github, 7, f"{mark('other')}\ntwo")
    assert len(fake.comments) == 2


def test_a_comment_far_down_is_found(fake: FakeGitHub, github: GitHub) -> None:
    for number in range(250):
        fake.comment(f"talk {number}", bot=False)
    fake.comment(f"{MARK}\r\nold")  # GitHub gives line ends back as it likes
    assert stick(github, 7, f"{MARK}\nnew") == "updated"
    assert len(fake.comments) == 251


def test_a_mark_that_somebody_else_wrote_is_not_ours(fake: FakeGitHub, github: GitHub) -> None:
    theirs = fake.comment(f"{MARK}\nnot ours", bot=False)
    quoted = fake.comment(f"> quoted\n{MARK}")
    assert stick(github, 7, f"{MARK}\nours") == "created"
    assert theirs["body"] == f"{MARK}\nnot ours"
    assert quoted["body"] == f"> quoted\n{MARK}"


@pytest.mark.parametrize("fault", [500, 503, 429, "reset"])
def test_a_comment_whose_answer_was_lost_is_not_written_twice(
    fake: FakeGitHub, github: GitHub, waits: list[float], fault: int | str
) -> None:
    fake.fault = once("POST", "/comments", fault, "after")
    assert stick(github, 7, f"{MARK}\ntext") == "unchanged"
    assert len(fake.comments) == 1
    assert waits == [1.0]


def test_a_hub_that_stays_away_is_said(
    fake: FakeGitHub, github: GitHub, waits: list[float]
) -> None:
    fake.fault = once("GET", "/comments", 503, times=100)
    with pytest.raises(Passing, match="503"):
        stick(github, 7, f"{MARK}\ntext")
    assert len(waits) == 3


def test_what_may_not_comment_is_refused_at_once(fake: FakeGitHub, github: GitHub) -> None:
    fake.may.clear()
    with pytest.raises(Refused, match="403 Resource not accessible by integration") as caught:
        stick(github, 7, f"{MARK}\ntext")
    assert "permissions" in caught.value.hint
    assert fake.calls.count(("POST", "/repos/acme/model/issues/7/comments")) == 1


@pytest.mark.parametrize("text", ["no mark", f" {MARK}\nx", f"{MARK}\n{'x' * LONGEST}"])
def test_what_is_no_comment_of_ours_is_not_sent(
    fake: FakeGitHub, github: GitHub, text: str
) -> None:
    with pytest.raises(UsageError):
        stick(github, 7, text)
    assert fake.calls == []


@pytest.mark.parametrize("name", ["a-->b", "a\nb", "<script>", "x" * 500, "日本"])
def test_a_mark_is_one_whatever_its_name(github: GitHub, name: str) -> None:
    first = mark(name)
    assert first.count("-->") == 1
    assert stick(github, 7, f"{first}\ntext") == "created"


@pytest.fixture(name="folder")
def _folder(tmp_path: Path) -> Path:
    folder = tmp_path / "records"
    folder.mkdir()
    (folder / "README.md").write_text("# card")
    (folder / "results.json").write_text("{}")
    (folder / "release-notes.md").write_text("the table")
    return folder


def test_a_release_is_made_whole(fake: FakeGitHub, github: GitHub, folder: Path) -> None:
    done = attach(github, "v1.0", folder)
    assert done.made
    assert done.added == ("README.md", "results.json")
    assert fake.names("v1.0") == ["README.md", "results.json"]
    (release,) = fake.releases
    assert release["draft"] is False
    assert str(release["body"]).startswith("the table\n")
    kinds = [method for method, _ in fake.calls]
    assert kinds[-1] == "PATCH"  # a draft until all is there


def test_an_author_s_release_keeps_its_text(fake: FakeGitHub, github: GitHub, folder: Path) -> None:
    fake.release("v0.9")
    fake.release("v1.0", "my words")
    done = attach(github, "v1.0", folder)
    assert not done.made
    assert fake.releases[1]["body"] == "my words"
    assert fake.names("v1.0") == ["README.md", "results.json"]
    assert fake.names("v0.9") == []


def test_an_author_s_draft_stays_one(fake: FakeGitHub, github: GitHub, folder: Path) -> None:
    fake.release("v1.0", "not yet", draft=True)
    attach(github, "v1.0", folder)
    assert fake.releases[0]["draft"] is True


def test_again_replaces_what_differs_and_leaves_the_rest(
    fake: FakeGitHub, github: GitHub, folder: Path
) -> None:
    attach(github, "v1.0", folder)
    fake._upload(int(str(fake.releases[0]["id"])), "theirs.txt", b"theirs")
    (folder / "README.md").write_text("# another card")
    done = attach(github, "v1.0", folder)
    assert (done.added, done.replaced, done.kept) == ((), ("README.md",), ("results.json",))
    assert fake.content("v1.0", "README.md") == b"# another card"
    assert fake.names("v1.0") == ["README.md", "results.json", "theirs.txt"]


def test_what_a_person_attached_is_not_replaced(
    fake: FakeGitHub, github: GitHub, folder: Path
) -> None:
    made = fake.release("v1.0", "my words")
    number = int(str(made["id"]))
    fake._upload(number, "results.json", b"theirs")
    fake.assets[number][0]["uploader"] = {"type": "User"}
    with pytest.raises(HubkitError, match=r"results\.json that somebody attached"):
        attach(github, "v1.0", folder)
    assert fake.content("v1.0", "results.json") == b"theirs"


def test_each_lost_answer_leaves_one_whole_release(folder: Path) -> None:
    """A fault at each single request, one at a time, before it is done and after."""
    with FakeGitHub().serve() as counted:
        attach(_plain(counted), "v1.0", folder)
        points = len(counted.calls)
    for phase in ("before", "after"):
        for point in range(1, points + 1):
            with FakeGitHub().serve() as fake:
                fake.fault = _nth(fake, point, phase)
                attach(_plain(fake), "v1.0", folder)
                assert len(fake.releases) == 1, (phase, point)
                assert fake.releases[0]["draft"] is False, (phase, point)
                assert fake.names("v1.0") == ["README.md", "results.json"], (phase, point)
    assert points == 6


def _plain(fake: FakeGitHub) -> GitHub:
    from tests.ci.fake_github import REPOSITORY, TOKEN

    return GitHub(REPOSITORY, TOKEN, fake.url, sleep=lambda _: None)


def _nth(fake: FakeGitHub, point: int, phase: str):
    return lambda _m, _p, when: "reset" if when == phase and len(fake.calls) == point else None


def test_an_upload_that_broke_off_is_done_again(
    fake: FakeGitHub, github: GitHub, folder: Path
) -> None:
    release = fake.release("v1.0")
    fake._upload(int(str(release["id"])), "README.md", b"# ca")
    fake.assets[int(str(release["id"]))][0]["state"] = "starter"
    attach(github, "v1.0", folder)
    assert fake.content("v1.0", "README.md") == b"# card"


def test_an_immutable_release_is_explained(fake: FakeGitHub, github: GitHub, folder: Path) -> None:
    fake.immutable = True
    assert attach(github, "v2.0", folder).made  # its files come before it is published
    fake.release("v1.0")
    with pytest.raises(Refused, match="422") as caught:
        attach(github, "v1.0", folder)
    assert "immutable" in caught.value.hint


def test_nothing_to_attach(github: GitHub, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no files"):
        attach(github, "v1.0", tmp_path)


def test_the_job_s_environment(tmp_path: Path) -> None:
    event = tmp_path / "event.json"
    event.write_text(json.dumps({"pull_request": {"number": 12, "title": "$(rm -rf /)"}}))
    environ = {
        "GITHUB_REPOSITORY": "acme/model",
        "GITHUB_TOKEN": "t",
        "GITHUB_EVENT_PATH": str(event),
        "GITHUB_OUTPUT": str(tmp_path / "output"),
    }
    assert github_here(environ).repository == "acme/model"
    assert pull_request_here(environ) == 12
    set_outputs({"url": "https://x", "tag": ""}, environ)
    assert (tmp_path / "output").read_text() == "url=https://x\ntag=\n"
    with pytest.raises(ValueError, match="more than one line"):
        set_outputs({"url": "a\nHF_TOKEN=b"}, environ)


@pytest.mark.parametrize(
    "changes",
    [
        {"GITHUB_REPOSITORY": ""},
        {"GITHUB_REPOSITORY": "acme/model/../other"},
        {"GITHUB_TOKEN": ""},
    ],
)
def test_outside_of_a_job(changes: dict[str, str]) -> None:
    with pytest.raises(UsageError):
        github_here({"GITHUB_REPOSITORY": "acme/model", "GITHUB_TOKEN": "t"} | changes)


def test_a_token_is_not_sent_in_clear(waits: list[float]) -> None:
    with pytest.raises(UsageError, match="not an https address"):
        list(GitHub("acme/model", "t", "http://api.example").pages("releases"))


def test_a_token_is_not_shown() -> None:
    assert "secret" not in repr(GitHub("acme/model", "secret"))


def test_an_annotation_is_one_line() -> None:
    assert annotation("warning", "50 %\nmore") == "::warning::50 %25%0Amore"
