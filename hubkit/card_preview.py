"""A local preview of the cards that looks like the Hub's page: static HTML, one file a card."""

from __future__ import annotations

import json
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import quote

from hubkit.deps import require
from hubkit.errors import HubkitError
from hubkit.records import CardSet, CardText

HUB = "https://huggingface.co"
MANIFEST = ".hubkit-preview.json"
"""Names the files of a preview in its folder, so that the next one removes those and no other."""

_IMAGES = frozenset({".png", ".jpg", ".jpeg", ".gif", ".webp", ".svg"})


@dataclass(frozen=True)
class _Page:
    """A card and the link to its HTML file."""

    path: str
    language: str
    file: str

    @property
    def html(self) -> str:
        return quote(self.file)


def write_preview(cards: CardSet, assets: Path | None, folder: Path, repo_id: str) -> Path:
    """The HTML file of the first card, written in `folder` beside those of the others.

    `assets` is a folder with images under `assets/`: they are copied. Each file is written beside
    its place and renamed, and what an earlier preview wrote there and this one does not, is
    removed. Raises MissingDependencyError without hubkit's extra `hub`, HubkitError.
    """
    require("hubkit.hub.server.markdown", extra="hub")
    pages = {card.path: _page(card) for card in cards.cards}
    images = _images(assets)
    files = {page.file: b"" for page in pages.values()} | images
    if len(files) < len(cards.cards) + len(images):
        raise HubkitError("two cards, or a card and an image, have the same name")
    files |= _html(cards, pages, images, repo_id)
    _write(folder, files)
    return folder / pages[cards.cards[0].path].file


def _page(card: CardText) -> _Page:
    path = PurePosixPath(card.path)
    # "." and ".." have no suffix; a name with a folder or a backslash would leave the preview's.
    if path.name != card.path or path.suffix.lower() != ".md" or "\\" in card.path:
        raise HubkitError(f"{card.path!r} is not the name of a card", hint="name it README.md")
    return _Page(card.path, card.language, f"{path.stem}.html")


def _images(assets: Path | None) -> dict[str, bytes]:
    """The images under assets/, by their path in the repository."""
    if assets is None:
        return {}
    found = sorted(p for p in (assets / "assets").rglob("*") if p.suffix.lower() in _IMAGES)
    return {p.relative_to(assets).as_posix(): p.read_bytes() for p in found if p.is_file()}


def _html(
    cards: CardSet, pages: dict[str, _Page], images: dict[str, bytes], repo_id: str
) -> dict[str, bytes]:
    from hubkit.hub.server.cards import parse_card, tags_of
    from hubkit.hub.server.markdown import render_linked, repo_path
    from hubkit.hub.server.results import results_of
    from hubkit.hub.server.templates import page_text

    def local(value: str) -> str | None:
        """The preview's own file that a relative link means."""
        found = repo_path(value, "")
        if found is None:
            return None
        path, fragment = found
        if path in pages:
            return pages[path].html + fragment
        return quote(path) + fragment if path in images else None

    def page_of(value: str) -> str | None:
        if (here := local(value)) is not None:
            return here
        if value.startswith("/"):
            return None if value.startswith(("//", "/\\")) else HUB + value
        found = repo_path(value, "")
        if found is None:
            return value if _leaves(value) else None
        return f"{HUB}/{quote(repo_id)}/blob/main/{quote(found[0])}{found[1]}"

    def file_of(value: str) -> str | None:
        if _leaves(value):
            return value
        found = repo_path(value, "")
        # An image that is not there stays a broken one: that is for the author to see.
        return local(value) or (quote(found[0]) if found else None)

    # As on the Hub, the tags and results are those of README.md, whichever card is first.
    main = next((card for card in cards.cards if card.path == "README.md"), cards.cards[0])
    front = parse_card(main.text).data
    namespace, _, name = repo_id.rpartition("/")
    written = {}
    for card in cards.cards:
        parsed = parse_card(card.text)
        here = pages[card.path]
        text = page_text(
            "preview",
            title=f"{repo_id} · {card.path}",
            namespace=namespace,
            name=name,
            tags=[tag for tag in tags_of(front) if tag != "region:us"],
            results=results_of(front),
            errors=parsed.errors,
            front=parsed.front,
            pages=list(pages.values()),
            here=here,
            card=render_linked(parsed.body, page_of=page_of, file_of=file_of),
        )
        written[here.file] = text.encode("utf-8")
    return written


def _leaves(value: str) -> bool:
    """Whether a link has a scheme or is an anchor of the page: it stays as it is."""
    return value.startswith("#") or ":" in value.split("/", 1)[0]


def _write(folder: Path, files: dict[str, bytes]) -> None:
    from hubkit.hub.server.disk import write_atomic

    if folder.exists() and not folder.is_dir():
        raise HubkitError(f"{folder} is not a folder", hint="give another path for the preview")
    folder.mkdir(parents=True, exist_ok=True)
    before = _before(folder)
    # Before anything is written, so that a preview cut short leaves no file that nobody owns.
    write_atomic(folder / MANIFEST, _manifest({*before, *files}))
    for path, data in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        write_atomic(folder / path, data)
    for path in sorted(before - set(files)):
        (folder / path).unlink(missing_ok=True)
        # Folders that are empty now go too; one that holds another's file stays.
        with suppress(OSError):
            for parent in list(PurePosixPath(path).parents)[:-1]:
                (folder / parent).rmdir()
    write_atomic(folder / MANIFEST, _manifest(files))


def _manifest(files: Iterable[str]) -> bytes:
    return json.dumps({"files": sorted(files)}, ensure_ascii=False, indent=1).encode() + b"\n"


def _before(folder: Path) -> set[str]:
    """The files of the earlier preview; of the manifest's names only those that stay inside."""
    try:
        found = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))["files"]
    except (OSError, ValueError, KeyError, TypeError):
        return set()
    names = [name for name in found if isinstance(name, str)] if isinstance(found, list) else []
    return {name for name in names if _is_inside(folder, name)}


def _is_inside(folder: Path, name: str) -> bool:
    path = folder / name
    if path.is_dir() or ".." in PurePosixPath(name).parts or name.startswith("/"):
        return False
    return path.parent.resolve().is_relative_to(folder.resolve())
