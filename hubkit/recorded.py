"""A publication read back from its files: what a card is made from, with no model and no Hub."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from pydantic import ValidationError

from hubkit.cards.layout import RECIPE_FILE, card_path
from hubkit.errors import DataError
from hubkit.hub.manifest import SUMS
from hubkit.recipe import Recipe
from hubkit.recipe_file import LoadedRecipe, digest_of_recipe, load_recipe, shown
from hubkit.recipe_notes import read_notes, read_translations
from hubkit.recipe_yaml import read_document
from hubkit.records import Lock, Record, Report

if TYPE_CHECKING:  # it knows all stages; a folder without records is looked at in no time
    from hubkit.measuring import Measured

R = TypeVar("R", bound=Record)

LOCK_FILE, RESULTS_FILE, CARD_FILE = "lock.json", "results.json", "README.md"
_CARDS = re.compile(r"README(?:\.[a-z]{2,3}(?:_[A-Za-z]+)*)?\.md")
# How the card says under which name it was published, where the recipe does not: in its command.
_REPO_ID = re.compile(r"^hubkit publish .*--repo-id (\S+)$", re.MULTILINE)


@dataclass(frozen=True)
class Recorded:
    """The recipe and the records of a publication, and its cards as they lie there, by path."""

    loaded: LoadedRecipe
    measured: Measured
    cards: dict[str, str]

    def repo_id(self) -> str | None:
        """The repository that the cards were written for; None where nothing tells."""
        named = _REPO_ID.search(self.cards.get(CARD_FILE, ""))
        return named[1] if named else self.loaded.recipe.publication.repo_id

    def languages(self) -> tuple[str, ...]:
        """The languages of the cards: those of the recipe, and others that lie there too."""
        from hubkit.i18n import languages

        own = self.loaded.recipe.publication.card_languages
        more = (code for code in languages() if code not in own)
        return (*own, *(code for code in more if card_path(code, primary=own[0]) in self.cards))


def is_bundle(target: str) -> bool:
    """Whether a command's target is a folder that `hubkit card --output` wrote."""
    folder = Path(target)
    return (folder / SUMS).is_file() and (folder / RECIPE_FILE).is_file()


def is_card(path: str) -> bool:
    """Whether a file at the root of a repository is a card, in whatever language."""
    return _CARDS.fullmatch(path) is not None


def load_bundle(folder: Path) -> LoadedRecipe:
    """The recipe of a bundle, as it was used; of what was local it may lack the files.

    Raises RecipeError where it is none.
    """
    path = folder / RECIPE_FILE
    document = read_document(path, shown(path))
    try:
        recipe = Recipe.model_validate_json(path.read_bytes(), strict=True)
    except ValidationError:
        load_recipe(str(path))  # which says what is wrong in the words of the file
        raise
    return LoadedRecipe(
        recipe=recipe,
        folder=folder,
        path=path,
        digest=digest_of_recipe(recipe),
        notes=read_notes(folder, demo=False),
        translations=read_translations(folder, demo=False),
        demo=False,
        document=document,
    )


def read_records(loaded: LoadedRecipe, folder: Path) -> Recorded | None:
    """The records and the cards of a folder; None where it has not both.

    Raises DataError where a file does not hold what its name says.
    """
    if not all((folder / name).is_file() for name in (LOCK_FILE, RESULTS_FILE)):
        return None
    from hubkit.measuring import Measured
    from hubkit.preparing import Material

    lock, report = _read(folder / LOCK_FILE, Lock), _read(folder / RESULTS_FILE, Report)
    if report.selection is None:
        raise DataError(f"{shown(folder / RESULTS_FILE)}: nothing was selected for publication")
    material = Material(lock, report.base, report.dataset, report.encoded, calibration=None)
    cards = {
        path.name: path.read_bytes().decode("utf-8", errors="replace")
        for path in sorted(folder.glob("README*.md"))
        if is_card(path.name)
    }
    return Recorded(loaded, Measured(material, report, report.selection), cards)


def _read(path: Path, kind: type[R]) -> R:
    try:
        return kind.model_validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(step) for step in first["loc"])
        raise DataError(
            f"{shown(path)}: not a {path.name} of this hubkit ({where or 'JSON'}: {first['msg']})",
            hint="Run `hubkit card RECIPE --output DIR`, which writes the records anew.",
        ) from error
