"""The local preview: one HTML file a card, which asks for nothing and runs nothing."""

from __future__ import annotations

import json
import re
import struct
import sys
import zlib
from pathlib import Path

import pytest

from hubkit.card_preview import MANIFEST, write_preview
from hubkit.errors import HubkitError, MissingDependencyError
from hubkit.records import CardSet, CardText
from tests.cards.browser import BROWSER, Chromium
from tests.hub_server.test_markdown import HOSTILE, Elements

REPO = "example/tiny-sentiment-int8"
SWITCHER = "[English](README.md) · [中文](README.zh.md) · [العربية](README.ar.md)\n\n"
WIDE = "| a | " + " | ".join(f"column {n} of many" for n in range(12)) + " |\n"
TABLE = WIDE + "|---" * 13 + "|\n" + WIDE
CODE = f"```python\nx = '{'long ' * 60}'\n```\n"
FRONT = """---
license: mit
language: en
tags: [int8, "<b>x</b>"]
base_model: a/b
model-index:
- name: m
  results:
  - task: {type: t}
    dataset: {name: SST-2, type: glue}
    metrics: [{type: accuracy, name: Accuracy, value: 0.90612}]
---
"""
ENGLISH = f"""{FRONT}{SWITCHER}# Tiny

[![Size](assets/size.png)](assets/size.svg) [speed](#speed) [numbers](results.json)
[talk](/{REPO}/discussions)

{TABLE}
{CODE}
## Speed

https://example.org/{"a-very-long-path/" * 12}
"""
CHINESE = f"""{SWITCHER}# 微型模型

![大小](assets/size.svg) [英文的速度](README.md#speed) [速度](#速度)

| 模型细节 | 说明 |
|:--|:--|
| 论文与其他资源 | {"一段很长的说明文字，" * 20} `{"identifier_" * 8}` |

{TABLE}
## 速度
"""
ARABIC = f"""<div dir="rtl">

{SWITCHER}# نموذج

[السرعة](#السرعة)

{TABLE}
<div dir="ltr">

{CODE}
</div>

## السرعة

- بند

</div>
"""


def card_set(**texts: str) -> CardSet:
    return CardSet(
        cards=tuple(
            CardText(
                path=f"README{'' if lang == 'en' else '.' + lang}.md", language=lang, text=text
            )
            for lang, text in texts.items()
        )
    )


PHONE = '<meta name="viewport" content="width=device-width">'
CARDS = card_set(en=ENGLISH, zh=CHINESE, ar=ARABIC)


def png(width: int, height: int) -> bytes:
    """A grey picture."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    rows = (b"\0" + b"\x80" * width) * height
    parts = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


@pytest.fixture
def assets(tmp_path: Path) -> Path:
    folder = tmp_path / "cards"
    (folder / "assets").mkdir(parents=True)
    (folder / "assets/size.png").write_bytes(png(1600, 400))
    (folder / "assets/size.svg").write_text(
        '<svg xmlns="http://www.w3.org/2000/svg" width="700" height="200"></svg>', encoding="utf-8"
    )
    (folder / "assets/notes.html").write_text("<script>1</script>", encoding="utf-8")
    return folder


def files_of(folder: Path) -> set[str]:
    return {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}


def links(html: str, name: str = "href") -> list[str]:
    return [value for _, a in Elements(html).found if (value := a.get(name))]


def test_one_file_a_card_and_the_images(tmp_path: Path, assets: Path) -> None:
    folder = tmp_path / "preview"
    first = write_preview(CARDS, assets, folder, REPO)
    assert first == folder / "README.html"
    assert files_of(folder) == {
        *("README.html", "README.zh.html", "README.ar.html", MANIFEST),
        *("assets/size.png", "assets/size.svg"),
    }
    assert (folder / "assets/size.png").read_bytes() == (assets / "assets/size.png").read_bytes()


def test_links_work_between_the_files_and_within_them(tmp_path: Path, assets: Path) -> None:
    folder = tmp_path / "preview"
    english = write_preview(CARDS, assets, folder, REPO).read_text(encoding="utf-8")
    found = links(english)
    for expected in (
        *("README.zh.html", "README.ar.html", "#speed", "assets/size.svg"),
        # What the preview does not hold is where it will be once it is published.
        f"https://huggingface.co/{REPO}/blob/main/results.json",
        f"https://huggingface.co/{REPO}/discussions",
    ):
        assert expected in found
    assert links(english, "src") == ["assets/size.png"]
    assert '<h2 id="speed">' in english
    chinese = (folder / "README.zh.html").read_text(encoding="utf-8")
    assert "README.html#speed" in links(chinese)
    assert '<article class="card" lang="zh">' in chinese
    assert '<div dir="rtl">' in (folder / "README.ar.html").read_text(encoding="utf-8")


def test_the_front_matter_is_chips_and_results_on_every_page(tmp_path: Path) -> None:
    folder = tmp_path / "preview"
    english = write_preview(CARDS, None, folder, REPO).read_text(encoding="utf-8")
    for text in (english, (folder / "README.zh.html").read_text(encoding="utf-8")):
        assert ">int8</span>" in text
        assert "&lt;b&gt;x&lt;/b&gt;</span>" in text
        assert "<b>base model</b>a/b</span>" in text
        assert "<td>0.9061</td>" in text
        card = text.split("<article")[1].split("</article>")[0]
        assert "model-index" not in card
    assert "metrics: [{type: accuracy" in english


def test_another_card_may_come_first(tmp_path: Path) -> None:
    english, chinese, arabic = CARDS.cards
    cards = CardSet(cards=(chinese, english, arabic))
    page = write_preview(cards, None, tmp_path, "no-namespace-yet")
    assert page == tmp_path / "README.zh.html"
    text = page.read_text(encoding="utf-8")
    assert "<b>base model</b>a/b</span>" in text
    assert "<h1>no-namespace-yet</h1>" in text


def test_metadata_that_the_hub_would_refuse_is_said(tmp_path: Path) -> None:
    cards = card_set(en="---\nlicense: 5\n---\n# x\n")
    text = write_preview(cards, None, tmp_path / "p", REPO).read_text(encoding="utf-8")
    assert "&#34;license&#34; must be a string" in text


def test_a_page_asks_for_nothing_but_its_images(tmp_path: Path, assets: Path) -> None:
    folder = tmp_path / "preview"
    write_preview(CARDS, assets, folder, REPO)
    for page in folder.glob("*.html"):
        text = page.read_text(encoding="utf-8")
        for tag, attributes in Elements(text).found:
            assert tag not in ("script", "iframe", "object", "form", "base")
            assert tag != "link" or (attributes["href"] or "").startswith("data:image/svg+xml,")
            assert not any(name.startswith("on") for name in attributes)
        assert "url(" not in text
        assert "@import" not in text
        policy = re.search(r'Content-Security-Policy" content="([^"]*)"', text)
        assert policy
        assert policy[1].startswith("default-src 'none'; ")
        assert "script" not in policy[1]


def test_what_is_not_the_card_is_data_too(tmp_path: Path) -> None:
    evil = '"><script>alert(1)</script>/x"onload=alert(1)'
    front = "---\ntags: ['<script>alert(1)</script>']\nlicense: '\"><img src=x onerror=1>'\n---\n"
    cards = CardSet(
        cards=(
            CardText(
                path='README."><script>.md', language='"><script>', text=front + "[a](x.json)"
            ),
        )
    )
    text = write_preview(cards, None, tmp_path / "p", evil).read_text(encoding="utf-8")
    assert {tag for tag, _ in Elements(text).found}.isdisjoint({"script", "iframe"})
    assert not any(n.startswith("on") for _, a in Elements(text).found for n in a)


@pytest.mark.parametrize("card", HOSTILE)
def test_hostile_cards_do_nothing(tmp_path: Path, card: str) -> None:
    quiet = write_preview(card_set(en="x"), None, tmp_path / "quiet", REPO)
    usual = {tag for tag, _ in Elements(quiet.read_text(encoding="utf-8")).found}
    text = write_preview(card_set(en=card), None, tmp_path / "p", REPO).read_text(encoding="utf-8")
    for tag, attributes in Elements(text).found:
        assert tag in usual or tag not in (
            "script",
            "style",
            "link",
            "meta",
            "iframe",
            "form",
            "svg",
        )
        assert not any(name.startswith("on") for name in attributes), attributes
        for name in ("href", "src"):
            value = (attributes.get(name) or "").strip().lower()
            assert not re.match(r"(javascript|data:text|file|vbscript)", value), value
            assert not value.startswith("//") or value == "//evil.example/a"
    # Nothing closes the element that the card is in.
    assert text.count("</article>") == text.count("</main>") == text.count("<article") == 1
    assert text.index("</article>") > text.index("<article")


def test_the_same_bytes_every_time(tmp_path: Path, assets: Path) -> None:
    for name in ("one", "other"):
        write_preview(CARDS, assets, tmp_path / name, REPO)
    one, other = tmp_path / "one", tmp_path / "other"
    assert files_of(one) == files_of(other)
    assert all((one / f).read_bytes() == (other / f).read_bytes() for f in files_of(one))


def test_stale_files_go_and_those_of_others_stay(tmp_path: Path, assets: Path) -> None:
    folder = tmp_path / "preview"
    write_preview(CARDS, assets, folder, REPO)
    (folder / "mine.html").write_text("mine", encoding="utf-8")
    write_preview(card_set(en="# x"), None, folder, REPO)
    assert files_of(folder) == {"README.html", "mine.html", MANIFEST}
    assert not (folder / "assets").exists()
    assert "# x" not in (folder / "README.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["../outside", "/etc/hostname", "link/inside", ".", 5])
def test_a_manifest_cannot_name_files_outside(tmp_path: Path, name: object) -> None:
    folder, elsewhere = tmp_path / "preview", tmp_path / "elsewhere"
    for path in (folder, elsewhere):
        path.mkdir()
    (tmp_path / "outside").write_text("x", encoding="utf-8")
    (elsewhere / "inside").write_text("x", encoding="utf-8")
    (folder / "link").symlink_to(elsewhere)
    (folder / MANIFEST).write_text(json.dumps({"files": [name]}), encoding="utf-8")
    write_preview(card_set(en="# x"), None, folder, REPO)
    assert (tmp_path / "outside").exists()
    assert (elsewhere / "inside").exists()
    assert (folder / "README.html").exists()


@pytest.mark.parametrize("text", ["", "[]", "{", '{"files": 1}', '{"files": null}'])
def test_a_broken_manifest_is_no_hindrance(tmp_path: Path, text: str) -> None:
    (tmp_path / MANIFEST).write_text(text, encoding="utf-8")
    assert write_preview(card_set(en="# x"), None, tmp_path, REPO).exists()


@pytest.mark.parametrize("path", ["../README.md", "a/README.md", "README.txt", "..", "a\\b.md"])
def test_a_card_has_a_plain_name(tmp_path: Path, path: str) -> None:
    cards = CardSet(cards=(CardText(path=path, text="x"),))
    with pytest.raises(HubkitError, match="is not the name of a card"):
        write_preview(cards, None, tmp_path / "p", REPO)
    assert not (tmp_path / "p").exists()


def test_two_cards_of_one_name(tmp_path: Path) -> None:
    cards = CardSet(
        cards=(CardText(path="README.md", text="x"), CardText(path="README.md", text="y"))
    )
    with pytest.raises(HubkitError, match="same name"):
        write_preview(cards, None, tmp_path, REPO)


def test_a_file_in_the_place_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "p").write_text("x", encoding="utf-8")
    with pytest.raises(HubkitError, match="is not a folder"):
        write_preview(card_set(en="x"), None, tmp_path / "p", REPO)


def test_without_the_hub_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "nh3", None)
    monkeypatch.delitem(sys.modules, "hubkit.hub.server.markdown", raising=False)
    with pytest.raises(MissingDependencyError) as raised:
        write_preview(card_set(en="x"), None, tmp_path / "p", REPO)
    assert "nh3 is not installed" in raised.value.message
    assert raised.value.hint == 'pip install "hubkit[hub]"'


@pytest.mark.skipif(BROWSER is None, reason="no Chromium here")
def test_in_a_browser(tmp_path: Path, assets: Path) -> None:
    folder = tmp_path / "preview"
    write_preview(CARDS, assets, folder, REPO)
    with Chromium() as browser:
        for card in CARDS.cards:
            url = (folder / f"{card.path[:-3]}.html").as_uri()
            for width in (1280, 390):
                browser.open(url, width=width)
                found = browser.check()
                assert found.clean, (card.path, width, found)
        # The check itself finds what is wrong, and the theme and the width are real.
        colour = "getComputedStyle(document.body).backgroundColor"
        browser.open((folder / "README.ar.html").as_uri(), width=390, dark=True)
        assert browser.value(colour) == "rgb(20, 20, 19)"
        assert browser.value("innerWidth") == 390
        left = "document.querySelector('pre').getBoundingClientRect().left"
        assert browser.value("getComputedStyle(document.querySelector('pre')).direction") == "ltr"
        assert browser.value(f"{left} >= 0")
        right = "Math.round(document.querySelector('.card h1').getBoundingClientRect().right)"
        assert browser.value(right) == 390 - 16
        assert (
            browser.value("getComputedStyle(document.querySelector('.card h1')).direction") == "rtl"
        )
        table = "document.querySelector('.table-box')"
        assert browser.value(f"{table}.scrollWidth > {table}.clientWidth")
        bad = "<p><a href='#nowhere'>x</a><img src=gone.png><p style='width:900px'>wide"
        (folder / "bad.html").write_text(f"<!doctype html>{PHONE}{bad}", encoding="utf-8")
        browser.open((folder / "bad.html").as_uri(), width=390)
        found = browser.check()
        assert found.images == ("gone.png",)
        assert found.anchors == ("nowhere",)
        assert any("wide" in item for item in found.overflow)


@pytest.mark.skipif(BROWSER is None, reason="no Chromium here")
def test_hostile_cards_run_nothing_in_a_browser(tmp_path: Path) -> None:
    card = "\n\n".join([*HOSTILE, "<img src=x onerror=\"document.title='ran'\">", "the end"])
    page = write_preview(card_set(en=card), None, tmp_path, REPO)
    with Chromium() as browser:
        browser.open(page.as_uri(), width=390)
        assert browser.value("document.title") == f"{REPO} · README.md"
        assert browser.value("document.querySelectorAll('main script, main style').length") == 0
        assert "the end" in str(browser.value("document.querySelector('.card').innerText"))
