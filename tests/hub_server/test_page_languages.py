"""A card in its reader's language."""

from __future__ import annotations

import pytest
import requests
from huggingface_hub import CommitOperationAdd, HfApi

from hubkit.hub.server.embedded import EmbeddedHub
from hubkit.hub.server.reader_languages import chosen, language_of, translations

PATHS = ["README.md", "README.zh.md", "README.pt-BR.md", "docs/README.fr.md", "README.long_name.md"]
CARDS = translations(PATHS, "# Title")


def test_which_cards_there_are() -> None:
    assert [(card.language, card.path) for card in CARDS] == [
        ("en", "README.md"),
        ("zh", "README.zh.md"),
        ("pt-BR", "README.pt-BR.md"),
    ]
    assert [card.name for card in CARDS] == ["English", "中文", "pt-BR"]
    assert language_of("a/README.zh_Hans.md") == "zh-Hans"
    assert language_of("README.md") == ""
    (alone,) = translations(["README.md", "a.md"], "**Deutsch** · [English](README.en.md)")
    assert alone.language == ""


@pytest.mark.parametrize(
    ("switch", "language"),
    [
        ("**English** · [中文](README.zh.md)", "en"),
        ("**Deutsch** · [中文](README.zh.md)", "de"),
        ("[中文](README.zh.md)", "en"),
        ("**中文 (machine)** · [中文](README.zh.md)", "en"),
        ("some **Deutsch** text\n\n[中文](README.zh.md)", "en"),
    ],
)
def test_the_language_of_the_first_card(switch: str, language: str) -> None:
    found = translations(["README.md", "README.zh.md"], f"# T\n\n{switch}\n")
    assert found[0].language == language


def test_a_first_card_in_no_known_language() -> None:
    found = translations(["README.md", "README.en.md"], "# T")
    assert [(card.language, card.name) for card in found] == [("", "README"), ("en", "English")]
    assert chosen(found, "", "de").path == "README.md"
    assert chosen(found, "", "en-US").path == "README.en.md"
    assert chosen(found, "card", "en-US").path == "README.md"


@pytest.mark.parametrize(
    ("header", "path"),
    [
        ("", "README.md"),
        ("*", "README.md"),
        ("zh", "README.zh.md"),
        ("zh-TW,zh;q=0.9", "README.zh.md"),
        ("pt", "README.pt-BR.md"),
        ("pt-PT;q=0.8, zh;q=0.5", "README.pt-BR.md"),
        ("de, zh;q=0.3", "README.zh.md"),
        ("zh;q=0.3, en", "README.md"),
        ("zh;q=0, *", "README.md"),
        ("de, *;q=0.5, zh;q=0.4", "README.md"),
        ("ZH", "README.zh.md"),
        ("zh;q=nan", "README.md"),
        ("zh;q=9", "README.md"),
        ("zhx", "README.md"),
        ("-, ;;;, zh-", "README.md"),
        ("x" * 5000 + ", zh", "README.md"),
        (", " * 20000, "README.md"),
    ],
)
def test_what_a_browser_prefers(header: str, path: str) -> None:
    assert chosen(CARDS, "", header).path == path


def test_what_is_asked_for_wins() -> None:
    assert chosen(CARDS, "en", "zh").path == "README.md"
    assert chosen(CARDS, "zh", "en").path == "README.zh.md"
    assert chosen(CARDS, "zh_TW", "en").path == "README.zh.md"
    assert chosen(CARDS, "xx", "zh").path == "README.zh.md"


def push(api: HfApi, repo: str, files: dict[str, str]) -> None:
    operations = [CommitOperationAdd(path, text.encode()) for path, text in files.items()]
    api.create_commit(repo, operations, commit_message="cards")


def get(hub: EmbeddedHub, path: str, language: str) -> requests.Response:
    headers = {"Accept": "text/html", "Accept-Language": language}
    return requests.get(hub.endpoint + path, headers=headers, timeout=10)


def test_the_page_is_in_the_readers_language(hub: EmbeddedHub, api: HfApi, repo: str) -> None:
    push(
        api,
        repo,
        {
            "README.md": "---\nlicense: mit\n---\n# Speed",
            "README.zh.md": "# 速度\n\n[x](config.json)",
            "README.ar.md": "# السرعة",
        },
    )
    english, chinese = get(hub, f"/{repo}", "en"), get(hub, f"/{repo}", "zh-CN,zh;q=0.9")
    assert ">Speed</h1>" in english.text
    assert ">速度</h1>" in chinese.text
    assert '<article class="card" lang="zh" dir="ltr">' in chinese.text
    assert chinese.headers["Content-Language"] == "zh"
    assert "Accept-Language" in chinese.headers["Vary"]
    assert "license" in chinese.text  # the metadata are those of README.md
    arabic = get(hub, f"/{repo}?lang=ar", "zh")
    assert '<article class="card" lang="ar" dir="rtl">' in arabic.text
    # The switch is there in each of them, and says where one is.
    for page, here in ((english, "English"), (chinese, "中文"), (arabic, "العربية")):
        assert f'aria-current="true">{here}</b>' in page.text
        for code in {"en", "zh", "ar"} - {page.headers["Content-Language"]}:
            assert f'href="/{repo}?lang={code}"' in page.text
    assert ">Speed</h1>" in get(hub, f"/{repo}?lang=en", "zh").text


def test_a_cards_own_switch_switches_the_page(hub: EmbeddedHub, api: HfApi, repo: str) -> None:
    push(
        api,
        repo,
        {
            "README.md": "**English** · [中文](README.zh.md)\n\n# Speed\n[f](docs/README.zh.md)",
            "README.zh.md": "[English](./README.md) · **中文**\n\n# 速度",
        },
    )
    english, chinese = get(hub, f"/{repo}", "en").text, get(hub, f"/{repo}", "zh").text
    assert f'<a href="/{repo}?lang=zh"' in english
    assert f'<a href="/{repo}?lang=en"' in chinese
    assert f'href="/{repo}/blob/main/docs/README.zh.md"' in english
    assert 'class="languages"' not in english + chinese


def test_without_translations_there_is_nothing_to_choose(
    hub: EmbeddedHub, api: HfApi, repo: str
) -> None:
    push(api, repo, {"README.md": "# Vitesse"})
    page = get(hub, f"/{repo}?lang=zh", "de")
    assert ">Vitesse</h1>" in page.text
    assert "Content-Language" not in page.headers
    assert 'class="languages"' not in page.text
