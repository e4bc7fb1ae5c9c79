"""Tiny models with the heads of these tests, and a tokenizer of another kind than BERT's."""

from __future__ import annotations

import shutil
from pathlib import Path

SIZES = {"dim": 32, "n_layers": 2, "n_heads": 2, "hidden_dim": 64, "initializer_range": 0.4}


def make_question_answering(folder: Path, tokenizer: Path) -> Path:
    """A DistilBERT with start and end logits, 64 positions, and the tokenizer of another folder."""
    from transformers import DistilBertForQuestionAnswering

    return _save(DistilBertForQuestionAnswering, folder, tokenizer)


def make_encoder(folder: Path, tokenizer: Path) -> Path:
    """A DistilBERT without a head, hidden size 32."""
    from transformers import DistilBertModel

    return _save(DistilBertModel, folder, tokenizer)


def make_byte_tokenizer(folder: Path, texts: list[str]) -> Path:
    """A byte-level BPE tokenizer of RoBERTa's form: it has no unknown characters, four special
    tokens around a pair, and no token types."""
    from tokenizers import ByteLevelBPETokenizer
    from transformers import RobertaTokenizerFast

    folder.mkdir(parents=True)
    made = ByteLevelBPETokenizer()
    specials = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    made.train_from_iterator(texts, vocab_size=400, special_tokens=specials)
    vocabulary, merges = made.save_model(str(folder))
    tokenizer = RobertaTokenizerFast(vocab_file=vocabulary, merges_file=merges)
    tokenizer.save_pretrained(folder)
    return folder


def _save(kind: type, folder: Path, tokenizer: Path) -> Path:
    import torch
    from transformers import AutoTokenizer, DistilBertConfig

    shutil.copytree(
        tokenizer, folder, ignore=shutil.ignore_patterns("config.json", "*.safetensors")
    )
    torch.manual_seed(0)
    size = len(AutoTokenizer.from_pretrained(tokenizer))
    model = kind(DistilBertConfig(vocab_size=size, max_position_embeddings=64, **SIZES))
    model.eval().save_pretrained(folder, safe_serialization=True)
    return folder
