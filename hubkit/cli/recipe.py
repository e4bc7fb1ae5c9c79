"""`hubkit recipe`: write, check and list recipes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from hubkit.cli.options import Endpoint, FormatOption, Target
from hubkit.output import output

if TYPE_CHECKING:
    from hubkit.output import Json

app = typer.Typer(
    help="Write, check and list recipes, the input of a publication.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@app.command()
def new(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL_ID", help="A model on the Hub, or a model folder.", show_default=False
        ),
    ],
    folder: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="DIR", help="Where to; default: ./NAME.", show_default=False
        ),
    ] = None,
    endpoint: Endpoint = None,
    style: FormatOption = "human",
) -> None:
    """Write a commented recipe.yaml and notes.md for a model, filled in as far as it tells."""
    from hubkit.recipe_file import load_recipe, open_points, shown
    from hubkit.recipe_new import new_recipe

    made = new_recipe(model, output=folder, endpoint=endpoint)
    if made.unreachable:
        output().warn(f"{made.unreachable}: labels and licence are placeholders to fill in")
    points = open_points(load_recipe(str(made.path)))
    for point in points:
        output().info(point)
    output().info(f"next: hubkit recipe validate {shown(made.path.parent)}")
    files = [shown(made.path), shown(made.notes)]
    report: Json = {"files": files, "open": list(points), "unreachable": made.unreachable or None}
    output().data(report if output().style == "json" else "\n".join(files))


@app.command()
def validate(
    recipe: Target,
    demo: Annotated[
        bool, typer.Option("--demo", help="Check only what --demo makes of it.")
    ] = False,
    style: FormatOption = "human",
) -> None:
    """Check a recipe; every fault with file, line, key and the nearest valid one.

    Without --demo, a recipe that has a demo: is checked both ways.
    """
    from hubkit.recipe_file import load_recipe, open_points, shown

    loaded = load_recipe(recipe, demo=demo)
    if loaded.recipe.demo is not None:
        load_recipe(recipe, demo=True)
    points = open_points(loaded)
    for point in points:
        output().warn(point)
    path = shown(loaded.path)
    report: Json = {
        "recipe": loaded.recipe.name,
        "path": path,
        "demo": demo,
        "digest": loaded.digest,
        "open": list(points),
    }
    left = f", with {len(points)} placeholders to fill in" if points else ""
    output().data(report if output().style == "json" else f"{path}: valid{left}")


@app.command()
def schema() -> None:
    """Print the JSON Schema of a recipe file, for editors."""
    from hubkit.recipe_schema import recipe_schema

    output().data(cast("Json", recipe_schema()))


@app.command("list")
def list_recipes(style: FormatOption = "human") -> None:
    """List the shipped recipes."""
    from hubkit.recipe_file import load_recipe, shipped_recipes

    recipes = [load_recipe(name).recipe for name in shipped_recipes()]
    rows = [
        (r.name, r.task, r.base.path if r.base.source == "local" else r.base.id, r.dataset.path)
        for r in recipes
    ]
    headers = ("name", "task", "base", "dataset")
    if output().style == "json":
        output().data([dict(zip(headers, row, strict=True)) for row in rows])
    else:
        output().data("\n".join("  ".join(row) for row in rows))
