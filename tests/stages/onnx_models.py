"""Variants whose model is a handful of ONNX nodes: loaded and run in milliseconds."""

from __future__ import annotations

import json

from hubkit.records import Variant
from hubkit.store import Store

VOCABULARY, PAD = 50, 3


def make_variant(store: Store, name: str, *, weight: float = 1.0, garbage: bool = False) -> Variant:
    """A stored ONNX variant whose logits are (weight, -weight) × the sum of a row's ids."""
    with store.scratch() as scratch:
        folder = scratch / name
        folder.mkdir()
        config = {"vocab_size": VOCABULARY, "pad_token_id": PAD, "architectures": ["Sum"]}
        (folder / "config.json").write_text(json.dumps(config))
        file = folder / "model.onnx"
        file.write_bytes(b"not a model" if garbage else _sum_model(weight))
        size = file.stat().st_size
        artifact = store.adopt(folder)
    return Variant(
        name=name,
        format="onnx",
        precision="int8",
        artifact=artifact,
        model_file="model.onnx",
        size_bytes=size,
    )


def _sum_model(weight: float) -> bytes:
    from onnx import TensorProto, helper

    ids = helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["batch", "length"])
    mask = helper.make_tensor_value_info("attention_mask", TensorProto.INT64, ["batch", "length"])
    logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 2])
    graph = helper.make_graph(
        [
            helper.make_node("Mul", ["input_ids", "attention_mask"], ["kept"]),
            helper.make_node("Cast", ["kept"], ["floats"], to=TensorProto.FLOAT),
            helper.make_node("ReduceSum", ["floats", "axes"], ["sums"], keepdims=1),
            helper.make_node("MatMul", ["sums", "weights"], ["logits"]),
        ],
        "sum",
        [ids, mask],
        [logits],
        [
            helper.make_tensor("axes", TensorProto.INT64, [1], [1]),
            helper.make_tensor("weights", TensorProto.FLOAT, [1, 2], [weight, -weight]),
        ],
    )
    opset = helper.make_opsetid("", 17)
    model: bytes = helper.make_model(graph, opset_imports=[opset], ir_version=8).SerializeToString()
    return model
