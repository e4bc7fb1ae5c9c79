"""A context for the stage that writes the report's folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from hubkit.stage import Context
from hubkit.store import Store


@pytest.fixture
def ctx(tmp_path: Path) -> Iterator[Context]:
    store = Store(tmp_path)
    with store.scratch() as scratch:
        yield Context(store, scratch)
