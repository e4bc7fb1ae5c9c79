"""A model of a handful of ONNX nodes whose answers are known exactly, with an output for each
token."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from hubkit.formats_records import Engine

VOCABULARY, PAD, POSITIONS = 500, 3, 64
NAME = "tiny"
ENGINE = Engine(
    name="onnxruntime-cpu-fp32",
    runtime="onnxruntime",
    device="cpu",
    precision="fp32",
    provider="CPUExecutionProvider",
    variant="tiny",
    format="onnx",
)


def make_model(folder: Path) -> Path:
    """logits float[batch, 2]: the sum of a row's ids that are not masked, and that negated; tokens
    float[batch, length, 1]: each id that is not masked."""
    from onnx import TensorProto, helper

    folder.mkdir(parents=True, exist_ok=True)
    config = {
        "vocab_size": VOCABULARY,
        "pad_token_id": PAD,
        "max_position_embeddings": POSITIONS,
        "architectures": ["DistilBertForSequenceClassification"],
        "model_type": "distilbert",
    }
    (folder / "config.json").write_text(json.dumps(config))
    shape = ["batch", "length"]
    graph = helper.make_graph(
        [
            helper.make_node("Mul", ["input_ids", "attention_mask"], ["kept"]),
            helper.make_node("Cast", ["kept"], ["floats"], to=TensorProto.FLOAT),
            helper.make_node("ReduceSum", ["floats", "one"], ["sums"], keepdims=1),
            helper.make_node("MatMul", ["sums", "weights"], ["logits"]),
            helper.make_node("Unsqueeze", ["floats", "two"], ["tokens"]),
        ],
        "sum",
        [
            helper.make_tensor_value_info(name, TensorProto.INT64, shape)
            for name in ("input_ids", "attention_mask")
        ],
        [
            helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 2]),
            helper.make_tensor_value_info("tokens", TensorProto.FLOAT, [*shape, 1]),
        ],
        [
            helper.make_tensor("one", TensorProto.INT64, [1], [1]),
            helper.make_tensor("two", TensorProto.INT64, [1], [2]),
            helper.make_tensor("weights", TensorProto.FLOAT, [1, 2], [1.0, -1.0]),
        ],
    )
    opset = helper.make_opsetid("", 17)
    model = helper.make_model(graph, opset_imports=[opset], ir_version=8)
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    return folder


def inputs_of(*rows: list[int]) -> dict[str, np.ndarray]:
    """The inputs of one request, padded on the right."""
    length = max(map(len, rows))
    ids = np.array([row + [PAD] * (length - len(row)) for row in rows], np.int64)
    mask = np.array([[1] * len(row) + [0] * (length - len(row)) for row in rows], np.int64)
    return {"input_ids": ids, "attention_mask": mask}
