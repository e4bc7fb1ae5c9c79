"""Toy stages that a worker process finds by module and attribute."""

from __future__ import annotations

import os
import time

from hubkit.errors import DataError, ModelError, RecipeError
from hubkit.records import Artifact, Record
from hubkit.stage import Context, stage

_HERE = "tests.stages_for_tests"


class Given(Record):
    text: str
    fail: str = ""


class Made(Record):
    artifact: Artifact
    pid: int


@stage(f"{_HERE}:write", version=1, kind="heavy", takes=Given, gives=Made)
def write(given: Given, ctx: Context) -> Made:
    """Writes the text into an artifact, or fails as it is told to."""
    print("a library that prints on stdout")  # noqa: T201 - that is what is tested
    ctx.progress("writing", 1, 2)
    if given.fail == "model":
        raise ModelError("no such layer", hint="look at the layers")
    if given.fail == "path":
        raise ModelError(f"no such file: {ctx.scratch / 'weights.bin'}")
    if given.fail == "recipe":
        raise RecipeError("recipe.yaml:3: no such node")
    if given.fail == "data":
        raise DataError("no rows")
    if given.fail == "bug":
        raise ZeroDivisionError("oops")
    if given.fail == "die":
        os.kill(os.getpid(), 9)
    if given.fail == "slow":
        time.sleep(60)
    if given.fail == "orphan":  # which has all pipes of this process
        orphan = os.fork()
        if not orphan:
            time.sleep(60)
            os._exit(0)
        given = given.model_copy(update={"text": str(orphan)})
    folder = ctx.scratch / "out"
    folder.mkdir()
    (folder / "text.txt").write_text(given.text, encoding="utf-8")
    return Made(artifact=ctx.store.adopt(folder), pid=os.getpid())


@stage(f"{_HERE}:inline", version=1, kind="pure", takes=Given, gives=Given)
def inline(given: Given, ctx: Context) -> Given:
    """Gives back what it was given."""
    return given


@stage(f"{_HERE}:steps", version=1, kind="measured", takes=Given, gives=Given)
def steps(given: Given, ctx: Context) -> Given:
    """Writes a line of its journal a step, until there are three or it is told to fail."""
    journal = ctx.journal
    assert journal is not None
    before = journal.read_text(encoding="utf-8") if journal.is_file() else ""
    for number in range(len(before.splitlines()), 3):
        if given.fail and number == 2 and not before:
            raise ModelError("stopped in the middle")
        with journal.open("a", encoding="utf-8") as file:
            file.write(f"{number}\n")
    return Given(text=f"{len(before.splitlines())} steps were there")
