"""The digest of a graph's computation: what may change it, and what must not."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hubkit.backends.graph_digest import graph_digest, model_digest
from hubkit.errors import ModelError
from tests.backends.conftest import ARCHITECTURES, GraphAt

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto


def _small() -> ModelProto:
    """relu(x @ w + b) - x, and its shape."""
    from onnx import TensorProto, helper, numpy_helper

    weights = np.arange(9, dtype=np.float32).reshape(3, 3)
    graph = helper.make_graph(
        [
            helper.make_node("Gemm", ["x", "w", "b"], ["g"], "first", alpha=0.5, transB=1),
            helper.make_node("Relu", ["g"], ["r"], "second"),
            helper.make_node("Sub", ["r", "x"], ["y"], "third"),
            helper.make_node("Shape", ["g"], ["size"], "fourth"),
        ],
        "small",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["rows", 3])],
        [
            helper.make_tensor_value_info("y", TensorProto.FLOAT, ["rows", 3]),
            helper.make_tensor_value_info("size", TensorProto.INT64, [2]),
        ],
        [
            numpy_helper.from_array(weights, "w"),
            helper.make_tensor("b", TensorProto.FLOAT, [3], [1.0, 2.0, 3.0]),
        ],
    )
    model: ModelProto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    return model


def _shuffled(model: ModelProto, seed: int) -> ModelProto:
    """The same computation with other names, in another order."""
    import onnx

    chance = random.Random(seed)
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    graph = copy.graph
    kept = {value.name for value in (*graph.input, *graph.output)} | {""}
    inside = {t.name for t in graph.initializer} | {o for n in graph.node for o in n.output}
    fresh = chance.sample(range(10**6), len(inside))
    names = {name: f"t{number}" for name, number in zip(sorted(inside - kept), fresh, strict=False)}
    for tensor in graph.initializer:
        tensor.name = names.get(tensor.name, tensor.name)
    for node in graph.node:
        node.name = f"n{chance.random()}"
        node.doc_string = f"written {chance.random()}"
        for ends in (node.input, node.output):
            renamed = [names.get(name, name) for name in ends]
            del ends[:]
            ends.extend(renamed)
        attributes = chance.sample(list(node.attribute), len(node.attribute))
        del node.attribute[:]
        node.attribute.extend(attributes)
    nodes = _any_order(list(graph.node), chance)
    tensors = chance.sample(list(graph.initializer), len(graph.initializer))
    del graph.node[:], graph.initializer[:], graph.value_info[:]
    graph.node.extend(nodes)
    graph.initializer.extend(tensors)
    graph.name, copy.producer_name, copy.producer_version = "other", "somebody", "9"
    copy.opset_import.append(onnx.helper.make_opsetid("com.example.unused", 3))
    onnx.helper.set_model_props(copy, {"made": str(chance.random())})
    return copy


def _any_order(nodes: list[NodeProto], chance: random.Random) -> list[NodeProto]:
    """The nodes in a random one of the orders in which they can run."""
    waiting = {output for node in nodes for output in node.output if output}
    left, ordered = list(nodes), []
    while left:
        ready = [node for node in left if not waiting & set(node.input)]
        chosen = chance.choice(ready)
        left.remove(chosen)
        waiting -= set(chosen.output)
        ordered.append(chosen)
    return ordered


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_names_order_and_remarks_make_no_difference(seed: int) -> None:
    model = _small()
    assert model_digest(_shuffled(model, seed)) == model_digest(model)


@settings(
    max_examples=8,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(seed=st.integers(0, 2**32), level=st.sampled_from([0, 2]))
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_that_holds_for_exports_and_fused_graphs(
    architecture: str, graph_at: GraphAt, seed: int, level: int
) -> None:
    import onnx

    model = onnx.load(str(graph_at(architecture, None, level) / "model.onnx"))
    assert model_digest(_shuffled(model, seed)) == model_digest(model)


def _weight(model: ModelProto) -> None:
    from onnx import numpy_helper

    values = np.arange(9, dtype=np.float32).reshape(3, 3)
    values[2, 2] = np.nextafter(np.float32(8), np.float32(9))
    model.graph.initializer[0].CopyFrom(numpy_helper.from_array(values, "w"))


def _shape(model: ModelProto) -> None:
    model.graph.initializer[0].dims[:] = [1, 9]


def _type(model: ModelProto) -> None:
    model.graph.initializer[0].data_type = 6  # the same bytes as int32


def _attribute(model: ModelProto) -> None:
    model.graph.node[0].attribute[0].f = 0.25


def _operator(model: ModelProto) -> None:
    model.graph.node[1].op_type = "Sigmoid"


def _domain(model: ModelProto) -> None:
    model.graph.node[1].domain = "com.microsoft"


def _operands(model: ModelProto) -> None:
    model.graph.node[2].input[:] = ["x", "r"]


def _another_tensor(model: ModelProto) -> None:
    model.graph.node[2].input[:] = ["g", "x"]


def _opset(model: ModelProto) -> None:
    model.opset_import[0].version = 13


def _input_name(model: ModelProto) -> None:
    model.graph.input[0].name = "z"
    model.graph.node[0].input[0] = model.graph.node[2].input[1] = "z"


def _input_size(model: ModelProto) -> None:
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 4


def _outputs(model: ModelProto) -> None:
    model.graph.output[0].name, model.graph.output[1].name = "size", "y"


def _twice(model: ModelProto) -> None:
    again = model.graph.node.add()
    again.CopyFrom(model.graph.node[0])
    again.output[0] = "g2"
    model.graph.node[3].input[0] = "g2"
    nodes = [model.graph.node[i] for i in (0, 4, 1, 2, 3)]
    copies = [type(n).FromString(n.SerializeToString()) for n in nodes]
    del model.graph.node[:]
    model.graph.node.extend(copies)


CHANGES = [
    *(_weight, _shape, _type, _attribute, _operator, _domain, _operands, _another_tensor),
    *(_opset, _input_name, _input_size, _outputs, _twice),
]


@pytest.mark.parametrize("change", CHANGES)
def test_what_computes_another_thing_has_another_digest(
    change: Callable[[ModelProto], None],
) -> None:
    model = _small()
    change(model)
    assert model_digest(model) != model_digest(_small())


def test_all_these_differ_from_one_another() -> None:
    digests = set()
    for change in CHANGES:
        model = _small()
        change(model)
        digests.add(model_digest(model))
    assert len(digests) == len(CHANGES)


def test_a_constant_is_an_initializer_however_it_is_written() -> None:
    from onnx import helper, numpy_helper

    model = _small()
    bias = model.graph.initializer[1]
    raw = numpy_helper.from_array(numpy_helper.to_array(bias), "b")
    assert bias.float_data
    assert raw.raw_data
    del model.graph.initializer[1]
    node = helper.make_node("Constant", [], ["b"], value=raw)
    model.graph.node.insert(0, node)
    assert model_digest(model) == model_digest(_small())


def test_outputs_and_inputs_left_out_at_the_end_may_be_named_or_not() -> None:
    model = _small()
    model.graph.node[1].input.append("")
    model.graph.node[1].output.append("")
    assert model_digest(model) == model_digest(_small())


def test_the_layout_of_the_file_makes_no_difference(tmp_path: Path) -> None:
    import onnx

    onnx.save(_small(), str(tmp_path / "one.onnx"))
    onnx.save(
        _small(),
        str(tmp_path / "two.onnx"),
        save_as_external_data=True,
        location="two.data",
        size_threshold=0,
    )
    assert (tmp_path / "two.data").stat().st_size
    assert graph_digest(tmp_path / "one.onnx") == graph_digest(tmp_path / "two.onnx")
    assert graph_digest(tmp_path / "one.onnx") == model_digest(_small())


def _branches(outer: str, inner: str, factor: float, *, reads: str = "") -> ModelProto:
    from onnx import TensorProto, helper

    def branch(operator: str) -> object:
        value = helper.make_tensor_value_info(inner, TensorProto.FLOAT, None)
        constant = helper.make_tensor("f", TensorProto.FLOAT, [], [factor])
        node = helper.make_node(operator, [reads or outer, "f"], [inner])
        return helper.make_graph([node], inner, [], [value], [constant])

    nodes = [
        helper.make_node("Relu", ["x"], [outer]),
        helper.make_node("If", ["c"], ["y"], then_branch=branch("Mul"), else_branch=branch("Add")),
    ]
    model: ModelProto = helper.make_model(
        helper.make_graph(
            nodes,
            "g",
            [
                helper.make_tensor_value_info("c", TensorProto.BOOL, []),
                helper.make_tensor_value_info("x", TensorProto.FLOAT, [3]),
            ],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, [3])],
        ),
        opset_imports=[helper.make_opsetid("", 17)],
    )
    return model


def test_graphs_within_nodes_are_looked_into() -> None:
    one = model_digest(_branches("a", "b", 2.0))
    assert one == model_digest(_branches("seen", "made", 2.0))
    assert one != model_digest(_branches("a", "b", 3.0))
    assert one != model_digest(_branches("a", "b", 2.0, reads="x")), (
        "reads the input before the Relu"
    )


def test_opsets_and_levels_are_told_apart(graph_at: GraphAt) -> None:
    made = [(opset, level) for opset in (14, 17, 20) for level in (0, 1, 2)]
    digests = {graph_digest(graph_at("bert", *key) / "model.onnx") for key in made}
    assert len(digests) == len(made)
    # 18 is what the exporter takes of itself.
    assert graph_digest(graph_at("bert", 18, 0) / "model.onnx") == graph_digest(
        graph_at("bert", None, 0) / "model.onnx"
    )


def test_nodes_out_of_order_are_no_model(tmp_path: Path) -> None:
    import onnx

    model = _small()
    model.graph.node.reverse()
    onnx.save(model, str(tmp_path / "m.onnx"))
    with pytest.raises(ModelError, match=r"m\.onnx reads a tensor before it is made"):
        graph_digest(tmp_path / "m.onnx")
