from __future__ import annotations

import pytest
import torch
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    BertModel,
    BertTokenizerFast,
    DistilBertModel,
)

from hubkit.demo.convert import distilbert_config, distilbert_weights
from hubkit.demo.materials import MINILM, MOVIES, obtain
from hubkit.demo.movies import read_sentences
from hubkit.errors import ModelError


def _tiny(**changes: object) -> BertConfig:
    sizes = {
        "vocab_size": 50,
        "hidden_size": 32,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "intermediate_size": 48,
        "max_position_embeddings": 20,
        "initializer_range": 0.1,
    }
    return BertConfig(**{**sizes, **changes})


def _differences(
    bert: BertModel, ids: torch.Tensor, mask: torch.Tensor
) -> tuple[float, DistilBertModel]:
    distilled = DistilBertModel(distilbert_config(bert.config))
    distilled.load_state_dict(distilbert_weights(bert.state_dict()))
    with torch.inference_mode():
        before = bert.eval()(ids, attention_mask=mask).last_hidden_state
        after = distilled.eval()(ids, attention_mask=mask).last_hidden_state
    seen = mask.bool()
    return (before[seen] - after[seen]).abs().max().item(), distilled


def test_hidden_states_are_those_of_bert() -> None:
    torch.manual_seed(5)
    bert = BertModel(_tiny())
    with torch.no_grad():  # as after training: nothing is at its initial 0 or 1
        for weight in bert.parameters():
            weight.add_(torch.randn_like(weight) * 0.1)
    ids = torch.randint(1, 50, (4, 17))
    mask = torch.ones_like(ids)
    mask[0, 9:] = 0
    difference, distilled = _differences(bert, ids, mask)
    assert difference < 1e-5
    assert distilled.config.n_layers == 3
    assert distilled.config.hidden_dim == 48


def test_the_token_type_is_not_forgotten() -> None:
    torch.manual_seed(5)
    bert = BertModel(_tiny())
    weights = distilbert_weights(bert.state_dict())
    plain = bert.state_dict()["embeddings.position_embeddings.weight"]
    assert not torch.allclose(weights["embeddings.position_embeddings.weight"], plain)


def test_weights_with_a_head_are_refused() -> None:
    weights = BertForSequenceClassification(_tiny()).bert.state_dict()
    with pytest.raises(ModelError, match=r"classifier\.weight is no tensor of a BERT encoder"):
        distilbert_weights({**weights, "classifier.weight": torch.zeros(2, 32)})


@pytest.mark.parametrize(
    "changes", [{"layer_norm_eps": 1e-5}, {"position_embedding_type": "relative_key"}]
)
def test_what_distilbert_cannot_express_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(ModelError, match="DistilBERT does not know"):
        distilbert_config(_tiny(**changes))


@pytest.mark.demo
def test_the_real_encoder_on_real_sentences() -> None:
    folder = obtain(MINILM)
    sentences = read_sentences(obtain(MOVIES) / MOVIES.members[0].name)[:48]
    tokenizer = BertTokenizerFast(vocab_file=str(folder / "vocab.txt"))
    batch = tokenizer([s.text for s in sentences], padding=True, return_tensors="pt")
    bert = BertModel.from_pretrained(folder, add_pooling_layer=False)
    difference, _ = _differences(bert, batch["input_ids"], batch["attention_mask"])
    assert difference < 1e-5
