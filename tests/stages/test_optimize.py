"""The optimize stage."""

from __future__ import annotations

from pathlib import Path

import pytest

from hubkit.backends.node_patterns import read_graph
from hubkit.errors import ModelError
from hubkit.keys import files_of
from hubkit.records import Variant
from hubkit.stage import Context, find_stage
from hubkit.stages.export import ExportInput, export
from hubkit.stages.optimize import OptimizeInput, optimize
from hubkit.store import Store
from tests.stages.onnx_models import make_variant
from tests.stages.test_export import base_of
from tests.tiny import make_tiny_model


@pytest.fixture(name="exported", scope="module")
def _exported(tmp_path_factory: pytest.TempPathFactory) -> tuple[Store, Variant]:
    root = tmp_path_factory.mktemp("optimize")
    store = Store(root / "store")
    base = base_of(store, make_tiny_model(root / "base"))
    with store.scratch() as scratch:
        return store, export(ExportInput(base=base, opset=17), Context(store, scratch))


def _optimize(store: Store, given: OptimizeInput) -> Variant:
    with store.scratch() as scratch:
        made = optimize(given, Context(store, scratch))
        assert not list(scratch.iterdir())
    return made


@pytest.mark.parametrize("level", [1, 2, 99])
def test_the_variant_says_its_level_and_loads(level: int, exported: tuple[Store, Variant]) -> None:
    store, fp32 = exported
    before = files_of(store.path(fp32.artifact))
    given = OptimizeInput(fp32=fp32, level=level)  # type: ignore[arg-type]
    made = _optimize(store, given)
    assert made.name == f"onnx-fp32-opset17-O{level}"
    assert (made.format, made.precision, made.approach, made.opset) == ("onnx", "fp32", "none", 17)
    folder = store.path(made.artifact)
    assert made.size_bytes == (folder / made.model_file).stat().st_size
    assert files_of(folder).keys() == before.keys()
    assert files_of(store.path(fp32.artifact)) == before
    operators = {node.op for node in read_graph(folder / made.model_file).nodes}
    assert ("Attention" in operators) == (level > 1)
    assert ("EmbedLayerNormalization" in operators) == (level == 99)
    assert _optimize(store, given) == made


def test_progress_is_told(exported: tuple[Store, Variant]) -> None:
    store, fp32 = exported
    heard: list[tuple[str, int, int]] = []
    with store.scratch() as scratch:
        ctx = Context(store, scratch, lambda *told: heard.append(told))
        optimize(OptimizeInput(fp32=fp32, level=1), ctx)
    assert heard == [
        ("optimizing the graph, level 1", 0, 1),
        ("optimizing the graph, level 1", 1, 1),
    ]


def test_only_fp32_onnx_models_are_optimized(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    int8 = make_variant(store, "small")
    for wrong in (int8, int8.model_copy(update={"format": "pytorch", "precision": "fp32"})):
        with pytest.raises(ModelError, match="only FP32 ONNX models"):
            _optimize(store, OptimizeInput(fp32=wrong, level=1))


def test_what_cannot_be_fused_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    small = make_variant(store, "small").model_copy(update={"precision": "fp32"})
    before = sorted((store.root / "artifacts").iterdir())
    with pytest.raises(ModelError, match="finds no model_type"):
        _optimize(store, OptimizeInput(fp32=small, level=2))
    assert sorted((store.root / "artifacts").iterdir()) == before


def test_the_stage_is_found_by_its_name() -> None:
    assert find_stage("optimize") is optimize
