"""Homes for end-to-end runs: fresh in everything but the demo's base model, which is built once."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from hubkit.demo.stage import build_demo, build_input
from hubkit.hub.server.embedded import EmbeddedHub
from hubkit.pipeline import running
from hubkit.recipe import BuiltModel
from hubkit.recipe_file import load_recipe
from hubkit.stages.seed import seed_hub
from hubkit.store import Store


def warm_home(folder: Path, name: str = "distilbert-sst2") -> Path:
    """A new HUBKIT_HOME in which only that recipe's base model and its dataset are kept, and on the
    Hub what may be there; it is built first where it is nowhere. Copies of a home have the same
    commits on their Hubs."""
    recipe = load_recipe(name, demo=True).recipe
    assert isinstance(recipe.base, BuiltModel)
    with running() as run:
        given = build_input(recipe.base.builder)
        built = run.run(build_demo, given, subject=recipe.base.builder)
        key, source = run.key(build_demo, given), run.store
    target = Store(folder / "store")
    for artifact in (built.model, built.dataset):
        with target.scratch() as scratch:
            shutil.copytree(source.path(artifact), scratch / "copy")
            assert target.adopt(scratch / "copy") == artifact
    target.put_record(key, built)
    with EmbeddedHub(folder / "hub") as hub:
        ids = recipe.base.id, recipe.dataset.path
        seed_hub(hub.endpoint, hub.token, built, *ids, target)
    return folder


@contextmanager
def hub_of(home: Path) -> Iterator[None]:
    """Ends the Hub that a demo run leaves running below a home."""
    try:
        yield
    finally:
        with suppress(OSError, ValueError, KeyError):
            state = json.loads((home / "hub" / "server.json").read_text())
            os.kill(state["pid"], signal.SIGTERM)


def environment(home: Path) -> dict[str, str]:
    """The environment of a user with that home and nothing else of the Hub's."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "HUBKIT_"))}
    return {**kept, "HUBKIT_HOME": str(home), "HF_HOME": str(home / "hf")}
