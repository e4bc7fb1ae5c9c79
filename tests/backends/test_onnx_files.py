"""Models above 2 GB have their weights beside the file; here small ones have."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from hubkit.backends import onnx_files, quantizer_for
from hubkit.backends.activation_statistics import gather_statistics
from hubkit.recipe import OnnxBlockwise, OnnxDynamic, OnnxFloat16, OnnxStatic, VariantSpec

if TYPE_CHECKING:
    from hubkit.backends.base import Arrays

SPECS: tuple[VariantSpec, ...] = (
    OnnxDynamic(kind="onnx-dynamic"),
    OnnxDynamic(kind="onnx-dynamic", per_channel=False),
    OnnxStatic(kind="onnx-static"),
    OnnxBlockwise(kind="onnx-blockwise", block_size=16),
    OnnxFloat16(kind="onnx-float16"),
)


@pytest.fixture(scope="module", name="large")
def _large(exports: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny BERT as the exporter writes models above 2 GB."""
    import onnx

    folder = shutil.copytree(exports["bert"], tmp_path_factory.mktemp("large") / "model")
    model = onnx.load(str(folder / "model.onnx"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(onnx_files, "MOST_BYTES", 1)
        onnx_files.save(model, folder / "model.onnx")
    assert [one.name for one in onnx_files.weights_beside(folder / "model.onnx")] == [
        "model.onnx_data"
    ]
    return folder


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: f"{spec.kind}-{len(str(spec))}")
def test_quantizers_make_the_same_of_it(
    spec: VariantSpec,
    large: Path,
    exports: dict[str, Path],
    batches: dict[str, list[Arrays]],
    tmp_path: Path,
) -> None:
    learnt = batches["bert"] if isinstance(spec, OnnxStatic) else []
    found = []
    for source in (large, exports["bert"]):
        output = tmp_path / source.parent.name / "int8"
        output.parent.mkdir()
        assert quantizer_for(spec).quantize(source, output, spec, learnt).nodes_quantized
        assert sorted(one.name for one in output.glob("model.onnx*")) == ["model.onnx"]
        found.append(_logits(output, batches["bert"][0]))
    assert np.array_equal(found[0], found[1])


def _logits(folder: Path, batch: Arrays) -> np.ndarray:
    from hubkit.backends.onnxruntime import runtime

    return runtime.load(folder, "model.onnx", threads=1).run(batch)["logits"]


def test_where_nothing_is_quantized_the_weights_come_along(
    large: Path, exports: dict[str, Path], batches: dict[str, list[Arrays]], tmp_path: Path
) -> None:
    spec = OnnxDynamic(kind="onnx-dynamic", node_exclusion=(".*",))
    assert quantizer_for(spec).quantize(large, tmp_path, spec, []).nodes_quantized == 0
    ours, theirs = (_logits(folder, batches["bert"][0]) for folder in (tmp_path, exports["bert"]))
    assert np.array_equal(ours, theirs)


def test_statistics_are_those_of_the_whole_file(
    large: Path, exports: dict[str, Path], batches: dict[str, list[Arrays]], tmp_path: Path
) -> None:
    ours, theirs = (
        gather_statistics(folder / "model.onnx", batches["bert"], ("MatMul",), tmp_path)
        for folder in (large, exports["bert"])
    )
    assert {name: one.extremes for name, one in ours.items()} == {
        name: one.extremes for name, one in theirs.items()
    }
    assert ours
    assert not list(tmp_path.iterdir())


def test_what_is_written_again_is_not_appended(large: Path, tmp_path: Path) -> None:
    import onnx

    path = onnx_files.copy(large / "model.onnx", tmp_path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(onnx_files, "MOST_BYTES", 1)
        sizes = []
        for _ in range(2):
            onnx_files.save(onnx.load(str(large / "model.onnx")), path)
            sizes.append((tmp_path / "model.onnx_data").stat().st_size)
    assert sizes[0] == sizes[1]
    onnx_files.save(onnx.load(str(large / "model.onnx")), path)
    assert not onnx_files.weights_beside(path), "one file holds it"


def test_level_3_leaves_it_as_it_is(
    large: Path, exports: dict[str, Path], batches: dict[str, list[Arrays]], tmp_path: Path
) -> None:
    from hubkit.backends.onnx_optimizer import optimize, rewritten

    optimize(large, tmp_path, level=3)
    assert rewritten(tmp_path / "model.onnx") == "nothing: the model is above 2 GB"
    ours, theirs = (_logits(folder, batches["bert"][0]) for folder in (tmp_path, exports["bert"]))
    assert np.array_equal(ours, theirs)
