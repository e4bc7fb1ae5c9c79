"""The stage `cost`, against the closed formula and against what PyTorch counts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from hubkit.backends import exporter_for
from hubkit.backends.onnx_cost import parts_of
from hubkit.errors import ModelError
from hubkit.formats_records import Cost, PartCost
from hubkit.records import Variant
from hubkit.stages.cost import CostInput, cost
from hubkit.store import Store
from tests.stages.evaluation_data import context
from tests.tiny import make_tiny_model

pytest.importorskip("onnx_tool", reason="needs the formats extra")

TASK = "text-classification"
LENGTH = 16


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store(tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="module", params=["distilbert", "bert"])
def made(
    request: pytest.FixtureRequest, store: Store, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Variant]:
    """A PyTorch folder and its graph."""
    folder = make_tiny_model(tmp_path_factory.mktemp("model"), model_type=request.param)
    with store.scratch() as scratch:
        exporter_for("onnx").export(folder, scratch / "onnx", task=TASK)
        variant = Variant(
            name="onnx-fp32",
            format="onnx",
            precision="fp32",
            artifact=store.adopt(scratch / "onnx"),
            model_file="model.onnx",
            size_bytes=1,
        )
    return folder, variant


def _cost(store: Store, variant: Variant, length: int = LENGTH) -> Cost:
    with context(store) as ctx:
        return cost(CostInput(variant=variant, input_length=length), ctx)


def _parts(found: Cost) -> dict[str, PartCost]:
    return {part.part: part for part in found.parts}


@pytest.mark.parametrize("length", [LENGTH, 40])
def test_the_encoder_multiplies_what_the_formula_says(
    store: Store, made: tuple[Path, Variant], length: int
) -> None:
    found = _cost(store, made[1], length)
    assert found.input_length == length
    assert found.counter.startswith("onnx-tool ")
    backbone = _parts(found)["backbone"]
    # 2 layers of 4·32² + 2·32·64 and 2·length·32 for each token.
    assert backbone.macs == found.formula_macs == 2 * length * (8192 + 64 * length)
    assert sum(backbone.products.values()) == backbone.macs
    assert _parts(found)["embeddings"].macs == 0
    assert _parts(found)["head"].macs == 32 * 32 + 32 * 2


def test_pytorch_counts_the_same_products(store: Store, made: tuple[Path, Variant]) -> None:
    import torch
    from torch.utils.flop_counter import FlopCounterMode
    from transformers import AutoModelForSequenceClassification

    folder, variant = made
    model = AutoModelForSequenceClassification.from_pretrained(
        folder, attn_implementation="eager"
    ).eval()
    ids = torch.ones(1, LENGTH, dtype=torch.int64)
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        model(input_ids=ids, attention_mask=ids)
    found = _cost(store, variant)
    assert counter.get_total_flops() == 2 * found.macs
    # Beside the products there is something for each element that is added, normalised, …
    assert 2 * found.macs < found.flops < 2.2 * found.macs
    assert found.parameters == model.num_parameters()


def test_weights_are_read_whole_and_tables_by_the_row(
    store: Store, made: tuple[Path, Variant]
) -> None:
    parts = _parts(_cost(store, made[1]))
    per_layer = 4 * (32 * 32 + 32) + 2 * 32 * 64 + 64 + 32 + 4 * 32
    assert parts["backbone"].weight_bytes == pytest.approx(4 * 2 * per_layer, rel=0.01)
    assert parts["embeddings"].weight_bytes == 4 * 2 * 32  # of the LayerNorm
    assert parts["embeddings"].parameters > 171 * 32  # the tables are parameters all the same
    longer = _parts(_cost(store, made[1], 2 * LENGTH))
    assert longer["backbone"].weight_bytes == parts["backbone"].weight_bytes
    grown = longer["embeddings"].activation_bytes / parts["embeddings"].activation_bytes
    assert grown == pytest.approx(2, rel=0.05)


def test_products_move_their_operands_and_results(store: Store, made: tuple[Path, Variant]) -> None:
    # Of a layer: queries, keys, values and output; scores of two heads and what comes of them; the
    # two products of the feed-forward network. Between parts goes little beside.
    width, inner, heads = 32, 64, 2
    tokens, scores = LENGTH * width, heads * LENGTH * LENGTH
    numbers = 4 * (tokens + tokens) + 2 * (2 * tokens + scores) + 2 * (tokens + LENGTH * inner)
    backbone = _parts(_cost(store, made[1]))["backbone"]
    assert backbone.activation_bytes == pytest.approx(4 * 2 * numbers, rel=0.03)
    assert backbone.activation_bytes > 4 * 2 * numbers


def test_what_is_no_fp32_graph_is_refused(store: Store, made: tuple[Path, Variant]) -> None:
    with pytest.raises(ModelError, match="no FP32 graph"):
        _cost(store, made[1].model_copy(update={"precision": "int8"}))


class _Node:
    op_type = "Add"
    input: Sequence[str] = ()
    output: Sequence[str] = ()
    macs: Sequence[float] = (0,)

    def __init__(self, name: str) -> None:
        self.name = name


@pytest.mark.parametrize(
    ("names", "parts"),
    [
        (
            ["/embeddings/Add", "/Sub", "/encoder/layer.0/Add", "/head/ReduceMean", "/head/Gemm"],
            ["embeddings", "backbone", "backbone", "head", "head"],
        ),
        (
            ["/distilbert/embeddings/Add", "/distilbert/transformer/layer.5/Add", "/Gather"],
            ["embeddings", "backbone", "head"],
        ),
        (
            ["/bert/encoder/layer.0/Add", "/bert/pooler/dense/Gemm", "/classifier/Gemm"],
            ["backbone", "head", "head"],
        ),
        (
            ["/albert/encoder/embedding_hidden_mapping_in/Add", "/albert/encoder/Add"],
            ["embeddings", "backbone"],
        ),
        (["a", "b"], ["backbone", "backbone"]),
    ],
)
def test_parts_go_by_the_names_of_modules(names: list[str], parts: list[str]) -> None:
    assert parts_of([_Node(name) for name in names]) == parts
