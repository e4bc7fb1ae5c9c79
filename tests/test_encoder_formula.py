"""The closed formula of an encoder, and the FLOPs in the reference report, recomputed by it.

The reference report (distilbert-base-cased with a layer of 96 on top) says 2,720,464,896 FLOPs for
the backbone and 294,912 for the layer, and neither for which batch and length, nor by which rule.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import pytest

from hubkit.encoder_formula import Encoder, encoder_of

DISTILBERT_BASE = Encoder(layers=6, width=768, inner=3072)
HEADS, OUTPUTS = 12, 96
BACKBONE, LAYER = 2_720_464_896, 294_912


@dataclass(frozen=True)
class Rule:
    """How operations are counted: `mac`: for a multiply-accumulate of a matrix; the rest for one
    element of a LayerNorm, a bias, a GELU, a softmax; `attention`: with the products of queries and
    keys and of weights and values."""

    mac: int
    layer_norm: int
    bias: int = 0
    gelu: int = 0
    softmax: int = 0
    attention: bool = False

    def backbone(self, batch: int, length: int) -> int:
        """Of DistilBERT: 13 LayerNorms, one after the embeddings and two in each layer."""
        one, tokens = DISTILBERT_BASE, batch * length
        norms = (2 * one.layers + 1) * one.width
        biases = one.layers * (5 * one.width + one.inner)
        return (
            self.mac * one.macs(length, batch, attention=self.attention)
            + tokens * (self.layer_norm * norms + self.bias * biases)
            + tokens * one.layers * (self.gelu * one.inner + self.softmax * HEADS * length)
        )

    def layer(self, batch: int) -> int:
        """Of the layer on top, which sees one vector of each sentence."""
        return batch * OUTPUTS * (self.mac * DISTILBERT_BASE.width + self.bias)


# thop 0.1.1 counts a LayerNorm as 2 for an element, doubled where it has weights and a bias, one
# for a multiply-accumulate of a Linear, and nothing else of this model.
THOP = Rule(mac=1, layer_norm=4)
TWICE_THOP = Rule(mac=2, layer_norm=8)
RULES = [
    Rule(*values)
    for values in product(
        (1, 2), (0, 1, 2, 4, 5, 6, 7, 8), (0, 1), (0, 1, 8), (0, 1, 3, 5), (False, True)
    )
]


def test_the_reference_is_a_batch_of_4_with_16_tokens_by_thops_rule() -> None:
    assert THOP.backbone(4, 16) == BACKBONE
    assert THOP.layer(4) == LAYER
    assert BACKBONE + LAYER == 2_720_759_808  # the report's total
    # The same, term by term: 64 tokens through the matrices, and 13 LayerNorms of 768 at 4.
    assert BACKBONE == 64 * 42_467_328 + 13 * 4 * 768 * 64
    assert LAYER == 4 * 768 * 96


def test_no_other_batch_length_or_rule_gives_both_numbers() -> None:
    found = {
        (rule, batch, length)
        for rule in RULES
        for batch in range(1, 129)
        if rule.layer(batch) == LAYER
        for length in range(1, 513)
        if rule.backbone(batch, length) == BACKBONE
    }
    # Twice thop's count of half of the sentences is the same number.
    assert found == {(THOP, 4, 16), (TWICE_THOP, 2, 16)}


def test_64_tokens_give_the_backbone_alone_in_other_batches_too() -> None:
    shapes = {
        (batch, length)
        for batch in range(1, 129)
        for length in range(1, 513)
        if THOP.backbone(batch, length) == BACKBONE
    }
    assert shapes == {(1, 64), (2, 32), (4, 16), (8, 8), (16, 4), (32, 2), (64, 1)}
    assert [shape for shape in shapes if THOP.layer(shape[0]) == LAYER] == [(4, 16)]


def test_a_sentence_of_the_reference_costs_a_quarter_and_what_thop_leaves_out() -> None:
    # What hubkit counts of one sentence of 16 tokens: its products, those of attention too.
    matrices = 16 * 42_467_328
    assert DISTILBERT_BASE.macs(16, attention=False) == matrices
    assert DISTILBERT_BASE.macs(16) == matrices + 6 * 2 * 16 * 16 * 768


def test_sizes_are_read_from_the_configuration(tmp_path: Path) -> None:
    def of(**config: object) -> Encoder | None:
        (tmp_path / "config.json").write_text(json.dumps(config), encoding="utf-8")
        return encoder_of(tmp_path)

    assert of(model_type="distilbert", dim=768, hidden_dim=3072, n_layers=6) == DISTILBERT_BASE
    bert = of(model_type="bert", hidden_size=8, intermediate_size=16, num_hidden_layers=2)
    assert bert == Encoder(2, 8, 16)
    # Disentangled attention multiplies more than the formula has.
    other = of(model_type="deberta-v2", hidden_size=8, intermediate_size=16, num_hidden_layers=2)
    assert other is None
    assert of(model_type="bert") is None
    assert encoder_of(tmp_path / "nowhere") is None


@pytest.mark.parametrize("length", [1, 7, 128])
def test_twice_the_sentences_cost_twice_as_much(length: int) -> None:
    assert DISTILBERT_BASE.macs(length, 2) == 2 * DISTILBERT_BASE.macs(length)
