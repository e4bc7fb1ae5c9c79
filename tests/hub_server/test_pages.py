"""What a browser shows."""

from __future__ import annotations

import base64
import re
from pathlib import Path

import pytest
import requests
from huggingface_hub import CommitOperationAdd, HfApi

from hubkit.hub.server import templates
from hubkit.hub.server.cards import parse_card, tags_of
from hubkit.hub.server.embedded import EmbeddedHub
from hubkit.hub.server.markdown import render
from hubkit.hub.server.templates import size_text
from tests.hub_server.conftest import OWNER

CARD = b"""---
license: mit
tags: [int8, "<b>"]
model-index:
- name: m
  results:
  - task: {type: t}
    dataset: {name: SST-2, type: glue}
    metrics: [{type: accuracy, name: Accuracy, value: 0.90612}]
---
# Title

| a | b |
|---|--:|
| 1 | 2 |

![chart](docs/chart.png) [config](config.json)
<script>alert(1)</script><img src=x onerror=alert(1)>
"""


def get(hub: EmbeddedHub, path: str, **more: object) -> requests.Response:
    headers = {"Accept": "text/html", **more}
    return requests.get(hub.endpoint + path, headers=headers, timeout=10)  # type: ignore[arg-type]


@pytest.fixture
def shown(api: HfApi, repo: str) -> str:
    files = {"README.md": CARD, "config.json": b'{"a": "<script>"}', "w.bin": b"\0" * 2000}
    operations = [CommitOperationAdd(path, data) for path, data in files.items()]
    api.create_commit(repo, operations, commit_message="<b>first</b>")
    api.create_repo("ana/secret", private=True)
    return f"/{repo}"


def test_a_card_is_rendered_and_sanitised(hub: EmbeddedHub, shown: str) -> None:
    answer = get(hub, shown)
    assert answer.status_code == 200
    page = answer.text
    for text in (
        ">Title</h1>",
        "<table>",
        'src="/ana/model/resolve/main/docs/chart.png"',
        'href="/ana/model/blob/main/config.json"',
        "int8</span>",
        "0.9061",
        "2 kB",
        'href="/ana/model/resolve/main/w.bin?download=true"',
    ):
        assert text in page
    for text in ("<script", "onerror", "<b>first", "license: mit"):
        assert text not in page
    assert "script-src" not in answer.headers["Content-Security-Policy"]
    assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'")


@pytest.fixture
def translated(api: HfApi, repo: str) -> str:
    switcher = "[English](README.md) · [中文](README.zh.md) · [العربية](README.ar.md)\n\n"
    files = {
        "README.md": f"---\nlicense: mit\n---\n{switcher}# Speed\n\n[x](#speed)",
        "README.zh.md": f"{switcher}# 速度\n\n![大小](assets/size.svg)\n\n[x](#速度)",
        "README.ar.md": f'<div dir="rtl">\n\n{switcher}# السرعة\n\n</div>\n',
        "assets/size.svg": '<svg xmlns="http://www.w3.org/2000/svg"/>',
    }
    operations = [CommitOperationAdd(path, text.encode()) for path, text in files.items()]
    api.create_commit(repo, operations, commit_message="cards")
    return f"/{repo}"


def test_the_switcher_leads_to_cards_that_are_rendered(hub: EmbeddedHub, translated: str) -> None:
    page = get(hub, translated).text
    assert f'href="{translated}/blob/main/README.zh.md"' in page
    # The card's own switcher is enough.
    assert "Also in" not in page
    chinese = get(hub, f"{translated}/blob/main/README.zh.md").text
    assert '<article class="card" lang="zh">' in chinese
    assert '<h1 id="速度">' in chinese
    assert f'href="{translated}/blob/main/README.md"' in chinese
    assert '<div dir="rtl">' in get(hub, f"{translated}/blob/main/README.ar.md").text


def test_figures_load_as_images(hub: EmbeddedHub, translated: str) -> None:
    chinese = get(hub, f"{translated}/blob/main/README.zh.md").text
    assert f'src="{translated}/resolve/main/assets/size.svg"' in chinese
    image = get(hub, f"{translated}/resolve/main/assets/size.svg")
    assert image.headers["Content-Type"] == "image/svg+xml"


def test_front_matter_of_a_file_is_shown_as_metadata(hub: EmbeddedHub, translated: str) -> None:
    page = get(hub, f"{translated}/blob/main/README.md").text
    assert "<summary>metadata</summary><pre>license: mit\n</pre>" in page
    card = page.split('<article class="card">')[1].split("</article>")[0]
    assert "license" not in card
    assert "<summary>" not in get(hub, f"{translated}/blob/main/README.zh.md").text


def test_translations_are_listed_where_the_card_does_not(
    hub: EmbeddedHub, api: HfApi, translated: str
) -> None:
    api.upload_file(
        repo_id=translated[1:], path_in_repo="README.md", path_or_fileobj=b"---\na: b\n---\n# x"
    )
    page = get(hub, translated).text
    assert f'<a href="{translated}?lang=ar" lang="ar" hreflang="ar">العربية</a>' in page


def luminance(colour: str) -> float:
    """Relative luminance of #rgb or #rrggbb (WCAG 2.2)."""
    digits = colour.lstrip("#")
    digits = "".join(d * 2 for d in digits) if len(digits) == 3 else digits
    parts = [int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_text_stands_out_from_its_background_in_both_themes(theme: str) -> None:
    style = (Path(templates.__file__).parent / "pages" / "style.css").read_text("utf-8")
    light, dark = re.findall(r":root\{(.*?)\}", style)
    colours = dict(pair.split(":") for pair in (light if theme == "light" else dark).split(";"))
    for text in ("--text", "--dim", "--link", "--bad"):
        for behind in ("--bg", "--soft", "--pill", "--code"):
            one, other = sorted((luminance(colours[text]), luminance(colours[behind])))
            assert (other + 0.05) / (one + 0.05) >= 4.5, (text, behind)


def test_every_link_of_a_page_goes_somewhere(hub: EmbeddedHub, api: HfApi, shown: str) -> None:
    api.create_pull_request("ana/model", "A change")
    seen: set[str] = set()
    todo = ["/", shown, f"{shown}/discussions"]
    while todo:
        path = todo.pop()
        answer = get(hub, path)
        assert answer.status_code == 200, path
        if "html" in answer.headers["Content-Type"]:
            found = set(re.findall(r'href="(/[^"]*)"', answer.text)) - seen - {"/login"}
            seen |= found
            todo += sorted(found)
    assert f"{shown}/blob/main/config.json" in seen
    head = api.repo_info("ana/model").sha
    assert get(hub, f"{shown}/commit/{head}").status_code == 200


def test_private_repositories_are_shown_to_who_signs_in(hub: EmbeddedHub, shown: str) -> None:
    basic = "Basic " + base64.b64encode(f"ana:{OWNER}".encode()).decode()
    assert "ana/secret" not in get(hub, "/").text
    assert "ana/secret" in get(hub, "/", Authorization=basic).text
    assert get(hub, "/ana/secret").status_code == 401
    assert get(hub, "/ana/secret", Authorization=basic).status_code == 200
    assert get(hub, "/login").headers["WWW-Authenticate"].startswith("Basic")
    assert get(hub, "/login", Authorization=basic).url == f"{hub.endpoint}/"


def test_files_are_never_served_as_html(hub: EmbeddedHub, api: HfApi, repo: str) -> None:
    for name in ("a.html", "a.svg", "a.xhtml"):
        api.upload_file(repo_id=repo, path_in_repo=name, path_or_fileobj=b"<script>1</script>")
        answer = get(hub, f"/{repo}/resolve/main/{name}")
        assert "html" not in answer.headers["Content-Type"]
        assert "sandbox" in answer.headers["Content-Security-Policy"]
        assert answer.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize(
    ("markdown", "html"),
    [
        ("[a](b.md#c)", 'href="/P/d/b.md#c"'),
        ("[a](../b.md)", 'href="/P/b.md"'),
        ("[a](../../b)", "<a rel="),
        ("[a](#c)", 'href="#c"'),
        ("[a](https://x.y/z)", 'href="https://x.y/z"'),
        ("[a](javascript:x)", "javascript:x)"),
        ("<a href='data:text/html,x'>a</a>", "<a rel="),
        ("![a](b.png)", 'src="/F/d/b.png"'),
        ("a <iframe src='x'></iframe>", "<p>a </p>"),
        ("<form action=/x><input type=image src=x></form>", 'type="checkbox"'),
        ("<p style='position:fixed'>a</p>", "<p>a</p>"),
        ("- [x] done", "checked"),
    ],
)
def test_links_and_html_of_cards(markdown: str, html: str) -> None:
    found = render(markdown, folder="d", page_url="/P/", file_url="/F/")
    assert html in found
    assert "<iframe" not in found
    assert "<form" not in found


def test_front_matter() -> None:
    card = parse_card("---\nlanguage: no\nlicense: mit\ndate: 2026-01-01\n---\n# x\n")
    assert not card.errors
    assert card.body == "# x\n"
    assert tags_of(card.data) == ["license:mit", "region:us"]
    assert parse_card("# x").warnings
    assert parse_card("---\na: [\n---\n").errors
    assert parse_card("---\n- a\n---\n").errors
    assert parse_card("---\nmodel-index:\n- name: m\n---\n").errors == (
        '"model-index[0].results" is required',
    )


def test_sizes() -> None:
    assert [size_text(n) for n in (0, 999, 1500, 67_000_000)] == ["0 B", "999 B", "1.5 kB", "67 MB"]
