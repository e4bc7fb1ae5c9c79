"""A tiny model folder, made on the spot: what every test that needs a model starts from."""

from __future__ import annotations

import string
from pathlib import Path
from typing import Literal

_TEXT = """
a an and as at bad boring but by cast charming clever comedy dull film for from fun funny good great
he her his i in is it its like love more most movie moving no not of on one or out plot she so story
than that the they this to too very was watch well will with without you
"""
WORDS = tuple(_TEXT.split())
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")

SENTENCES = (
    "a charming and clever comedy",
    "dull plot",
    "it is a very good film with a great cast and a moving story",
    "i did not love this movie",
    "boring",
    "without a plot , but fun to watch",
    "the most moving story of the year",
    "bad , bad , bad !",
    "well , it was not too long",
    "you will like it more than they did",
)


def _vocabulary() -> list[str]:
    # Every ASCII character alone and as a continuation, so that any English sentence has tokens.
    characters = [*string.ascii_lowercase, *string.digits, *string.punctuation]
    pieces = [f"##{c}" for c in (*string.ascii_lowercase, *string.digits, "s", "ing", "ed", "ly")]
    return list(dict.fromkeys((*SPECIAL, *characters, *pieces, *WORDS)))


ENTITIES = ("O", "B-PER", "I-PER", "B-ORG", "I-ORG")
_LABELS = {
    "text-classification": ("NEGATIVE", "POSITIVE"),
    "token-classification": ENTITIES,
    "question-answering": (),
    "feature-extraction": (),
}
_HEADS = {
    "text-classification": "ForSequenceClassification",
    "token-classification": "ForTokenClassification",
    "question-answering": "ForQuestionAnswering",
    "feature-extraction": "Model",
}


def make_tiny_model(
    folder: Path,
    *,
    model_type: Literal["distilbert", "bert"] = "distilbert",
    labels: tuple[str, ...] | None = None,
    seed: int = 0,
    task: str = "text-classification",
    width: int = 32,
) -> Path:
    """Write a loadable 2-layer model for a task with its tokenizer to `folder`; gives `folder`.

    config.json, model.safetensors, tokenizer.json, tokenizer_config.json, special_tokens_map.json
    and vocab.txt. Equal arguments give equal bytes. The weights are random, but wide enough that
    outputs differ between sentences. `labels`: of a classifier, where they are not the usual ones.
    `width`: of the hidden states; from 256 on INT8 is worth it.
    """
    import torch
    import transformers

    folder.mkdir(parents=True, exist_ok=True)
    words = _vocabulary()
    vocabulary = folder / "vocab.txt"
    vocabulary.write_text("\n".join(words) + "\n", encoding="utf-8")
    names = dict(enumerate(_LABELS[task] if labels is None else labels))
    common: dict[str, object] = {
        "vocab_size": len(words),
        "max_position_embeddings": 64,
        "initializer_range": 0.4 * (32 / width) ** 0.5,
        **(
            {"id2label": names, "label2id": {name: i for i, name in names.items()}} if names else {}
        ),
    }
    if model_type == "distilbert":
        kind = "DistilBert"
        sizes = {"dim": width, "n_layers": 2, "n_heads": 2, "hidden_dim": 2 * width}
    else:
        kind = "Bert"
        sizes = {
            "hidden_size": width,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "intermediate_size": 2 * width,
        }
    torch.manual_seed(seed)
    config = getattr(transformers, f"{kind}Config")(**sizes, **common)
    model = getattr(transformers, f"{kind}{_HEADS[task]}")(config)
    loader = getattr(transformers, f"{kind}TokenizerFast")
    tokenizer = loader(vocab_file=str(vocabulary), model_max_length=64)
    model.eval().save_pretrained(folder, safe_serialization=True)
    tokenizer.save_pretrained(folder)
    return folder
