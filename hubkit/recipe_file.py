"""Reading recipes: by name or path, the demo laid over, every error with file, line and key."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import ValidationError

from hubkit.errors import RecipeError
from hubkit.keys import digest_of_value
from hubkit.nearest import did_you_mean
from hubkit.paths import model_cards_dir
from hubkit.recipe import DatasetSpec, LocalModel, Recipe
from hubkit.recipe_check import check_recipe
from hubkit.recipe_errors import faults_of, unknown_resets
from hubkit.recipe_notes import NOTES as NOTES
from hubkit.recipe_notes import Translation, read_notes, read_translations
from hubkit.recipe_notes import shown as shown
from hubkit.recipe_yaml import Document, Fault, Plain, dotted, read_document

RECIPE = "recipe.yaml"
PLACEHOLDER = "TODO"  # what `recipe new` writes where only the author knows


@dataclass(frozen=True)
class LoadedRecipe:
    """A valid recipe and where it came from.

    `digest` is the SHA-256 of its canonical JSON with every default written out and, with `demo`,
    the overlay applied; the overlay itself and the notes are not in it. `notes` is the author's
    prose: notes.md, or notes.demo.md with `demo` where there is one. `translations`: language ->
    what notes.LANGUAGE.md says in its place.
    """

    recipe: Recipe
    folder: Path  # of notes.md and of relative local paths
    path: Path
    digest: str
    notes: str
    translations: Mapping[str, Translation]
    demo: bool
    document: Document = field(repr=False, compare=False)


def shipped_recipes() -> tuple[str, ...]:
    """Names of the recipes that come with hubkit, sorted."""
    return tuple(sorted(p.parent.name for p in model_cards_dir().glob(f"*/{RECIPE}")))


def load_recipe(name_or_path: str, *, demo: bool = False) -> LoadedRecipe:
    """The recipe of a shipped name, a folder or a YAML file; with `demo`, its `demo:` laid over it.

    Raises RecipeError with one line `file:line: key: what` for each thing that is wrong.
    """
    path = find_recipe(name_or_path)
    document = read_document(path, shown(path), demo=demo)
    recipe = _validated(document, demo=demo)
    document.refuse((*check_recipe(recipe), *_missing_paths(recipe, path.parent)))
    return LoadedRecipe(
        recipe=recipe,
        folder=path.parent,
        path=path,
        digest=digest_of_recipe(recipe),
        notes=read_notes(path.parent, demo=demo),
        translations=read_translations(path.parent, demo=demo),
        demo=demo,
        document=document,
    )


def digest_of_recipe(recipe: Recipe) -> str:
    """SHA-256 of the recipe's canonical JSON, all defaults written out, without the overlay."""
    return digest_of_value(recipe.model_dump(mode="json", by_alias=True, exclude={"demo"}))


def find_recipe(name_or_path: str) -> Path:
    """The recipe file that a name or a path means; a shipped name goes before a folder here."""
    shipped = shipped_recipes()
    if name_or_path in shipped:
        return model_cards_dir() / name_or_path / RECIPE
    path = Path(name_or_path).expanduser()
    if path.is_dir():
        if not (path / RECIPE).is_file():
            raise RecipeError(
                f"{name_or_path}: the folder holds no {RECIPE}",
                hint=f"Give the folder of a {RECIPE}, or write one: `hubkit recipe new MODEL_ID`.",
            )
        return path / RECIPE
    if path.exists() or path.suffix in (".yaml", ".yml") or len(path.parts) > 1:
        return path
    names = ", ".join(shipped) or "none"
    raise RecipeError(
        f"{name_or_path}: unknown recipe{did_you_mean(name_or_path, shipped)}",
        hint=f"Shipped recipes: {names}. The path of a folder or a .yaml file works too.",
    )


def check_labels(loaded: LoadedRecipe, model_labels: tuple[str, ...]) -> None:
    """Raise RecipeError unless `labels` maps onto the model's labels, each of them reached."""
    given = loaded.recipe.labels
    among = ", ".join(model_labels)
    faults = [
        Fault(
            ("labels", value),
            f'"{label}" is no label of the model{did_you_mean(label, model_labels)} ({among})',
        )
        for value, label in given.items()
        if label not in model_labels
    ]
    faults += [
        Fault(("labels",), f'no value maps to the label "{label}" of the model ({among})')
        for label in model_labels
        if label not in given.values()
    ]
    loaded.document.refuse(
        tuple(faults),
        hint="labels: maps each value of the reference column to a label of the model's config.",
    )


def check_lengths(loaded: LoadedRecipe, max_positions: int) -> None:
    """Raise RecipeError where evaluation.max_length is more tokens than the model can take."""
    longest = loaded.recipe.evaluation.max_length
    if longest > max_positions:
        what = f"{longest} tokens, and the model takes at most {max_positions}"
        loaded.document.refuse((Fault(("evaluation", "max_length"), what),))


def open_points(loaded: LoadedRecipe) -> tuple[str, ...]:
    """One line `file:line: key: what` for each placeholder of `recipe new` that is still there."""
    document = loaded.document
    found = [
        Fault(loc, f'"{text}" is a placeholder: fill it in')
        for loc, text in _texts(document.data, ())
        if PLACEHOLDER in text
    ]
    return tuple(document.describe(fault) for fault in found)


def _validated(document: Document, *, demo: bool) -> Recipe:
    faults = (*document.faults, *unknown_resets(document))
    if demo and "demo" in document.data:
        faults = (*faults, Fault(("demo",), "a demo cannot hold a demo"))
    # JSON, because its strict mode takes a list for a tuple and yet no "8" for 8.
    text = json.dumps(document.data)
    try:
        recipe = Recipe.model_validate_json(text, strict=True)
    except ValidationError as error:
        # A key that could not be read is one fault, not two.
        known = {dotted(fault.loc) for fault in faults}
        more = faults_of(error.errors(include_url=False), document)
        faults = (*faults, *(fault for fault in more if dotted(fault.loc) not in known))
        document.refuse(
            faults, hint="docs/recipe.md explains every key; `hubkit recipe schema` too."
        )
        raise
    document.refuse(faults)
    return recipe


def _missing_paths(recipe: Recipe, folder: Path) -> Iterator[Fault]:
    if isinstance(recipe.base, LocalModel):
        model = folder / recipe.base.path
        if not (model / "config.json").is_file():
            yield Fault(("base", "path"), f"{recipe.base.path}: no folder with a config.json")
    if recipe.templates is not None and not (folder / recipe.templates).is_dir():
        yield Fault(("templates",), f"{recipe.templates}: no such folder")
    dataset: DatasetSpec = recipe.dataset
    if dataset.source == "local" and not (folder / dataset.path).exists():
        yield Fault(("dataset", "path"), f"{dataset.path}: no such file or folder")


def _texts(value: Plain, loc: tuple[str | int, ...]) -> Iterator[tuple[tuple[str | int, ...], str]]:
    if isinstance(value, str):
        yield loc, value
    elif isinstance(value, dict):
        for key, below in value.items():
            yield from _texts(below, (*loc, key))
    elif isinstance(value, list):
        for index, below in enumerate(value):
            yield from _texts(below, (*loc, index))
