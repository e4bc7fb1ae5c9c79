"""Cards made anew from the records beside them: whether what a reader sees is what was measured."""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import zip_longest
from pathlib import Path

from pydantic import ValidationError

import hubkit
from hubkit.cards.command import shipped_digests
from hubkit.cards.layout import RECIPE_FILE, card_path
from hubkit.errors import HubkitError, VerifyError
from hubkit.i18n import languages
from hubkit.keys import digest_of_file, digest_of_value
from hubkit.lock import tool_versions
from hubkit.provenance.bom import BOM
from hubkit.provenance.bom_check import renderer_of
from hubkit.provenance.checks import CardsCheck
from hubkit.recipe import Recipe
from hubkit.recipe_notes import NOTES, read_notes, read_translations
from hubkit.records import Lock, Report
from hubkit.stages.card import card, render_card, templates_digest

_CARD = "README.md"
_REPO_ID = re.compile(r"^hubkit publish .*--repo-id (\S+)", re.MULTILINE)
_TEMPLATES = re.compile(r"^hubkit publish .*--templates ", re.MULTILINE)


def renderer_digest() -> str:
    """The digest of all that makes a card out of its records: equal ones make equal cards."""
    package = Path(hubkit.__file__).parent
    code = [digest_of_file(package / name) for name in ("i18n.py", "stages/card.py")]
    cards = {p.name: digest_of_file(p) for p in sorted((package / "cards").glob("*.py"))}
    versions = tool_versions((*card.tools, "hubkit", "markupsafe"))
    return digest_of_value([templates_digest(), code, cards, versions, sorted(shipped_digests())])


def check_cards(
    folder: Path, sums: Mapping[str, str], lock: Lock, report: Report, repo_id: str
) -> CardsCheck:
    """Render the cards of a repository's folder anew and compare. `sums`: its SHA256SUMS.

    Raises VerifyError where the same hubkit makes other cards of the records: then somebody has
    changed one of the two.
    """
    if RECIPE_FILE not in sums or _CARD not in sums:
        return CardsCheck(reason=f"it has no {RECIPE_FILE} or no {_CARD}")
    text = _read(folder / _CARD)
    try:
        recipe = Recipe.model_validate_json((folder / RECIPE_FILE).read_bytes(), strict=True)
        if recipe.templates is not None or _TEMPLATES.search(text):
            return CardsCheck(reason="its author has templates of their own")
        named = _REPO_ID.search(text)
        name = named[1] if named else recipe.publication.repo_id or repo_id
        wanted = _cards(folder, sums, recipe, lock, report, name)
    except (ValidationError, HubkitError, UnicodeDecodeError) as error:
        what = str(error).splitlines()[0]
        return CardsCheck(reason=f"they cannot be rendered by this hubkit ({what})")
    found = {path: _first_difference(_read(folder / path), new) for path, new in wanted.items()}
    other = tuple(f"{path}, line {line}" for path, line in found.items() if line is not None)
    same = tuple(path for path, line in found.items() if line is None)
    if not other:
        return CardsCheck(same=same)
    if BOM in sums and renderer_of(_read(folder / BOM)) == renderer_digest():
        raise VerifyError(
            f"{other[0]}: the card is not what its records say",
            hint="Somebody has changed the card or the records: publish again to put them right.",
        )
    return CardsCheck(same=same, other=other, reason="they were rendered by another hubkit")


def _cards(
    folder: Path,
    sums: Mapping[str, str],
    recipe: Recipe,
    lock: Lock,
    report: Report,
    repo_id: str,
) -> dict[str, str]:
    """Path -> text, of each card that is listed and that the recipe wants."""
    own = recipe.publication.card_languages
    more = tuple(code for code in languages() if code not in own)
    all_ = (*own, *(code for code in more if card_path(code, primary=own[0]) in sums))
    # What is not listed is its author's own, whatever it is called.
    notes = read_notes(folder, demo=False) if NOTES in sums else ""
    translations = read_translations(folder, demo=False)
    return {
        card_path(code, primary=own[0]): render_card(
            recipe,
            notes,
            lock,
            report,
            repo_id,
            translation=translations.get(code) if f"notes.{code}.md" in sums else None,
            language=code,
            languages=all_,
        )
        for code in all_
    }


def _first_difference(there: str, wanted: str) -> int | None:
    pairs = zip_longest(there.split("\n"), wanted.split("\n"))
    return next((number for number, (a, b) in enumerate(pairs, 1) if a != b), None)


def _read(path: Path) -> str:
    return path.read_bytes().decode("utf-8", errors="replace") if path.is_file() else ""
