"""The author's prose beside a recipe: notes.md, and notes.LANGUAGE.md in other languages."""

from __future__ import annotations

import json
import re
from pathlib import Path

from pydantic import ValidationError

from hubkit.recipe_card import CardData, Part
from hubkit.recipe_errors import faults_of
from hubkit.recipe_yaml import parse_document, read_text

NOTES, DEMO_NOTES = "notes.md", "notes.demo.md"
_TRANSLATED = re.compile(r"^notes(?P<demo>\.demo)?\.(?P<language>[a-z]{2,3}(_[A-Za-z]+)*)\.md$")
_FRONT = re.compile(r"\A---[ \t]*\n(?P<yaml>.*?)^---[ \t]*(?:\n|\Z)", re.DOTALL | re.MULTILINE)


class Translation(Part):
    """What a notes.LANGUAGE.md says: its prose, and in its front matter the keys of the recipe's
    `card:` that it has in that language."""

    text: str = ""
    card: CardData = CardData()
    file: str = ""  # the whole file, as it was read


def read_notes(folder: Path, *, demo: bool) -> str:
    """The author's prose in English; "" where there is none."""
    names = (DEMO_NOTES, NOTES) if demo else (NOTES,)
    found = (folder / name for name in names if (folder / name).is_file())
    path = next(found, None)
    return read_text(path, shown(path)) if path else ""


def read_translations(folder: Path, *, demo: bool) -> dict[str, Translation]:
    """Language -> what its notes file says, by language. With `demo` the notes.demo.LANGUAGE.md,
    where there is a notes.demo.md. Raises RecipeError with file, line and key."""
    wanted = demo and (folder / DEMO_NOTES).is_file()
    found = {}
    for path in sorted(folder.glob("notes.*.md")):
        match = _TRANSLATED.match(path.name)
        if match and match["language"] != "demo" and bool(match["demo"]) is wanted:
            found[match["language"]] = _translation(path)
    return found


def _translation(path: Path) -> Translation:
    label = shown(path)
    text = read_text(path, label).replace("\r\n", "\n")
    front = _FRONT.match(text)
    if front is None:
        return Translation(text=text, file=text)
    card = CardData()
    if front["yaml"].strip():
        # The line of the first `---` stays, so that lines in errors are those of the file.
        document = parse_document("\n" + front["yaml"], label)
        try:
            card = CardData.model_validate_json(json.dumps(document.data), strict=True)
        except ValidationError as error:
            document.refuse(
                (
                    *document.faults,
                    *faults_of(error.errors(include_url=False), document, CardData),
                ),
                hint="The keys are those below `card:` in the recipe; docs/recipe.md has them.",
            )
            raise
        document.refuse(document.faults)
    return Translation(text=text[front.end() :], card=card, file=text)


def shown(path: Path) -> str:
    """A path as the user knows it: relative where it is below the working folder."""
    try:
        return path.resolve().relative_to(Path.cwd()).as_posix()
    except ValueError:
        return str(path)
