"""MiniLM-L6 in the DistilBERT architecture: the encoder and the tokenizer that the demos start
from."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from hubkit.demo.materials import MINILM

if TYPE_CHECKING:
    from transformers import DistilBertModel, DistilBertPreTrainedModel, DistilBertTokenizerFast

    ModelT = TypeVar("ModelT", bound=DistilBertPreTrainedModel)

ENCODER_ORIGIN = (
    "MiniLM-L6 weights in the DistilBERT architecture (all-MiniLM-L6-v2 from the Python package"
    f" {MINILM.package} {MINILM.version})"
)


def classifier_from_bert(
    model_class: type[ModelT], encoder: Path, labels: Sequence[str], *, seed: int
) -> ModelT:
    """A DistilBERT model with the weights of a BERT folder and a new, seeded head for the labels.

    `model_class`: one with a classification head, such as DistilBertForSequenceClassification.
    """
    import torch
    from safetensors.torch import load_file
    from transformers import BertConfig

    from hubkit.demo.convert import distilbert_config, distilbert_weights

    config = distilbert_config(BertConfig.from_pretrained(encoder))
    config.id2label = dict(enumerate(labels))
    config.label2id = {name: i for i, name in enumerate(labels)}
    # One pass over few rows does not overfit, and dropout costs a seventh of the time.
    config.dropout = config.attention_dropout = 0.0
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model: ModelT = model_class(config)
    model.distilbert.load_state_dict(distilbert_weights(load_file(encoder / "model.safetensors")))
    return model


def encoder_from_bert(encoder: Path) -> DistilBertModel:
    """A DistilBERT model without a head, with the weights of a BERT folder."""
    from safetensors.torch import load_file
    from transformers import BertConfig, DistilBertModel

    from hubkit.demo.convert import distilbert_config, distilbert_weights

    model = DistilBertModel(distilbert_config(BertConfig.from_pretrained(encoder)))
    model.load_state_dict(distilbert_weights(load_file(encoder / "model.safetensors")))
    return model.eval()


def tokenizer_of(encoder: Path) -> DistilBertTokenizerFast:
    """The uncased WordPiece tokenizer with the vocabulary of a BERT folder."""
    from transformers import DistilBertTokenizerFast

    return DistilBertTokenizerFast(
        vocab_file=str(encoder / "vocab.txt"), do_lower_case=True, model_max_length=512
    )
