"""How to make a publication again: the command, and what has to lie beside it."""

from __future__ import annotations

import shlex
from collections.abc import Collection
from dataclasses import dataclass
from functools import lru_cache
from pathlib import PurePath

from hubkit.cards.layout import RECIPE_FILE
from hubkit.recipe import Recipe
from hubkit.recipe_file import load_recipe, shipped_recipes
from hubkit.records import Lock


@dataclass(frozen=True)
class Again:
    """The command that makes a publication again; `beside`: names of what was local and has to lie
    beside recipe.json."""

    command: str
    shipped: bool  # the recipe comes with hubkit, and its name is enough
    beside: tuple[str, ...]


@lru_cache(maxsize=1)
def shipped_digests() -> tuple[str, ...]:
    """Digests of the recipes that come with hubkit, each alone and, where it has one, as a demo."""
    found = set()
    for name in shipped_recipes():
        loaded = load_recipe(name)
        found.add(loaded.digest)
        if loaded.recipe.demo is not None:
            found.add(load_recipe(name, demo=True).digest)
    return tuple(sorted(found))


def again(
    recipe: Recipe,
    lock: Lock,
    repo_id: str,
    shipped: Collection[str],
    templates: str | None = None,
) -> Again:
    """A shipped recipe is named; any other is the recipe.json of the repository, whose demo keys
    are laid over it already. `templates`: name of the folder that --templates named."""
    known = lock.recipe_digest in shipped
    words = ["hubkit", "publish", recipe.name if known else RECIPE_FILE]
    words += ["--demo"] if known and lock.demo else []
    words += ["--repo-id", repo_id] if repo_id != recipe.publication.repo_id else []
    words += ["--templates", templates] if templates else []
    local = [source.id for source in (lock.base, lock.dataset) if source.source == "local"]
    local += [PurePath(recipe.templates).name] if recipe.templates else []
    beside = [*([] if known else local), *([templates] if templates else [])]
    return Again(shlex.join(words), known, tuple(dict.fromkeys(beside)))
