"""Tiny worlds: made once, then copied for each test."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from hubkit.hub.server.embedded import EmbeddedHub
from tests.e2e_small.worlds import USERS, World, labelled, sentences, write_csv
from tests.hub_client.hubs import Switchboard
from tests.tiny import make_tiny_model

ROWS = 60


@pytest.fixture(scope="session", name="template")
def _template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder recipe/ with a model, data and a recipe, which no test changes."""
    root = tmp_path_factory.mktemp("template")
    model = make_tiny_model(root / "recipe" / "model")
    for split, seed in (("train", 1), ("validation", 2)):
        rows = labelled(model, sentences(5 * ROWS, seed), ROWS)
        write_csv(root / "recipe" / "data" / f"{split}.csv", rows)
    return root


@pytest.fixture(scope="session", name="switch")
def _switch() -> Switchboard:
    return Switchboard()


@pytest.fixture(scope="session", name="server")
def _server(tmp_path_factory: pytest.TempPathFactory, switch: Switchboard) -> Iterator[EmbeddedHub]:
    with EmbeddedHub(tmp_path_factory.mktemp("hub"), USERS, faults=switch) as server:
        yield server


@pytest.fixture(name="fresh")
def _fresh(
    template: Path,
    server: EmbeddedHub,
    switch: Switchboard,
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> Iterator[World]:
    """A world with nothing computed, and a repository of its own that is not there yet."""
    shutil.copytree(template, tmp_path / "world")
    name = "".join(c if c.isalnum() else "-" for c in request.node.name)[:60].strip("-")
    world = World(tmp_path / "world", server, switch, repo=f"writer/{name}")
    world.write()
    switch.heal()
    yield world
    switch.heal()


@pytest.fixture(scope="session", name="published")
def _published(
    template: Path,
    server: EmbeddedHub,
    switch: Switchboard,
    tmp_path_factory: pytest.TempPathFactory,
) -> World:
    """A world that was published once; no test changes it."""
    root = tmp_path_factory.mktemp("published") / "world"
    shutil.copytree(template, root)
    world = World(root, server, switch)
    world.write()
    switch.heal()
    done = world.publish()
    assert done.code == 0, done.out + done.err
    return world


@pytest.fixture(name="warm")
def _warm(published: World, fresh: World) -> World:
    """A world with every heavy stage kept, and nothing on the Hub."""
    shutil.copytree(published.home, fresh.home)
    return fresh
