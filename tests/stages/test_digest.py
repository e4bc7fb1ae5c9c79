"""The digest stage."""

from __future__ import annotations

from pathlib import Path

import pytest

from hubkit.errors import ModelError
from hubkit.records import Variant
from hubkit.stage import Context, find_stage
from hubkit.stages.digest import Digest, DigestInput, digest
from hubkit.store import Store
from tests.stages.onnx_models import make_variant


@pytest.fixture(name="store")
def _store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def _digest(store: Store, variant: Variant) -> Digest:
    with store.scratch() as scratch:
        return digest(DigestInput(variant=variant), Context(store, scratch))


def test_equal_computations_have_equal_digests(store: Store) -> None:
    one, two, other = (
        make_variant(store, "one", weight=1.0),
        make_variant(store, "two", weight=1.0),
        make_variant(store, "other", weight=2.0),
    )
    first = _digest(store, one)
    assert first.nodes == 4
    assert _digest(store, two) == first
    assert _digest(store, other).nodes == 4
    assert _digest(store, other).digest != first.digest


def test_only_onnx_is_compared(store: Store) -> None:
    wrong = make_variant(store, "m").model_copy(update={"format": "pytorch"})
    with pytest.raises(ModelError, match="only the graphs of ONNX"):
        _digest(store, wrong)


def test_the_stage_is_found_by_its_name() -> None:
    assert find_stage("digest") is digest
