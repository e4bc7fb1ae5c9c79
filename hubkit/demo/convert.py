"""A BERT encoder in the DistilBERT architecture: the same hidden states from fewer parameters.

DistilBERT (Sanh et al. 2019) is BERT's encoder without token-type embeddings and pooler. In a
single segment the token-type embedding is one constant vector, so it folds into the position
embeddings and nothing is lost.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from hubkit.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor
    from transformers import BertConfig, DistilBertConfig

_LAYER_PARTS = {
    "attention.self.query": "attention.q_lin",
    "attention.self.key": "attention.k_lin",
    "attention.self.value": "attention.v_lin",
    "attention.output.dense": "attention.out_lin",
    "attention.output.LayerNorm": "sa_layer_norm",
    "intermediate.dense": "ffn.lin1",
    "output.dense": "ffn.lin2",
    "output.LayerNorm": "output_layer_norm",
}
_LAYER = re.compile(r"encoder\.layer\.(\d+)\.(.+)\.(weight|bias)")
_KEPT = (
    "embeddings.word_embeddings.weight",
    "embeddings.LayerNorm.weight",
    "embeddings.LayerNorm.bias",
)
_POSITIONS = "embeddings.position_embeddings.weight"
_TYPES = "embeddings.token_type_embeddings.weight"


def distilbert_config(bert: BertConfig) -> DistilBertConfig:
    """The DistilBERT configuration with the sizes of a BERT one.

    Raises ModelError for what DistilBERT cannot express.
    """
    from transformers import DistilBertConfig

    if bert.layer_norm_eps != 1e-12 or bert.position_embedding_type != "absolute":
        raise ModelError(
            "this BERT has a layer norm epsilon or positions that DistilBERT does not know",
            hint="Convert an encoder with layer_norm_eps 1e-12 and absolute positions.",
        )
    return DistilBertConfig(
        vocab_size=bert.vocab_size,
        max_position_embeddings=bert.max_position_embeddings,
        sinusoidal_pos_embds=False,
        n_layers=bert.num_hidden_layers,
        n_heads=bert.num_attention_heads,
        dim=bert.hidden_size,
        hidden_dim=bert.intermediate_size,
        dropout=bert.hidden_dropout_prob,
        attention_dropout=bert.attention_probs_dropout_prob,
        activation=bert.hidden_act,
        initializer_range=bert.initializer_range,
        pad_token_id=bert.pad_token_id,
    )


def distilbert_weights(bert: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """State dict of a `DistilBertModel` from a `BertModel`'s; pooler and segment 1 are dropped.

    Raises ModelError where a tensor is not one of a BERT encoder.
    """
    weights = {name: bert[name] for name in _KEPT}
    weights[_POSITIONS] = bert[_POSITIONS] + bert[_TYPES][0]
    for name, tensor in bert.items():
        if name in (*_KEPT, _POSITIONS, _TYPES, "embeddings.position_ids"):
            continue
        if name.startswith("pooler."):
            continue
        weights[_renamed(name)] = tensor
    return weights


def _renamed(name: str) -> str:
    match = _LAYER.fullmatch(name)
    part = _LAYER_PARTS.get(match[2]) if match else None
    if match is None or part is None:
        raise ModelError(
            f"{name} is no tensor of a BERT encoder",
            hint="Convert the weights of a BertModel, without a task head.",
        )
    return f"transformer.layer.{match[1]}.{part}.{match[3]}"
