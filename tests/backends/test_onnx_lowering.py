"""Level 3: plain operators, and nothing computed for tokens that nobody reads."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from hubkit.backends.node_patterns import read_graph
from hubkit.backends.onnx_first_token import keep_first_token
from hubkit.backends.onnx_lowering import lower
from tests.backends.conftest import ARCHITECTURES, GraphAt

if TYPE_CHECKING:
    from hubkit.backends.base import Arrays


def _counts(folder: Path) -> Counter[str]:
    return Counter(node.op for node in read_graph(folder / "model.onnx").nodes)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_no_operator_is_left_that_has_no_vector_kernel(
    architecture: str, graph_at: GraphAt
) -> None:
    counts = _counts(graph_at(architecture, None, 3))
    slow = ("Attention", "MultiHeadAttention", "SkipLayerNormalization", "BiasGelu")
    assert not any(counts[op] for op in slow)
    assert counts["LayerNormalization"] == 5
    assert counts["MatMul"] == 2 * (6 + 2), "six of weights and two of activations a layer"
    assert counts["Shape"] + counts["Concat"] <= 2, "no arithmetic of shapes in a layer"


def test_onnxruntime_does_not_fuse_it_again(graph_at: GraphAt, tmp_path: Path) -> None:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.optimized_model_filepath = str(tmp_path / "model.onnx")
    folder = graph_at("distilbert", None, 3)
    onnxruntime.InferenceSession(
        str(folder / "model.onnx"), options, providers=["CPUExecutionProvider"]
    )
    assert _counts(tmp_path)["SkipLayerNormalization"] == 0


def test_the_last_layer_is_computed_for_the_first_token_alone(graph_at: GraphAt) -> None:
    import onnx
    import onnxruntime

    model = onnx.load(str(graph_at("distilbert", None, 3) / "model.onnx"))
    products = [node.output[0] for node in model.graph.node if node.op_type == "MatMul"]
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in products)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model.SerializeToString(), options)
    feed = {"input_ids": np.full((2, 7), 9), "attention_mask": np.ones((2, 7), np.int64)}
    found = session.run(products, feed)
    lengths = [array.shape[-2] for array in found]
    # query, key, value, scores by query, context, and three by token, of each layer
    assert lengths == [7, 7, 7, 7, 7, 7, 7, 7, 1, 7, 7, 1, 1, 1, 1, 1]


def _reading(node: str, *, output: bool) -> object:
    """x·W + b of which `node` reads, or which is an output itself."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    weights = {"w": np.eye(4, dtype=np.float32), "b": np.ones(4, np.float32)}
    index = {"first": 0, "last": -1}[node]
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["product"], name="product"),
        helper.make_node("Add", ["product", "b"], ["biased"], name="biased"),
        helper.make_node("Gather", ["biased", "i"], ["y"], name="read", axis=1),
    ]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, 4])]
    if output:
        outputs.append(helper.make_tensor_value_info("biased", TensorProto.FLOAT, None))
    graph = helper.make_graph(
        nodes,
        "reads",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, None, 4])],
        outputs,
        [numpy_helper.from_array(array, name) for name, array in weights.items()]
        + [numpy_helper.from_array(np.array(index, np.int64), "i")],
    )
    opset = [helper.make_opsetid("", 18)]
    found: onnx.ModelProto = helper.make_model(graph, opset_imports=opset, ir_version=9)
    return found


@pytest.mark.parametrize(
    ("node", "output", "narrow"), [("first", False, 2), ("last", False, 0), ("first", True, 0)]
)
def test_only_what_the_first_token_alone_is_read_of_is_narrowed(
    node: str, output: bool, narrow: int
) -> None:
    import onnx
    import onnxruntime

    model = _reading(node, output=output)
    assert isinstance(model, onnx.ModelProto)
    x = np.random.default_rng(0).normal(size=(2, 3, 4)).astype(np.float32)
    before = onnxruntime.InferenceSession(model.SerializeToString()).run(["y"], {"x": x})[0]
    assert keep_first_token(model) == narrow
    after = onnxruntime.InferenceSession(model.SerializeToString()).run(["y"], {"x": x})[0]
    assert np.array_equal(before, after)


def test_the_first_label_is_no_first_token() -> None:
    """`logits[:, 0]` looks like `x[:, 0]`, and its axis holds labels."""
    import onnx

    model = _reading("first", output=False)
    assert isinstance(model, onnx.ModelProto)
    (x,) = model.graph.input
    del x.type.tensor_type.shape.dim[1]
    model = onnx.shape_inference.infer_shapes(model)
    assert keep_first_token(model) == 0


def test_a_sum_that_fusing_has_left_before_a_normalization_is_no_addition() -> None:
    """Of an addition onnxruntime makes a SkipLayerNormalization, which is slow, when it loads."""
    from onnx import TensorProto, helper, numpy_helper

    a, b, biased, y, w = ("a", "b", "biased", "y", "w")
    one = numpy_helper.from_array(np.ones(4, np.float32), w)
    ends = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [None, None, 4]) for n in (a, b, y)]
    nodes = [
        helper.make_node("Add", [b, w], [biased]),
        helper.make_node("Add", [a, biased], ["t"]),
        helper.make_node("LayerNormalization", ["t", w], [y]),
    ]
    graph = helper.make_graph(nodes, "g", ends[:2], ends[2:], [one])
    model = helper.make_model(graph)
    lower(model)
    assert [node.op_type for node in model.graph.node] == ["Add", "Sum", "LayerNormalization"]


def test_padding_on_either_side_is_as_before(
    graph_at: GraphAt, batches: dict[str, list[Arrays]]
) -> None:
    import onnxruntime

    found = []
    for level in (0, 3):
        path = graph_at("bert", None, level) / "model.onnx"
        session = onnxruntime.InferenceSession(str(path))
        names = [one.name for one in session.get_inputs()]
        for batch in batches["bert"]:
            mask = batch["attention_mask"][:, ::-1]
            feed = {name: batch[name][:, ::-1] for name in names} | {"attention_mask": mask}
            found.append(session.run(None, feed)[0])
    half = len(found) // 2
    for one, other in zip(found[:half], found[half:], strict=True):
        assert np.abs(one - other).max() < 1e-4


def test_static_quantization_takes_it(
    graph_at: GraphAt, batches: dict[str, list[Arrays]], tmp_path: Path
) -> None:
    from hubkit.backends.onnx_plan import refusal
    from hubkit.backends.onnx_quantizers import static
    from hubkit.backends.onnxruntime import runtime
    from hubkit.recipe import FrameworkArgs, OnnxStatic

    source = graph_at("distilbert", None, 3)
    spec = OnnxStatic(kind="onnx-static", framework_args=FrameworkArgs(optimization_level=3))
    assert refusal(spec) is None
    done = static.quantize(source, tmp_path, spec, batches["distilbert"])
    assert done.nodes_quantized == 2 * 6 + 2
    exact, near = (
        runtime.load(folder, "model.onnx", threads=1).run(batches["distilbert"][0])["logits"]
        for folder in (source, tmp_path)
    )
    assert np.abs(near - exact).mean() < 0.15 * np.ptp(exact)
