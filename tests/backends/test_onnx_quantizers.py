"""What bites when ONNX Runtime quantizes: each measured trap, held shut."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import pytest

from hubkit.backends import exporter_for
from hubkit.backends.base import Quantized
from hubkit.backends.node_patterns import mask_adds, match_nodes, read_graph
from hubkit.backends.onnx_plan import quantized_nodes
from hubkit.backends.onnx_quantizers import dynamic, needs_reduced_range, static
from hubkit.backends.onnxruntime import runtime
from hubkit.backends.quiet import quiet
from hubkit.errors import ModelError, RecipeError
from hubkit.recipe import Calibration, OnnxDynamic, OnnxStatic
from tests.backends.conftest import Make

if TYPE_CHECKING:
    from numpy.typing import NDArray

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


def _logits(folder: Path, batches: list[Arrays]) -> list[NDArray[np.float32]]:
    session = runtime.load(folder, "model.onnx", threads=1)
    return [session.run(batch)["logits"] for batch in batches]


def _error(float32: Path, int8: Path, batches: list[Arrays]) -> float:
    """Mean difference of the logits over the spread of the FP32 ones."""
    before, after = (np.concatenate(_logits(folder, batches)) for folder in (float32, int8))
    return float(np.abs(after - before).mean() / np.ptp(before))


@pytest.mark.parametrize("make", [_dynamic, _static])
def test_an_excluded_gemm_really_stays_float(
    make: Callable[..., OnnxDynamic | OnnxStatic],
    exports: dict[str, Path],
    batches: Batches,
    tmp_path: Path,
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
    masks = {node.name for node in mask_adds(read_graph(source / "model.onnx"))}
    assert masks
    spec = _static("attention-matmul", operators=("MatMul", "Gemm", "Add"))
    done, report = _quantize(spec, source, tmp_path / "a", rows)
    assert not done & masks
    assert report.nodes_excluded["softmax"] == len(masks)
    assert any(name.endswith("/Add") for name in done)
    assert _error(source, tmp_path / "a", rows) < 0.06

    unguarded = spec.model_copy(update={"guards": False})
    done, report = _quantize(unguarded, source, tmp_path / "b", rows)
    assert masks <= done
    assert "softmax" not in report.nodes_excluded
    assert _error(source, tmp_path / "b", rows) > 0.1


def test_guards_hold_for_whatever_reads_masked_scores(
    exports: dict[str, Path], batches: Batches, tmp_path: Path
) -> None:
    source, rows = exports["distilbert"], batches["distilbert"]
    spec = _static(operators=("Softmax", "Gemm"))
    done, report = _quantize(spec, source, tmp_path / "a", rows)
    assert done == {"/pre_classifier/Gemm", "/classifier/Gemm"}
    assert report.nodes_excluded == {"softmax": 2}


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


@pytest.mark.parametrize("activation", ["uint8", "int8"])
@pytest.mark.parametrize("weight", ["int8", "uint8"])
@pytest.mark.parametrize("per_channel", [True, False])
def test_static_types_are_those_of_the_spec(
    activation: Literal["uint8", "int8"],
    weight: Literal["uint8", "int8"],
    per_channel: bool,
    exports: dict[str, Path],
    batches: Batches,
    tmp_path: Path,
) -> None:
    """And every combination runs, with look-ups quantized as well."""
    source, rows = exports["bert"], batches["bert"]
    types = {"activation_type": activation, "weight_type": weight, "per_channel": per_channel}
    spec = _static("attention-matmul", operators=("MatMul", "Gemm", "Gather"))
    _, report = _quantize(spec.model_copy(update=types), source, tmp_path / "a", rows)
    assert report.nodes_quantized == 17
    read, held = _product_types(tmp_path / "a" / "model.onnx")
    assert (str(read.dtype), str(held.dtype)) == (activation, weight)
    assert held.shape == ((64,) if per_channel else ())
    assert held.any() == (weight == "uint8"), "int8 weights are symmetric"
    assert _error(source, tmp_path / "a", rows) < 0.06


def _product_types(model: Path) -> list[NDArray[np.generic]]:
    """The zero points of what a feed-forward product reads: activation and weight."""
    import onnx
    from onnx import numpy_helper

    proto = onnx.load(str(model))
    values = {tensor.name: tensor for tensor in proto.graph.initializer}
    names = {node.name: node for node in proto.graph.node}
    producers = {output: node for node in proto.graph.node for output in node.output}
    product = names["/bert/encoder/layer.0/intermediate/dense/MatMul"]
    return [numpy_helper.to_array(values[producers[name].input[2]]) for name in product.input]


@pytest.mark.parametrize("weight", ["int8", "uint8"])
@pytest.mark.parametrize("per_channel", [True, False])
def test_dynamic_weights_are_of_the_type_of_the_spec(
    weight: str, per_channel: bool, exports: dict[str, Path], batches: Batches, tmp_path: Path
) -> None:
    import onnx
    from onnx import numpy_helper

    source = exports["distilbert"]
    spec = _dynamic().model_copy(update={"weight_type": weight, "per_channel": per_channel})
    _quantize(spec, source, tmp_path / "a", [])
    graph = onnx.load(str(tmp_path / "a" / "model.onnx")).graph
    held = [
        t for t in graph.initializer if t.name.endswith("weight_quantized") or "MatMul" in t.name
    ]
    types = {str(numpy_helper.to_array(t).dtype) for t in held if t.name.endswith("_quantized")}
    assert types == {weight}
    assert _error(source, tmp_path / "a", batches["distilbert"]) < 0.06


@pytest.mark.parametrize("opset", [11, 12])
def test_scales_per_channel_need_opset_13(
    opset: int, models: dict[str, Path], batches: Batches, tmp_path: Path
) -> None:
    """A sweep shows it as the failure of one configuration: it is not the run's fault."""
    source, rows = tmp_path / "fp32", batches["distilbert"]
    exporter_for("onnx").export(
        models["distilbert"], source, task="text-classification", opset=opset
    )
    with pytest.raises(ModelError, match=f"opset {opset} has no scales per channel") as caught:
        _quantize(_static("attention-matmul"), source, tmp_path / "a", rows)
    assert "per_channel" in caught.value.hint
    per_tensor = _static("attention-matmul").model_copy(update={"per_channel": False})
    assert _quantize(per_tensor, source, tmp_path / "b", rows)[1].nodes_quantized == 14
    assert _error(source, tmp_path / "b", rows) < 0.06
    assert _quantize(_dynamic(), source, tmp_path / "c", [])[1].nodes_quantized == 14


def test_ranges_are_written_as_onnxruntimes_own_quantizer_has_them(
    exports: dict[str, Path], batches: Batches, tmp_path: Path
) -> None:
    """To the byte, with minmax: calibrated and quantized by onnxruntime alone."""
    import onnx
    from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static

    class Reader:
        feeds = iter(batches["distilbert"])

        def get_next(self) -> Arrays | None:
            batch = next(self.feeds, None)
            return batch and {k: batch[k] for k in ("input_ids", "attention_mask")}

    source = exports["distilbert"]
    with quiet():
        quantize_static(
            onnx.load(str(source / "model.onnx")),
            tmp_path / "theirs.onnx",
            Reader(),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=["MatMul", "Gemm"],
            nodes_to_exclude=match_nodes(read_graph(source / "model.onnx"), "attention-matmul"),
            per_channel=True,
            reduce_range=False,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=CalibrationMethod.MinMax,
            extra_options={"OpTypesToExcludeOutputQuantization": ["MatMul", "Gemm"]},
        )
    spec = _static("attention-matmul").model_copy(update={"reduce_range": False})
    _quantize(spec, source, tmp_path / "ours", batches["distilbert"])
    ours, theirs = (
        onnx.load(str(path)).graph
        for path in (tmp_path / "ours" / "model.onnx", tmp_path / "theirs.onnx")
    )
    constants = [
        {t.name: t.SerializeToString() for t in graph.initializer} for graph in (ours, theirs)
    ]
    assert constants[0] == constants[1]
    assert [n.SerializeToString() for n in ours.node] == [
        n.SerializeToString() for n in theirs.node
    ]


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
    make: Callable[..., OnnxDynamic | OnnxStatic],
    exports: dict[str, Path],
    batches: Batches,
    tmp_path: Path,
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


def test_an_operator_that_nobody_knows_is_an_error(
    exports: dict[str, Path], batches: Batches, tmp_path: Path
) -> None:
    source, rows = exports["distilbert"], batches["distilbert"]
    with pytest.raises(RecipeError, match=r"Matmul: .*did you mean MatMul") as caught:
        _quantize(_dynamic(operators=("Matmul",)), source, tmp_path / "a", rows)
    assert "MatMul" in caught.value.hint
    with pytest.raises(RecipeError, match="did you mean Gather"):
        _quantize(_static(operators=("Gathr",)), source, tmp_path / "a", rows)


@pytest.mark.parametrize(
    "spec",
    [
        _dynamic(operators=("Add",)),
        _dynamic("residual", "softmax", operators=("Add", "Softmax")),
        _dynamic(".*"),
        _static(".*"),
        _static("softmax", operators=("Softmax",)),
    ],
    ids=["no dynamic form", "patterns", "all excluded", "static", "guarded"],
)
def test_nothing_to_quantize_is_the_fp32_model(
    spec: OnnxDynamic | OnnxStatic, exports: dict[str, Path], batches: Batches, tmp_path: Path
) -> None:
    """As in the sweep of optimum, where it is a row like others."""
    source = exports["distilbert"]
    done, report = _quantize(spec, source, tmp_path / "a", batches["distilbert"])
    assert not done
    assert report.nodes_quantized == 0
    for file in ("model.onnx", "config.json"):
        assert (tmp_path / "a" / file).read_bytes() == (source / file).read_bytes()


def test_dynamic_counts_only_what_has_an_integer_form(
    exports: dict[str, Path], tmp_path: Path
) -> None:
    """Adds stay float with or without the pattern: it excludes none."""
    spec = _dynamic("residual", "attention-matmul", operators=("Add", "MatMul"))
    done, report = _quantize(spec, exports["distilbert"], tmp_path / "a", [])
    assert report.nodes_quantized == len(done) == 12
    assert report.nodes_excluded == {"residual": 0, "attention-matmul": 0}


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
