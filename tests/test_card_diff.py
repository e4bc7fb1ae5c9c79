"""Cards against those on a Hub."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import HfApi

from hubkit.card_diff import diff_cards, unified
from hubkit.hub.client import Hub, connect
from hubkit.hub.manifest import format_sums
from hubkit.hub.server.embedded import EmbeddedHub
from hubkit.records import CardSet, CardText

TOKEN, REPO = "hf_owner_token", "ana/model"


@pytest.fixture(name="server")
def _server(tmp_path: Path) -> Iterator[EmbeddedHub]:
    with EmbeddedHub(tmp_path / "hub", users={"ana": {"token": TOKEN}}) as running:
        yield running


@pytest.fixture(name="hub")
def _hub(server: EmbeddedHub) -> Hub:
    return connect(server.endpoint, TOKEN)


def _put(server: EmbeddedHub, **texts: str) -> None:
    api = HfApi(server.endpoint, token=TOKEN)
    api.create_repo(REPO, exist_ok=True)
    files = {name.replace("_", "."): text for name, text in texts.items()}
    for path, text in files.items():
        api.upload_file(path_or_fileobj=text.encode(), path_in_repo=path, repo_id=REPO)


def _cards(**texts: str) -> CardSet:
    return CardSet(
        cards=tuple(
            CardText(path=path.replace("_", "."), text=text) for path, text in texts.items()
        )
    )


def test_where_there_is_no_repository_all_is_new(hub: Hub) -> None:
    (one,) = diff_cards(hub, _cards(README_md="# A\n\ntext\n"), REPO)
    assert one.lines[:3] == ("--- /dev/null", "+++ b/README.md", "@@ -0,0 +1,3 @@")
    assert one.lines[3:] == ("+# A", "+", "+text")


def test_equal_cards_have_no_lines(server: EmbeddedHub, hub: Hub) -> None:
    _put(server, README_md="# A\n", README_zh_md="# 甲\n")
    found = diff_cards(hub, _cards(README_md="# A\n", README_zh_md="# 甲\n"), REPO)
    assert [(one.path, one.lines) for one in found] == [("README.md", ()), ("README.zh.md", ())]


def test_a_changed_line(server: EmbeddedHub, hub: Hub) -> None:
    _put(server, README_md="# A\n0.91\n")
    readme, chinese = diff_cards(hub, _cards(README_md="# A\n0.92\n", README_zh_md="x\n"), REPO)
    assert readme.lines == (
        "--- a/README.md",
        "+++ b/README.md",
        "@@ -1,2 +1,2 @@",
        " # A",
        "-0.91",
        "+0.92",
    )
    assert chinese.lines[0] == "--- /dev/null"


def test_a_card_of_ours_that_is_no_more_is_told_and_anothers_is_not(
    server: EmbeddedHub, hub: Hub
) -> None:
    sums = format_sums({"README.zh.md": "0" * 64})
    _put(server, README_md="# A\n", README_zh_md="x\n", README_pt_md="of somebody", SHA256SUMS=sums)
    found = diff_cards(hub, _cards(README_md="# A\n"), REPO)
    assert [one.path for one in found] == ["README.md", "README.zh.md"]
    assert found[1].lines == ("--- a/README.zh.md", "+++ /dev/null", "@@ -1 +0,0 @@", "-x")


def test_line_ends_are_those_of_the_text() -> None:
    assert unified("a\u2028b\n", "a\u2028c\n", "x")[3:] == ("-a\u2028b", "+a\u2028c")
    assert unified("a\n", "a", "x")[3:] == ("-a", "+a", "\\ No newline at end of file")
    assert unified(None, "", "x") == ()
    plain = difflib.unified_diff(["a", "b"], ["a", "c"], "a/x", "b/x", lineterm="")
    assert unified("a\nb\n", "a\nc\n", "x") == tuple(plain)
