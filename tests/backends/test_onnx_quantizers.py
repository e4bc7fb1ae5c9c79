"""What bites when ONNX Runtime quantizes: each measured trap, held shut."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import pytest

from hubkit.backends.base import Quantized
from hubkit.backends.node_patterns import match_nodes, read_graph
from hubkit.backends.onnx_plan import quantized_nodes
from hubkit.backends.onnx_quantizers import dynamic, needs_reduced_range, static
from hubkit.backends.onnxruntime import runtime
from hubkit.errors import RecipeError
from hubkit.recipe import Calibration, OnnxDynamic, OnnxStatic
from tests.backends.conftest import Make

if TYPE_CHECKING:
    from hubkit.backends.base import Arrays

Batches = dict[str, list["Arrays"]]


def _quantize(
    spec: OnnxDynamic | OnnxStatic, source: Path, output: Path, batches: list[Arrays]
) -> tuple[frozenset[str], Quantized]:
    """Names of the nodes that are quantized in the output, and the quantizer's report."""
    if isinstance(spec, OnnxDynamic):
        done = dynamic.quantize(source, output, spec)
    else:
        done = static.quantize(source, output, spec, batches)
    return quantized_nodes(read_graph(output / "model.onnx")), done


def _dynamic(*exclusions: str, operators: tuple[str, ...] = ("MatMul", "Gemm")) -> OnnxDynamic:
    return OnnxDynamic(
        kind="onnx-dynamic", node_exclusion=exclusions, operators_to_quantize=operators
    )


def _static(*exclusions: str, operators: tuple[str, ...] = ("MatMul", "Gemm")) -> OnnxStatic:
    return OnnxStatic(
        kind="onnx-static", node_exclusion=exclusions, operators_to_quantize=operators
    )


def _logits(folder: Path, batches: list[Arrays]) -> list[np.ndarray]:
    session = runtime.load(folder, "model.onnx", threads=1)
    return [session.run(batch) for batch in batches]


@pytest.mark.parametrize("make", [_dynamic, _static])
def test_an_excluded_gemm_really_stays_float(
    make: type[OnnxDynamic], exports: dict[str, Path], batches: Batches, tmp_path: Path
) -> None:
    """onnxruntime makes it a MatMul of another name before it looks at exclusions."""
    source, rows = exports["distilbert"], batches["distilbert"]
    every, before = _quantize(make("attention-matmul"), source, tmp_path / "a", rows)
    spec = make("attention-matmul", "/classifier/Gemm")
    fewer, after = _quantize(spec, source, tmp_path / "b", rows)
    assert every - fewer == {"/classifier/Gemm"}
    assert after.nodes_quantized == (before.nodes_quantized or 0) - 1
    assert after.nodes_excluded["/classifier/Gemm"] == 1


def test_operators_not_asked_for_stay_float(exports: dict[str, Path], tmp_path: Path) -> None:
    """Gemm and MatMul are one operator to dynamic quantization, not to a recipe."""
    source = exports["distilbert"]
    gemms, _ = _quantize(_dynamic(operators=("Gemm",)), source, tmp_path / "a", [])
    assert gemms == {"/pre_classifier/Gemm", "/classifier/Gemm"}
    products, _ = _quantize(_dynamic(operators=("MatMul",)), source, tmp_path / "b", [])
    assert len(products) == 12
    assert not products & gemms
    tables, _ = _quantize(_dynamic(operators=("Gather",)), source, tmp_path / "c", [])
    assert tables == set(match_nodes(read_graph(source / "model.onnx"), "gather"))


def test_dynamic_leaves_products_of_activations_float(
    exports: dict[str, Path], tmp_path: Path
) -> None:
    source = exports["bert"]
    done, report = _quantize(_dynamic("attention-matmul"), source, tmp_path / "a", [])
    assert not done & set(match_nodes(read_graph(source / "model.onnx"), "attention-matmul"))
    assert report.nodes_excluded == {"attention-matmul": 0}, "they are float without it too"


@pytest.mark.parametrize("architecture", ["distilbert", "bert"])
def test_static_keeps_the_attention_mask_float(
    architecture: str, exports: dict[str, Path], batches: Batches, tmp_path: Path
) -> None:
    """With the mask's Adds quantized the scores round to nothing, and accuracy is chance."""
    source, rows = exports[architecture], batches[architecture]
    spec = _static("attention-matmul", operators=("MatMul", "Gemm", "Add"))
    done, report = _quantize(spec, source, tmp_path / "a", rows)
    masks = set(match_nodes(read_graph(source / "model.onnx"), "softmax"))
    assert not done & masks
    assert report.nodes_excluded["softmax"] == len(masks)
    assert any(name.endswith("/Add") for name in done)
    float32 = np.concatenate(_logits(source, rows))
    int8 = np.concatenate(_logits(tmp_path / "a", rows))
    assert np.abs(int8 - float32).mean() < 0.2 * np.ptp(float32)


def test_static_does_not_round_what_only_float_nodes_read(
    exports: dict[str, Path], batches: Batches, tmp_path: Path
) -> None:
    source = exports["distilbert"]
    _quantize(_static("attention-matmul"), source, tmp_path / "a", batches["distilbert"])
    graph = read_graph(tmp_path / "a" / "model.onnx")
    products = [node for node in graph.nodes if node.op in {"MatMul", "Gemm"}]
    assert len(products) == 18
    for node in products:
        assert "QuantizeLinear" not in {reader.op for reader in graph.after(node)}, node.name


def test_static_types_are_u8_activations_and_s8_weights_per_channel(
    exports: dict[str, Path], batches: Batches, tmp_path: Path
) -> None:
    import onnx
    from onnx import TensorProto, numpy_helper

    _quantize(_static("attention-matmul"), exports["bert"], tmp_path / "a", batches["bert"])
    proto = onnx.load(str(tmp_path / "a" / "model.onnx"))
    values = {tensor.name: tensor for tensor in proto.graph.initializer}
    names = {node.name: node for node in proto.graph.node}
    producers = {output: node for node in proto.graph.node for output in node.output}
    product = names["/bert/encoder/layer.0/intermediate/dense/MatMul"]
    activation, weight = (producers[name] for name in product.input)
    assert values[activation.input[2]].data_type == TensorProto.UINT8
    assert values[weight.input[0]].data_type == TensorProto.INT8
    assert numpy_helper.to_array(values[weight.input[1]]).shape == (64,)
    assert not numpy_helper.to_array(values[weight.input[2]]).any(), "weights are symmetric"


@pytest.mark.parametrize("method", ["minmax", "entropy", "percentile"])
def test_every_calibration_method_takes_batches_of_different_lengths(
    method: Literal["minmax", "entropy", "percentile"],
    exports: dict[str, Path],
    batches: Batches,
    tmp_path: Path,
) -> None:
    source, rows = exports["distilbert"], batches["distilbert"]
    assert len({batch["input_ids"].shape for batch in rows}) == 2
    spec = _static("attention-matmul").model_copy(
        update={"calibration": Calibration(method=method)}
    )
    done, report = _quantize(spec, source, tmp_path / "a", rows)
    assert len(done) == 14
    assert report.real_samples == 10
    float32, int8 = (np.concatenate(_logits(f, rows)) for f in (source, tmp_path / "a"))
    assert np.abs(int8 - float32).mean() < 0.15 * np.ptp(float32)


@pytest.mark.parametrize("make", [_dynamic, _static])
def test_reduce_range_keeps_weights_to_seven_bits(
    make: type[OnnxDynamic], exports: dict[str, Path], batches: Batches, tmp_path: Path
) -> None:
    import onnx
    from onnx import TensorProto, numpy_helper

    for reduced, largest in ((True, 64), (False, 127)):
        spec = make("attention-matmul").model_copy(update={"reduce_range": reduced})
        output = tmp_path / str(reduced)
        _, report = _quantize(spec, exports["distilbert"], output, batches["distilbert"])
        assert report.reduce_range is reduced
        weights = [
            numpy_helper.to_array(tensor)
            for tensor in onnx.load(str(output / "model.onnx")).graph.initializer
            if tensor.data_type == TensorProto.INT8 and len(tensor.dims) == 2
        ]
        assert weights
        assert max(int(np.abs(weight.astype(int)).max()) for weight in weights) == largest


def test_reduce_range_goes_by_the_cpu() -> None:
    assert needs_reduced_range(("sse4_2", "avx2"))
    assert needs_reduced_range(("avx2", "avx512f", "avx512bw"))
    assert not needs_reduced_range(("avx2", "avx512f", "avx512_vnni"))
    assert not needs_reduced_range(("avx2", "avx_vnni"))
    assert not needs_reduced_range(("asimd", "asimddp"))


def test_an_operator_that_cannot_be_quantized_is_an_error(
    exports: dict[str, Path], batches: Batches, tmp_path: Path
) -> None:
    source, rows = exports["distilbert"], batches["distilbert"]
    with pytest.raises(RecipeError, match=r"Matmul: .*did you mean MatMul"):
        _quantize(_dynamic(operators=("Matmul",)), source, tmp_path / "a", rows)
    with pytest.raises(RecipeError, match="no dynamic quantization") as caught:
        _quantize(_dynamic(operators=("Add",)), source, tmp_path / "a", rows)
    assert "MatMul" in caught.value.hint
    with pytest.raises(RecipeError, match="did you mean Gather"):
        _quantize(_static(operators=("Gathr",)), source, tmp_path / "a", rows)


def test_excluding_everything_is_an_error(exports: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="no node is left to quantize"):
        _quantize(_dynamic(".*"), exports["distilbert"], tmp_path / "a", [])


def test_a_pattern_counts_the_nodes_that_it_keeps_float(
    exports: dict[str, Path], batches: Batches, tmp_path: Path
) -> None:
    spec = _static("attention-matmul", "gelu", operators=("MatMul", "Gemm", "Mul"))
    _, done = _quantize(spec, exports["distilbert"], tmp_path / "a", batches["distilbert"])
    # Of a gelu the two Muls (the √2 Div is no Mul here); its Add and Erf would be float anyway.
    assert done.nodes_excluded == {"attention-matmul": 4, "gelu": 4}


@pytest.mark.parametrize("kind", ["onnx-dynamic", "onnx-static"])
def test_ortmodel_loads_it_as_users_do_with_equal_logits(
    kind: str, quantized: Make, batches: Batches
) -> None:
    import torch
    from optimum.onnxruntime import ORTModelForSequenceClassification

    folder, _ = quantized(kind, "bert")
    loaded = ORTModelForSequenceClassification.from_pretrained(folder)
    for batch, ours in zip(batches["bert"], _logits(folder, batches["bert"]), strict=True):
        theirs = loaded(**{name: torch.from_numpy(array) for name, array in batch.items()}).logits
        assert np.array_equal(theirs.numpy(), ours)
