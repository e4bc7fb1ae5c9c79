"""The page in a browser: nothing sticks out, legends hide their lines, code can be copied."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from hubkit.formats.report_page import html
from tests.cards.browser import BROWSER, Chromium
from tests.formats.examples import make_embeddings, make_formats

pytestmark = [
    pytest.mark.conformance,
    pytest.mark.skipif(BROWSER is None, reason="there is no Chromium here"),
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Chromium]:
    with Chromium() as found:
        yield found


@pytest.mark.parametrize("code", ["en", "ru", "ar"])
@pytest.mark.parametrize("width", [1200, 390])
def test_nothing_sticks_out(browser: Chromium, tmp_path: Path, code: str, width: int) -> None:
    for made in (make_formats, make_embeddings):
        page = tmp_path / f"{made.__name__}.html"
        page.write_text(html(made(), code, ("en", "ru", "ar")), encoding="utf-8")
        browser.open(page.as_uri(), width=width, dark=width == 390)
        found = browser.check()
        assert found.clean, found
        shown = browser.value(
            "[...document.querySelectorAll('figure > svg')]"
            ".filter((e) => getComputedStyle(e).display !== 'none').length"
        )
        assert shown == browser.value("document.querySelectorAll('figure').length")


def test_the_script_hides_lines_and_copies_code(browser: Chromium, tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    page.write_text(html(make_formats()), encoding="utf-8")
    browser.open(page.as_uri(), width=1200)
    hidden = "document.querySelectorAll('#figure-throughput g.off').length"
    assert browser.value(hidden) == 0
    browser.value("document.querySelector('#figure-throughput button.entry').click()")
    assert browser.value(hidden) == 2  # of the drawing for a desk, and of that for a phone
    browser.value("document.querySelector('#figure-throughput button.entry').click()")
    assert browser.value(hidden) == 0
    buttons = browser.value("document.querySelectorAll('.code > button').length")
    assert buttons == browser.value("document.querySelectorAll('.code').length") != 0
