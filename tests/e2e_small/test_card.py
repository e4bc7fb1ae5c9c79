"""`hubkit card` in every language, checked, compared with the Hub's, and looked at."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hubkit.i18n import languages
from tests.e2e_small.worlds import World


def test_one_language_and_all_of_them(warm: World) -> None:
    options = ("--repo-id", warm.repo)
    every = warm.hubkit("card", str(warm.folder), "--all-langs", "--format", "json", *options)
    assert every.code == 0, every.err
    cards = json.loads(every.out)
    assert {one["language"] for one in cards} == set(languages())
    assert [one["path"] for one in cards][:1] == ["README.md"]
    by_language = {one["language"]: one for one in cards}
    text = warm.hubkit("card", str(warm.folder), "--all-langs", *options)
    for one in cards:
        assert f"<!-- {one['path']} -->\n{one['text']}" in text.out
    chinese = warm.hubkit("card", str(warm.folder), "--lang", "zh", "--format", "json", *options)
    assert chinese.json()["path"] == by_language["zh"]["path"] == "README.zh.md"
    assert "量化" in str(chinese.json()["card"])
    assert warm.lacks() == []  # nothing was measured anew


def test_a_bundle_is_checked_and_printed_from_its_records(warm: World, tmp_path: Path) -> None:
    bundle = tmp_path / "bundle"
    wrote = warm.hubkit(
        "card", str(warm.folder), "--all-langs", "--output", str(bundle), "--repo-id", warm.repo
    )
    assert wrote.code == 0, wrote.err
    assert len(list(bundle.glob("README*.md"))) == len(languages())

    empty = {"HUBKIT_HOME": str(tmp_path / "home")}  # nothing is kept there
    checked = warm.hubkit("card", str(bundle), "--check", "--format", "json", **empty)
    found = checked.json()
    assert checked.code == 3  # the tiny recipe says nothing
    assert found["differences"] == []
    assert found["findings"] == []
    assert len(found["cards"]) == len(languages())  # type: ignore[arg-type]
    russian = warm.hubkit("card", str(bundle), "--lang", "ru", "--format", "json", **empty)
    assert russian.code == 0, russian.err

    path = bundle / "README.ru.md"
    path.write_text(path.read_text("utf-8").replace("INT8", "INT4", 1), encoding="utf-8")
    edited = warm.hubkit("card", str(bundle), "--check", **empty)
    assert edited.code == 3
    assert "README.ru.md:" in edited.err
    assert "INT4" in edited.err
    assert max(map(len, edited.out.splitlines())) <= 80
    refused = warm.hubkit("card", str(bundle), "--demo")
    assert refused.code == 2
    assert "--demo does not go with it" in refused.err


def test_the_difference_from_the_hub(warm: World) -> None:
    recipe = (str(warm.folder), "--repo-id", warm.repo, "--diff")
    before = warm.hubkit("card", *recipe)
    assert before.code == 0, before.err
    assert before.out.startswith("--- /dev/null\n+++ b/README.md\n")
    assert "\033[" not in before.out
    assert warm.titles() == []
    assert warm.publish().code == 0
    after = warm.hubkit("card", *recipe)
    assert (after.code, after.out) == (0, "")
    assert "No difference." in after.err
    nowhere = warm.hubkit("card", str(warm.folder), "--diff")
    assert nowhere.code == 2
    assert "--repo-id" in nowhere.err


def test_the_preview_is_written_and_named(warm: World) -> None:
    pytest.importorskip("markdown_it")
    screenless = {"DISPLAY": "", "WAYLAND_DISPLAY": "", "BROWSER": ""}
    done = warm.hubkit(
        *("card", str(warm.folder), "--open", "--lang", "ar", "--repo-id", warm.repo),
        *("--format", "json"),
        **screenless,
    )
    assert done.code == 0, done.err
    page = Path(str(done.json()["page"]))
    assert page.is_relative_to(warm.home / "preview" / "tiny")
    assert "INT8" in page.read_text("utf-8")
