"""`hubkit tune`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from hubkit.cli.options import Again, Demo, Endpoint, FormatOption, interruptible
from hubkit.errors import UsageError
from hubkit.nearest import did_you_mean
from hubkit.output import output

if TYPE_CHECKING:
    from hubkit.recipe_inc import IncConfig
    from hubkit.recipe_tune import Objective, TargetName
    from hubkit.tuning_pipeline import Tuned

T = TypeVar("T", bound=str)

FromConfig = Annotated[
    Path | None,
    typer.Option(
        "--from",
        metavar="FILE",
        help="A configuration of Neural Compressor, in YAML or in Python.",
        show_default=False,
    ),
]


@interruptible
def tune(
    target: Annotated[
        str | None,
        typer.Argument(
            metavar="RECIPE",
            help="A shipped recipe's name, a recipe file, or its folder.",
            show_default=False,
        ),
    ] = None,
    config: FromConfig = None,
    objective: Annotated[
        str | None,
        typer.Option(
            "--objective",
            metavar="fastest|smallest|most-faithful",
            help="What is looked for; default: what the recipe prefers.",
            show_default=False,
        ),
    ] = None,
    serve_on: Annotated[
        str | None,
        typer.Option(
            "--target",
            metavar="avx2|avx512|avx512_vnni|amx|arm64",
            help="The CPU that will serve; default: this one.",
            show_default=False,
        ),
    ] = None,
    timeout: Annotated[
        float | None,
        typer.Option(
            "--timeout",
            metavar="SECONDS",
            min=0,
            help="Take the best so far then; 0: stop at the first that meets the criterion.",
            show_default=False,
        ),
    ] = None,
    max_trials: Annotated[
        int | None,
        typer.Option(
            "--max-trials",
            metavar="N",
            min=1,
            help="Make so many models at most.",
            show_default=False,
        ),
    ] = None,
    into: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="DIR",
            help="Where model and report go; default: NAME-tune here.",
            show_default=False,
        ),
    ] = None,
    demo: Demo = False,
    endpoint: Endpoint = None,
    again: Again = None,
    format_: FormatOption = "human",
) -> None:
    """Search for the best INT8 model that keeps the accuracy, and write it with its report.

    What is finished is kept: the same command goes on where a killed one was. Exit code 3: no trial
    meets the criterion; the best so far is written all the same.
    """
    from hubkit.cli.show_tune import show_tuned
    from hubkit.recipe_file import shipped_recipes
    from hubkit.recipe_inc import read_inc_config
    from hubkit.recipe_tune import OBJECTIVES, TARGETS
    from hubkit.tuning_pipeline import Wanted, recipe_named
    from hubkit.tuning_pipeline import tune as run

    named = "most-faithful" if objective == "faithful" else objective
    wanted: Objective | None = _chosen("--objective", named, OBJECTIVES)
    served: TargetName | None = _chosen("--target", serve_on, TARGETS)
    given: IncConfig | None = read_inc_config(config) if config else None
    if target is None:
        if given is None:
            raise UsageError("no recipe is named", hint="hubkit tune RECIPE")
        target = recipe_named(given, shipped_recipes())
    with output().steps() as steps:
        tuned: Tuned = run(
            target,
            output=into,
            wanted=Wanted(given, wanted, served, timeout, max_trials),
            demo=demo,
            endpoint=endpoint,
            again=again or (),
            listener=steps,
        )
    show_tuned(tuned)


def _chosen(option: str, value: str | None, known: tuple[T, ...]) -> T | None:
    if value is None:
        return None
    for one in known:
        if one == value:
            return one
    raise UsageError(
        f"{option} {value}: no such{did_you_mean(value, known)}",
        hint=f"Use one of {', '.join(known)}.",
    )
