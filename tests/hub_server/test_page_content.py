"""Folders, history, branches and talk as a browser shows them; and what no page may do."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest
import requests
from huggingface_hub import CommitOperationAdd, HfApi

from hubkit.hub.server.embedded import EmbeddedHub
from tests.hub_server.conftest import OWNER, USERS
from tests.hub_server.page_worlds import HOSTILE, PAGES, RICH, fill

VOID = {"meta", "input", "br", "link", "img", "hr", "path", "rect", "wbr", "col"}
# All that a page is made of; what runs, loads, sends or refers elsewhere is not among it.
_NEVER = {"script", "iframe", "object", "embed", "form", "button", "base", "frame", "math", "audio"}
_NEVER |= {"video", "source", "template", "noscript", "textarea", "select", "dialog", "marquee"}


class Page(HTMLParser):
    """The elements of a page; fails where one is not closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.inside: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.inside.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.inside.pop() == tag, f"</{tag}> closes something else"


@pytest.fixture(scope="module", name="world")
def _world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedHub]:
    with EmbeddedHub(tmp_path_factory.mktemp("pages") / "root", users=USERS) as hub:
        fill(hub, HfApi(hub.endpoint, token=OWNER))
        yield hub


def get(hub: EmbeddedHub, path: str) -> requests.Response:
    return requests.get(hub.endpoint + path, headers={"Accept": "text/html"}, timeout=20)


def ok(hub: EmbeddedHub, path: str) -> str:
    answer = get(hub, path)
    assert answer.status_code == 200, (path, answer.status_code)
    return answer.text


def commit_of(hub: EmbeddedHub, title: str) -> str:
    api = HfApi(hub.endpoint, token=OWNER)
    return next(c.commit_id for c in api.list_repo_commits(RICH) if c.title == title)


@pytest.mark.parametrize("page", PAGES)
def test_each_page_is_well_formed_and_needs_nothing(world: EmbeddedHub, page: str) -> None:
    found = Page(ok(world, f"/{RICH}{page}"))
    assert found.inside == []
    for tag, attributes in found.elements:
        assert tag not in _NEVER
        assert not [name for name in attributes if name.startswith("on")]
    assert len([1 for _, a in found.elements if a.get("aria-current") == "page"]) == 1


def test_folders_say_which_commit_changed_what(world: EmbeddedHub) -> None:
    page = ok(world, f"/{RICH}/tree/main")
    rows = dict(
        re.findall(
            r'<span class="name"><a [^>]*><bdi>(.*?)</bdi>.*?class="why"[^>]*><bdi>(.*?)</bdi>',
            page,
            flags=re.DOTALL,
        )
    )
    assert rows["results.json"] == "Run 54 of the benchmark"
    assert rows["config.json"] == "Change the configuration"
    assert rows["tokenizer"] == "Move the tokenizer"
    assert rows["notes.md"] == "Say what was measured (#2)"
    assert rows["onnx"].startswith("Publish distilbert")
    assert rows[".gitattributes"] == "initial commit"
    assert page.count(">LFS<") == 1
    assert ok(world, f"/{RICH}/tree/main/onnx").count(">LFS<") == 1
    # The menu leads to the other branches and tags.
    assert f'href="/{RICH}/tree/feature%2Fslashed-name"' in page
    assert "results.json" not in ok(world, f"/{RICH}/tree/v1.0")


def test_history_has_pages_and_counts(world: EmbeddedHub) -> None:
    first, second = (ok(world, f"/{RICH}/commits/main{query}") for query in ("", "?p=1"))
    titles = re.findall(r'/commit/[0-9a-f]{40}"><bdi>(.*?)</bdi>', first + second)
    assert len(titles) == len(set(titles)) == 61
    assert titles[-1] == "initial commit"
    assert 'rel="next" href="/ana/distilbert-int8/commits/main?p=1"' in first
    assert 'rel="next"' not in second
    assert 'rel="prev"' in second
    assert "8 files changed" in second
    assert "1 file changed" in second
    assert get(world, f"/{RICH}/commits/main?p=x").status_code == 400


def test_a_commit_shows_what_it_changed(world: EmbeddedHub) -> None:
    page = ok(world, f"/{RICH}/commit/{commit_of(world, 'Change the configuration')}")
    assert "Why: it was wrong." in page
    assert "1 file changed" in page
    added = re.findall(r'<span class="add">(.*?)</span>', page)
    deleted = re.findall(r'<span class="del">(.*?)</span>', page)
    assert [line.strip("+ ") for line in added] == ["&#34;key_7&#34;: 77,"]
    assert [line.strip("− ") for line in deleted] == ["&#34;key_7&#34;: 7,", "&#34;key_9&#34;: 9,"]
    assert '<span class="plus">+1</span> <span class="minus">−2</span>' in page
    moved = ok(world, f"/{RICH}/commit/{commit_of(world, 'Move the tokenizer')}")
    assert "was <bdi>tokenizer.json</bdi>" in moved
    assert "1 file changed" in moved
    first = ok(world, f"/{RICH}/commit/v1.0")
    assert "parent" in first
    assert "720 kB" in first
    assert "v1.0" in first.split('class="badge"')[1][:60]
    assert get(world, f"/{RICH}/commit/0000000").status_code == 404


def test_a_large_or_binary_change_has_no_lines(hub: EmbeddedHub, api: HfApi, repo: str) -> None:
    for text in (b"a\n" * 2000, b"b\n" * 2000):
        files = {"many.txt": text, "bin.x": b"\0" + text[:9], "wide.txt": text[:1] * 100_000}
        api.create_commit(
            repo,
            [CommitOperationAdd(path, data) for path, data in files.items()],
            commit_message="more",
        )
    page = ok(hub, f"/{repo}/commit/main")
    assert 'class="add"' not in page
    assert "3 files changed" in page
    assert "4 kB → 4 kB" in page


def test_branches_and_tags(world: EmbeddedHub, hub: EmbeddedHub, api: HfApi, repo: str) -> None:
    page = ok(world, f"/{RICH}/branches")
    for text in ("Branches", "Tags", "feature/slashed-name", "v1.0"):
        assert text in page
    assert "Mirrored" not in page
    origin = "1" * 40
    api.create_branch(repo, branch=f"refs/origin/{origin}")
    api.create_branch(repo, branch="refs/convert/parquet")
    page = ok(hub, f"/{repo}/branches")
    assert f'<a href="/{repo}/tree/{origin}"' in page
    assert f'<a href="/{repo}/tree/refs%2Fconvert%2Fparquet"' in page
    assert ok(hub, f"/{repo}/tree/{origin}")


def test_discussions_and_pull_requests(world: EmbeddedHub) -> None:
    page = ok(world, f"/{RICH}/discussions")
    assert "2 open" in page
    assert "1 closed" in page
    assert "Add a license file" in page
    assert "Say what was measured" not in page
    closed = ok(world, f"/{RICH}/discussions?status=closed")
    assert '<span class="badge merged">merged</span>' in closed
    pull = ok(world, f"/{RICH}/discussions/1")
    assert "Please <strong>merge</strong> this." in pull
    assert f'href="/{RICH}/blob/main/config.json"' in pull
    assert re.search(r'class="sign added".*LICENSE', pull, flags=re.DOTALL)
    assert "Add LICENSE" in pull
    merged = ok(world, f"/{RICH}/discussions/2")
    assert "changed the status to merged" in merged
    assert "Merged as" in merged
    assert "notes.md" in merged
    talk = ok(world, f"/{RICH}/discussions/3")
    assert "It is fast." in talk
    assert "its files" not in talk
    for wrong in ("4", "x", "-1", "1" * 30, "%31%2F.."):
        assert get(world, f"/{RICH}/discussions/{wrong}").status_code == 404


def test_hidden_comments_are_hidden(hub: EmbeddedHub, api: HfApi, repo: str) -> None:
    made = api.create_discussion(repo, "A title", description="Something")
    said = api.comment_discussion(repo, made.num, "to be hidden")
    api.hide_discussion_comment(repo, made.num, said.id)
    page = ok(hub, f"/{repo}/discussions/{made.num}")
    assert "to be hidden" not in page
    assert "has been hidden" in page


def test_files_of_a_gated_repository_are_not_shown(hub: EmbeddedHub, api: HfApi, repo: str) -> None:
    made = api.create_pull_request(repo, "A change")
    api.upload_file(
        path_or_fileobj=b"secret", path_in_repo="s.txt", repo_id=repo, revision=made.git_reference
    )
    api.update_repo_settings(repo, gated="manual")
    for path in ("", "/tree/main", "/commit/main", "/discussions/1", "/blob/main/.gitattributes"):
        answer = get(hub, f"/{repo}{path}")
        assert answer.status_code in (401, 403), path
        assert "secret" not in answer.text


def pages_of(hub: EmbeddedHub, start: str) -> Iterator[tuple[str, requests.Response]]:
    """Every page that links lead to from one on."""
    seen, todo = {start}, [start]
    while todo:
        path = todo.pop()
        answer = get(hub, path)
        yield path, answer
        if "html" not in answer.headers["Content-Type"] or not path.startswith(start):
            continue
        for tag, attributes in Page(answer.text).elements:
            link = (attributes.get("href") or "").partition("#")[0]
            if tag == "a" and link.startswith("/") and link not in seen:
                seen.add(link)
                todo.append(link)


def test_no_hostile_text_becomes_a_part_of_a_page(world: EmbeddedHub) -> None:
    read = 0
    for path, answer in pages_of(world, f"/{HOSTILE}"):
        assert answer.status_code in (200, 401, 404), path
        if "/resolve/" in path:
            assert "html" not in answer.headers["Content-Type"]
            continue
        policy = answer.headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'none'")
        assert "script-src" not in policy
        read += 1
        page = Page(answer.text)
        assert page.inside == []
        for tag, attributes in page.elements:
            assert tag not in _NEVER, (path, tag)
            assert tag != "style" or len([t for t, _ in page.elements if t == "style"]) == 1
            assert tag != "meta" or "http-equiv" not in attributes
            for name, value in attributes.items():
                assert not name.startswith("on"), (path, tag, name)
                assert name not in ("srcdoc", "action", "formaction", "srcset", "ping")
                if name in ("href", "src"):
                    plain = re.sub(r"[\s\x00-\x20]", "", (value or "")).lower()
                    assert not plain.startswith(("javascript:", "vbscript:", "//")), (path, value)
                    assert not plain.startswith("data:") or tag == "link", (path, value)
    assert read > 15


def test_hostile_text_is_shown_as_it_is(world: EmbeddedHub) -> None:
    page = ok(world, f"/{HOSTILE}/commits/main")
    assert "&lt;script&gt;alert(1)&lt;/script&gt;&lt;b onmouseover=" in page
    # A name that is written from right to left does not turn the rest of the line around.
    assert "<bdi>\u202efdp.exe</bdi>" in ok(world, f"/{HOSTILE}/tree/main")


def test_addresses_that_are_no_text(world: EmbeddedHub) -> None:
    for path in ("/tree/%ff", "/tree/main/%ff", "/blob/main/%ED%A0%80", "/commits/%00", "/a%2f.."):
        answer = get(world, f"/{RICH}{path}")
        assert answer.status_code in (400, 404), path
        assert "html" in answer.headers["Content-Type"]


def test_pages_are_not_kept_by_anyone_else(world: EmbeddedHub) -> None:
    headers = get(world, f"/{RICH}").headers
    assert headers["Cache-Control"] == "private, no-cache"
    assert "Authorization" in headers["Vary"]


def test_templates_hold_no_script() -> None:
    import hubkit.hub.server as server

    for path in (Path(str(server.__file__)).parent / "pages").iterdir():
        text = path.read_text("utf-8")
        assert "<script" not in text, path
        assert "|safe" not in text or re.findall(r"\{\{ ([\w.]+)\|safe", text)
