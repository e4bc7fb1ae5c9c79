"""Look at cards as the Hub would show them: `python -m tests.cards.screenshots CARDS_DIR OUT_DIR`.

CARDS_DIR holds README.md, its translations README.<lang>.md and assets/. OUT_DIR gets the preview's
HTML under html/ and, of each card, PNGs for each of light and dark, desktop and phone; on standard
output goes what is wrong with the pages: what sticks out of the window, images that do not load,
anchors that lead nowhere. Exit code 1 if there is anything. With `--hub` the folder is pushed to an
embedded Hub and its pages are looked at, in place of the preview.

Chinese and Japanese need a font that has them (Debian: fonts-noto-cjk), else boxes are shown;
fonts-noto-core has the Arabic that most readers will see.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from hubkit.card_preview import write_preview
from hubkit.records import CardSet, CardText
from tests.cards.browser import Chromium

WIDTHS = (1280, 390)
PART = 8000  # px of a page in one PNG; Chromium's own limit is 16,384
REPO = "example/preview"


def cards_of(folder: Path) -> CardSet:
    """The cards in a folder, README.md first."""
    found = sorted(folder.glob("README*.md"), key=lambda path: (len(path.name), path.name))
    return CardSet(
        cards=tuple(
            CardText(
                path=path.name,
                language=path.name[7:-3] or "en",
                text=path.read_text(encoding="utf-8"),
            )
            for path in found
        )
    )


def previewed(folder: Path, out: Path) -> dict[str, str]:
    """Card -> address of its page in a preview under `out`."""
    cards = cards_of(folder)
    write_preview(cards, folder, out / "html", REPO)
    paths = [card.path[:-3] for card in cards.cards]
    return {path: (out / "html" / f"{path}.html").resolve().as_uri() for path in paths}


@contextmanager
def served(folder: Path) -> Iterator[dict[str, str]]:
    """Card -> address of its page on an embedded Hub that runs until the block ends."""
    from huggingface_hub import HfApi

    from hubkit.hub.server.embedded import EmbeddedHub

    users: dict[str, dict[str, object]] = {"example": {"token": "hf_screenshots"}}
    with (
        tempfile.TemporaryDirectory() as root,
        EmbeddedHub(Path(root) / "hub", users=users) as hub,
    ):
        api = HfApi(endpoint=hub.endpoint, token="hf_screenshots")
        api.create_repo(REPO)
        api.upload_folder(repo_id=REPO, folder_path=folder)
        pages = {"hub": f"{hub.endpoint}/{REPO}"}
        for card in cards_of(folder).cards:
            pages[f"hub.{card.path[:-3]}"] = f"{hub.endpoint}/{REPO}/blob/main/{card.path}"
        yield pages


def look(pages: Iterable[tuple[str, str]], out: Path) -> int:
    """How many pictures show a page with something wrong."""
    bad = 0
    with Chromium() as browser:
        for name, url in pages:
            for width in WIDTHS:
                for theme in ("light", "dark"):
                    browser.open(url, width=width, dark=theme == "dark")
                    found = browser.check()
                    picture = f"{name}.{width}.{theme}"
                    for part, top in enumerate(range(0, found.height, PART), start=1):
                        browser.picture(out / f"{picture}.{part}.png", top=top, height=PART)
                    bad += not found.clean
                    sys.stdout.write(f"{picture}: {'clean' if found.clean else found}\n")
    return bad


def main(folder: Path, out: Path, *, hub: bool) -> int:
    """Pictures of every card in `out`; 1 if anything is wrong with one."""
    out.mkdir(parents=True, exist_ok=True)
    if not hub:
        return min(1, look(previewed(folder, out).items(), out))
    with served(folder) as pages:
        return min(1, look(pages.items(), out))


if __name__ == "__main__":
    words = [word for word in sys.argv[1:] if word != "--hub"]
    if len(words) != 2:
        raise SystemExit(__doc__)
    raise SystemExit(main(Path(words[0]), Path(words[1]), hub="--hub" in sys.argv))
