"""The pages in headless Chromium: nothing sticks out in any width or theme, and nothing runs."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from huggingface_hub import HfApi

from hubkit.hub.server.embedded import EmbeddedHub
from tests.cards.browser import BROWSER, Chromium
from tests.hub_server.conftest import OWNER, USERS
from tests.hub_server.page_worlds import HOSTILE, PAGES, RICH, fill

pytestmark = pytest.mark.skipif(BROWSER is None, reason="there is no Chromium here")


@pytest.fixture(scope="module", name="world")
def _world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedHub]:
    with EmbeddedHub(tmp_path_factory.mktemp("pages") / "root", users=USERS) as hub:
        fill(hub, HfApi(hub.endpoint, token=OWNER))
        yield hub


@pytest.fixture(scope="module", name="browser")
def _browser() -> Iterator[Chromium]:
    with Chromium() as browser:
        yield browser


@pytest.mark.parametrize(("width", "dark"), [(1280, False), (390, True)])
def test_nothing_sticks_out(
    world: EmbeddedHub, browser: Chromium, width: int, *, dark: bool
) -> None:
    for page in ("/", *(f"/{RICH}{page}" for page in PAGES)):
        browser.open(world.endpoint + page, width=width, dark=dark)
        found = browser.check()
        assert found.clean, (page, found)


@pytest.mark.parametrize("width", [1280, 390])
def test_hostile_pages_stay_in_their_frame_and_run_nothing(
    world: EmbeddedHub, browser: Chromium, width: int
) -> None:
    for page in ("", "/tree/main", "/commits/main", "/branches", "/discussions/1", "/commit/main"):
        url = f"{world.endpoint}/{HOSTILE}{page}"
        browser.open(url, width=width)
        found = browser.check()
        assert not found.overflow, (page, found)
        assert browser.value("document.scripts.length") == 0
        assert browser.value("location.href") == url
        # The way home can be clicked: nothing of the card lies over it.
        assert browser.value(
            "(() => { const r = document.querySelector('.brand').getBoundingClientRect();"
            " return document.elementFromPoint(r.x + 5, r.y + 5).closest('.brand') !== null })()"
        )


def test_the_menu_of_branches_opens_without_a_script(world: EmbeddedHub, browser: Chromium) -> None:
    browser.open(f"{world.endpoint}/{RICH}/tree/main", width=390)
    # Its height tells nothing: newer browsers lay out what a closed <details> holds.
    assert browser.value("document.querySelector('.menu > div').checkVisibility()") is False
    browser.value("document.querySelector('.menu summary').click()")
    assert browser.value("document.querySelector('.menu > div').checkVisibility()") is True
    assert browser.value("document.querySelector('.menu > div').offsetHeight") > 50  # type: ignore[operator]
    assert browser.check().overflow == ()


def test_a_card_can_be_read_in_the_dark_and_on_a_phone(
    world: EmbeddedHub, browser: Chromium
) -> None:
    shades = []
    for dark in (False, True):
        browser.open(f"{world.endpoint}/{RICH}?lang=ar", width=390, dark=dark)
        shades.append(browser.value("getComputedStyle(document.body).backgroundColor"))
        assert browser.value("getComputedStyle(document.querySelector('.card')).direction") == "rtl"
        assert browser.value("document.documentElement.clientWidth") == 390
    assert shades[0] != shades[1]
